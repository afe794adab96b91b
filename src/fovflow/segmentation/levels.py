"""The background's mode and spread from a histogram, and a threshold that is steady in time."""

from __future__ import annotations

from collections import deque
from statistics import median

import numpy as np
from numpy.typing import NDArray

SMOOTHING = 9
"""Bins over which a histogram is averaged before its mode is taken."""

ONE_SIGMA = 0.682689492137086
"""Share of a normal distribution within one standard deviation."""


def mode_and_spread(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Return the mode of a histogram and the spread on its lower side, both in bins.

    The mode is the first bin where the counts, averaged over 9 bins (0 beyond the ends), are
    highest. The spread is the distance below the mode within which 68.27 % of the pixels below it
    lie, the mode's own bin counting half; it is interpolated linearly within bins. Only the
    lower side is used, since cells are on the upper one.

    `counts`: pixels per bin.

    Returns
    -------
    mode : float
        In bins, the centre of bin k being k + 0.5.
    spread : float
        In bins.
    """
    smooth = np.convolve(counts, np.ones(SMOOTHING, np.int64), "same")
    mode = int(np.argmax(smooth))
    below = counts[mode::-1].astype(np.float64)
    below[0] /= 2
    reached = np.concatenate([[0.0], np.cumsum(below)])
    edges = np.concatenate([[0.0], np.arange(below.size) + 0.5])
    if reached[-1] == 0:
        return mode + 0.5, 0.0
    target = ONE_SIGMA * reached[-1]
    k = int(np.searchsorted(reached, target))
    share = (target - reached[k - 1]) / (reached[k] - reached[k - 1])
    return mode + 0.5, float(edges[k - 1] + share * (edges[k] - edges[k - 1]))


class SteadyOffset:
    """Median of the last few frames' offsets of the threshold from the mode.

    `memory`: number of frames, the present one included; 1 = no memory.

    Notes
    -----
    Where the present offset lies more than `RESET` of the median away from it, the conditions
    have changed: the memory is dropped, and the present offset is taken as it is.
    """

    RESET = 0.5

    def __init__(self, memory: int):
        self._recent: deque[float] = deque(maxlen=memory)

    def update(self, offset: float) -> tuple[float, bool]:
        """Take in one frame's offset; return the steady one and whether memory was dropped."""
        self._recent.append(offset)
        steady = median(self._recent)
        if abs(offset - steady) <= self.RESET * steady:
            return steady, False
        self._recent.clear()
        self._recent.append(offset)
        return offset, True
