"""One axis of a grid of tiles and patches, with its B-spline basis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fovflow.background.spline import Matrix, bspline_basis

_MOST_INTERVALS = 32
_TINY = 128
_PATCHES_PER_TILE = 8
_FEWEST_TILES = 4


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of the grid: tiles, the patches that they are made of, and the basis.

    Attributes
    ----------
    edges : numpy.ndarray
        Patch k spans the pixels ``edges[k] <= index < edges[k + 1]`` of those that are used.
    tiles, patches : int
        Number of tiles; patches per tile.
    basis : numpy.ndarray
        (used pixels, p) float64 B-splines.
    patch_basis : numpy.ndarray
        (tiles * patches, p) float64, mean of the basis over each patch.
    """

    edges: NDArray[np.int64]
    tiles: int
    patches: int
    basis: Matrix
    patch_basis: Matrix

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
        mean: Matrix = sums / np.diff(self.tile_edges)[:, None]
        return mean

    @property
    def basis_pairs(self) -> Matrix:
        """Products of every two basis functions at each patch, (tiles * patches, p * p)."""
        basis = self.patch_basis
        products: Matrix = basis[:, :, None] * basis[:, None, :]
        return products.reshape(len(basis), -1)
