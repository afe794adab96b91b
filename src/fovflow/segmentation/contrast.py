"""Local contrast of a frame, its background's mode and spread, and a steady threshold."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from statistics import median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

WINDOW = 3
"""Side of the window in pixels."""

GRID_BITS = 22
"""A float32 image is rounded to about 2⁻²² of its range."""

_STRIP_PIXELS = 1 << 17  # temporaries of one strip stay in the processor's cache

_INT32_REACH = 5148  # 81·5148² < 2³¹: within this reach of zero, sums of squares fit int32


def scaled_variance(image: NDArray[Any], margin: int = 0) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield 81 times the variance of each pixel's 3 × 3 window, in strips of rows.

    The value is 9·Σx² − (Σx)², a whole number, and exact: in int32 where the image's range is so
    small that it fits, else in float64. A float32
    image has its least value subtracted and is rounded to multiples of a power of two near
    2⁻²² of its range, which makes it whole numbers too, so that flat windows give exactly zero.
    Beyond the border the image is mirrored with the border pixel repeated (``c b a | a b c``).

    `image`: (Y, X), uint8, uint16 or float32, finite. `margin`: rows and columns by which a strip
    goes beyond its rows and the frame on all sides; beyond the frame the values are mirrored as the
    image is. The values of a strip are int32 or float64, never negative.
    """
    height, width = image.shape
    as_float = image.dtype == np.float32
    low, high = float(image.min()), float(image.max())
    grid = float_grid(low, high) if as_float else 1.0
    centre = 0 if high <= _INT32_REACH else int((low + high) / 2)
    fits = not as_float and high - centre <= _INT32_REACH and centre - low <= _INT32_REACH
    edge = margin + WINDOW // 2
    step = max(16, edge, _STRIP_PIXELS // width)
    for start in range(0, height, step):
        rows = slice(start, min(start + step, height))
        above, below = max(0, edge - start), max(0, rows.stop + edge - height)
        strip: NDArray[Any] = cv2.copyMakeBorder(
            image[max(0, start - edge) : rows.stop + edge],
            *(above, below, edge, edge),
            cv2.BORDER_REFLECT,
        )
        if as_float:
            strip = np.rint((strip.astype(np.float64) - low) / grid)
        scaled = _small_variance(strip, centre) if fits else _scaled_variance(strip)
        yield rows, scaled * (grid * grid) if as_float else scaled


def _scaled_variance(strip: NDArray[Any]) -> NDArray[np.float64]:
    """Return 9·Σx² − (Σx)² of whole numbers for all windows that lie inside the strip."""
    # sums of nine whole numbers below 2¹⁶ are exact in float32
    sum_type = cv2.CV_64F if strip.dtype == np.float64 else cv2.CV_32F
    window = (WINDOW, WINDOW)
    squares = cv2.sqrBoxFilter(strip, cv2.CV_64F, window, normalize=False)
    sums = cv2.boxFilter(strip, sum_type, window, normalize=False)
    squares *= 9.0
    squares -= cv2.multiply(sums, sums, dtype=cv2.CV_64F)
    return np.asarray(squares[1:-1, 1:-1])


def _small_variance(strip: NDArray[Any], centre: int) -> NDArray[np.int32]:
    """Return the same of whole numbers that lie within `_INT32_REACH` of `centre`."""
    window = (WINDOW, WINDOW)
    values = strip.astype(np.int32)
    if centre:
        values -= centre
    sums = cv2.boxFilter(values, cv2.CV_32S, window, normalize=False)
    np.multiply(values, values, out=values)
    squares = cv2.boxFilter(values, cv2.CV_32S, window, normalize=False)
    squares *= 9
    squares -= np.multiply(sums, sums, out=sums)
    return np.asarray(squares[1:-1, 1:-1])


def float_grid(low: float, high: float) -> float:
    """Return the power of two that a float32 image's values are rounded to multiples of."""
    return float(2.0 ** (np.ceil(np.log2(high - low)) - GRID_BITS)) if high > low else 1.0


SMOOTHING = 9
"""Bins over which a histogram is averaged before its mode is taken."""

ONE_SIGMA = 0.682689492137086
"""Share of a normal distribution within one standard deviation."""


def mode_and_spread(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Return the mode of a histogram, bin k having the centre k + 0.5, and its lower side's spread.

    The mode is the first bin where the counts, averaged over 9 bins (0 beyond the ends), are
    highest. The spread is the distance below the mode within which 68.27 % of the pixels below it
    lie, the mode's own bin counting half; it is interpolated linearly within bins. Only the
    lower side is used, since cells are on the upper one. Both are in bins.
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

    `memory`: number of frames, the present one included; 1 = no memory. Where the
    present offset lies more than `RESET` of the median away from it, the conditions have changed:
    the memory is dropped, and the present offset is taken as it is.
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
