"""What all container writers take: frames from an array or a function, and their description."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Required, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import ConfigError

Frames = Callable[[int, int], NDArray[Any]] | NDArray[Any]
"""A function (p, t) -> (C, Y, X), or an array (T, P, C, Y, X)."""
StagePosition = tuple[float, float, str | None]
"""x and y (µm) and the name of a position."""
Shape = tuple[int, int, int, int, int]
"""(T, P, C, Y, X)."""

_COLORS = (0xFFFFFF, 0x00FF00, 0xFF0000, 0x0000FF, 0xFFFF00, 0x00FFFF, 0xFF00FF)
DTYPES = ("uint8", "uint16", "uint32", "float32")


@dataclass(frozen=True, eq=False)
class Source:
    """Frames and their description, checked; the attributes are the parameters of `describe`."""

    frames: Frames
    shape: Shape
    dtype: np.dtype[Any]
    channels: tuple[str, ...]
    pixel_um: float
    positions: tuple[StagePosition, ...] | None
    times_s: NDArray[np.float64] | None
    period_s: float
    missing: frozenset[tuple[int, int]]

    def held(self, p: int) -> list[int]:
        """Return the frames of a position that are written."""
        return [t for t in range(self.shape[0]) if (p, t) not in self.missing]

    def frame(self, p: int, t: int) -> NDArray[Any]:
        """Return one frame as a C-contiguous, native-endian (C, Y, X) array."""
        found = self.frames(p, t) if callable(self.frames) else self.frames[t, p]
        if found.shape != self.shape[2:] or found.dtype != self.dtype:
            raise ConfigError(
                f"position {p}, frame {t} has shape {found.shape} and dtype {found.dtype}",
                remedy=f"give frames of shape {self.shape[2:]} and dtype {self.dtype}",
            )
        return np.ascontiguousarray(found, self.dtype)

    def color(self, c: int) -> tuple[int, int, int]:
        """Return the red, green and blue (0 to 255) in which a channel is shown."""
        code = _COLORS[c % len(_COLORS)]
        return code >> 16, code >> 8 & 255, code & 255

    def name(self, p: int) -> str | None:
        """Return the name of a position."""
        return None if self.positions is None else self.positions[p][2]


class About(TypedDict, total=False):
    """What a writer is told of the frames, by keyword; see `describe`."""

    channels: Required[Sequence[str]]
    pixel_um: Required[float]
    shape: Shape | None
    positions: Sequence[StagePosition] | None
    times_s: NDArray[Any] | None
    period_s: float
    missing: Iterable[tuple[int, int]]


def describe(frames: Frames, **about: Unpack[About]) -> Source:
    """Check what a writer was given.

    Parameters
    ----------
    frames : callable or numpy.ndarray
        ``frames(p, t) -> (C, Y, X)``, or an array (T, P, C, Y, X); uint8, uint16, uint32 or
        float32.
    channels : sequence of str
        Names of the channels.
    pixel_um : float
        Edge length of a pixel (µm).
    shape : tuple of int, optional
        (T, P, C, Y, X); needed for a function of frames.
    positions : sequence of (float, float, str or None), optional
        Stage x and y (µm) and name of each position.
    times_s : numpy.ndarray, optional
        (T, P) times of the frames (s).
    period_s : float
        Nominal time between frames (s); 0, the default, where it is unknown.
    missing : iterable of (int, int), optional
        (position, frame) pairs that were never acquired: they are left out of the file, and read
        as 0.

    Raises
    ------
    ConfigError
        If shapes, names, positions or times do not fit together.
    """
    channels, positions = about["channels"], about.get("positions")
    shape, times_s = about.get("shape"), about.get("times_s")
    if callable(frames):
        if shape is None:
            raise ConfigError("a function of frames needs a shape", remedy="give (T, P, C, Y, X)")
        dtype = frames(0, 0).dtype
    else:
        dtype = frames.dtype
        shape = shape or tuple(frames.shape)
        if tuple(frames.shape) != tuple(shape):
            raise ConfigError("frames and shape disagree", found=f"{frames.shape}, {shape}")
    if len(shape) != 5 or min(shape) < 1:
        raise ConfigError("the shape of a movie is (T, P, C, Y, X)", found=str(shape))
    t, p, c, y, x = map(int, shape)
    times = None if times_s is None else np.asarray(times_s, np.float64)
    checks = {
        f"{len(channels)} channel names for {c} channels": len(channels) == c,
        "positions do not fit the shape": positions is None or len(positions) == p,
        "times_s is not (T, P)": times is None or times.shape == (t, p),
        f"dtype {dtype} is none of {', '.join(DTYPES)}": dtype.name in DTYPES,
    }
    faults = [fault for fault, good in checks.items() if not good]
    if faults:
        raise ConfigError("; ".join(faults), remedy="describe the frames that are written")
    return Source(
        frames,
        (t, p, c, y, x),
        dtype.newbyteorder("="),
        tuple(channels),
        float(about["pixel_um"]),
        None if positions is None else tuple(positions),
        times,
        float(about.get("period_s", 0.0)),
        frozenset(about.get("missing", ())),
    )
