"""Segmentation by a grey-level threshold, for nuclear markers and other bright objects."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.config.methods import ThresholdSegment
from fovflow.segmentation.contrast import mode_and_spread
from fovflow.segmentation.frames import Frame, FrameSegmenter, FrameStats
from fovflow.segmentation.instances import Limits, make_objects
from fovflow.segmentation.masks import Labels, check_pixel_um, fill_small_holes

BINS = 1024
"""Bins of the histogram between the least and the greatest grey level."""

MIN_SEPARATION = 4.0
"""A threshold that lies fewer spreads above the background's mode finds noise, not objects."""


class ThresholdSegmenter(FrameSegmenter):
    """Objects brighter (or darker) than a threshold.

    `pixel_um`: edge length of a pixel (µm).
    """

    waits = 1

    def __init__(self, settings: ThresholdSegment, pixel_um: float | None):
        px = check_pixel_um(pixel_um, "threshold")
        self._settings = settings
        self._before: Labels | None = None
        self._sigma = settings.smooth_um / px
        self._limits = Limits.of(settings, px)

    def _segment(self, frame: Frame) -> tuple[Labels, FrameStats]:
        empty = np.zeros(frame.image.shape, np.uint16)
        grey = self._smoothed(frame)
        low, high = float(grey.min()), float(grey.max())
        if low == high:
            return empty, FrameStats(flag="constant")
        counts = grey_histogram(grey, low, high)
        width = (high - low) / BINS
        mode, sigma = (width * value for value in mode_and_spread(counts))
        mode += low
        if self._settings.level is not None:
            threshold = self._counts(self._settings.level)
        else:
            rule = otsu_threshold if self._settings.rule == "otsu" else li_threshold
            threshold = low + width * rule(counts)
        stats = FrameStats(self._counts(threshold), self._counts(mode), sigma)
        if self._settings.level is None and threshold < mode + MIN_SEPARATION * sigma:
            return empty, replace(stats, flag="no signal")
        mask = (grey > np.float32(threshold)).view(np.uint8)
        if frame.invalid is not None:
            mask &= 1 - frame.invalid
        mask = fill_small_holes(mask, self._limits.hole)
        with frame.turn.wait(0):
            labels, n_split = make_objects(mask, mask, self._limits, before=self._before)
            self._before = labels
        return labels, replace(stats, n_split=n_split)

    def _smoothed(self, frame: Frame) -> NDArray[np.float32]:
        grey = frame.image.astype(np.float32)
        if self._settings.dark:
            np.negative(grey, out=grey)
        if self._sigma > 0:
            grey = cv2.GaussianBlur(grey, (0, 0), self._sigma, borderType=cv2.BORDER_REFLECT)
        return grey

    def _counts(self, value: float) -> float:
        return -value if self._settings.dark else value


def grey_histogram(grey: NDArray[np.float32], low: float, high: float) -> NDArray[np.int64]:
    """Return the pixels per bin of 1024 equal bins from the least to the greatest grey level."""
    scale = BINS / (high - low)
    codes = cv2.addWeighted(grey, scale, grey, 0.0, -low * scale - 0.5, dtype=cv2.CV_16U)
    counts = cv2.calcHist([codes], [0], None, [BINS + 1], [0, BINS + 1]).ravel().astype(np.int64)
    counts[BINS - 1] += counts[BINS]
    return np.asarray(counts[:BINS])


def otsu_threshold(counts: NDArray[np.int64]) -> float:
    """Return the threshold that maximises the variance between the classes, in bins.

    The threshold is the upper edge of the first bin k for which w₀·w₁·(μ₀ − μ₁)² is greatest,
    class 0 being bins 0 to k (Otsu 1979).

    Examples
    --------
    >>> otsu_threshold(np.array([4, 4, 0, 0, 2, 2]))
    2.0
    """
    centres = np.arange(counts.size) + 0.5
    below = np.cumsum(counts, dtype=np.float64)[:-1]
    above = float(counts.sum()) - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = sums[:-1] / below - (sums[-1] - sums[:-1]) / above
        between = np.where((below > 0) & (above > 0), below * above * gap * gap, 0.0)
    return float(np.argmax(between)) + 1.0


def li_threshold(counts: NDArray[np.int64]) -> float:
    """Return the minimum cross-entropy threshold in bins (Li and Tam 1998).

    Starting from the mean, t becomes (μ₁ − μ₀)/(ln μ₁ − ln μ₀), μ₀ being the mean of the bin
    centres up to t and μ₁ that of those above, until t moves by less than 10⁻³ bins or 1000 times.
    """
    centres = np.arange(counts.size) + 0.5
    threshold = float((counts * centres).sum() / counts.sum())
    for _ in range(1000):
        dark = centres <= threshold
        if not counts[dark].any() or not counts[~dark].any():
            break
        means = [
            float((counts * centres)[part].sum() / counts[part].sum()) for part in (dark, ~dark)
        ]
        updated = (means[1] - means[0]) / (math.log(means[1]) - math.log(means[0]))
        moved, threshold = abs(updated - threshold), updated
        if moved < 1e-3:
            break
    return threshold
