"""Series of TIFF files: each file a frame or a small stack, its place told by its name."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.readers.base import Given, PlaneReader
from fovflow.readers.locate import Location
from fovflow.readers.ome_tiff import OmeTiffReader, set_files
from fovflow.readers.protocol import Channel, FrameTimes, Position, RawInfo, TimeSource
from fovflow.readers.series_grid import NamedFiles, SeriesGrid, interpret_names
from fovflow.readers.tiff import TiffReader, open_tiff
from fovflow.readers.times import choose_times, worst_source

_MAX_CHECKED = 50


def open_series(
    location: Location, given: Given | None = None, pattern: str | None = None
) -> OmeTiffReader | SeriesReader:
    """Open the TIFF files of a folder or pattern as one dataset.

    Files that are together one OME-TIFF set are read as that.

    Parameters
    ----------
    location : Location
    given : Given, optional
    pattern : str, optional
        See `match_pattern`; without it the names are interpreted by `detect_fields`.
    """
    files = location.files or (location.root,)
    for path in files:
        if path.stat().st_size == 0:
            raise FovflowError(
                f"{path} is empty",
                found="0 bytes",
                remedy="copy it again, or remove it: a file that is absent is a missing frame",
            )
    if pattern is None and len(files) > 1 and len(set_files(files[0])) > 1:
        return OmeTiffReader(files[0], given)
    return SeriesReader(interpret_names(location.root, files, pattern), given or Given())


class SeriesReader(PlaneReader):
    """An open TIFF series; one file is open at a time.

    Parameters
    ----------
    named : NamedFiles
    given : Given
    """

    def __init__(self, named: NamedFiles, given: Given):
        with ExitStack() as stack:
            self._open: OmeTiffReader | TiffReader | None = open_tiff(named.files[0])
            stack.callback(self.close)
            self._inner = self._open.info
            grid = SeriesGrid(named, self._inner)
            self._grid = grid
            self._check_some(named.files)
            self._stage: dict[int, Position] = {}
            source = self._time_source(grid)
            self._in_files = source != "unknown" and given.interval_s is None
            if grid.n_frames == 1 and source == "unknown":
                times = FrameTimes(np.zeros(1), "nominal")
            else:
                times = FrameTimes(np.full(grid.n_frames, np.nan), source)
            info = replace(
                self._inner,
                format="tiff-series",
                axes=grid.axes,
                n_frames=grid.n_frames,
                n_z=grid.n_z,
                positions=tuple(
                    replace(self._stage.get(p, Position(p)), index=p, name=name or None)
                    for p, name in enumerate(grid.positions)
                ),
                channels=tuple(Channel(c, name) for c, name in enumerate(grid.channels)),
                missing=grid.missing,
                warnings=grid.notes,
            )
            super().__init__(named.root, info, [times] * len(grid.positions), given)
            stack.pop_all()

    def _check_some(self, files: Sequence[Path]) -> None:
        """Compare the images of files whose sizes on disk differ; all are compared when read."""
        sizes = [path.stat().st_size for path in files]
        odd = [path for path, size in zip(files, sizes, strict=True) if size != sizes[0]]
        for path in odd[:_MAX_CHECKED]:
            self._reader(path)

    def _reader(self, path: Path) -> OmeTiffReader | TiffReader:
        """Return the reader of one file after comparing it with the first one."""
        if self._open is None or self._open.path != path:
            if self._open is not None:
                self._open.close()
                self._open = None
            self._open = open_tiff(path)
        found, first = self._open.info, self._inner
        here, there = _shape(found), _shape(first)
        if here != there:
            raise FovflowError(
                f"{path} is not like the other files of the series",
                found=f"{here} where the first file has {there}",
                remedy="move it away, or narrow the pattern of the files",
            )
        return self._open

    def _time_source(self, grid: SeriesGrid) -> TimeSource:
        """Tell where times come from, and note stage positions, from a few files' headers."""
        assert self._open is not None
        source = self._open.times(0).source
        if grid.n_frames > 1 == self._inner.n_frames and source != "measured":
            return "unknown"
        for p in range(len(grid.positions)):
            held = np.flatnonzero(grid.held[p])
            for t in {int(held[-1]), int(held[0])} if held.size else ():
                reader = self._reader(grid.file(p, t, 0, 0))
                self._stage[p] = reader.info.positions[0]
                source = worst_source([source, reader.times(0).source])
        if grid.n_frames > 1 == self._inner.n_frames and source != "measured":
            return "unknown"
        return source

    def times(self, p: int) -> FrameTimes:
        """Return the times of position `p`; time stamps are read from its files' headers."""
        times = super().times(p)
        if not self._in_files or not self._grid.held[p].any():
            return times
        if self._inner.n_frames > 1:
            return self._reader(self._grid.file(p, 0, 0, 0)).times(0)
        recorded = np.full((1, self._grid.n_frames), np.nan)
        held = self._grid.held[p : p + 1]
        for t in np.flatnonzero(held[0]):
            reader = self._reader(self._grid.file(p, int(t), 0, 0))
            recorded[0, t] = reader.times(0).seconds[0]
        return choose_times(recorded, held, None)[0]

    def _plane(self, p: int, t: int, c: int, z: int) -> NDArray[Any]:
        inner = self._grid.inner(t, c, z)
        return self._reader(self._grid.file(p, t, c, z)).read(0, *inner)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        super().close()
        if self._open is not None:
            self._open.close()
            self._open = None


def _shape(info: RawInfo) -> str:
    return (
        f"{info.height} x {info.width} pixels of {info.dtype}, {info.n_frames} frames, "
        f"{len(info.channels)} channels, {info.n_z} z planes"
    )
