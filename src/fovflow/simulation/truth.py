"""The truth of a simulated movie on disk: masks, tables, settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.layout import fov_name
from fovflow.records import read_json, write_json
from fovflow.simulation.experiment import write_samples
from fovflow.simulation.movie import Movie, Table, join_rows
from fovflow.simulation.params import MovieParams
from fovflow.stacks import StackReader, StackWriter
from fovflow.tables import read_csv, write_csv

PARAMS_NAME = "params.json"
_TABLES = ("cells", "lineage", "kinetics", "frames")


@dataclass(frozen=True)
class Truth:
    """The truth of a movie, read from a folder."""

    folder: Path
    params: MovieParams

    @cached_property
    def _tables(self) -> dict[str, dict[str, NDArray[Any]]]:
        return {name: read_csv(self.folder / f"{name}.csv") for name in _TABLES}

    def masks(self, p: int) -> StackReader:
        """Open the masks of a position, (T, Y, X) uint16; close it after use."""
        return StackReader(self.folder / _masks_name(p))

    def cells(self, p: int) -> dict[str, NDArray[Any]]:
        """Return the rows of `Movie.cells`."""
        return self._rows("cells", p)

    def lineage(self, p: int) -> dict[str, NDArray[Any]]:
        """Return the rows of `Movie.lineage`."""
        return self._rows("lineage", p)

    def kinetics(self, p: int) -> dict[str, NDArray[Any]]:
        """Return the rows of `Movie.kinetics`."""
        return self._rows("kinetics", p)

    def frames(self, p: int) -> dict[str, NDArray[Any]]:
        """Return frame, time_s, drift_x and drift_y (px), and missing, by frame."""
        return self._rows("frames", p)

    def _rows(self, name: str, p: int) -> dict[str, NDArray[Any]]:
        table = self._tables[name]
        mine = table["fov"] == p
        return {column: values[mine] for column, values in table.items() if column != "fov"}


def write_truth(
    movie: Movie, folder: str | os.PathLike[str], on_frame: Callable[[], None] = lambda: None
) -> None:
    """Write everything that is known about a movie, frame by frame.

    ``params.json`` holds the settings, from which the movie can be made again, and is written
    last. Per position, ``fov_{p:03d}_masks.npy`` is the (T, Y, X) uint16 stack of ids. The tables
    ``cells.csv``, ``lineage.csv``, ``kinetics.csv`` have a column ``fov`` and those of
    `Movie.cells`, `Movie.lineage`, `Movie.kinetics`; ``frames.csv`` has ``fov, frame, time_s,
    drift_x, drift_y, missing``. Where there are conditions, `write_samples` writes ``samples.tsv``.

    Parameters
    ----------
    movie : Movie
    folder : path-like
        Made if need be.
    on_frame : callable
        Called after each frame of each position, to show progress.
    """
    target = Path(folder)
    tables: dict[str, list[Table]] = {name: [] for name in _TABLES}
    for p in range(movie.params.positions):
        cells = join_rows(list(_stream(movie, p, target, on_frame)))
        drift = movie.drift(p)
        frames: Table = {
            "frame": np.arange(movie.params.frames),
            "time_s": movie.times(p),
            "drift_x": drift[:, 0],
            "drift_y": drift[:, 1],
            "missing": np.array([(p, t) in movie.params.missing for t in range(len(drift))]),
        }
        found = (cells, movie.lineage(p), movie.kinetics(p), frames)
        for name, table in zip(_TABLES, found, strict=True):
            count = len(next(iter(table.values())))
            tables[name].append({"fov": np.full(count, p, np.int64), **table})
    for name, parts in tables.items():
        columns = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        write_csv(target / f"{name}.csv", columns)
    if movie.params.conditions:
        write_samples(movie.params, target / "samples.tsv")
    write_json(target / PARAMS_NAME, movie.params.to_dict())


def _stream(movie: Movie, p: int, folder: Path, on_frame: Callable[[], None]) -> Iterator[Table]:
    """Write a position's masks; yield what is true of each frame's cells."""
    frames, _, _, height, width = movie.shape
    with StackWriter(folder / _masks_name(p), (frames, height, width), np.uint16) as out:
        for t in range(frames):
            out.append(movie.masks(p, t))
            yield movie.cell_rows(p, t)
            on_frame()


def load_truth(folder: str | os.PathLike[str]) -> Truth:
    """Read what `write_truth` wrote; masks and tables are read when asked for.

    Raises
    ------
    FovflowError
        If the folder holds no truth.
    """
    place = Path(folder)
    file = place / PARAMS_NAME
    if not file.exists():
        raise FovflowError(
            f"{place} holds no truth of a simulated movie",
            found=f"no {PARAMS_NAME}",
            remedy="give the folder that `fovflow simulate --truth` wrote",
        )
    return Truth(place, MovieParams.from_dict(read_json(file)))


def _masks_name(p: int) -> str:
    return f"fov_{fov_name(p)}_masks.npy"
