"""Drift of the whole field between two frames, from the positions of the objects."""

from __future__ import annotations

import numpy as np

from fovflow.labels import FloatArray, IntArray
from fovflow.tracking.overlaps import FrameObjects

_LEAST_CELLS = 3
_SIMILAR_AREA = 0.7
_BIN_PER_DIAMETER = 0.25
_LEAST_BIN_PX = 2.0
_NEARLY_BEST = 0.8
_SUPPORT = 0.5
_REFINE_BINS = 1.5


def estimate(earlier: FrameObjects, later: FrameObjects, limit_px: float) -> tuple[int, int]:
    """Return the shift (dy, dx) in whole pixels that most objects share; (0, 0) where none is.

    Every pair of objects of similar area votes for its displacement. The displacement that at
    least half of the objects agree on is the drift; among displacements that have nearly as many
    votes as the best one, the smallest is taken, so that a regular array of cells does not
    jump by one place.

    `limit_px`: largest drift per axis.
    """
    n = min(len(earlier), len(later))
    if n < _LEAST_CELLS or limit_px <= 0:
        return 0, 0
    dy, dx = _displacements(earlier, later, limit_px)
    diameter = float(np.median(np.concatenate([earlier.diameter, later.diameter])))
    side = max(_LEAST_BIN_PX, _BIN_PER_DIAMETER * diameter)
    by = np.floor(dy / side + 0.5).astype(np.int64)
    bx = np.floor(dx / side + 0.5).astype(np.int64)
    reach = int(np.floor(limit_px / side + 0.5))
    votes = _box_sum(by + reach, bx + reach, 2 * reach + 1)
    best = int(votes.max())
    if best < max(_LEAST_CELLS, _SUPPORT * n):
        return 0, 0
    ky, kx = np.nonzero(votes >= _NEARLY_BEST * best)
    ky, kx = ky - reach, kx - reach
    first = np.lexsort((kx, ky, ky * ky + kx * kx))[0]
    near = (np.abs(by - ky[first]) <= 1) & (np.abs(bx - kx[first]) <= 1)
    my, mx = float(np.median(dy[near])), float(np.median(dx[near]))
    reach_px = _REFINE_BINS * side
    near = (np.abs(dy - my) <= reach_px) & (np.abs(dx - mx) <= reach_px)
    return int(np.rint(np.median(dy[near]))), int(np.rint(np.median(dx[near])))


def _displacements(
    earlier: FrameObjects, later: FrameObjects, limit_px: float
) -> tuple[FloatArray, FloatArray]:
    """Return the displacements of all pairs of similar area within the limit."""
    order = np.argsort(later.y, kind="stable")
    y = later.y[order]
    low = np.searchsorted(y, earlier.y - limit_px, side="left")
    high = np.searchsorted(y, earlier.y + limit_px, side="right")
    count = high - low
    i = np.repeat(np.arange(len(earlier)), count)
    j = order[np.arange(i.size) + np.repeat(low - np.cumsum(count) + count, count)]
    dy, dx = later.y[j] - earlier.y[i], later.x[j] - earlier.x[i]
    a, b = earlier.area[i], later.area[j]
    near = (np.abs(dx) <= limit_px) & (np.minimum(a, b) >= _SIMILAR_AREA * np.maximum(a, b))
    return dy[near], dx[near]


def _box_sum(row: IntArray, column: IntArray, size: int) -> IntArray:
    """Return the histogram of (row, column), each bin with its eight neighbours added."""
    counts = np.zeros((size + 2, size + 2), np.int64)
    np.add.at(counts, (row + 1, column + 1), 1)
    rows = counts[:-2] + counts[1:-1] + counts[2:]
    result: IntArray = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    return result
