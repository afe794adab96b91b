"""Penalised B-spline surfaces fitted to tiles and patches of a frame."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.background.preparation import MAD_TO_SIGMA, WorkingFrame, subtract
from fovflow.background.tilegrid import (
    Axis,
    Matrix,
    block_values,
    column_sums,
    median_in_place,
    patch_counts,
)

USABLE_SHARE = 0.05
"""Smallest share of free pixels that makes a tile usable."""

_SMOOTHNESS = {1: 1e-7, 2: 1e-6, 3: 1e-5}
_STIFF_LEVEL = 0.1
_REFERENCE_AREA = 64.0**2
_REWEIGHTINGS = 5
_TOLERANCE = 3.0
_STRIP_PIXELS = 1 << 16


@dataclass(frozen=True, slots=True)
class TileData:
    """What the tiles of a frame say before the fit."""

    medians: Matrix
    """(tiles_y, tiles_x) float64; 0 where a tile is not usable."""
    weights: Matrix
    """(tiles_y, tiles_x) share of free pixels; 0 where a tile is not usable."""
    design: Matrix
    """(tiles, coefficients): the mean of each basis function over the tile's free pixels."""
    n_without: int
    """Tiles with fewer than 5 % free pixels."""


class SurfaceFit:
    """Weighted, penalised least squares for the coefficients of a surface.

    `shape`: (Y, X) of the frames. `tile_px`: tile size in pixels. `row_step`: only every
    `row_step`-th row is used, from the first; the frames that are given have these rows only. At
    most Y / 512, so that every patch keeps a row.

    The definition is in docs/algorithms/background.md. Normal equations of the patches' grid are
    formed axis by axis (Eilers, Currie and Durbán, Comput. Stat. Data Anal. 50, 2006).
    """

    def __init__(self, shape: tuple[int, int], tile_px: int, row_step: int = 1):
        self.y = Axis.of(shape[0], tile_px, row_step)
        self.x = Axis.of(shape[1], tile_px)
        self.n_tiles = self.y.tiles * self.x.tiles
        self.coefficients = (self.y.basis.shape[1], self.x.basis.shape[1])
        self.area = np.outer(np.diff(self.y.tile_edges), np.diff(self.x.tile_edges)).astype(float)
        noisier = max(1.0, _REFERENCE_AREA * self.n_tiles / (shape[0] * shape[1]))
        smoothness = {order: weight * noisier for order, weight in _SMOOTHNESS.items()}
        self._penalty = self._surface_penalty(smoothness)
        self._stiff_penalty = self._surface_penalty({**smoothness, 1: _STIFF_LEVEL * noisier})
        self._columns = np.ascontiguousarray(self.x.basis.T, np.float32)
        self._pairs_y = self.y.basis_pairs
        self._pairs_x = self.x.basis_pairs

    def _surface_penalty(self, weights: dict[int, float]) -> Matrix:
        count_y, count_x = self.coefficients
        along_y = np.kron(difference_penalty(count_y, weights), np.eye(count_x))
        along_x = np.kron(np.eye(count_y), difference_penalty(count_x, weights))
        return along_y + along_x

    def tile_means(self, coefficients: Matrix) -> Matrix:
        """Return the mean of the surface over each tile, (tiles_y, tiles_x)."""
        return self.y.tile_basis @ coefficients @ self.x.tile_basis.T

    def tile_data(self, values: NDArray[Any], free: NDArray[np.uint8]) -> TileData:
        """Measure the tiles of a frame; `free` is 1 where background is seen."""
        blocks = block_values(values, free, self.y.tile_edges, self.x.tile_edges)
        medians = np.array([[median_in_place(block) for block in row] for row in blocks])
        counts = patch_counts(free, self.y.edges, self.x.edges).reshape(
            self.y.tiles, self.y.patches, self.x.tiles, self.x.patches
        )
        n_free = counts.sum((1, 3))
        well_seen = (n_free >= 1) & (n_free >= USABLE_SHARE * self.area)
        usable = well_seen if well_seen.any() else n_free >= 1
        return TileData(
            medians=np.where(usable, medians, 0.0),
            weights=np.where(usable, n_free / self.area, 0.0),
            design=self._tile_design(counts, n_free),
            n_without=int(np.count_nonzero(~well_seen)),
        )

    def _tile_design(self, counts: Matrix, n_free: Matrix) -> Matrix:
        basis_y = self.y.patch_basis.reshape(self.y.tiles, 1, self.y.patches, -1)
        basis_x = self.x.patch_basis.reshape(1, self.x.tiles, self.x.patches, -1)
        share = counts.transpose(0, 2, 1, 3) / np.maximum(n_free, 1)[:, :, None, None]
        design: Matrix = basis_y.transpose(0, 1, 3, 2) @ share @ basis_x
        return design.reshape(self.n_tiles, -1)

    def fit_tiles(
        self, data: TileData, start: Matrix, sigma: float, *, stiff: bool
    ) -> tuple[Matrix, Matrix]:
        """Fit the surface to the tiles' medians, robust against tiles that are too bright.

        Return the coefficients, and each tile's trust, 0 to 1. The change from the coefficients
        `start` is penalised; if `stiff`, hardly more than their level changes. Tiles within about
        `sigma`, the noise of a pixel, are never too bright.
        """
        weights = data.weights.ravel()
        usable = weights > 0
        target = data.medians.ravel() - data.design @ start.ravel()
        penalty = self._stiff_penalty if stiff else self._penalty
        trust: Matrix = np.ones_like(weights)
        change: Matrix = np.zeros(start.size)
        for _ in range(_REWEIGHTINGS):
            weighted = data.design * (weights * trust)[:, None]
            change[:] = np.linalg.solve(data.design.T @ weighted + penalty, target @ weighted)
            residual = target - data.design @ change
            scale = max(MAD_TO_SIGMA * float(np.median(np.abs(residual[usable]))), sigma)
            if scale == 0:
                trust = np.ones_like(weights)
                break
            trust = (1 + (np.maximum(residual, 0) / (_TOLERANCE * scale)) ** 2) ** -2
        trust = np.where(usable, trust, 0.0).reshape(data.weights.shape)
        return start + change.reshape(start.shape), trust

    def fit_residual(
        self,
        frame: WorkingFrame,
        coefficients: Matrix,
        limit: float,
        trust: Matrix,
        *,
        stiff: bool,
    ) -> Matrix:
        """Return by which coefficients the clean pixels differ from those of the surface so far.

        Pixels farther than `limit` from that surface are not clean. `trust`: (tiles_y, tiles_x),
        weight of the tiles. If `stiff`, hardly more than a level is fitted.
        """
        sums, counts = self._clean_sums(frame, coefficients, limit)
        scale = np.repeat(trust / self.area, self.y.patches, axis=0)
        scale = np.repeat(scale, self.x.patches, axis=1)
        weights = counts * scale
        if not weights.any():
            return np.zeros(self.coefficients)
        count_y, count_x = self.coefficients
        normal = (self._pairs_y.T @ weights @ self._pairs_x).reshape(
            count_y, count_y, count_x, count_x
        )
        normal = normal.transpose(0, 2, 1, 3).reshape(count_y * count_x, -1)
        right = (self.y.patch_basis.T @ (sums * scale) @ self.x.patch_basis).ravel()
        penalty = self._stiff_penalty if stiff else self._penalty
        return np.linalg.solve(normal + penalty, right).reshape(self.coefficients)

    def _clean_sums(
        self, frame: WorkingFrame, coefficients: Matrix, limit: float
    ) -> tuple[Matrix, Matrix]:
        """Return per patch the sum of the clean residual and the number of clean pixels.

        A few rows of patches at a time, so that their residual stays in the processor's cache.
        """
        rows = (self.y.basis @ coefficients).astype(np.float32)
        edges = self.y.edges
        width = frame.filled.shape[1]
        sums = np.empty((len(edges) - 1, width), np.float32)
        counts = np.empty((len(edges) - 1, width), np.uint32)
        highest = int(np.diff(edges).max())
        group = max(1, _STRIP_PIXELS // (highest * width))
        narrow = np.uint8 if highest <= np.iinfo(np.uint8).max else np.uint32
        residual = np.empty((group * highest, width), np.float32)
        copied, bound = np.empty_like(residual), float(np.float32(limit))
        for band in range(0, len(edges) - 1, group):
            inner = (edges[band : band + group + 1] - edges[band]).tolist()
            strip = slice(int(edges[band]), int(edges[band]) + inner[-1])
            part, kept = residual[: inner[-1]], copied[: inner[-1]]
            surface = rows[strip]
            for top, bottom in pairwise(inner):  # BLAS rounds otherwise for other numbers of rows
                np.matmul(surface[top:bottom], self._columns, out=part[top:bottom])
            subtract(frame.filled[strip], part, part)
            clean = cv2.inRange(part, -bound, bound)
            clean &= frame.free[strip]
            kept[:] = 0
            cv2.copyTo(part, clean, kept)
            for k, (top, bottom) in enumerate(pairwise(inner), start=band):
                np.add.reduce(kept[top:bottom], axis=0, out=sums[k])
                counts[k] = np.add.reduce(clean[top:bottom], axis=0, dtype=narrow)
        return column_sums(sums, self.x.edges), column_sums(counts, self.x.edges)

    def fit_means(self, means: Matrix) -> Matrix:
        """Return the coefficients of the surface with the given means over the tiles."""
        design = np.kron(self.y.tile_basis, self.x.tile_basis)
        normal = design.T @ design + self._penalty
        fitted: Any = np.linalg.solve(normal, design.T @ means.ravel())
        coefficients: Matrix = fitted.reshape(self.coefficients)
        return coefficients


def difference_penalty(count: int, weights: dict[int, float]) -> Matrix:
    """Return ``sum(weight * D.T @ D)`` over differences D, by order, of `count` coefficients."""
    total = np.zeros((count, count))
    for order, weight in weights.items():
        difference = np.diff(np.eye(count), order, axis=0)
        total += weight * difference.T @ difference
    return total
