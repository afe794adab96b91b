"""The default segmentation of phase contrast: log-STD, halos taken off, touching cells split."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.config.methods import LogStdSegment
from fovflow.parallel import OwnBuffer
from fovflow.segmentation.contrast import (
    WINDOW,
    SteadyOffset,
    float_grid,
    mode_and_spread,
    scaled_variance,
)
from fovflow.segmentation.frames import Frame, FrameSegmenter, FrameStats, coarse_levels
from fovflow.segmentation.halos import (
    LEAST_NOISE,
    Outline,
    even_halos,
    relief_range,
    remove_halos,
    surroundings,
)
from fovflow.segmentation.instances import Limits, make_objects
from fovflow.segmentation.masks import (
    Labels,
    Mask,
    check_pixel_um,
    disc,
    fill_small_holes,
    odd_side,
)
from fovflow.segmentation.sheet import Sheet, Window

BIN = 0.01
"""Width of a histogram bin (natural log units)."""

LOWEST = -1.25
"""Lower edge of the first bin; the least possible value is ½·ln(1/12) = −1.2425."""

CLEAR_SPREAD = 0.5
"""Spread (natural log units) beyond which the histogram's peak is no background: noise has 0.1 to
0.3, cells that cover nearly all of the frame about 1."""

FAINT, WEAK = 10.0, 13.0
"""Brightness of halos, in noise standard deviations, below which outlines are not reliable, and
below which some are not."""

BRIGHT_HALOS = 1.2
"""Brightness of halos over the darkness of cells above which only pieces of cells are found."""

SMALL, WIDE, LARGE = 2.6, 1.75, 2.0
"""Typical radius of a frame's objects, in `window_um`, `bright_um` and `bright_um`, below and above
which they are too small, nearly too large and too large to be outlined with these lengths."""

SPREAD = 0.1
"""Share of the pixels beside the mask, `BESIDE` from it, whose texture is more than `FELT` spreads
above the background's mode, above which cells reach farther than their outlines."""

BESIDE = 3.0, 6.0
"""Distances between which pixels count as beside the mask (µm)."""

FELT = 2.0

_BINS = 1300
_STRIP_PIXELS = 1 << 17  # codes of one strip stay in the processor's cache
_ROUNDING = 6.75  # 81 times the variance 1/12 that rounding to whole counts adds
_FLOAT_STEPS = 64.0  # steps of a float frame's grid in one 65536th of its range
_RELIEF_QUANTILE = 0.9


class LogStdSegmenter(FrameSegmenter):
    """Log of the local standard deviation, thresholded and turned into one id per cell.

    The definition is in docs/algorithms/segmentation.md.

    `pixel_um`: edge length of a pixel (µm).
    """

    waits = 2

    def __init__(self, settings: LogStdSegment, pixel_um: float | None):
        px = check_pixel_um(pixel_um, "logstd")
        self._settings = settings
        self._window = odd_side(settings.window_um / px)
        self._closing = disc(settings.close_um / px)
        self._opening = disc(settings.open_um / px)
        self._block = max(4, round(settings.background_um / px))
        self._small = math.pi * (SMALL * settings.window_um / px) ** 2
        self._wide, self._large = (
            math.pi * (radii * settings.bright_um / px) ** 2 for radii in (WIDE, LARGE)
        )
        self._beside = [round(length / px / 2) for length in BESIDE]
        self._faint_area = settings.faint_area_um2 / px**2
        self._limits = Limits.of(
            settings, px, smoothing_um=settings.outline_um, new_ratio=settings.new_neck_ratio
        )
        self._outline = Outline(
            fraction=settings.halo_fraction,
            halo=settings.halo_um / px,
            bright=settings.bright_um / px,
            opening=settings.open_um / px,
            regrow=settings.outline_um / px,
            hole=self._limits.hole,
        )
        self._offset = SteadyOffset(settings.memory)
        self._before: Labels | None = None
        self._buffer = OwnBuffer(np.float32)

    def _segment(self, frame: Frame) -> tuple[Labels, FrameStats]:
        unit = counts_unit(frame)
        buffer = self._buffer.of(*frame.image.shape)
        texture = averaged_log_std(frame, unit, self._window, buffer)
        mode, sigma = background_level(texture, frame.invalid)
        with frame.turn.wait(0):
            offset, reset = self._offset.update(self._settings.n_sigma * sigma)
        flags = ["no clear background"] * (sigma > CLEAR_SPREAD) + ["threshold reset"] * reset
        mask = (texture > np.float32(mode + offset)).view(np.uint8)
        felt = texture[::2, ::2] > np.float32(mode + FELT * sigma)
        labels, n_split, doubts = self._objects(frame, mask, felt, math.exp(mode) * unit)
        flags += [*coarse_levels(frame.image), *doubts]
        stats = FrameStats(mode + offset, mode, sigma, n_split=n_split, flag="; ".join(flags))
        return labels, stats

    def _objects(
        self, frame: Frame, mask: Mask, felt: NDArray[np.bool_], noise: float
    ) -> tuple[Labels, int, list[str]]:
        if frame.invalid is not None:
            reach = WINDOW // 2 + self._window // 2
            mask &= 1 - cv2.dilate(frame.invalid, np.ones((2 * reach + 1,) * 2, np.uint8))
        whole = Sheet.of_frame(mask.shape)
        mask = fill_small_holes(whole.close(mask, self._closing), self._outline.hole)
        mask = whole.open(mask, self._opening)
        spread = share_beside(mask[::2, ::2], felt, self._beside)
        level = surroundings(frame.image, mask, self._block, self._buffer.of(*mask.shape))
        sheet = Sheet.around(mask, math.ceil(self._limits.smoothing) + 1, self._outline.reach)
        mask = sheet.gather(mask)
        relief = cv2.subtract(sheet.gather(frame.image), sheet.gather(level), dtype=cv2.CV_32F)
        dark, bright = relief_range(relief, mask)
        brightness = max(LEAST_NOISE * noise, self._outline.fraction * bright)
        even = even_halos(relief, mask, LEAST_NOISE * noise / brightness)
        cells = remove_halos(mask, even, brightness, self._outline, sheet)
        least = np.float32(self._settings.min_contrast * brightness)
        faint = (np.abs(relief) < least).view(np.uint8)
        del relief, even  # their memory is needed for the objects

        def has_contrast(place: Window, own: Mask) -> bool:
            area = cv2.countNonZero(own)
            if area >= self._faint_area:
                return True
            rank = math.floor(_RELIEF_QUANTILE * (area - 1))
            return cv2.countNonZero(own & faint[place]) <= rank

        with frame.turn.wait(1):
            labels, n_split = make_objects(
                cells, mask, self._limits, judge=has_contrast, before=self._before, sheet=sheet
            )
            self._before = labels
        areas = 4 * np.bincount(labels[::2, ::2].ravel())[1:]
        if not areas.any():
            return labels, n_split, []
        usual = float(np.median(areas[areas > 0]))
        doubts = {
            "faint": bright < FAINT * noise,
            "weak contrast": FAINT * noise <= bright < WEAK * noise,
            "bright halos": bright > -BRIGHT_HALOS * dark,
            "small cells": usual < self._small,
            "large cells": usual > self._large > 0,
            "wide cells": self._large >= usual > self._wide,
            "spread cells": spread > SPREAD,
        }
        return labels, n_split, [word for word, holds in doubts.items() if holds]


def counts_unit(frame: Frame) -> float:
    """Return what counts as one count: 1 for integers, about 2⁻¹⁶ of a float frame's range."""
    if frame.image.dtype != np.float32:
        return 1.0
    return _FLOAT_STEPS * float_grid(frame.low, frame.high)


def share_beside(mask: Mask, felt: NDArray[np.bool_], reach: Sequence[int]) -> float:
    """Return the share of the pixels beside a mask that are `felt`; 0 where there are none.

    `reach`: between which distances they lie (pixels; of two pixels the greater one of the
    distances along y and x).
    """
    inner, outer = (cv2.dilate(mask, np.ones((2 * n + 1,) * 2, np.uint8)) for n in reach)
    beside = felt[outer > inner]
    return float(beside.mean()) if beside.size else 0.0


def averaged_log_std(
    frame: Frame, unit: float, window: int, out: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Write the mean over a window of L = ½·ln((V + 6.75)/81), V = 81·variance in units², to `out`.

    Adding the variance of rounding keeps flat patches finite. The window is mirrored at
    the border as the variance's is.
    """
    margin = window // 2
    for rows, scaled in scaled_variance(frame.image, margin):
        strip = (scaled if unit == 1.0 else scaled / (unit * unit)).astype(np.float32)
        strip += np.float32(_ROUNDING)
        mean = cv2.boxFilter(cv2.log(strip), cv2.CV_32F, (window, window))
        inside = mean[margin : mean.shape[0] - margin, margin : mean.shape[1] - margin]
        np.multiply(inside, np.float32(0.5), out=out[rows])
        out[rows] -= np.float32(math.log(9.0))
    return out


def background_level(
    texture: NDArray[np.float32], invalid: NDArray[np.uint8] | None
) -> tuple[float, float]:
    """Return mode and spread of the averaged log-STD's background (natural log units)."""
    counts = np.zeros(_BINS, np.int64)
    step = max(16, _STRIP_PIXELS // texture.shape[1])
    for start in range(0, texture.shape[0], step):
        strip = texture[start : start + step]
        codes = cv2.addWeighted(strip, 1 / BIN, strip, 0.0, -LOWEST / BIN - 0.5, dtype=cv2.CV_16U)
        use = None if invalid is None else 1 - invalid[start : start + step]
        counts += cv2.calcHist([codes], [0], use, [_BINS], [0, _BINS]).ravel().astype(np.int64)
    mode, spread = mode_and_spread(counts)
    return LOWEST + BIN * mode, max(BIN * spread, BIN)
