"""Reference of the local contrast of a frame and of thresholds from its histogram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

ONE_SIGMA = 0.682689492137086


@dataclass(frozen=True)
class Frame:
    """A frame made fit for computing: no NaN, and the grain of its numbers."""

    image: np.ndarray  # float64
    finite: np.ndarray
    whole: np.ndarray  # whole numbers of grain size, int64
    grain: float  # 1 for integers
    unit: float  # what counts as one step of the camera

    @property
    def constant(self) -> bool:
        """Whether all pixels are equal."""
        return bool((self.image == self.image.flat[0]).all())

    @classmethod
    def of(cls, image: np.ndarray) -> Frame:
        """Fill what is not finite with the median, and find the grain."""
        if np.issubdtype(image.dtype, np.integer):
            whole = image.astype(np.int64)
            return cls(whole.astype(np.float64), np.ones(image.shape, bool), whole, 1.0, 1.0)
        finite = np.isfinite(image)
        middle = float(np.median(image[finite])) if finite.any() else 0.0
        filled = np.where(finite, image, middle).astype(np.float64)
        span = filled.max() - filled.min()
        grain = 2.0 ** (np.ceil(np.log2(span)) - 22) if span > 0 else 1.0
        whole = np.rint((filled - filled.min()) / grain).astype(np.int64)
        return cls(filled, finite, whole, grain, 64 * grain)


def windows(values: np.ndarray, size: int) -> np.ndarray:
    """All size x size windows, the border mirrored about the pixel edge."""
    padded = np.pad(values, size // 2, mode="symmetric")
    return sliding_window_view(padded, (size, size))


def variance_81(frame: Frame) -> np.ndarray:
    """81 times the population variance in 3 x 3 windows, without rounding."""
    around = windows(frame.whole, 3)
    exact = 9 * (around**2).sum(axis=(-2, -1)) - around.sum(axis=(-2, -1)) ** 2
    return exact * frame.grain**2


def odd_side(length_px: float) -> int:
    """Odd number of pixels nearest to a length; 1 for a pixel or less."""
    return 2 * int(np.rint(length_px / 2)) + 1 if length_px > 1 else 1


def smooth_log_std(frame: Frame, window_px: float) -> np.ndarray:
    """Log of the local standard deviation, averaged over a window."""
    log = 0.5 * np.log((variance_81(frame) / frame.unit**2 + 6.75) / 81)
    return windows(log, odd_side(window_px)).mean(axis=(-2, -1))


def mode_bin(counts: np.ndarray) -> int:
    """First bin around which nine bins hold the most."""
    return int(np.argmax(np.convolve(counts, np.ones(9, dtype=counts.dtype), mode="same")))


def lower_spread(counts: np.ndarray, mode: int) -> float:
    """Bins below the mode that hold one sigma's share of what lies below it."""
    shares = [counts[mode] / 2, *(float(counts[mode - j]) for j in range(1, mode + 1))]
    ends = [0.0, *(j + 0.5 for j in range(mode + 1))]
    goal, reached = ONE_SIGMA * sum(shares), 0.0
    for share, start, end in zip(shares, ends[:-1], ends[1:], strict=True):
        if share > 0 and reached + share >= goal:
            return start + (end - start) * (goal - reached) / share
        reached += share
    return 0.0


def log_mode_sigma(values: np.ndarray) -> tuple[float, float]:
    """Mode and spread of the smoothed log standard deviation of the pixels given."""
    bins = np.maximum(np.rint((values + 1.25) / 0.01 - 0.5).astype(int), 0)
    counts = np.bincount(bins[bins < 1300], minlength=1300)
    mode = mode_bin(counts)
    return -1.25 + 0.01 * (mode + 0.5), max(0.01 * lower_spread(counts, mode), 0.01)


class SteadyOffset:
    """Median of the last offsets, forgotten when the conditions change."""

    def __init__(self, memory: int):
        self.memory = memory
        self.last: list[float] = []

    def __call__(self, offset: float) -> float:
        """Offset to use in this frame."""
        self.last = [*self.last, offset][-self.memory :]
        middle = float(np.median(self.last))
        if abs(offset - middle) > middle / 2:
            self.last = [offset]
            return offset
        return middle
