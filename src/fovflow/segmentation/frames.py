"""Frames before and after segmentation: what is allowed, what is found, what a segmenter is."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.parallel import Turn

_DTYPES = ("uint8", "uint16", "float32")


@dataclass(frozen=True, slots=True)
class Frame:
    """A checked frame, and its least and greatest finite value."""

    image: NDArray[Any]
    """(Y, X), uint8, uint16 or float32, all values finite, C-contiguous."""
    invalid: NDArray[np.uint8] | None
    """(Y, X) uint8, 1 where the pixel was not finite; None where all were."""
    low: float
    high: float
    flags: tuple[str, ...]
    """Findings so far: ``nan``, ``constant``, ``saturated``."""
    turn: Turn = field(default_factory=Turn)
    """Its place in the movie; see `FrameSegmenter.waits`."""


SATURATED_SHARE = 0.05
"""Share of pixels at the dtype's greatest value from which a frame is flagged as saturated."""


def check_frame(image: NDArray[Any], turn: Turn | None = None) -> Frame:
    """Check a frame and replace what is not finite by the median of the finite pixels.

    `image`: (Y, X), uint8, uint16 or float32. Raises FovflowError for other dtypes, other
    dimensions, and frames without pixels.
    """
    if image.ndim != 2 or image.size == 0 or image.dtype.name not in _DTYPES:
        raise FovflowError(
            "a frame to segment must be a (Y, X) array of uint8, uint16 or float32",
            found=f"shape {image.shape}, dtype {image.dtype}",
            remedy="convert the stack, or choose another channel",
        )
    image = np.ascontiguousarray(image)
    invalid: NDArray[np.uint8] | None = None
    flags: list[str] = []
    if image.dtype == np.float32:
        finite = np.isfinite(image)
        if not finite.all():
            flags.append("nan")
            invalid = np.logical_not(finite).view(np.uint8)
            filler = np.median(image[finite]) if finite.any() else np.float32(0)
            image = np.where(finite, image, np.float32(filler))
    low, high = float(image.min()), float(image.max())
    if low == high:
        flags.append("constant")
    elif image.dtype != np.float32 and high == np.iinfo(image.dtype).max:
        share = np.count_nonzero(image == np.iinfo(image.dtype).max) / image.size
        if share >= SATURATED_SHARE:
            flags.append("saturated")
    return Frame(image, invalid, low, high, tuple(flags), turn or Turn())


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


@dataclass(frozen=True, slots=True)
class FrameStats:
    """What the segmentation of one frame found on its way.

    Attributes
    ----------
    threshold, mode, sigma : float
        Threshold, background mode and background spread in the method's own measure (log of the
        local standard deviation for ``classic`` and ``logstd``, counts for ``threshold``); NaN
        where the method has none or the frame gives none.
    foreground_fraction : float
        Share of the frame's pixels that belong to an object, 0 to 1.
    n_objects : int
        Number of objects in the labels.
    n_split : int
        How many of these objects come from splitting touching cells.
    flag : str
        Empty, or why the frame is suspect: ``missing``, ``constant``, ``nan``,
        ``threshold reset``, or what `fovflow.config.findings` explains; several are joined by
        ``"; "``.
    """

    threshold: float = math.nan
    mode: float = math.nan
    sigma: float = math.nan
    foreground_fraction: float = 0.0
    n_objects: int = 0
    n_split: int = 0
    flag: str = ""


class Segmenter(Protocol):
    """A callable that is given the frames of one FOV in time order.

    It may keep state from frame to frame, but only from earlier frames. Labels are
    uint16 (Y, X), 0 is background, ids 1..n in raster order of each object's first pixel.
    """

    def __call__(
        self, image: NDArray[Any], *, missing: bool = False
    ) -> tuple[NDArray[Any], FrameStats]:
        """Return the labels of one (Y, X) frame and its statistics.

        A frame that was never acquired is announced by `missing`; its labels are empty.
        """
        ...


class FrameSegmenter(ABC):
    """The frame of every built-in method: check, find the objects, sum up."""

    stats: type[FrameStats] = FrameStats
    """What the method tells of a frame."""

    waits: ClassVar[int | None] = None
    """How often a frame waits for the frame before; None for methods that take one at a time.
    With a number frames are segmented side by side, in threads, where cores lie idle."""

    _turn: Turn | None = None

    @abstractmethod
    def _segment(self, frame: Frame) -> tuple[NDArray[np.uint16], FrameStats]:
        """Return a frame's labels and the method's own numbers and flags.

        With `waits`, what needs the frames before stands in ``with frame.turn.wait(n)``, n from 0
        to `waits` - 1.
        """

    def next_frame(self) -> Callable[..., tuple[NDArray[np.uint16], FrameStats]]:
        """Return what a call for the next frame does, for a thread of its own.

        The threads begin in the order of the frames; see `fovflow.parallel.Turn`.
        """
        self._turn = Turn(self._turn, self.waits or 0)
        return partial(self._in_turn, self._turn)

    def __call__(
        self, image: NDArray[Any], *, missing: bool = False
    ) -> tuple[NDArray[np.uint16], FrameStats]:
        """Segment one (Y, X) frame of uint8, uint16 or float32."""
        return self.next_frame()(image, missing=missing)

    def _in_turn(
        self, turn: Turn, image: NDArray[Any], *, missing: bool = False
    ) -> tuple[NDArray[np.uint16], FrameStats]:
        with turn:
            if missing:
                return np.zeros(image.shape, np.uint16), self.stats(flag="missing")
            frame = check_frame(image, turn)
            if "constant" in frame.flags:
                return np.zeros(image.shape, np.uint16), self.stats(flag="; ".join(frame.flags))
            labels, found = self._segment(frame)
            fraction = cv2.countNonZero(labels) / labels.size
            flags = (*frame.flags, found.flag, "all foreground" if fraction == 1.0 else "")
            return labels, replace(
                found,
                foreground_fraction=fraction,
                n_objects=int(labels.max()),
                flag="; ".join(filter(None, flags)),
            )
