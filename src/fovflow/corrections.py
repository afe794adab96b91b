"""What people say of cells, ``corrections.csv``: verdicts, and cuts and links of tracks.

Each line names a cell by its place in a frame and not by its id, so that it outlives another
segmentation. ``docs/report.md`` describes the form.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import ConfigError, did_you_mean
from fovflow.userfiles import broken_link, open_regular

VERDICTS = ("accept", "reject")
TRACKS = ("cut", "link", "merge", "split")
ACTIONS = (*VERDICTS, *TRACKS, "comment")
_NEEDED = ("dataset", "fov", "frame", "x", "y", "action")
_TARGET = ("target_frame", "target_x", "target_y")
_BOX = ("bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1")
_MOST_BYTES = 50_000_000
_TOLD = 10
REACH_PX = 12.0
"""How far from a cell's middle, or its outline, a place may lie that names it (pixels)."""


@dataclass(frozen=True, slots=True)
class Correction:
    """One line: what is said of the cell at a place."""

    line: int
    frame: int
    x: float
    y: float
    action: str
    target: tuple[int, float, float] | None = None
    """Frame, x and y of the other cell, for ``link``, ``merge`` and ``split``."""

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return (
            f"line {self.line}: {self.action} at x {self.x:g}, y {self.y:g} in frame {self.frame}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values: the line's number, which changes nothing, left out."""
        return {name: value for name, value in asdict(self).items() if name != "line"}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], line: int) -> Self:
        """Return what `to_json` made plain."""
        target = values["target"]
        return cls(line, **{**values, "target": None if target is None else tuple(target)})


def read_corrections(path: str | os.PathLike[str]) -> dict[tuple[str, int], list[Correction]]:
    """Return the lines by dataset and FOV, in their order; comments among them are left out.

    Raises ConfigError with all lines that cannot be read.
    """
    name, found = os.fspath(path), dict[tuple[str, int], list[Correction]]()
    problems: list[str] = []
    try:
        with open_regular(Path(path)) as file:
            data = file.read(_MOST_BYTES + 1)
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"corrections: cannot read {name}",
            found=broken_link(name) or getattr(error, "strerror", None) or "no text in UTF-8",
            remedy="correct the path, or set corrections: null",
        ) from error
    if len(data) > _MOST_BYTES:
        raise ConfigError(
            f"corrections: {name} is no table of corrections",
            found=f"more than {_MOST_BYTES // 10**6} MB",
            remedy="name the file that the report has saved",
        )
    rows = csv.DictReader(io.StringIO(text))
    missing = [column for column in _NEEDED if column not in (rows.fieldnames or ())]
    if missing:
        columns = f"give the columns {', '.join(_NEEDED)}, separated by commas"
        judged = {"cell", "good"} <= {*(rows.fieldnames or ())}
        raise ConfigError(
            f"corrections: {name} is no table of corrections",
            found=f"no column {', '.join(missing)}",
            remedy="verdicts by cell are no corrections: set corrections: null, and put the table "
            "beside the traces as …_traces_inspected.csv (docs/reruns.md)"
            if judged
            else columns,
        )
    for row in _lines(rows, name):
        try:
            fov, correction = _whole(row, "fov"), _read(row, rows.line_num)
        except (ValueError, TypeError) as error:
            problems.append(f"line {rows.line_num}: {error}")
            continue
        if correction.action != "comment":
            found.setdefault((row["dataset"], fov), []).append(correction)
    if problems:
        more = len(problems) - _TOLD
        raise ConfigError(
            f"corrections: {name}: {len(problems)} lines cannot be read",
            found="; ".join(problems[:_TOLD]) + (f"; and {more} more" if more > 0 else ""),
            remedy="correct or remove these lines",
        )
    return found


def _lines(rows: csv.DictReader[str], name: str) -> Iterator[dict[str, Any]]:
    try:
        yield from rows
    except csv.Error as error:
        raise ConfigError(
            f"corrections: {name} cannot be read after line {rows.line_num}",
            found=str(error),
            remedy="correct that line",
        ) from error


def _read(row: Mapping[str, Any], line: int) -> Correction:
    action = (row["action"] or "").strip().lower()
    if action not in ACTIONS:
        hint = did_you_mean(action, ACTIONS)
        raise ValueError(f"the action {action!r} is none of {', '.join(ACTIONS)}{hint}")
    target = None
    if action in TRACKS[1:]:
        target = (_whole(row, _TARGET[0]), _number(row, _TARGET[1]), _number(row, _TARGET[2]))
    return Correction(
        line, _whole(row, "frame"), _number(row, "x"), _number(row, "y"), action, target
    )


def _number(row: Mapping[str, Any], name: str) -> float:
    try:
        value = float(row.get(name) or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} is no number: {row.get(name)!r}")
    return value


def _whole(row: Mapping[str, Any], name: str) -> int:
    value = _number(row, name)
    if value != int(value) or not 0 <= value < 1 << 31:
        raise ValueError(f"{name} is no number from 0 on: {row[name]!r}")
    return int(value)


def of_step(step: str, corrections: Iterable[Correction]) -> list[Correction]:
    """Return those that a step takes into account."""
    actions = {"track": TRACKS, "extract": VERDICTS}.get(step, ())
    return [each for each in corrections if each.action in actions]


def with_verdicts(
    traces: Mapping[str, NDArray[Any]],
    corrections: Sequence[Correction],
    labels: Callable[[int], NDArray[Any]] | None = None,
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return the traces with people's verdicts, and which of them no longer fit.

    All rows of an accepted cell are good, none of a rejected one; ``accepted`` and ``rejected``
    stand before their other flags. Of two on one cell the later line counts, and the other is told.

    `traces`: ``cell``, ``frame``, ``position_x``, ``position_y``, the box, ``good``, ``flags``.
    `labels`: gives the cells of a frame, (Y, X); without it boxes tell how far cells reach.
    """
    places = ("cell", "frame", "position_x", "position_y", *_BOX)
    table = {name: np.asarray(traces[name]) for name in places}
    said, told = dict[int, Correction](), list[str]()
    for each in corrections:
        cell = cell_at(table, each.frame, each.x, each.y, labels)
        if cell is None:
            told.append(f"{each.place}: there is no cell")
            continue
        before = said.get(cell)
        if before is not None and before.action != each.action:
            told.append(f"{before.place}: {each.place} says otherwise, and counts")
        said[cell] = each
    good = np.asarray(traces["good"], bool).copy()
    flags = np.asarray(traces["flags"], object).copy()
    for cell, each in said.items():
        rows = np.flatnonzero(table["cell"] == cell)
        good[rows] = each.action == "accept"
        word = f"{each.action}ed"
        flags[rows] = [f"{word};{text}" if text else word for text in flags[rows].tolist()]
    return {**traces, "good": good, "flags": flags}, told


def cell_at(
    traces: Mapping[str, NDArray[Any]],
    frame: int,
    x: float,
    y: float,
    labels: Callable[[int], NDArray[Any]] | None = None,
) -> int | None:
    """Return the cell at a place, None for none.

    It is the nearest of those whose box reaches there; but where its middle lies farther away than
    `REACH_PX` and there are `labels`, the one whose outline does.
    """
    rows = np.flatnonzero(np.asarray(traces["frame"]) == frame)
    reached = [
        (np.asarray(traces[f"bbox_{axis}0"])[rows] - REACH_PX <= value)
        & (value <= np.asarray(traces[f"bbox_{axis}1"])[rows] + REACH_PX)
        for axis, value in (("x", x), ("y", y))
    ]
    rows = rows[reached[0] & reached[1]]
    if not rows.size:
        return None
    at_x, at_y = (np.asarray(traces[f"position_{axis}"])[rows] for axis in "xy")
    away = np.hypot(at_x - x, at_y - y)
    if labels is not None and away.min() > REACH_PX:
        return label_near(labels(frame), x, y) or None
    return int(np.asarray(traces["cell"])[rows[int(away.argmin())]])


def label_near(labels: NDArray[Any], x: float, y: float) -> int:
    """Return the label at a place, or the nearest within `REACH_PX`; 0 where there is none.

    `labels`: (Y, X).
    """
    reach = int(REACH_PX)
    top, left = max(0, round(y) - reach), max(0, round(x) - reach)
    around = labels[top : max(0, round(y) + reach + 1), left : max(0, round(x) + reach + 1)]
    rows, columns = np.nonzero(around)
    away = np.hypot(rows + top - y, columns + left - x)
    if not (away <= REACH_PX).any():
        return 0
    return int(around[rows[away.argmin()], columns[away.argmin()]])


def briefly(told: Sequence[str], most: int = _TOLD) -> list[str]:
    """Return the first of what could not be followed, and how many more there are."""
    more = len(told) - most
    rest = [f"and {more} more, in processing_results.yaml"] if more > 0 else []
    return [*told[:most], *rest]


def in_lines(told: str, said: Sequence[Correction]) -> str:
    """Return what a job tells of corrections with the lines of the file: it counts from 1."""
    return re.sub(r"\bline (\d+):", lambda found: f"line {said[int(found[1]) - 1].line}:", told)
