"""A person's verdicts on cells (``…_inspected.csv``): of which traces they are, and how they count.

A file of verdicts has the columns of the traces, or only ``cell`` (and ``frame``) and ``good``. It
names the traces that it is of by their SHA-256 in a comment before its header. One that names none,
made by hand or by another program, is held against the traces that are there.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.atomic import digest_of
from fovflow.errors import FovflowError
from fovflow.labels import IntArray
from fovflow.layout import inspected
from fovflow.tables import KINDS, read_csv, truths, write_csv

Table = dict[str, NDArray[Any]]

NAMED = "# of the traces with SHA-256 "
_SHA256 = re.compile(rb"\b[0-9A-Fa-f]{64}\b")
_JUDGED = frozenset({"good", "flags"})
"""Columns that a person changes; all others must be those of the traces."""
_KEYS = ("cell", "frame")
_TOLERANCE = 1e-6
"""Relative difference up to which a number counts as the same: programs round when they save."""
_LIKELY = 0.5
"""A cell is carried over where it is found again in more than this fraction of the frames."""
_BIN = 4.0
"""Displacements (px) that count as one, where many cells agree on it."""
_LEAST_CELLS = 10
"""Fewer cells that agree on an offset may do so by chance."""
_MOST_MOMENTS = 20


def find_verdicts(traces: str | os.PathLike[str]) -> tuple[Path | None, str]:
    """Return the verdicts beside a table of traces, and why they cannot be used.

    The path is None where there are none; the reason is empty where they are of these traces.
    """
    path = Path(inspected(os.fspath(traces)))
    if not path.is_file():
        return None, ""
    return path, _problem(path, Path(traces))


def _problem(path: Path, traces: Path) -> str:
    if not traces.is_file():
        return ""  # nothing contradicts
    try:
        named = _named(path)
        current = digest_of(traces).sha256 if named else ""
        if named != current:
            return f"made from other traces (SHA-256 {named[:12]}…; these have {current[:12]}…)"
        verdicts = read_verdicts(path)
        compared = verdicts if not named else {name: verdicts[name] for name in _keys(verdicts)}
        table = read_csv(traces, columns=lambda name: name in {*_KEYS, *compared})
    except FovflowError as error:
        return f"they cannot be read: {error}"
    except OSError as error:
        return f"they cannot be read: {error.strerror or error}"
    reason = _difference(table, compared)
    older = path.stat().st_mtime_ns < traces.stat().st_mtime_ns
    if not reason and not named and "frame" not in verdicts and older:
        line = f"{NAMED}{digest_of(traces).sha256}"
        return (
            "they are older than these traces, and tell by nothing that they are of them; if they "
            f"are, put this line before their header: {line}"
        )
    return reason


def _named(path: Path) -> str:
    """Return the SHA-256 that the comments before the header name; empty where there is none."""
    with path.open("rb") as file:
        while (line := file.readline(1 << 16).removeprefix(b"\xef\xbb\xbf")).startswith(b"#"):
            if found := _SHA256.search(line):
                return found[0].decode().lower()
    return ""


def read_verdicts(path: str | os.PathLike[str]) -> Table:
    """Return the table of verdicts, ``good`` as booleans.

    Raises FovflowError where it is no such table: ``cell`` is absent, ``good`` is neither true nor
    false, or a cell (in a frame) stands twice.
    """
    try:
        kinds = KINDS | {"good": str}
        table = {name.strip(): column for name, column in read_csv(path, kinds=kinds).items()}
    except FovflowError as error:
        remedy = "save it as a CSV in UTF-8, with cell and good separated by commas"
        raise FovflowError(error.message, found=error.found, remedy=remedy) from error
    for name in _keys(table):
        if table[name].size and table[name].dtype.kind != "i":
            raise FovflowError(f"{os.fspath(path)}: the column {name} has no whole numbers")
    if "cell" not in table or not {"frame", "good"} & {*table}:  # frames alone choose rows
        raise FovflowError(
            f"{os.fspath(path)} has no column {'good' if 'cell' in table else 'cell'}",
            found=", ".join(table),
            remedy="give a table with cell and good, separated by commas",
        )
    if "good" in table:
        table["good"] = truths(path, "good", table["good"].tolist())
    keys = np.stack([table[name] for name in _keys(table)], axis=1)
    if len(np.unique(keys, axis=0)) != len(keys):
        raise FovflowError(f"{os.fspath(path)} judges the same {' and '.join(_keys(table))} twice")
    return table


def _keys(table: Mapping[str, Any]) -> list[str]:
    return [name for name in _KEYS if name in table]


def _rows(table: Mapping[str, Any], verdicts: Mapping[str, Any]) -> NDArray[np.int64]:
    """Return for each row of the traces its row among the verdicts, or -1."""
    keys = _keys(verdicts)
    theirs = zip(*(np.asarray(verdicts[name]).tolist() for name in keys), strict=True)
    where = {key: row for row, key in enumerate(theirs)}
    ours = zip(*(np.asarray(table[name]).tolist() for name in keys), strict=True)
    return np.array([where.get(key, -1) for key in ours], dtype=np.int64)


def _difference(table: Table, verdicts: Table) -> str:
    """Return where verdicts contradict the traces: rows or values that those do not have."""
    rows = _rows(table, verdicts)
    known = np.zeros(len(verdicts["cell"]), dtype=bool)
    known[rows[rows >= 0]] = True
    if not known.all():
        first = int(np.flatnonzero(~known)[0])
        words = " in ".join(f"{name} {verdicts[name][first]}" for name in _keys(verdicts))
        return f"made from other traces: these have no {words}"
    values = [name for name in verdicts if name in table and name not in (*_KEYS, *_JUDGED)]
    for name in values:
        now, then = table[name][rows >= 0], verdicts[name][rows[rows >= 0]]
        if now.dtype.kind in "if" and then.dtype.kind in "if":
            same = np.isclose(now, then, rtol=_TOLERANCE, atol=0, equal_nan=True)
        else:
            same = now == then
        if not np.all(same):
            count = int(np.sum(~np.asarray(same)))
            return f"made from other traces: {name} differs in {count} of {len(now)} rows"
    if "frame" in verdicts and not set(values) - {"fov", "time"}:
        judged = np.isin(table["cell"], verdicts["cell"])
        if np.any(rows[judged] < 0):
            cell = int(table["cell"][judged & (rows < 0)][0])
            return f"made from other traces: cell {cell} has other frames in these"
    return ""


def judged(table: Mapping[str, Any], verdicts: Table) -> Table:
    """Return the traces with a person's verdicts: those count, all other columns stay.

    Rows that a table with frames leaves out are left out. Columns that only the verdicts have come
    last.
    """
    rows = _rows(table, verdicts)
    use = rows >= 0 if "frame" in verdicts else np.ones(len(rows), dtype=bool)
    rows = rows[use]
    joined = {str(name): np.asarray(table[name])[use] for name in table}
    for name, values in verdicts.items():
        if name in joined and name not in _JUDGED:
            continue
        empty: Any = values.dtype.type(0) if values.dtype.kind in "bi" else np.nan
        before = joined.get(name, np.full(len(rows), "" if values.dtype == object else empty))
        chosen = values[rows] if values.size else before
        joined[name] = np.where(rows >= 0, chosen, before)
    return joined


def read_traces(
    path: str | os.PathLike[str], *, columns: Callable[[str], bool] | None = None, **options: Any
) -> Table:
    """Read the traces of an FOV, with the verdicts where `path` is a file of them that may be used.

    `columns`, `options`: as for `fovflow.tables.read_csv`. Raises FovflowError as that does.
    """
    traces = traces_of(path)
    if traces == Path(path) or find_verdicts(traces)[1]:
        return read_csv(traces, columns=columns, **options)
    verdicts = read_verdicts(path)
    table = read_csv(traces, columns=lambda n: n in _KEYS or not columns or columns(n), **options)
    return judged(table, {n: v for n, v in verdicts.items() if not columns or columns(n)})


def traces_of(path: str | os.PathLike[str]) -> Path:
    """Return the table of traces that a file of verdicts stands beside; others stay as they are."""
    traces = Path(f"{os.fspath(path).removesuffix('_inspected.csv')}.csv")
    return traces if str(path).endswith("_inspected.csv") and traces.is_file() else Path(path)


def write_verdicts(traces: str | os.PathLike[str], table: Mapping[str, Any]) -> Path:
    """Write verdicts on the cells of these traces, which they name; return the file.

    `table`: columns ``cell`` and ``good``, and perhaps ``frame`` and all others. A file that is
    there already is kept under a name with a number.
    """
    path = Path(inspected(os.fspath(traces)))
    if path.exists():
        number = 1
        while (kept := path.with_name(f"{path.stem}_{number}.csv")).exists():
            number += 1
        path.rename(kept)
    write_csv(path, table, comment=f"{NAMED}{digest_of(traces).sha256}")
    return path


@dataclass(frozen=True, slots=True)
class Carried:
    """What became of verdicts that were made from other traces."""

    cells: dict[int, int]
    """Cells of these traces by the cells that were judged."""
    lost: tuple[int, ...]
    """Cells that were judged and have no counterpart."""
    unjudged: tuple[int, ...]
    """Cells of these traces without one: they keep the automatic verdict."""


def carry_over(traces: str | os.PathLike[str]) -> Carried:
    """Apply stale verdicts to the cells of today's traces that lie where the judged ones lay.

    Two cells are the same where, in more than half of the frames that either has, each is the
    other's nearest and their centres are closer than the radius of the judged one. Frames are the
    same by their number or by their time, by which cells lie nearer to where they lay; where many
    cells agree on an offset, as after another `crop`, it is taken off.

    Raises FovflowError where the verdicts hold no positions: nothing is written.
    """
    path = Path(inspected(os.fspath(traces)))
    old, new = read_verdicts(path), read_csv(traces)
    need = ("frame", "position_x", "position_y", "good")
    if missing := [name for name in need if name not in old]:
        raise FovflowError(
            f"the verdicts {path} cannot be carried over",
            found=f"no columns {', '.join(missing)}, so that nothing tells where the cells lay",
            remedy="judge the cells again, and remove the file",
        )
    was, now, offset = _moments(old, new)
    cells = _same_cells(old, new, was, now, offset)
    good = np.asarray(new["good"], dtype=bool).copy()
    for before, after in cells.items():
        of_old, of_new = old["cell"] == before, np.flatnonzero(new["cell"] == after)
        by_moment = dict(zip(was[of_old].tolist(), old["good"][of_old], strict=True))
        uniform = len(set(map(bool, by_moment.values()))) == 1
        rest = next(iter(by_moment.values())) if uniform else None
        for row in of_new.tolist():
            verdict = by_moment.get(int(now[row]), rest)
            good[row] = good[row] if verdict is None else verdict
    write_verdicts(traces, {**new, "good": good})
    judged_cells, today = np.unique(old["cell"]).tolist(), np.unique(new["cell"]).tolist()
    lost = tuple(cell for cell in judged_cells if cell not in cells)
    return Carried(cells, lost, tuple(sorted(set(today) - set(cells.values()))))


def _moments(old: Table, new: Table) -> tuple[IntArray, IntArray, tuple[float, float]]:
    """Return for the rows of both tables a number that those of the same raw frame share.

    Last comes the displacement that most cells agree on then.
    """
    ways = [(old["frame"].astype(np.int64), new["frame"].astype(np.int64))]
    if "time" in old and "time" in new:
        times = np.concatenate([old["time"], new["time"]]).astype(np.float64).round(6)
        place = np.unique(times, return_inverse=True)[1]
        ways.append((place[: len(old["time"])], place[len(old["time"]) :]))

    def apart(way: tuple[IntArray, IntArray, tuple[float, float]]) -> float:
        was, now, offset = way
        found = [_nearest(old, new, was, now, each)[2] for each in ((0.0, 0.0), offset)]
        return min((float(np.median(each)) for each in found if each.size), default=np.inf)

    return min([(*way, _offset(old, new, *way)) for way in ways], key=apart)


def _nearest(
    old: Table, new: Table, was: IntArray, now: IntArray, offset: Sequence[float] = (0.0, 0.0)
) -> tuple[IntArray, IntArray, NDArray[np.float64]]:
    """Return the rows of which each is the other's nearest at its moment, and how far apart (px).

    `offset`: how much further along x and y today's positions lie.
    """
    pairs = [np.zeros((3, 0))]
    for t in np.intersect1d(was, now).tolist():
        mine, theirs = np.flatnonzero(was == t), np.flatnonzero(now == t)
        ahead = old["position_x"][mine, None] - (new["position_x"][theirs] - offset[0])
        aside = old["position_y"][mine, None] - (new["position_y"][theirs] - offset[1])
        distance = np.hypot(ahead, aside)
        j = distance.argmin(axis=1)
        i = np.flatnonzero(distance.argmin(axis=0)[j] == np.arange(mine.size))
        pairs.append(np.stack([mine[i], theirs[j[i]], distance[i, j[i]]]))
    before, after, apart = np.concatenate(pairs, axis=1)
    return before.astype(np.int64), after.astype(np.int64), apart


def _offset(old: Table, new: Table, was: IntArray, now: IntArray) -> tuple[float, float]:
    """Return the displacement (x, y) of whole bins of `_BIN` px that most pairs of rows have."""
    steps = []
    for t in np.intersect1d(was, now)[:_MOST_MOMENTS].tolist():
        for axis in "xy":
            here, there = (
                table[f"position_{axis}"][at == t] for table, at in ((old, was), (new, now))
            )
            steps.append(np.rint((there[None] - here[:, None]) / _BIN).ravel())
    if not steps:
        return 0.0, 0.0
    places = np.stack([np.concatenate(steps[::2]), np.concatenate(steps[1::2])], axis=1)
    found, count = np.unique(places, axis=0, return_counts=True)
    x, y = _BIN * found[count.argmax()]
    return float(x), float(y)


def _same_cells(
    old: Table, new: Table, was: IntArray, now: IntArray, offset: tuple[float, float]
) -> dict[int, int]:
    radius = _radii(old)

    def closer(offset: tuple[float, float]) -> tuple[IntArray, IntArray]:
        before, after, apart = _nearest(old, new, was, now, offset)
        close = apart <= radius[before]
        return before[close], after[close]

    before, after = closer((0.0, 0.0))
    moved, there = closer(offset)
    if moved.size > 2 * before.size and np.unique(old["cell"][moved]).size >= _LEAST_CELLS:
        before, after = moved, there
    votes = Counter(zip(old["cell"][before].tolist(), new["cell"][after].tolist(), strict=True))
    common = np.intersect1d(was, now)

    def moments(table: Table, at: IntArray, cell: int) -> set[int]:
        return set(at[(table["cell"] == cell) & np.isin(at, common)].tolist())

    return {
        a: b
        for (a, b), count in votes.items()
        if count > _LIKELY * len(moments(old, was, a) | moments(new, now, b))
    }


def _radii(table: Table) -> NDArray[np.float64]:
    """Return the radius of each cell in pixels: of the disk of its area, or of half its box."""
    area = next((name for name in table if name.startswith("area_ch_")), None)
    if area is not None:
        return np.asarray(np.sqrt(np.asarray(table[area], np.float64) / np.pi))
    if {"bbox_x0", "bbox_x1", "bbox_y0", "bbox_y1"} <= set(table):
        width, height = (table[f"bbox_{a}1"] - table[f"bbox_{a}0"] for a in "xy")
        return np.asarray((width + height) / 4, np.float64)
    return np.full(len(table["cell"]), 10.0)
