"""Axes of a file that the user names anew, such as z planes that are frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import ConfigError, FovflowError
from fovflow.readers.base import (
    Channel,
    Overrides,
    PlaneReader,
    Position,
    RawInfo,
    RawReader,
    held_frames,
    open_questions,
)
from fovflow.readers.times import FrameTimes
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


class _Renamed(PlaneReader):
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
        self._reader = reader
        self._old = {new: was for was, new in to_new.items()}
        p, t, c, z = (sizes[self._old[axis]] for axis in _ORDER)
        kept = {axis for axis in _ORDER if self._old[axis] == axis}
        held = np.ones([sizes[axis] for axis in _ORDER], bool)
        for lacking in (old.missing, old.missing_planes):
            held[tuple(np.transpose(lacking))] = not lacking
        held = held.transpose([_ORDER.index(self._old[axis]) for axis in _ORDER])
        frames = held_frames(Path(old.format), held)
        info = replace(
            old,
            axes="".join(to_new[axis] for axis in old.axes if axis in _ORDER) + "YX",
            n_frames=t,
            n_z=z,
            positions=old.positions if "P" in kept else tuple(map(Position, range(p))),
            channels=old.channels if "C" in kept else tuple(map(Channel, range(c))),
            z_um=old.z_um if "Z" in kept else None,
            axes_from=tuple(
                "your configuration" if to_new[axis] != axis else how
                for axis, how in zip(old.axes, old.axes_from, strict=False)
            ),
            missing=frames.missing,
            missing_planes=frames.missing_planes,
            warnings=(
                *(text for text in old.warnings if text not in open_questions(old)),
                "Its axes are called as the configuration says.",
            ),
        )
        seconds = np.full(t, 0.0 if t == 1 else np.nan)
        times = FrameTimes(seconds, "nominal" if t == 1 else "unknown")
        if "T" in kept:
            times = FrameTimes(seconds, old.time_source)
        super().__init__(Path(old.format), info, [times] * p, given)

    def _plane(self, p: int, t: int, c: int, z: int) -> NDArray[Any]:
        index = dict(zip(_ORDER, (p, t, c, z), strict=True))
        was = {self._old[axis]: value for axis, value in index.items()}
        return self._reader.read(was["P"], was["T"], was["C"], was["Z"])

    def times(self, p: int) -> FrameTimes:
        times = super().times(p)
        if self._old["T"] != "T":
            return times
        return self._reader.times(p if self._old["P"] == "P" else 0)

    def close(self) -> None:
        super().close()
        self._reader.close()


def _sizes(info: RawInfo) -> dict[str, int]:
    counts = (len(info.positions), info.n_frames, len(info.channels), info.n_z)
    return dict(zip(_ORDER, counts, strict=True))


def _lengths(info: RawInfo) -> str:
    """Return the axes of a file that are longer than one, with their lengths."""
    sizes = _sizes(info)
    return ", ".join(f"{axis} {sizes[axis]}" for axis in info.axes if axis in _ORDER)
