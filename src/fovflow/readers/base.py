"""What every reader offers and shares: types, times, missing frames, checks of headers."""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fovflow.errors import ConfigError, FovflowError, explained
from fovflow.units import format_ranges

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
    positions : tuple of Position
    channels : tuple of Channel
    pixel_um : float or None
        Edge length of a pixel in µm; None where the file does not say.
    z_um : float or None
        Distance of z planes in µm.
    time_source : TimeSource
        The worst source over all positions; `RawReader.times` tells it per position.
    missing : tuple of (int, int)
        (position, frame) pairs that the file announces but of which it holds nothing.
    missing_planes : tuple of (int, int, int, int)
        (position, frame, channel, z) of planes that other frames lack, such as those of a channel
        that was recorded in every third frame only.
    warnings : tuple of str
        Anything about the file that a person should know, one sentence each.
    axes_from : tuple of str
        How each of `axes` before YX is known: ``"OME-XML"``, ``"names of the files"``, …
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
    missing_planes: tuple[tuple[int, int, int, int], ...] = ()
    warnings: tuple[str, ...] = field(default=())
    axes_from: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class FrameTimes:
    """Acquisition times of one position.

    Attributes
    ----------
    seconds : numpy.ndarray
        (T,) float64, seconds since the start of the experiment; NaN where unknown.
    source : TimeSource
        Where they come from.
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
        reading all channels of a frame one after another decodes it once. A missing frame or plane
        reads as zeros.

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


_ORDER: tuple[TimeSource, ...] = ("measured", "config", "nominal", "unknown")


def regular_times(n_frames: int, interval_s: float, source: TimeSource) -> FrameTimes:
    """Return times t * `interval_s` of `n_frames` frames."""
    return FrameTimes(np.arange(n_frames, dtype=np.float64) * interval_s, source)


def nominal_times(n_frames: int, *periods_s: float | None) -> NDArray[np.float64] | None:
    """Return times t * period, (P, T), of each position that tells one, else of the first."""
    known = [period for period in periods_s if period is not None]
    used = [known[0] if period is None else period for period in periods_s if known]
    return np.outer(used, np.arange(n_frames)) if used else None


def phase_times(phases: Sequence[tuple[int, float, float]]) -> NDArray[np.float64] | None:
    """Return nominal times in seconds of a time loop of several phases (count, period, duration).

    A phase starts when the one before it has lasted its duration, or its number of frames times its
    period where that is longer. None if a phase of several frames, or one that is followed by
    another, has no period.
    """
    parts = []
    start = 0.0
    for i, (count, period, duration) in enumerate(phases):
        if period <= 0 and (count > 1 or i < len(phases) - 1):
            return None
        parts.append(start + np.arange(count, dtype=np.float64) * period)
        start += max(duration, count * period)
    return np.concatenate(parts) if parts else None


def choose_times(
    recorded: NDArray[np.float64] | None,
    held: NDArray[np.bool_],
    nominal: NDArray[np.float64] | None,
) -> tuple[FrameTimes, ...]:
    """Choose the times of each position.

    Recorded times are used where every frame that the file holds has one and they rise from frame
    to frame; times that are zero throughout the file count as not recorded. Otherwise the nominal
    ones are used, and where there are none, the times are unknown (NaN). The only frame of a
    dataset without times is at 0 s, nominally.

    `recorded` (P, T) float64 or None: time stamps in seconds; NaN where there is none. `held` (P,
    T) bool: which frames the file holds; the measured times of others are NaN. `nominal` (T,) or
    (P, T) float64 or None: times from the announced period, in seconds.
    """
    n_positions, n_frames = held.shape
    if nominal is None and n_frames == 1:
        nominal = np.zeros(1)
    if recorded is not None and not np.any(np.nan_to_num(recorded) != 0):
        recorded = None
    chosen = []
    for p in range(n_positions):
        if recorded is not None:
            stamps = recorded[p, held[p]]
            if stamps.size and np.isfinite(stamps).all() and (np.diff(stamps) > 0).all():
                chosen.append(FrameTimes(np.where(held[p], recorded[p], np.nan), "measured"))
                continue
        if nominal is not None:
            chosen.append(FrameTimes(np.broadcast_to(nominal, held.shape)[p].copy(), "nominal"))
        else:
            chosen.append(FrameTimes(np.full(n_frames, np.nan), "unknown"))
    return tuple(chosen)


def worst_source(sources: Sequence[TimeSource]) -> TimeSource:
    """Return the least trustworthy of several time sources."""
    return max(sources, key=_ORDER.index, default="unknown")


@dataclass(frozen=True, slots=True)
class Overrides:
    """Pixel size in µm, time between frames in s, and axes that the user gives; they win.

    `axes` are the letters of the planes' axes, outermost first, for a file that does not name them.
    """

    pixel_um: float | None = None
    interval_s: float | None = None
    axes: str | None = None

    def __post_init__(self) -> None:
        for name in ("pixel_um", "interval_s"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigError(
                    f"{name} must be a number above 0", found=repr(value), remedy="leave it out"
                )


Given = Overrides
"""The name under which plug-ins know it."""


class PlaneReader(ABC):
    """A reader that needs only say how one plane is read.

    `path`: named in errors. `info`: what the file says; times and warnings about them are filled in
    here. `times`: what the file says, one per position. `given`: what the user says; it wins.
    """

    _closed = False

    def __init__(
        self,
        path: Path,
        info: RawInfo,
        times: Sequence[FrameTimes],
        given: Overrides | None = None,
    ):
        self.path = path
        given = given or Overrides()
        if given.interval_s is not None:
            times = [regular_times(info.n_frames, given.interval_s, "config") for _ in times]
        self._times = tuple(times)
        self._missing = frozenset(info.missing)
        self._missing_planes = frozenset(info.missing_planes)
        self._info = replace(
            info,
            pixel_um=info.pixel_um if given.pixel_um is None else float(given.pixel_um),
            time_source=worst_source([each.source for each in times]),
        )
        told = (*info.warnings, *open_questions(self._info), *_odd_interval(times))
        self._info = replace(self._info, warnings=told)

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
        if (p, t) in self._missing or (p, t, c, z) in self._missing_planes:
            return np.zeros(shape, dtype)
        with explained(
            f"cannot read position {p}, frame {t}, channel {c} of {self.path}",
            remedy="copy the file again from its source, or leave this frame or FOV out",
        ):
            plane = self._plane(p, t, c, z)
            if plane.shape != shape or plane.dtype.newbyteorder("=") != dtype:
                raise ValueError(
                    f"an image of {plane.shape[0]} x {plane.shape[-1]} pixels of {plane.dtype} "
                    f"where {shape[0]} x {shape[1]} pixels of {dtype} belong"
                )
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


class _Closable(Protocol):
    def close(self) -> None: ...


_File = TypeVar("_File", bound=_Closable)


class FileReader(PlaneReader, Generic[_File]):
    """A reader that has one file of its dataset open at a time."""

    _open_file: tuple[Path, _File] | None = None

    @contextmanager
    def _opening(self, path: Path, opener: Callable[[Path], _File]) -> Iterator[_File]:
        """Open the first file; it is closed again where the block fails."""
        file = self._file(path, opener)
        try:
            yield file
        except BaseException:
            self.close()
            raise

    def _file(self, path: Path, opener: Callable[[Path], _File]) -> _File:
        """Return a file of the dataset, open; the one that was open before is closed."""
        if self._open_file is None or self._open_file[0] != path:
            self._close_file()
            self._open_file = path, opener(path)
        return self._open_file[1]

    def _close_file(self) -> None:
        if self._open_file is not None:
            self._open_file[1].close()
            self._open_file = None

    def close(self) -> None:
        """Close the file; safe to call twice."""
        super().close()
        self._close_file()


def _index(what: str, value: int, size: int) -> int:
    index = operator.index(value)
    if not 0 <= index < size:
        raise IndexError(f"{what} {index} of {size}")
    return index


def common_shape(
    shapes: Sequence[tuple[int, int] | None],
) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Return the most frequent (height, width), and a sentence for each position of another one.

    Of shapes that are as frequent as each other, it is the largest. Positions that are left out
    have none. If any is odd, the last sentence says how the others are chosen.
    """
    counts = Counter(shape for shape in shapes if shape is not None)
    common = max(counts, key=lambda shape: (counts[shape], shape[0] * shape[1]))
    notes = tuple(
        f"Position {p} has {shape[0]} x {shape[1]} pixels, others {common[0]} x {common[1]}: it "
        "cannot be read with them."
        for p, shape in enumerate(shapes)
        if shape not in (common, None)
    )
    return common, notes + without_odd([shape == common for shape in shapes])


def other_pixels(sizes_um: Sequence[float | None]) -> tuple[str, ...]:
    """Return a sentence if the pixel size of some position is not that of the first."""
    first = next(filter(None, sizes_um), 0.0)
    return tuple(
        f"Position {p} has pixels of {um:.4g} µm, others of {first:.4g} µm, which is used for all."
        for p, um in enumerate(sizes_um)
        if um and not math.isclose(um, first, rel_tol=0.01)
    )[:1]


def channel_order(names: Sequence[str], usual: Sequence[str], n: int) -> list[int]:
    """Return where the `usual` channels are among the `n` of a position, in its own order."""
    same = names != usual and len({*names}) == n and sorted(names) == sorted(usual)
    return [names.index(name) for name in usual] if same else [*range(n)]


def without_odd(alike: Sequence[bool]) -> tuple[str, ...]:
    """Return a sentence that says how the positions that are alike are chosen, if some are not."""
    kept = format_ranges([p for p, same in enumerate(alike) if same])
    return () if all(alike) else (f'Take the others alone with fovs: "{kept}".',)


def open_questions(info: RawInfo) -> list[str]:
    """Return sentences about what the file leaves open."""
    questions = []
    if info.missing:
        questions.append(f"{len(info.missing)} frames are missing; they read as zeros.")
    lacking = Counter(c for _, _, c, _ in info.missing_planes)
    for c, n in sorted(lacking.items()):
        name = f" ({info.channels[c].name})" if info.channels[c].name else ""
        questions.append(f"Channel {c}{name} lacks {n} planes of frames that others have.")
    if info.time_source == "nominal" and info.n_frames > 1:
        questions.append(
            "There are no usable time stamps; times are nominal, from the announced period."
        )
    if info.time_source == "unknown":
        questions.append("The times are unknown; give interval_s.")
    if info.pixel_um is None:
        questions.append("The pixel size is unknown; give pixel_um.")
    return questions


LONG_INTERVAL_S = 12 * 3600
"""Frames that are farther apart are probably not: a writer left out or mistook the unit."""


def _odd_interval(times: Sequence[FrameTimes]) -> list[str]:
    """Return a sentence where a file says that frames are too far apart for living cells."""
    steps = [np.diff(each.seconds) for each in times if each.source in ("measured", "nominal")]
    known = np.concatenate([np.zeros(0), *steps])
    known = known[np.isfinite(known)]
    median = float(np.median(known)) if known.size else 0.0
    if median <= LONG_INTERVAL_S:
        return []
    hours = f"{median / 3600:.0f} h"
    return [f"The file says that frames are {hours} apart; give interval_s if it mistook the unit."]


@dataclass(frozen=True)
class HeldFrames:
    """Which frames are there, (P, T); what is missing, in the forms of `RawInfo`."""

    there: NDArray[np.bool_]
    missing: tuple[tuple[int, int], ...]
    missing_planes: tuple[tuple[int, int, int, int], ...]


def held_frames(path: Path, held: NDArray[np.bool_]) -> HeldFrames:
    """Tell from the planes that a file holds, (P, T) or (P, T, C, Z) bool, what is missing.

    There must be a frame at least.
    """
    planes = held.reshape(*held.shape[:2], *(held.shape[2:] or (1, 1)))
    there = np.asarray(planes.any(axis=(2, 3)))
    if not there.any():
        raise FovflowError(
            f"{path} holds no frame",
            found=f"0 of {planes.size} announced images",
            remedy="record it again, or leave it out",
        )
    missing = tuple((int(p), int(t)) for p, t in np.argwhere(~there))
    lacking = np.argwhere(there[:, :, None, None] & ~planes).tolist()
    return HeldFrames(there, missing, tuple((p, t, c, z) for p, t, c, z in lacking))


def raw_info(
    format: str,
    axes: str,
    sizes: Mapping[str, int],
    plane: tuple[int, int, str],
    *,
    axes_from: str,
    positions: Iterable[tuple[str | None, float | None, float | None]],
    channels: Sequence[str],
    edges_um: tuple[float | None, float | None],
    warnings: Iterable[str] = (),
    **further: Any,
) -> RawInfo:
    """Return the description of a dataset in which all positions are alike.

    `axes` are the file's loops, outermost first; `sizes` the lengths of P, T, C and Z; `plane` is
    height, width and pixel type; `axes_from` is how all axes are known. A position is a name and x
    and y in µm. Channels beyond the names in `channels` have none. `edges_um` are width and height
    of a pixel, as far as they are known. Further fields are those of `RawInfo`.
    """
    names = [*channels, *[""] * sizes["C"]][: sizes["C"]]
    pixel_um, height = edges_um
    square = not (pixel_um and height) or math.isclose(pixel_um, height, rel_tol=0.01)
    if pixel_um and not (square and _LEAST_UM <= pixel_um <= _MOST_UM):
        said = f"Pixels of {pixel_um:.4g} x {height or pixel_um:.4g} µm, as the file says,"
        warnings = (*warnings, f"{said} are not square or of no microscope: not used.")
        pixel_um = None
    return RawInfo(
        format,
        f"{axes}YX",
        sizes["T"],
        sizes["Z"],
        *plane,
        tuple(Position(p, *position) for p, position in enumerate(positions)),
        tuple(Channel(c, name) for c, name in enumerate(names)),
        axes_from=(axes_from,) * len(axes),
        pixel_um=pixel_um,
        warnings=tuple(warnings),
        **further,
    )


def long_axes(axes: str, sizes: Mapping[str, int]) -> str:
    """Return the axes that are longer than 1."""
    return "".join(axis for axis in axes if sizes[axis] > 1)


def unsupported_type(path: Path, found: str, remedy: str | None = None) -> FovflowError:
    """Return the error for pixels that are not read."""
    return FovflowError(f"{path} has pixels of an unsupported type", found=found, remedy=remedy)


MICROSCOPIC_UM = (0.01, 10.0)
"""Sizes of pixels that a microscope makes; resolutions of screens and printers lie beyond."""

_LEAST_UM, _MOST_UM = 0.001, 100.0  # of any microscope: a size beyond has a wrong unit

DTYPES = ("uint8", "uint16", "float32")
"""Pixel types that are read; they are kept as they are."""

MAX_PLANE_BYTES = 4 << 30
"""No camera frame is larger; larger ones are stitched mosaics that need tiling first."""

MAX_FRAMES = 2_000_000
"""Positions times frames; ten times what 200 FOVs of 1,000 frames need."""

MAX_CHANNELS = 256
MAX_PLANES = 50_000_000
MAX_METADATA_BYTES = 256 << 20

MAX_RATIO = {"deflate": 1100, "other": 40_000}
"""How many times larger decoded pixels can be than their stored form: DEFLATE reaches 1032:1,
run-length blocks of Zstandard about 32,000:1."""


def check_dtype(path: Path, dtype: DTypeLike) -> str:
    """Return the NumPy name of a pixel type; refuse all but uint8, uint16 and float32."""
    name = np.dtype(dtype).newbyteorder("=").name
    if name not in DTYPES:
        raise unsupported_type(
            path,
            name,
            "convert the file to uint8, uint16 or float32: a conversion of counts needs a "
            "decision about scale and sign that is not made in silence",
        )
    return name


def refuse_rgb(path: Path, samples: int) -> None:
    """Raise the error for colour images of `samples` values per pixel."""
    raise FovflowError(
        f"{path} is a colour (RGB) image",
        found=f"{samples} colour samples per pixel",
        remedy="export the camera's grey channels one by one, without the display colours",
    )


def check_sizes(path: Path, sizes: Mapping[str, int]) -> None:
    """Refuse lengths of P, T, C and Z that are zero, negative or beyond reason."""
    positions, frames, channels, n_z = (sizes.get(axis, 1) for axis in "PTCZ")
    found = f"{positions} positions, {frames} frames, {channels} channels, {n_z} z planes"
    if min(positions, frames, channels, n_z) < 1:
        raise FovflowError(
            f"{path} announces no images", found=found, remedy="check that it is the right file"
        )
    if (
        positions * frames > MAX_FRAMES
        or channels > MAX_CHANNELS
        or positions * frames * channels * n_z > MAX_PLANES
    ):
        raise FovflowError(
            f"the header of {path} asks for absurd sizes",
            found=found,
            remedy="the file is damaged or no microscopy file; copy it again from its source",
        )


def check_plane(
    path: Path,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    stored_bytes: int,
    compression: str | None = None,
    *,
    bits: int | None = None,
) -> int:
    """Refuse planes that a file of `stored_bytes` cannot hold; return the bytes of a decoded one.

    `shape` is that of a stored plane: height, width and whatever is interleaved with them.
    `compression` is None, ``"deflate"`` or ``"other"``; `bits` those of a stored value, where they
    are packed more tightly than the type.
    """
    size = math.prod(map(int, shape)) * np.dtype(dtype).itemsize
    stored = size if bits is None else math.prod(map(int, shape)) * bits // 8
    ratio = 1 if compression is None else MAX_RATIO[compression]
    if min(shape) < 1 or size > MAX_PLANE_BYTES or stored > stored_bytes * ratio:
        raise FovflowError(
            f"the header of {path} asks for planes that it cannot hold",
            found=f"{' x '.join(str(n) for n in shape)} pixels of {np.dtype(dtype)} in a file of "
            f"{stored_bytes} bytes",
            remedy="the file is damaged or cut off; copy it again from its source",
        )
    return size
