"""Axes of a file that the user names anew, such as z planes that are frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import ConfigError, FovflowError
from fovflow.readers.base import (
    Channel,
    FrameTimes,
    Overrides,
    Position,
    RawInfo,
    RawReader,
    held_frames,
    regular_times,
)
from fovflow.units import Axes, parse_axes

_ORDER = "PTCZ"


def checked_axes(axes: Axes) -> str | dict[str, str]:
    """Return what `fovflow.units.parse_axes` does; ConfigError for axes that are none."""
    try:
        return parse_axes(axes)
    except ValueError as error:
        raise ConfigError(
            "axes are not understood", found=repr(axes), remedy=f"write {error}"
        ) from None


def rename_axes(reader: RawReader, axes: str | dict[str, str], given: Overrides) -> RawReader:
    """Return a reader in which the axes of another one are called as the user says."""
    own = reader.info.axes.removesuffix("YX")
    if not own:  # one image: there is nothing to name
        return reader
    if isinstance(axes, str):
        if len(axes) != len(own):
            raise FovflowError(
                f"axes names {len(axes)} axes, and the file has {len(own)}",
                found=f"axes {axes}YX; the file: {_lengths(reader.info) or 'one image'}",
                remedy="name each axis of the file that is longer than one",
            )
        table = dict(zip(own, axes, strict=True))
    else:
        table = axes
    table = {old: new for old, new in table.items() if old != new}
    return _Renamed(reader, table, given) if table else reader


class _Renamed:
    """A reader whose axes are called otherwise: `table` has the old letter and the new one."""

    def __init__(self, reader: RawReader, table: dict[str, str], given: Overrides):
        old, sizes = reader.info, _sizes(reader.info)
        gone = [axis for axis in _ORDER if axis in table.values() and axis not in table]
        free = [axis for axis in _ORDER if axis in table and axis not in table.values()]
        if any(sizes[axis] > 1 for axis in gone):
            raise FovflowError(
                "axes would put two axes of the file onto the same one",
                found=f"{_lengths(old)}, and {', '.join(f'{a} as {b}' for a, b in table.items())}",
                remedy="say what each of them is, such as {z: time, time: z}",
            )
        to_new = dict(zip(_ORDER, _ORDER, strict=True)) | table | dict(zip(gone, free, strict=True))
        self._reader, self._given = reader, given
        self._old = {new: was for was, new in to_new.items()}
        p, t, c, z = (sizes[self._old[axis]] for axis in _ORDER)
        self._n_frames = t
        kept = {axis for axis in _ORDER if self._old[axis] == axis}
        order = "".join(to_new[axis] for axis in old.axes if axis in _ORDER)
        gone_planes: dict[str, Any] = {"missing": (), "missing_planes": ()}
        if old.missing or old.missing_planes:
            held = np.ones([sizes[axis] for axis in _ORDER], bool)
            for lacking in (old.missing, old.missing_planes):
                held[tuple(np.transpose(lacking))] = not lacking
            held = held.transpose([_ORDER.index(self._old[axis]) for axis in _ORDER])
            frames = held_frames(Path(old.format), held)
            gone_planes = {"missing": frames.missing, "missing_planes": frames.missing_planes}
        self._info = replace(
            old,
            axes=f"{order}YX",
            n_frames=t,
            n_z=z,
            positions=old.positions if "P" in kept else tuple(map(Position, range(p))),
            channels=old.channels if "C" in kept else tuple(map(Channel, range(c))),
            z_um=old.z_um if "Z" in kept else None,
            time_source=self._times(0).source,
            axes_from=tuple(
                "your configuration" if to_new[axis] != axis else how
                for axis, how in zip(old.axes, old.axes_from, strict=False)
            ),
            **gone_planes,
            warnings=(*old.warnings, "Its axes are called as the configuration says."),
        )

    @property
    def info(self) -> RawInfo:
        return self._info

    def read(self, p: int, t: int, c: int, z: int = 0) -> NDArray[Any]:
        index = dict(zip(_ORDER, (p, t, c, z), strict=True))
        was = {self._old[axis]: value for axis, value in index.items()}
        return self._reader.read(was["P"], was["T"], was["C"], was["Z"])

    def times(self, p: int) -> FrameTimes:
        if not 0 <= p < len(self._info.positions):
            raise IndexError(f"position {p} of {len(self._info.positions)}")
        return self._times(p)

    def _times(self, p: int) -> FrameTimes:
        if self._old["T"] == "T":
            return self._reader.times(p if self._old["P"] == "P" else 0)
        if self._given.interval_s is not None:
            return regular_times(self._n_frames, self._given.interval_s, "config")
        if self._n_frames == 1:
            return FrameTimes(np.zeros(1), "nominal")
        return FrameTimes(np.full(self._n_frames, np.nan), "unknown")

    def close(self) -> None:
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _sizes(info: RawInfo) -> dict[str, int]:
    counts = (len(info.positions), info.n_frames, len(info.channels), info.n_z)
    return dict(zip(_ORDER, counts, strict=True))


def _lengths(info: RawInfo) -> str:
    """Return the axes of a file that are longer than one, with their lengths."""
    sizes = _sizes(info)
    return ", ".join(f"{axis} {sizes[axis]}" for axis in info.axes if axis in _ORDER)
