"""Local contrast: the exact variance of 3 × 3 windows and its logarithm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

WINDOW = 3
"""Side of the window in pixels."""

GRID_BITS = 22
"""A float32 image is rounded to about 2⁻²² of its range."""

_STRIP_PIXELS = 1 << 17  # float64 temporaries of one strip stay in the processor's cache


def scaled_variance(image: NDArray[Any]) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield 81 times the variance of each pixel's 3 × 3 window, in strips of rows.

    The value is 9·Σx² − (Σx)², a whole number below 2⁵³ and therefore exact in float64. A float32
    image has its least value subtracted and is rounded to multiples of a power of two near
    2⁻²² of its range, which makes it whole numbers too, so that flat windows give exactly zero.
    Beyond the border the image is mirrored with the border pixel repeated (``c b a | a b c``).

    Parameters
    ----------
    image : numpy.ndarray
        (Y, X), uint8, uint16 or float32, finite.

    Yields
    ------
    rows : slice
    scaled : numpy.ndarray
        float64 (rows, X), never negative.
    """
    height, width = image.shape
    if image.dtype == np.float32:
        low = float(image.min())
        grid = float_grid(low, float(image.max()))
    padded = cv2.copyMakeBorder(image, 1, 1, 1, 1, cv2.BORDER_REFLECT)
    step = max(16, _STRIP_PIXELS // width)
    for start in range(0, height, step):
        stop = min(start + step, height)
        strip: NDArray[Any] = padded[start : stop + 2]
        if image.dtype == np.float32:
            strip = np.rint((strip.astype(np.float64) - low) / grid)
        squares = cv2.sqrBoxFilter(strip, cv2.CV_64F, (WINDOW, WINDOW), normalize=False)
        sums = cv2.boxFilter(strip, cv2.CV_64F, (WINDOW, WINDOW), normalize=False)
        squares, sums = squares[1:-1, 1:-1], sums[1:-1, 1:-1]
        np.multiply(squares, 9.0, out=squares)
        np.multiply(sums, sums, out=sums)
        np.subtract(squares, sums, out=squares)
        if image.dtype == np.float32:
            squares *= grid * grid
        yield slice(start, stop), squares


def float_grid(low: float, high: float) -> float:
    """Return the power of two that a float32 image's values are rounded to multiples of."""
    return float(2.0 ** (np.ceil(np.log2(high - low)) - GRID_BITS)) if high > low else 1.0
