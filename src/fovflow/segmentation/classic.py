"""The classic log-STD segmentation, with the constants that existing data were analysed with."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.config.methods import ClassicSegment
from fovflow.parallel import OwnBuffer
from fovflow.segmentation.contrast import scaled_variance
from fovflow.segmentation.frames import Frame, FrameSegmenter, FrameStats
from fovflow.segmentation.masks import Labels, Mask, fill_all_holes, number_objects

BINS = 200
SIGMAS = 3.0
SQUARE = 19  # three iterations of a 7 × 7 square
_STRIP_ROWS = 16


class ClassicSegmenter(FrameSegmenter):
    """Threshold the log of the local standard deviation; the definition has no parameters.

    See docs/algorithms/segmentation.md for the definition and its known faults. Frames do not
    influence each other.
    """

    waits = 0

    def __init__(self, settings: ClassicSegment, pixel_um: float | None = None):
        self._buffer = OwnBuffer(np.float64)

    def _segment(self, frame: Frame) -> tuple[Labels, FrameStats]:
        log_std = log_standard_deviation(frame, self._buffer.of(*frame.image.shape))
        mode, sigma = mode_and_sigma(log_std)
        threshold = mode + SIGMAS * sigma
        mask = open_close(fill_all_holes((log_std > threshold).view(np.uint8)))
        _, labels = cv2.connectedComponents(mask, connectivity=4, ltype=cv2.CV_32S)
        return number_objects(labels), FrameStats(threshold, mode, sigma)


def log_standard_deviation(frame: Frame, out: NDArray[np.float64]) -> NDArray[np.float64]:
    """Write L = ½·ln(variance) of each pixel's 3 × 3 window to `out`, 0 where the variance is 0."""
    offset = np.log(9.0)
    for rows, scaled in scaled_variance(frame.image):
        flat = scaled <= 0.0
        strip = cv2.log(scaled.astype(np.float64, copy=False))
        np.multiply(strip, 0.5, out=out[rows])
        out[rows] -= offset
        out[rows][flat] = 0.0
    return out


def mode_and_sigma(log_std: NDArray[np.float64]) -> tuple[float, float]:
    """Return the centre of the first highest of 200 bins, and the spread of all values below it.

    Bin k of a value L is min(floor((L − min)·200/(max − min)), 199); sigma is the population
    standard deviation of all L ≤ mode.
    """
    low, high = float(log_std.min()), float(log_std.max())
    if low == high:
        return low, 0.0
    scale = BINS / (high - low)
    strips = [log_std[r : r + _STRIP_ROWS] for r in range(0, log_std.shape[0], _STRIP_ROWS)]
    counts = np.zeros(BINS + 1, np.int64)
    for strip in strips:
        bins = ((strip - low) * scale).astype(np.uint8)
        counts += cv2.calcHist([bins], [0], None, [BINS + 1], [0, BINS + 1]).ravel().astype(int)
    counts[BINS - 1] += counts[BINS]
    mode = low + (int(np.argmax(counts[:BINS])) + 0.5) * (high - low) / BINS
    n, total, squares = 0, 0.0, 0.0
    for strip in strips:
        below = np.minimum(strip - mode, 0.0)
        n += int(np.count_nonzero(strip <= mode))
        total += float(below.sum())
        squares += float(np.square(below, out=below).sum())  # no BLAS: its sums vary with threads
    return mode, float(np.sqrt(max(squares / n - (total / n) ** 2, 0.0)))


def open_close(mask: Mask) -> Mask:
    """Open, then close with a 19 × 19 square; beyond the frame is background for both."""
    square = np.ones((SQUARE, SQUARE), np.uint8)
    outside = {"borderType": cv2.BORDER_CONSTANT, "borderValue": 0}
    mask = cv2.erode(mask, square, **outside)
    mask = cv2.dilate(cv2.dilate(mask, square, **outside), square, **outside)
    return np.asarray(cv2.erode(mask, square, **outside))
