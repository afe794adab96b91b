"""Frames whose grey levels tell that they were coarsened: too few bits, lossy compression."""

from __future__ import annotations

from typing import Any

import cv2
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
    end, step = image.shape[0] - 2, max(1, image.shape[0] // _LINES)
    rows = [image[k : end + k : step] for k in range(3)]

    def over_window(best: Any) -> Any:
        tall = best(best(rows[0], rows[1]), rows[2])
        return best(best(tall[:, :-2], tall[:, 1:-1]), tall[:, 2:])

    low, high = over_window(cv2.min), over_window(cv2.max)
    return float(np.count_nonzero(low == high) / low.size)


def blockiness(image: NDArray[Any]) -> float:
    """Return how much greater steps are at the edges of blocks of 8 × 8 pixels, about 1 for none.

    Wherever the blocks begin, the mean step between neighbours is taken by its place modulo 8: the
    greatest of the eight means over their median, in both directions; the smaller one counts. Great
    steps, of which a few would decide, are cut at the 90th percentile.
    """
    if min(image.shape) < _LEAST_SIDE:
        return 1.0
    return min(_line_blockiness(image, axis) for axis in (0, 1))


def _line_blockiness(image: NDArray[Any], axis: int) -> float:
    """Return the blockiness of steps along an axis, from lines spread evenly over the other one."""
    step = max(1, image.shape[1 - axis] // _LINES)
    lines = image[::step] if axis else np.ascontiguousarray(image[:, ::step])
    length = (lines.shape[axis] - 1) // _BLOCK * _BLOCK
    before = lines[:, :length] if axis else lines[:length]
    after = lines[:, 1 : length + 1] if axis else lines[1 : length + 1]
    steps = cv2.absdiff(after, before).astype(np.float32)
    most = np.percentile(steps[:, ::5] if axis else steps[::5], 90) + np.finfo(np.float32).tiny
    # sums of float32 values in float64 are exact, in whichever order
    sums = cv2.reduce(cv2.min(steps, float(most)), 1 - axis, cv2.REDUCE_SUM, dtype=cv2.CV_64F)
    means = sums.ravel() / lines.shape[1 - axis]
    by_place = means.reshape(-1, _BLOCK).mean(0)
    usual = float(np.median(by_place))
    return float(by_place.max()) / usual if usual > 0 else 1.0
