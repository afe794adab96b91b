"""Frames whose grey levels tell that they were coarsened: too few bits, lossy compression."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FLAT_SHARE = 0.05
"""Share of exactly flat 3 × 3 windows from which a frame has too few grey levels."""

BLOCKINESS = 1.2
"""Steps at the edges of 8 × 8 blocks over other steps, from which they are those of JPEG."""

_BLOCK = 8
_LEAST_SIDE = 64
_LINES = 256


def coarse_levels(image: NDArray[Any]) -> list[str]:
    """Return the flags of a (Y, X) frame: ``coarse levels``, ``compressed``."""
    flags = ["coarse levels"] if flat_share(image) > FLAT_SHARE else []
    return [*flags, "compressed"] if blockiness(image) > BLOCKINESS else flags


def flat_share(image: NDArray[Any]) -> float:
    """Return which share of the 3 × 3 windows has one value only, from windows spread evenly."""
    if min(image.shape) < 3:
        return 0.0
    starts = np.arange(0, image.shape[0] - 2, max(1, image.shape[0] // _LINES))
    rows = [image[starts + k] for k in range(3)]
    low, high = np.minimum.reduce(rows), np.maximum.reduce(rows)
    low = np.minimum.reduce([low[:, :-2], low[:, 1:-1], low[:, 2:]])
    high = np.maximum.reduce([high[:, :-2], high[:, 1:-1], high[:, 2:]])
    return float(np.count_nonzero(low == high) / low.size)


def blockiness(image: NDArray[Any]) -> float:
    """Return how much greater steps are at the edges of blocks of 8 × 8 pixels, about 1 for none.

    Wherever the blocks begin, the mean step between neighbours is taken by its place modulo 8: the
    greatest of the eight means over their median, in both directions; the smaller one counts. Great
    steps, of which a few would decide, are cut at the 90th percentile.
    """
    if min(image.shape) < _LEAST_SIDE:
        return 1.0
    return min(_line_blockiness(image), _line_blockiness(image.T))


def _line_blockiness(image: NDArray[Any]) -> float:
    lines = image[:: max(1, image.shape[0] // _LINES)].astype(np.float32)
    steps = np.abs(np.diff(lines, axis=1))
    steps = steps[:, : steps.shape[1] // _BLOCK * _BLOCK]
    most = np.percentile(steps[:, ::5], 90) + np.finfo(np.float32).tiny
    by_place = np.minimum(steps, most).mean(axis=0, dtype=np.float64).reshape(-1, _BLOCK).mean(0)
    usual = float(np.median(by_place))
    return float(by_place.max()) / usual if usual > 0 else 1.0
