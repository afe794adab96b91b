"""Series of TIFF files: each file a frame or a small stack, its place told by its name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.readers.base import (
    Channel,
    FileReader,
    Overrides,
    Position,
    RawInfo,
    channel_order,
    held_frames,
    long_axes,
    open_questions,
    other_channels,
    other_pixels,
    without_odd,
)
from fovflow.readers.clocks import frames_apart, frames_of
from fovflow.readers.limits import check_sizes
from fovflow.readers.locate import Location, natural_key
from fovflow.readers.names import FIELDS, NameFields, match_pattern, pattern_of, read_names
from fovflow.readers.ome_tiff import OmeTiffReader
from fovflow.readers.tiff import AnyTiff, files_of_set, open_tiff
from fovflow.readers.tiff_pages import TiffPages
from fovflow.readers.times import FrameTimes, TimeSource, choose_times, regular_times, worst_source
from fovflow.units import Pattern, spread

_ABSENT = -1


@dataclass(frozen=True)
class NamedFiles:
    """Files of a series, what the name of each says, and sentences about files left out."""

    root: Path
    files: tuple[Path, ...]
    fields: tuple[NameFields, ...]
    time_form: str | None = None
    time_left_over: bool = False
    notes: tuple[str, ...] = ()
    pattern: Pattern = ""
    how: str = "names of the files"


def interpret_names(root: Path, files: Sequence[Path], pattern: Pattern | None) -> NamedFiles:
    """Interpret the names of files, by explicit patterns or by themselves."""
    if len(files) == 1 and pattern is None:
        return NamedFiles(root, tuple(files), (NameFields(),))
    names = [path.relative_to(root).as_posix() if path != root else path.name for path in files]
    names = [normalize("NFC", name) for name in names]
    read = match_pattern(names, pattern) if pattern else read_names([_stem(n) for n in names])
    found = read.fields
    pairs = [(path, each) for path, each in zip(files, found, strict=True) if each is not None]
    if not pairs:
        raise FovflowError(
            f"no file below {root} matches the pattern {pattern!r}",
            found=", ".join(repr(name) for name in names[:3]),
            remedy="compare the pattern with these names",
        )
    notes: tuple[str, ...] = ()
    how = "your pattern" if pattern else "names of the files"
    if read.scheme:
        notes = (f"The names are read as those of {read.scheme}.",)
        how += f", as {read.scheme} gives them"
    if len(pairs) < len(names):
        skipped = next(name for name, each in zip(names, found, strict=True) if each is None)
        count = len(names) - len(pairs)
        what = "do not match the pattern" if pattern else "are no images of the series"
        notes += (f"{count} files {what}, such as {skipped!r}: left out.",)
    paths, fields = zip(*pairs, strict=True)
    alike, said = _spelled_alike(fields), "capitals or leading zeros only are taken for the same"
    notes += (f"Names that differ in {said}.",) * (alike != fields)
    shown = pattern or pattern_of(names, read)
    return NamedFiles(root, paths, alike, read.time_form, read.time_left_over, notes, shown, how)


def _spelled_alike(fields: tuple[NameFields, ...]) -> tuple[NameFields, ...]:
    """Spell texts alike that differ in capitals and zeros only, unless two files would be one."""
    spelled: dict[Any, str] = {}

    @cache
    def spell(kind: str, text: str) -> str:
        runs = (run[:2] if run[0] == 0 else run for run in natural_key(text))
        return spelled.setdefault((kind, *runs), text)

    each = ({kind: spell(kind, getattr(one, kind)) for kind in FIELDS} for one in fields)
    alike = tuple(NameFields(**texts) for texts in each)
    return alike if len({*alike}) == len({*fields}) else fields


class SeriesGrid:
    """Which file holds which position, frame, channel and z plane.

    The pages of the files, of which `inner` describes one of full length, may run over an axis that
    the names leave out; `held` tells which planes (T, C, Z) there are of files that lack some.
    `sizes` has the lengths of P, T, C and Z, `held` (P, T, C, Z) which planes there are, `seconds`
    (P, T) the times of frames where the names tell them, `notes` sentences for the warnings.

    Two files of the same place are refused, and so are frames that lack channels or z planes where
    no channel is there in all frames: then the names were misread, or files got lost.
    """

    def __init__(self, named: NamedFiles, inner: RawInfo, held: Mapping[Path, NDArray[np.bool_]]):
        root, known, notes = named.root, named.fields, list(named.notes)
        named_times = frames_of([each.time for each in known], named.time_form)
        times = named_times.frames
        seconds = [named_times.seconds.get(t, np.nan) for t in times]
        places = [(each.position, each.channel, each.z) for each in known]
        if named_times.seconds and len({*times}) == len(times) > len({*places}) > 1:
            times = frames_apart(seconds, places)
            notes.append("Each file has a time of its own: frames are counted for each position.")
        notes += [named_times.note] if named_times.note else []
        labels = {
            kind: sorted(sorted({getattr(each, kind) for each in known}), key=natural_key)
            for kind in ("position", "channel", "z")
        }
        self.positions = tuple(labels["position"])
        if named.time_left_over and inner.n_frames * inner.n_z > 1:
            raise FovflowError(
                f"each file of the series in {root} holds several images, and it is not clear what "
                "the number in the names is",
                found=f"{named.files[0].name} with {inner.n_frames * inner.n_z} images",
                remedy='say it with a pattern, such as "cells_{position}.tif" (each file a movie '
                'of a position) or "cells_{time}.tif" (each file the z planes of a frame)',
            )
        self._pages = _page_axes(root, inner, len(set(times)), len(labels["channel"]), labels["z"])
        said = "The images in each file are taken for z planes; or say axes: {z: channel}."
        notes += [said] * self._pages["swapped"]
        outer = (max(times) + 1, len(labels["channel"]), len(labels["z"]))
        inner_names = tuple(channel.name for channel in inner.channels)
        self.channels = tuple(labels["channel"]) if outer[1] > 1 else inner_names
        if outer[1] == 1 and len(inner_names) == 1 and labels["channel"][0]:
            self.channels = (labels["channel"][0],)
        self.sizes = {
            "P": len(self.positions),
            "T": max(outer[0], self._pages["T"]),
            "C": len(self.channels),
            "Z": max(outer[2], self._pages["Z"]),
        }
        check_sizes(root, self.sizes)
        self._files = named.files
        self._at = np.full((len(self.positions), *outer), _ABSENT, np.int32)
        self.seconds = np.full((len(self.positions), self.sizes["T"]), np.nan)
        rank = {kind: {text: i for i, text in enumerate(texts)} for kind, texts in labels.items()}
        for i, (each, t) in enumerate(zip(known, times, strict=True)):
            p, c, z = (rank[kind][getattr(each, kind)] for kind in labels)
            key = (p, t, c, z)
            if self._at[key] != _ABSENT:
                raise FovflowError(
                    f"two files of the series in {root} have the same place",
                    found=" and ".join(
                        named.files[at].relative_to(root).as_posix() for at in (self._at[key], i)
                    ),
                    remedy="give a pattern with all fields that tell files apart, or name those "
                    f"that are meant, such as {root / '*.tif'}",
                )
            self._at[key] = i
            self.seconds[p, t] = np.fmin(self.seconds[p, t], seconds[i])
        self.held = self._held_planes(root)
        for path, planes in held.items():
            place = np.argwhere(self._at == named.files.index(path))[0]
            inside = planes.transpose(2, 1, 0) if self._pages["swapped"] else planes
            by_name = [n > 1 for n in outer]
            self.held[(place[0], *_where(by_name, place[1:]))] = inside[_where(by_name, (0, 0, 0))]
        self.notes = tuple(notes)

    def _held_planes(self, root: Path) -> NDArray[np.bool_]:
        there = self._at != _ABSENT
        frames = there.any(axis=(2, 3))
        complete = [
            bool((there[:, :, c].any(axis=2) == frames).all()) for c in range(there.shape[2])
        ]
        partial = np.argwhere(frames & ~there.all(axis=(2, 3)))
        if partial.size and not any(complete):
            p, t = (int(i) for i in partial[0])
            present = sorted(self._files[i].name for i in self._at[p, t].ravel() if i != _ABSENT)
            raise FovflowError(
                f"{len(partial)} frames of the series in {root} lack some of their channels or z "
                "planes, and no channel is there in all frames",
                found=f"of position {self.positions[p] or p}, frame {t} only {', '.join(present)}",
                remedy="add the missing files, remove these, or narrow the pattern",
            )
        for axis, name in ((1, "T"), (2, "C"), (3, "Z")):
            if there.shape[axis] < self.sizes[name]:  # the pages of each file run over it
                there = np.repeat(there, self.sizes[name], axis=axis)
        return np.asarray(there)

    def axes_from(self, named: NamedFiles, inner: RawInfo) -> tuple[str, ...]:
        """Return how each axis is known."""
        names = {"P": True, **dict(zip("TCZ", (n > 1 for n in self._at.shape[1:]), strict=True))}
        pages = f"pages of the files: {inner.axes_from[0]}" if inner.axes_from else ""
        return tuple(named.how if names[axis] else pages for axis in long_axes("PTCZ", self.sizes))

    def first_file(self, p: int, t: int) -> Path:
        """Return the file of the first plane that is there of a frame."""
        at = self._at[p, min(t, self._at.shape[1] - 1)].ravel()
        return self._files[int(at[at != _ABSENT][0])]

    def file(self, p: int, t: int, c: int, z: int) -> Path:
        """Return the file of a plane."""
        shape = self._at.shape
        at = (min(t, shape[1] - 1), min(c, shape[2] - 1), min(z, shape[3] - 1))
        return self._files[int(self._at[(p, *at)])]

    def inner(self, t: int, c: int, z: int) -> tuple[int, int, int]:
        """Return the indices (t, c, z) of a plane within its file."""
        pages = self._pages
        inside = (min(t, pages["T"] - 1), min(c, pages["C"] - 1), min(z, pages["Z"] - 1))
        return (inside[2], inside[1], 0) if pages["swapped"] else inside


def _where(by_name: Sequence[bool], at: Sequence[int]) -> tuple[int | slice, ...]:
    """Return an index of (T, C, Z): a number for axes of the names, all for those of the pages."""
    return tuple(int(i) if named else slice(None) for named, i in zip(by_name, at, strict=True))


def _page_axes(
    root: Path, inner: RawInfo, n_times: int, n_channels: int, z: list[str]
) -> dict[str, int]:
    """Return what the pages within a file are, besides what the names say."""
    pages = {"T": inner.n_frames, "C": len(inner.channels), "Z": inner.n_z, "swapped": 0}
    if inner.format == "tiff" and pages["T"] > 1 and n_times > 1 and pages["Z"] == len(z) == 1:
        pages |= {"T": 1, "Z": pages["T"], "swapped": 1}
    names = {"T": n_times, "C": n_channels, "Z": len(z)}
    double = [axis for axis, n in names.items() if n > 1 and pages[axis] > 1]
    if double or len(inner.positions) > 1:
        raise FovflowError(
            f"both the names and the pages of the files in {root} run over the same axis",
            found=f"axis {', '.join(double) or 'P'}",
            remedy="give a pattern that tells what each number means",
        )
    return pages


def _stem(name: str) -> str:
    stem = os.path.splitext(name)[0]  # noqa: PTH122
    return stem[:-4] if stem.lower().endswith(".ome") else stem


_MAX_CHECKED = 50


def open_series(
    location: Location, pattern: Pattern | None = None, given: Overrides | None = None
) -> AnyTiff | SeriesReader:
    """Open the TIFF files of a folder or pattern as one dataset.

    Files that are together one OME-TIFF set, or of Micro-Manager, are read as that. Names are read
    by the pattern (see `match_pattern`), without one by `read_names`.
    """
    files = location.files or (location.root,)
    for path in files:
        if path.stat().st_size == 0:
            raise FovflowError(
                f"{path} is empty",
                found="0 bytes",
                remedy="copy it again, or remove it: a file that is absent is a missing frame",
            )
    if pattern is None:
        of_set = files_of_set(files)
        others = sorted({*files} - {*of_set})
        if len(of_set) > 1 and others and len(files_of_set(others)) > 1:
            raise FovflowError(
                f"{location.root} holds several OME-TIFF sets",
                found=f"{of_set[0].name} and {others[0].name} belong to different ones",
                remedy="name a file of one set; several sets are several datasets",
            )
        if len(of_set) > 1 or (of_set and not others):
            companion = of_set[0].suffix == ".ome"
            member = next(file for file in files if file in of_set)
            reader = OmeTiffReader(of_set[0], given) if companion else open_tiff(member, given)
            if others:
                what = f"{len(others)} files are not of the set, such as {others[0].name!r}"
                reader.tell(f"{what}: left out.")
            return reader
    return SeriesReader(interpret_names(location.root, files, pattern), given)


class SeriesReader(FileReader[AnyTiff]):
    """An open TIFF series; `pattern` reads the names as they were read, empty where none does."""

    def __init__(self, named: NamedFiles, given: Overrides | None):
        sizes = [path.stat().st_size for path in named.files]
        counts = Counter(sizes)
        usual = max(counts, key=lambda size: (counts[size], size))
        common = [path for path, size in zip(named.files, sizes, strict=True) if size == usual]
        self._longest = _first_sound(common)
        with self._opening(self._longest, open_tiff) as first:
            self._inner = first.info
            self._odd: dict[Path, FovflowError] = {}
            self._seen: dict[str, RawInfo] = {}
            inside = self._look_at_some(named, sizes)
            self._grid = grid = SeriesGrid(named, self._inner, inside)
            self.pattern = named.pattern
            self._stage: dict[int, Position] = {}
            source = self._time_source()
            self._in_files = source != "unknown" and (given is None or given.interval_s is None)
            n_positions, n_frames, n_z = (grid.sizes[axis] for axis in "PTZ")
            frames = held_frames(named.root, grid.held)
            self._there = frames.there
            if source == "unknown" and n_frames > 1 and np.isfinite(grid.seconds).any():
                source = "measured"
            if n_frames == 1 and source == "unknown":
                times = [FrameTimes(np.zeros(1), "nominal")] * n_positions
            else:
                known = grid.seconds if source == "measured" and not self._in_files else np.nan
                seconds = np.where(frames.there, known, np.nan)
                times = [FrameTimes(row, source) for row in seconds]
            info = replace(
                self._inner,
                format="tiff-series",
                axes=f"{long_axes('PTCZ', grid.sizes)}YX",
                n_frames=n_frames,
                n_z=n_z,
                positions=tuple(
                    replace(self._stage.get(p, Position(p)), index=p, name=name or None)
                    for p, name in enumerate(grid.positions)
                ),
                channels=tuple(Channel(c, name) for c, name in enumerate(grid.channels)),
                axes_from=grid.axes_from(named, self._inner),
                missing=frames.missing,
                missing_planes=frames.missing_planes,
                warnings=(*grid.notes, *self._told_notes(named)),
            )
            super().__init__(named.root, info, times, given)

    def _look_at_some(
        self, named: NamedFiles, sizes: Sequence[int]
    ) -> dict[Path, NDArray[np.bool_]]:
        """Look at files whose sizes on disk differ from most; all are compared when they are read.

        Return which planes (T, C, Z) there are in files that lack some. The others' frames are the
        most that a file has; files of another kind are noted.
        """
        usual = self._longest.stat().st_size
        odd = [path for path, size in zip(named.files, sizes, strict=True) if size != usual]
        stack = self._inner.n_frames * self._inner.n_z * len(self._inner.channels) > 1
        found = {self._longest: self._inner}
        place = dict(zip(named.files, (each.position for each in named.fields), strict=True))
        firsts = [*{name: path for path, name in reversed(place.items())}.values()]
        wanted = odd[: _MAX_CHECKED * (100 if stack else 1)] + spread(firsts, _MAX_CHECKED)
        for path in dict.fromkeys(wanted):
            try:
                found[path] = self._reader(path).info
                self._seen[place[path]] = found[path]
            except FovflowError as error:
                self._odd[path] = error
        self._refuse_mixed(named, {path: info.n_frames for path, info in found.items()})
        self._longest = max(found, key=lambda path: found[path].n_frames)
        self._inner = found[self._longest]
        return {
            path: planes
            for path, info in found.items()
            if not (planes := _held_inside(info, self._inner.n_frames)).all()
        }

    def _refuse_mixed(self, named: NamedFiles, frames: Mapping[Path, int]) -> None:
        """Refuse odd files where they are not a few, and channels of fewer `frames` than others."""
        odd: list[NameFields] = []
        rest: list[NameFields] = []
        most: dict[str, int] = {}
        for path, each in zip(named.files, named.fields, strict=True):
            (odd if path in self._odd else rest).append(each)
            n = frames.get(path, self._inner.n_frames)
            most[each.channel] = max(most.get(each.channel, 0), n)
        lost = {each.channel for each in odd} - {each.channel for each in rest}
        lost |= {each.z for each in odd} - {each.z for each in rest}
        if lost or len(odd) >= len(rest):
            for error in self._odd.values():
                raise error
        if min(most.values()) + 1 < max(most.values()) and len({e.time for e in rest}) == 1:
            raise FovflowError(
                f"the files of some channels in {named.root} hold fewer images than those of "
                "others, and it is not clear to which frames they belong",
                found=", ".join(f"{n} images of {name}" for name, n in most.items()),
                remedy="save all channels in one OME-TIFF, or each image as a file with the number "
                "of the frame in its name",
            )

    def _told_notes(self, named: NamedFiles) -> list[str]:
        """Return what is to be said of the files themselves."""
        notes = [text for text in self._inner.warnings if text not in open_questions(self._inner)]
        notes += [f"{error}." for error in [*self._odd.values()][:5]]
        notes += [f"{len(self._odd) - 5} more files are like that."] * (len(self._odd) > 5)
        pairs = zip(named.files, named.fields, strict=True)
        good = {each.position for path, each in pairs if path not in self._odd}
        seen = [*map(self._seen.get, self._grid.positions)]
        notes += other_pixels(
            [info.pixel_um if info else None for info in seen], self._inner.pixel_um
        )
        usual = [channel.name for channel in self._inner.channels]
        if usual == [*self._grid.channels]:
            called = [[each.name for each in info.channels] if info else None for info in seen]
            notes += other_channels(called, usual)
        return [*notes, *without_odd([name in good for name in self._grid.positions])]

    def _reader(self, path: Path) -> AnyTiff:
        """Return the reader of one file after comparing it with the others."""
        reader = self._file(path, open_tiff)
        found, first = reader.info, self._inner
        here, there = _shape(found), _shape(first)
        alike = here == there or (
            found.n_frames != first.n_frames > 1
            and _shape(replace(found, n_frames=first.n_frames)) == there
        )
        if not alike:
            raise FovflowError(
                f"{path} is not like the other files of the series",
                found=f"{here} where others have {there}",
                remedy="move it away, or narrow the pattern of the files",
            )
        return reader

    def _time_source(self) -> TimeSource:
        """Tell where times come from, and note stage positions, from a few files' headers."""
        grid = self._grid
        one_each = grid.sizes["T"] > 1 == self._inner.n_frames
        usual = self._reader(self._longest).times(0).source
        if one_each and usual != "measured" and self._inner.format != "ome-tiff":
            return "unknown"
        sources = [] if one_each else [usual]
        for p in range(len(grid.positions)):
            held = np.flatnonzero(grid.held[p].any(axis=(1, 2)))
            for t in dict.fromkeys(held[[-1, 0]].tolist()) if held.size else ():
                path = grid.first_file(p, t)
                if path in self._odd:
                    continue
                reader = self._reader(path)
                self._stage[p] = reader.info.positions[0]
                if not one_each or t > held[0]:  # a first frame at 0 s looks as if it had no time
                    sources.append(reader.times(0).source)
            if one_each and worst_source(sources) != "measured":
                return "unknown"
        return worst_source(sources)

    def times(self, p: int) -> FrameTimes:
        """Return the times of position `p`; time stamps are read from its files' headers."""
        times = super().times(p)
        held = self._there[p : p + 1].copy()
        if not self._in_files or not held.any():
            return times
        recorded = np.full((1, self.info.n_frames), np.nan)
        if self._inner.n_frames > 1:
            path = self._grid.first_file(p, 0)
            found = self._reader(self._longest if path in self._odd else path).times(0)
            if found.source == "nominal" and len(found.seconds) > 1:
                found = regular_times(self.info.n_frames, float(found.seconds[1]), "nominal")
            elif found.source != "measured":
                found = self._reader(self._longest).times(0)
            recorded[0, : len(found.seconds)] = found.seconds
            return FrameTimes(recorded[0], found.source)
        for t in np.flatnonzero(held[0]):
            path = self._grid.first_file(p, int(t))
            held[0, t] = path not in self._odd
            if held[0, t]:
                recorded[0, t] = self._reader(path).times(0).seconds[0]
        return choose_times(recorded, held, None)[0]

    def _plane(self, p: int, t: int, c: int, z: int) -> NDArray[Any]:
        reader, at = self._reader(self._grid.file(p, t, c, z)), self._grid.inner(t, c, z)
        own, usual = ([each.name for each in i.channels] for i in (reader.info, self._inner))
        return reader.read(0, at[0], channel_order(own, usual, len(own))[at[1]], at[2])


def _first_sound(files: Sequence[Path]) -> Path:
    """Return the first of files, of which some may be damaged, whose pages can be told."""
    for path in files[:_MAX_CHECKED]:
        with suppress(FovflowError), closing(TiffPages(path)):
            return path
    return files[0]


def _held_inside(info: RawInfo, n_frames: int) -> NDArray[np.bool_]:
    """Return which planes a file holds, (T, C, Z), where `n_frames` are the most that one has."""
    held = np.zeros((n_frames, len(info.channels), info.n_z), bool)
    held[: info.n_frames] = True
    for _, t in info.missing:
        held[t] = False
    for _, t, c, z in info.missing_planes:
        held[t, c, z] = False
    return held


def _shape(info: RawInfo) -> str:
    return (
        f"{info.height} x {info.width} pixels of {info.dtype}, {info.n_frames} frames, "
        f"{len(info.channels)} channels, {info.n_z} z planes"
    )
