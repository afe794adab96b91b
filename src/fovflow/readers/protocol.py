"""What every reader of raw files offers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

TimeSource = Literal["measured", "nominal", "config", "unknown"]
"""Where times come from: time stamps of the frames, the period that the file announces, the
user's ``interval_s``, or nowhere (then the seconds are NaN)."""


@dataclass(frozen=True, slots=True)
class Position:
    """A position of the stage, that is, a field of view."""

    index: int
    name: str | None = None
    x_um: float | None = None
    y_um: float | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel; `name` is empty where the file gives none."""

    index: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class RawInfo:
    """What a raw file says of itself; reading it opens headers only.

    Attributes
    ----------
    format : str
        Short name of the format: ``nd2``, ``ome-tiff``, ``imagej-tiff``, ``tiff-series``, …
    axes : str
        The file's own order of its loops, outermost first, such as ``"PTCYX"``.
    n_frames, n_z, height, width : int
        Sizes; a missing axis counts 1.
    dtype : str
        NumPy name of the pixels' type: ``uint8``, ``uint16``, ``float32``.
    positions, channels : tuple
    pixel_um : float or None
        Edge length of a pixel in µm; None where the file does not say.
    z_um : float or None
        Distance of z planes in µm.
    time_source : TimeSource
        The worst source over all positions; `RawReader.times` tells it per position.
    missing : tuple of (int, int)
        (position, frame) pairs that the file announces but does not hold.
    warnings : tuple of str
        Anything about the file that a person should know, one sentence each.
    """

    format: str
    axes: str
    n_frames: int
    n_z: int
    height: int
    width: int
    dtype: str
    positions: tuple[Position, ...]
    channels: tuple[Channel, ...]
    pixel_um: float | None = None
    z_um: float | None = None
    time_source: TimeSource = "unknown"
    missing: tuple[tuple[int, int], ...] = ()
    warnings: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, eq=False)
class FrameTimes:
    """Acquisition times of one position.

    Attributes
    ----------
    seconds : numpy.ndarray
        (T,) float64, seconds since the start of the experiment; NaN where unknown.
    source : TimeSource
    """

    seconds: NDArray[np.float64]
    source: TimeSource


@runtime_checkable
class RawReader(Protocol):
    """An open raw file."""

    @property
    def info(self) -> RawInfo:
        """The file's description."""
        ...

    def read(self, p: int, t: int, c: int, z: int = 0) -> NDArray[Any]:
        """Return one plane as a C-contiguous, native-endian (Y, X) array of the source's dtype.

        Readers of formats that store channels together keep the last decoded frame, so that
        reading all channels of a frame one after another decodes it once. A missing frame reads
        as zeros.

        Raises
        ------
        IndexError
            For an index outside the file.
        FovflowError
            If the file cannot be read there (truncated, damaged); names file, position, frame.
        """
        ...

    def times(self, p: int) -> FrameTimes:
        """Return the times of position `p`."""
        ...

    def close(self) -> None:
        """Close the file; safe to call twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...
