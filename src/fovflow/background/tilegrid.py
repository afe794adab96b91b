"""The grid of tiles: its axes with their B-spline bases, surfaces on it, medians of its tiles."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
BlockValues = list[list[NDArray[Any]]]

_MOST_INTERVALS = 32
_TINY = 128
_PATCHES_PER_TILE = 8
_FEWEST_TILES = 4


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of the grid: tiles, the patches that they are made of, and the basis."""

    edges: NDArray[np.int64]
    """Patch k spans the pixels ``edges[k] <= index < edges[k + 1]`` of those that are used."""
    tiles: int
    patches: int
    """Number of patches per tile."""
    basis: Matrix
    """(used pixels, p) B-splines."""
    patch_basis: Matrix
    """(tiles * patches, p), mean of the basis over each patch."""

    @classmethod
    def of(cls, length: int, tile_px: int, step: int = 1) -> Axis:
        """Make the axis of `length` pixels of which every `step`-th is used, from the first."""
        fewest = 1 if length < _TINY else 2
        intervals = max(fewest, min(_MOST_INTERVALS, int(length / tile_px + 0.5)))
        tiles = min(max(2 * intervals, _FEWEST_TILES), length)
        patches = max(1, min(_PATCHES_PER_TILE, length // tiles))
        count = tiles * patches
        edges = (2 * np.arange(count + 1) * length + count) // (2 * count)
        edges = -(-edges // step)
        basis = bspline_basis(length, intervals)[::step]
        sums = np.add.reduceat(basis, edges[:-1], axis=0)
        return cls(edges, tiles, patches, basis, sums / np.diff(edges)[:, None])

    @property
    def tile_edges(self) -> NDArray[np.int64]:
        """Edges of the tiles, in pixels."""
        return self.edges[:: self.patches]

    @property
    def tile_basis(self) -> Matrix:
        """Mean of the basis over each tile, (tiles, p)."""
        sizes = np.diff(self.edges)[:, None]
        sums = np.add.reduceat(self.patch_basis * sizes, np.arange(0, len(sizes), self.patches))
        return sums / np.diff(self.tile_edges)[:, None]

    @property
    def basis_pairs(self) -> Matrix:
        """Products of every two basis functions at each patch, (tiles * patches, p * p)."""
        basis = self.patch_basis
        products: Matrix = basis[:, :, None] * basis[:, None, :]
        return products.reshape(len(basis), -1)


def bspline_basis(length: int, intervals: int) -> Matrix:
    """Return uniform cubic B-splines at the centres of pixels, (length, intervals + 3).

    Each row sums to 1.
    """
    position = (np.arange(length) + 0.5) * intervals / length
    distance = np.abs(position[:, None] - (np.arange(intervals + 3) - 1))
    inner = 2 / 3 - distance**2 + distance**3 / 2
    outer = np.maximum(2 - distance, 0) ** 3 / 6
    return np.where(distance < 1, inner, outer)


class SplineSurface:
    """Evaluate ``left @ coefficients @ right.T`` in float32 into a buffer of its own.

    `left`, `right`: (Y, p) and (X, q) float64.
    """

    def __init__(self, left: Matrix, right: Matrix):
        self._left = left
        self._right = np.ascontiguousarray(right.T, np.float32)
        self._values = np.empty((left.shape[0], right.shape[0]), np.float32)

    def __call__(self, coefficients: Matrix) -> NDArray[np.float32]:
        """Return the (Y, X) surface; the array is overwritten by the next call."""
        rows = (self._left @ coefficients).astype(np.float32)
        return np.matmul(rows, self._right, out=self._values)


def block_values(
    values: NDArray[Any],
    free: NDArray[np.uint8],
    edges_y: NDArray[np.int64],
    edges_x: NDArray[np.int64],
) -> BlockValues:
    """Gather the free pixels of each block, one-dimensional, in own memory.

    Block i spans ``edges[i] <= index < edges[i + 1]``. `free`: 1 for the pixels that count.
    """
    selected = free.view(np.bool_)
    rows = pairwise(edges_y.tolist())
    columns = list(pairwise(edges_x.tolist()))
    return [
        [
            values[top:bottom, left:right][selected[top:bottom, left:right]]
            for left, right in columns
        ]
        for top, bottom in rows
    ]


_COUNTED = 4096
"""Size of a sample from which counting its values is several times faster than a partition."""


def median_in_place(sample: NDArray[Any]) -> float:
    """Return the exact median of a one-dimensional sample, which is reordered.

    The mean of the two middle values for an even count, NaN for none.
    """
    count = sample.size
    if count == 0:
        return float("nan")
    middle = count // 2
    counted = sample.dtype == np.uint16 and count >= _COUNTED
    if counted and (lower := int(sample.min())) + 2 * count > sample.max():
        below = np.cumsum(np.bincount(sample - np.uint16(lower)))
        ranks = (middle - 1 + count % 2, middle)
        return lower + float(np.searchsorted(below, ranks, side="right").mean())
    sample.partition(middle)
    upper = float(sample[middle])
    if count % 2:
        return upper
    return (float(sample[:middle].max()) + upper) / 2


def sample_median(sample: NDArray[np.float32]) -> np.float32:
    """Return what `numpy.median` returns for a one-dimensional sample of finite values.

    It is several times faster, and reorders the sample.
    """
    middle = sample.size // 2
    sample.partition(middle)
    if sample.size % 2:
        return np.float32(sample[middle])
    return np.float32((sample[:middle].max() + sample[middle]) / 2)


def overlapping_medians(blocks: BlockValues) -> NDArray[np.float64]:
    """Return the medians of all squares of 2 x 2 neighbouring blocks, NaN for empty ones."""
    return np.array(
        [
            [
                median_in_place(np.concatenate((*upper[j : j + 2], *lower[j : j + 2])))
                for j in range(len(upper) - 1)
            ]
            for upper, lower in pairwise(blocks)
        ]
    )


def patch_counts(
    free: NDArray[np.uint8], edges_y: NDArray[np.int64], edges_x: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Count the free pixels of each block.

    Rows are added band by band: a plain sum over few rows is many times faster than
    `numpy.add.reduceat` on the full frame.
    """
    bands = np.empty((len(edges_y) - 1, free.shape[1]), np.uint32)
    for band, (top, bottom) in zip(bands, pairwise(edges_y.tolist()), strict=True):
        np.add.reduce(free[top:bottom], axis=0, dtype=np.uint32, out=band)
    return column_sums(bands, edges_x)


def column_sums(bands: NDArray[Any], edges_x: NDArray[np.int64]) -> NDArray[np.float64]:
    """Add up the columns of each block, in float64."""
    return np.add.reduceat(bands, edges_x[:-1], axis=1, dtype=np.float64)
