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
