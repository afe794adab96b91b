"""The classic estimate: cubic spline through half-overlapping tile medians."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.background.corrector import (
    ALL_COVERED,
    Estimate,
    ModelledSurface,
    Numbers,
    Surface,
)
from fovflow.background.preparation import Preparation, WorkingFrame, tile_pixels
from fovflow.background.tilegrid import (
    Matrix,
    SplineSurface,
    block_values,
    median_in_place,
    overlapping_medians,
)
from fovflow.config.methods import ClassicCorrect
from fovflow.errors import FovflowError

_CUBIC_NEEDS = 4


class ClassicCorrection(ModelledSurface):
    """Subtract the classic surface, with its behaviour at borders and in covered frames.

    Half-overlapping tiles, the median of each, a not-a-knot cubic spline through them that is
    held constant beyond the outer centres. A frame without free pixels gives NaN everywhere.

    `frames`: see `Preparation`. Raises FovflowError for frames of at most twice the tile size along
    an axis: a cubic needs four tiles.
    """

    def __init__(self, settings: ClassicCorrect, **frames: Any):
        super().__init__(Preparation(dilation_um=settings.dilation_um, **frames))
        tile = tile_pixels(settings.tile_px, settings.tile_um, self._prepare.pixel_um)
        self._edges_y, rows = _axis(self._prepare.shape[0], tile)
        self._edges_x, columns = _axis(self._prepare.shape[1], tile)
        self._surface = SplineSurface(rows, columns)
        self._tiles = rows.shape[1], columns.shape[1]

    def _estimate(self, frame: WorkingFrame) -> Estimate:
        blocks = block_values(frame.values, frame.free, self._edges_y, self._edges_x)
        medians = overlapping_medians(blocks)
        empty = np.isnan(medians)
        n_empty = int(np.count_nonzero(empty))
        covered = n_empty == medians.size
        if n_empty and not covered:
            everything = np.concatenate([block for row in blocks for block in row])
            medians[empty] = median_in_place(everything)
        model, flag = medians.ravel(), ALL_COVERED if covered else ""
        return Estimate(self.surface_of(model), float(np.ptp(medians)), n_empty, flag, model)

    def surface_of(self, model: Numbers) -> Surface:
        """Return the surface through these medians of tiles: NaN where no tile has any."""
        if np.isnan(model).all():
            return np.full(self._prepare.shape, np.nan, np.float32)
        return self._surface(model.reshape(self._tiles))


def _axis(length: int, tile: int) -> tuple[NDArray[np.int64], Matrix]:
    """Return block edges and the interpolation matrix of one axis."""
    divisions = max(math.ceil(length / tile) + 1, 2)
    edges = np.rint(np.linspace(0, length, 2 * divisions - 1)).astype(np.int64)
    centres = (edges[:-2] + edges[2:]) / 2
    if len(centres) < _CUBIC_NEEDS:
        raise FovflowError(
            f"the classic background needs more than {2 * tile} px along each axis",
            found=f"{length} px, which gives {len(centres)} tile(s) where a cubic needs 4",
            remedy="use correct.method: tiles, or a smaller correct.tile_px",
        )
    return edges, not_a_knot_matrix(centres, np.arange(length, dtype=np.float64))


def not_a_knot_matrix(sites: Matrix, points: Matrix) -> Matrix:
    """Return the matrix of cubic interpolation with not-a-knot ends.

    It is (points, sites); times the values at the sites, at least four increasing positions, it
    gives the spline at the points. The spline is held constant beyond the outer sites.
    Written with the second derivatives M at the sites (C. de Boor, A Practical Guide to Splines,
    1978, chapter IV); not-a-knot: the third derivative is continuous at the second and the
    second last site.
    """
    count = len(sites)
    step = np.diff(sites)
    curvature = np.zeros((count, count))
    slopes = np.zeros((count, count))
    for i in range(1, count - 1):
        curvature[i, i - 1 : i + 2] = step[i - 1], 2 * (step[i - 1] + step[i]), step[i]
        slopes[i, i - 1 : i + 2] = (
            6 / step[i - 1],
            -6 / step[i - 1] - 6 / step[i],
            6 / step[i],
        )
    curvature[0, :3] = -step[1], step[0] + step[1], -step[0]
    curvature[-1, -3:] = -step[-1], step[-2] + step[-1], -step[-2]
    second = np.linalg.solve(curvature, slopes)

    at = np.clip(points, sites[0], sites[-1])
    interval = np.clip(np.searchsorted(sites, at, side="right") - 1, 0, count - 2)
    width = step[interval]
    right = (at - sites[interval]) / width
    left = 1 - right
    identity = np.eye(count)
    bend_left = ((left**3 - left) * width**2 / 6)[:, None]
    bend_right = ((right**3 - right) * width**2 / 6)[:, None]
    matrix: Matrix = (
        left[:, None] * identity[interval]
        + right[:, None] * identity[interval + 1]
        + bend_left * second[interval]
        + bend_right * second[interval + 1]
    )
    return matrix
