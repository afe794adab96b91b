"""What all readers share: bounds, closed files, missing frames, one form of errors."""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import ConfigError, FovflowError
from fovflow.readers.protocol import FrameTimes, RawInfo
from fovflow.readers.times import regular_times, worst_source


@dataclass(frozen=True, slots=True)
class Given:
    """What the user says of a dataset that its files do not say, or say wrongly.

    Attributes
    ----------
    pixel_um : float or None
        Edge length of a pixel in µm.
    interval_s : float or None
        Time between frames in seconds.
    """

    pixel_um: float | None = None
    interval_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("pixel_um", "interval_s"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigError(
                    f"{name} must be a number above 0", found=repr(value), remedy="leave it out"
                )


class PlaneReader(ABC):
    """A reader that needs only say how one plane is read.

    Parameters
    ----------
    path : Path
        Named in errors.
    info : RawInfo
        What the file says; times and warnings about them are filled in here.
    times : sequence of FrameTimes
        What the file says, one per position.
    given : Given
        What the user says; it wins.
    """

    def __init__(self, path: Path, info: RawInfo, times: Sequence[FrameTimes], given: Given):
        self.path = path
        self._closed = False
        if given.interval_s is not None:
            times = [regular_times(info.n_frames, given.interval_s, "config") for _ in times]
        self._times = tuple(times)
        self._missing = frozenset(info.missing)
        self._info = replace(
            info,
            pixel_um=info.pixel_um if given.pixel_um is None else float(given.pixel_um),
            time_source=worst_source([each.source for each in times]),
        )
        self._info = replace(self._info, warnings=(*info.warnings, *_doubts(self._info)))

    @property
    def info(self) -> RawInfo:
        """The file's description."""
        return self._info

    def read(self, p: int, t: int, c: int, z: int = 0) -> NDArray[Any]:
        """Return one plane as a C-contiguous, native-endian (Y, X) array; see `RawReader.read`."""
        info = self._info
        self._check_open()
        p = _index("position", p, len(info.positions))
        t = _index("frame", t, info.n_frames)
        c = _index("channel", c, len(info.channels))
        z = _index("z plane", z, info.n_z)
        shape, dtype = (info.height, info.width), np.dtype(info.dtype)
        if (p, t) in self._missing:
            return np.zeros(shape, dtype)
        try:
            plane = self._plane(p, t, c, z)
            if plane.shape != shape or plane.dtype.newbyteorder("=") != dtype:
                raise ValueError(  # noqa: TRY301
                    f"an image of {plane.shape[0]} x {plane.shape[-1]} pixels of {plane.dtype} "
                    f"where {shape[0]} x {shape[1]} pixels of {dtype} belong"
                )
        except FovflowError:
            raise
        except Exception as error:
            raise FovflowError(
                f"cannot read position {p}, frame {t}, channel {c} of {self.path}",
                found=str(error) or type(error).__name__,
                remedy="copy the file again from its source, or leave this frame or FOV out",
            ) from error
        return np.ascontiguousarray(plane, dtype)

    @abstractmethod
    def _plane(self, p: int, t: int, c: int, z: int) -> NDArray[Any]:
        """Return a (Y, X) array that the caller may keep; raise anything if it is damaged."""

    def times(self, p: int) -> FrameTimes:
        """Return the times of position `p`."""
        self._check_open()
        return self._times[_index("position", p, len(self._times))]

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"the reader of {self.path} is closed")

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _index(what: str, value: int, size: int) -> int:
    index = operator.index(value)
    if not 0 <= index < size:
        raise IndexError(f"{what} {index} of {size}")
    return index


def most_common_shape(shapes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the most frequent of several shapes; of those that are as frequent, the largest."""
    counts = Counter(shapes)
    return max(counts, key=lambda shape: (counts[shape], shape[0] * shape[1]))


def odd_positions(shapes: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """Return a sentence for each position whose images differ in (height, width) from most."""
    height, width = most_common_shape(shapes)
    return tuple(
        f"Position {p} has {shape[0]} x {shape[1]} pixels, others {height} x {width}: it cannot "
        "be read with them."
        for p, shape in enumerate(shapes)
        if shape != (height, width)
    )


def _doubts(info: RawInfo) -> list[str]:
    """Return sentences about what the file leaves open."""
    doubts = []
    if info.missing:
        doubts.append(f"{len(info.missing)} frames are missing; they read as zeros.")
    if info.time_source == "nominal" and info.n_frames > 1:
        doubts.append(
            "There are no usable time stamps; times are nominal, from the announced period."
        )
    if info.time_source == "unknown":
        doubts.append("The times are unknown; give interval_s.")
    if info.pixel_um is None:
        doubts.append("The pixel size is unknown; give pixel_um.")
    return doubts
