"""The default estimate: a smooth surface through tiles, refined on what remains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovflow.background.corrector import (
    ALL_COVERED,
    CROWDED,
    Estimate,
    ModelledSurface,
    Numbers,
    Surface,
    low_value,
)
from fovflow.background.preparation import (
    MAD_TO_SIGMA,
    Preparation,
    WorkingFrame,
    subtract,
    tile_pixels,
)
from fovflow.background.surfacefit import SurfaceFit, TileData
from fovflow.background.tilegrid import Matrix, SplineSurface, sample_median
from fovflow.config.methods import TilesCorrect

_WIDEST_ROW_STEP = 4
_ROWS_PER_STEP = 512
_CLEAN_SIGMAS = 3.0
_CROWDED_FREE = 0.10
_CROWDED_TILES = 0.25
_FIFTH_PERCENTILE_SIGMAS = 1.645
_FLOAT_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class _Fitted:
    """Coefficients of a surface and the noise around it."""

    coefficients: Matrix
    sigma: float


class TilesCorrection(ModelledSurface):
    """Subtract a penalised B-spline surface that is fitted to tiles and then to clean pixels.

    Works at every frame size and up to the border. Tiles without free pixels are continued from
    their neighbours. A crowded frame borrows the shape of the last good frame; a frame that is
    covered altogether takes over that frame's surface. Such frames are flagged. Defined in
    docs/algorithms/background.md. `frames`: see `Preparation`.
    """

    def __init__(self, settings: TilesCorrect, **frames: Any):
        super().__init__(Preparation(dilation_um=settings.dilation_um, **frames))
        tile = tile_pixels(settings.tile_px, settings.tile_um, self._prepare.pixel_um)
        self._row_step = max(1, min(_WIDEST_ROW_STEP, self._prepare.shape[0] // _ROWS_PER_STEP))
        self._thin_fit = SurfaceFit(self._prepare.shape, tile, self._row_step)
        self._fit = SurfaceFit(self._prepare.shape, tile)
        self._surface = SplineSurface(self._fit.y.basis, self._fit.x.basis)
        rows, columns = self._prepare.lattice
        self._lattice_surface = SplineSurface(self._fit.y.basis[rows], self._fit.x.basis[columns])
        self._last_good: _Fitted | None = None
        self.tile_values: Matrix = np.zeros((self._fit.y.tiles, self._fit.x.tiles))
        """Mean of the last frame's surface over each tile, (tiles_y, tiles_x) float64, counts."""

    def _estimate(self, frame: WorkingFrame) -> Estimate:
        thin = frame.thinned(self._row_step)
        if not thin.free.any():
            fitted = self._carry_over(frame)
            flag = ALL_COVERED if frame.finite is None or frame.finite.any() else ""
            n_without = self._fit.n_tiles
        else:
            data = self._thin_fit.tile_data(thin.filled, thin.free)
            crowded = self._is_crowded(frame, data)
            fitted = self._fit_frame(frame, thin, data, crowded=crowded)
            flag = CROWDED if crowded else ""
            n_without = data.n_without
            if not crowded:
                self._last_good = fitted
        self.tile_values = self._fit.tile_means(fitted.coefficients)
        gradient = float(np.ptp(self.tile_values))
        model = fitted.coefficients.ravel()
        return Estimate(self.surface_of(model), gradient, n_without, flag, model)

    def surface_of(self, model: Numbers) -> Surface:
        """Return the surface of the B-splines with these coefficients."""
        return self._surface(model.reshape(self._fit.coefficients))

    def _is_crowded(self, frame: WorkingFrame, data: TileData) -> bool:
        free_share = np.count_nonzero(frame.free) / frame.free.size
        seen_share = 1 - data.n_without / self._fit.n_tiles
        return bool(free_share < _CROWDED_FREE or seen_share < _CROWDED_TILES)

    def _fit_frame(
        self, frame: WorkingFrame, thin: WorkingFrame, data: TileData, *, crowded: bool
    ) -> _Fitted:
        start = np.zeros(self._fit.coefficients)
        if crowded and self._last_good is not None:
            start = self._last_good.coefficients
        coefficients, trust = self._thin_fit.fit_tiles(
            data, start, self._noise(frame), stiff=crowded
        )
        slack = 1.0 if frame.integer else _FLOAT_ROUNDING * float(np.abs(data.medians).max())
        sigma = 0.0
        for fit, part in ((self._thin_fit, thin), (self._fit, frame)):
            sigma = self._dark_half_sigma(frame, coefficients)
            limit = _CLEAN_SIGMAS * sigma + slack
            coefficients += fit.fit_residual(part, coefficients, limit, trust, stiff=crowded)
        return _Fitted(coefficients, sigma)

    def _noise(self, frame: WorkingFrame) -> float:
        """Estimate the noise of a pixel from neighbours in a row."""
        rows, columns = self._prepare.lattice
        width = self._prepare.shape[1]
        left = slice(0, width - 1, columns.step)
        right = slice(1, width, columns.step)
        both = (frame.free[rows, left] & frame.free[rows, right]).view(np.bool_)
        if not both.any():
            return 0.0
        step = frame.filled[rows, right].astype(np.float32) - frame.filled[rows, left]
        return float(MAD_TO_SIGMA * sample_median(np.abs(step[both])) / np.sqrt(2))

    def _dark_half_sigma(self, frame: WorkingFrame, coefficients: Matrix) -> float:
        """Estimate noise from the pixels below the surface, where no missed cell can be."""
        lattice = self._prepare.lattice
        seen = frame.free[lattice].view(np.bool_)
        residual = subtract(frame.filled[lattice], self._lattice_surface(coefficients))[seen]
        below = residual[residual <= 0]
        return float(-MAD_TO_SIGMA * sample_median(below)) if below.size else 0.0

    def _carry_over(self, frame: WorkingFrame) -> _Fitted:
        """Make the best of a frame without free pixels: the last good surface, or a low level."""
        if self._last_good is None:
            level = low_value(frame.finite_values())
            return _Fitted(np.full(self._fit.coefficients, level), 0.0)
        last = self._last_good
        expected = self._fit.tile_means(last.coefficients)
        edges_y, edges_x = self._fit.y.tile_edges, self._fit.x.tile_edges
        ratios = []
        for i, j in zip(*np.nonzero(expected > 0), strict=True):
            tile = np.s_[edges_y[i] : edges_y[i + 1], edges_x[j] : edges_x[j + 1]]
            sample = frame.finite_values(tile)
            if sample.size:
                low = low_value(sample) + _FIFTH_PERCENTILE_SIGMAS * last.sigma
                ratios.append(low / expected[i, j])
        factor = min(1.0, float(np.median(ratios))) if ratios else 1.0
        return _Fitted(factor * last.coefficients, last.sigma)
