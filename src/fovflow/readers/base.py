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
from threading import Lock
from typing import Any, Generic, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import ConfigError, FovflowError, explained
from fovflow.readers.times import FrameTimes, TimeSource, odd_interval, regular_times, worst_source
from fovflow.units import format_ranges


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
        reads as zeros. Several threads may read at once.

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
        self._one_by_one = Lock()
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
        told = (*info.warnings, *open_questions(self._info), *odd_interval(times))
        self._info = replace(self._info, warnings=told)

    @property
    def info(self) -> RawInfo:
        """The file's description."""
        return self._info

    def tell(self, warning: str) -> None:
        """Add a sentence to the warnings."""
        self._info = replace(self._info, warnings=(*self._info.warnings, warning))

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
            with self._one_by_one:  # files have one position, and readers keep what they read last
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


def other_pixels(sizes_um: Sequence[float | None], used_um: float | None) -> tuple[str, ...]:
    """Return a sentence if the pixel size of some position is not the one that is used."""
    return tuple(
        f"Position {p} has pixels of {um:.4g} µm, others of {used_um:.4g} µm, "
        "which is used for all."
        for p, um in enumerate(sizes_um)
        if um and used_um and not math.isclose(um, used_um, rel_tol=0.01)
    )[:1]


def other_channels(names: Sequence[Sequence[str] | None], usual: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence if some position names other channels than the `usual`, used for all.

    Positions that are left out have none.
    """
    odd = {p: each for p, each in enumerate(names) if each and {*each} - {*usual} - {""}}
    if not odd or not any(usual):
        return ()
    p, found = next(iter(odd.items()))
    said = f"Position {p} has channels {', '.join(found)}, others {', '.join(usual)}, as which"
    return (f"{said} all are read.", *without_odd([each not in odd for each in range(len(names))]))


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


_LEAST_UM, _MOST_UM = 0.001, 100.0  # of any microscope: a size beyond has a wrong unit


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
