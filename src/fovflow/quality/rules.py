"""The quality rules: each takes a table of traces and returns one flag per row."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from copy import copy
from functools import cached_property, wraps
from typing import Any, Concatenate, Literal, ParamSpec

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fovflow.errors import FovflowError
from fovflow.features.cells import Groups
from fovflow.labels import BoolArray, FloatArray, IntArray, compact

_CHUNK = 1 << 13
_PART = 1 << 15
_P = ParamSpec("_P")


class Rows:
    """Rows sorted by cell, then frame.

    A table may be longer than memory likes: `parts` gives it piece by piece, and a rule holds no
    more than a few columns of all rows at a time.

    `columns`: the columns of one FOV's traces, in any order of rows. `shape`: (T, Y, X) of the
    movie. `missing`: frames that were not acquired; the others are in `acquired`. `order`: place of
    each sorted row in `columns`, all of them where they are sorted there. `cells`: which rows
    belong to which cell.
    """

    def __init__(
        self,
        columns: Mapping[str, ArrayLike],
        shape: tuple[int, int, int],
        missing: frozenset[int] = frozenset(),
    ):
        self._columns = columns
        self.shape = shape
        self.order: slice | IntArray = slice(None)
        cell, frame = compact(self.column("cell")), compact(self.column("frame"))
        if not _sorted(cell, frame):
            self.order = np.lexsort((frame, cell))
            cell, frame = cell[self.order], frame[self.order]
        self.cell, self.frame = cell, frame
        begins = np.flatnonzero(np.append(True, self.cell[1:] != self.cell[:-1])[: self.cell.size])
        self.cells = Groups(np.diff(begins, append=self.cell.size))
        self.acquired = np.array([t for t in range(shape[0]) if t not in missing], np.int64)

    def __len__(self) -> int:
        return self.cell.size

    def parts(self) -> Iterator[tuple[slice, Rows]]:
        """Yield the rows in parts of whole cells, of some ten thousand rows each, and where."""
        start, stop = self.cells.start, self.cells.stop
        begin = 0
        while begin < stop.size:
            end = max(begin + 1, int(np.searchsorted(stop, start[begin] + _PART, side="right")))
            rows = slice(int(start[begin]), int(stop[end - 1]))
            part = copy(self)
            part.__dict__.pop("step", None)
            part.order = rows if isinstance(self.order, slice) else self.order[rows]
            part.cell, part.frame = self.cell[rows], self.frame[rows]
            part.cells = Groups(self.cells.size[begin:end])
            yield rows, part
            begin = end

    def gather(
        self, function: Callable[..., NDArray[Any]], dtype: type, *args: Any, **kwargs: Any
    ) -> NDArray[Any]:
        """Return what a function gives of each part, one after the other."""
        found = bytearray()  # grows in place
        for _, part in self.parts():
            found += np.asarray(function(part, *args, **kwargs), dtype).tobytes()
        return np.frombuffer(found, dtype)

    def column(self, name: str) -> NDArray[Any]:
        """Return one column, in sorted order; an error tells that there is none."""
        if name not in self._columns:
            found = ", ".join(self._columns)
            raise FovflowError(f"the traces have no column {name!r}", found=found)
        return np.asarray(as_column(self._columns[name])[self.order])

    def of_feature(self, feature: str) -> list[str]:
        """Return the names of a feature's columns, one per channel that has it."""
        return [name for name in self._columns if name.startswith(f"{feature}_ch_")]

    @cached_property
    def step(self) -> IntArray:
        """Acquired frames from each row to the next of its cell: 1 without a gap, 0 for none."""
        place = np.searchsorted(self.acquired, self.frame)
        step = np.zeros(len(self), np.int64)
        step[:-1] = np.where(self.cell[1:] == self.cell[:-1], place[1:] - place[:-1], 0)
        return step

    def whole_cells(self, flags: BoolArray) -> BoolArray:
        """Return flags that hold for all rows of each cell that has one."""
        return np.asarray(self.cells.spread(self.cells.count(flags) > 0))

    def of_frames(self, flags: BoolArray) -> BoolArray:
        """Return for each row what holds for its frame; `flags`: one per frame."""
        return np.asarray(flags[self.frame], bool)


def as_column(values: Any) -> Any:
    """Return an array, or as it is a column that is read from the disk when rows are asked for.

    Such one (`fovflow.rowfile.FileColumn`) says so, is sorted, and gives slices.
    """
    return values if getattr(values, "on_disk", False) else np.asarray(values)


def by_parts(rule: Callable[Concatenate[Rows, _P], BoolArray]) -> Callable[..., BoolArray]:
    """Apply a rule to whole cells part by part: it compares rows with others of their cell only."""

    @wraps(rule)
    def on_all(rows: Rows, *args: _P.args, **kwargs: _P.kwargs) -> BoolArray:
        return rows.gather(rule, bool, *args, **kwargs)

    return on_all


def _sorted(cell: NDArray[Any], frame: NDArray[Any]) -> bool:
    same = cell[1:] == cell[:-1]
    return bool(np.all((cell[1:] > cell[:-1]) | same & (frame[1:] >= frame[:-1])))


def running_median(values: FloatArray, groups: Groups, window: int, ahead: int = 0) -> FloatArray:
    """Return the median over the `window` values around each one, within its group.

    The window may lie `ahead` by so many values. At the ends of a group it is cut off; NaNs do not
    count, and where there is nothing else the median is NaN.
    """
    offsets = np.arange(window) - window // 2 + ahead
    lowest, highest = groups.spread(groups.start), groups.spread(groups.stop)
    result = np.full(values.size, np.nan)
    for begin in range(0, values.size, _CHUNK):
        part = slice(begin, min(begin + _CHUNK, values.size))
        places = np.arange(part.start, part.stop)[:, None] + offsets
        inside = (places >= lowest[part, None]) & (places < highest[part, None])
        around = np.where(inside, values.take(places, mode="clip"), np.nan)
        around.sort(axis=1)  # NaNs go last
        count = np.count_nonzero(~np.isnan(around), axis=1)
        row = np.arange(count.size)
        middle = (
            around[row, np.maximum(count - 1, 0) // 2]
            + around[row, np.minimum(count // 2, window - 1)]
        )
        result[part] = middle / 2
    return result


BorderMeasure = Literal["box", "centroid"]


def frames_needed(acquired: int, min_frames: int, fraction: float | None) -> int:
    """Return how many frames a cell needs in a movie of `acquired` frames."""
    if fraction is None:
        return min_frames
    return min(min_frames, max(1, math.ceil(fraction * acquired)))


def too_few_frames(rows: Rows, counted: BoolArray, needed: int) -> BoolArray:
    """Flag all rows of cells with fewer than `needed` rows among those that are `counted`."""
    return np.asarray(rows.cells.spread(rows.cells.count(counted) < needed))


@by_parts
def near_border(rows: Rows, distance_px: float, measure: BorderMeasure) -> BoolArray:
    """Flag rows whose box, or centroid, is less than a distance from the frame's border.

    A box that touches the border has the distance 0; so has a centroid on the centre of a pixel
    of the outermost row or column.
    """
    _, height, width = rows.shape
    if measure == "box":
        left, top = rows.column("bbox_x0"), rows.column("bbox_y0")
        right, bottom = width - rows.column("bbox_x1"), height - rows.column("bbox_y1")
    else:
        left, top = rows.column("position_x"), rows.column("position_y")
        right, bottom = width - 1 - left, height - 1 - top
    nearest = np.minimum(np.minimum(left, right), np.minimum(top, bottom))
    return np.asarray(nearest < distance_px)


@by_parts
def saturated(rows: Rows, max_fraction: float) -> BoolArray:
    """Flag rows with more than a share of saturated pixels in any channel."""
    flags = np.zeros(len(rows), bool)
    for name in rows.of_feature("saturated_fraction"):
        flags |= rows.column(name) > max_fraction
    return flags


@by_parts
def invalid(
    rows: Rows, max_fraction: float, unrecorded: Mapping[int, Collection[int]]
) -> BoolArray:
    """Flag rows with more than a share of invalid pixels, or none left to measure.

    Frames in which a channel was not recorded (`unrecorded`) count not.
    """
    flags = np.zeros(len(rows), bool)
    for name in rows.of_feature("invalid_fraction"):
        empty = list(unrecorded.get(int(name.rpartition("_")[2]), ()))
        flags |= ~(rows.column(name) <= max_fraction) & ~np.isin(rows.frame, empty)
    return flags


@by_parts
def area_jump(rows: Rows, ratio: float, window: int) -> BoolArray:
    """Flag rows whose area differs by more than a ratio from the median of the rows around."""
    flags = np.zeros(len(rows), bool)
    for name in rows.of_feature("area"):
        values = rows.column(name).astype(np.float64)
        usual = running_median(values, rows.cells, window)
        flags |= (values > ratio * usual) | (values * ratio < usual)
    return flags


@by_parts
def after_gap(rows: Rows) -> BoolArray:
    """Flag rows whose cell was found earlier, but not in the acquired frame before."""
    flags = np.zeros(len(rows), bool)
    flags[1:] = rows.step[:-1] > 1
    return flags


@by_parts
def in_lineage(rows: Rows, links: Mapping[str, ArrayLike]) -> BoolArray:
    """Flag all rows of cells that have a parent or a daughter; the parent 0 means none."""
    parent = np.asarray(links.get("parent", []), np.int64)
    daughter = np.asarray(links.get("cell", []), np.int64)[: parent.size]
    related = np.concatenate([parent[parent > 0], daughter[parent > 0]])
    return np.isin(rows.cell, related)


def merged(rows: Rows, gain: float) -> BoolArray:
    """Flag rows whose mask has probably swallowed another cell.

    Cell B is found in a frame and not in the next acquired one; there, the box of cell A holds
    the place of B's centroid, and A's area has grown by at least `gain` times B's area. A is
    flagged from there on, as long as its area stays so great and B stays away.
    """
    flags = np.zeros(len(rows), bool)
    areas = rows.of_feature("area")
    if not areas:
        return flags
    area = rows.column(areas[0]).astype(np.float64)
    lost, now = _disappearances(rows)
    back = np.where(rows.step[lost] > 0, rows.frame[np.minimum(lost + 1, len(rows) - 1)], -1)
    for event, row in _hosts(rows, lost, now):
        if row == 0 or rows.step[row - 1] != 1:  # not found in the acquired frame before
            continue
        least = area[row - 1] + gain * area[lost[event]]
        end = rows.cells.stop[np.searchsorted(rows.cells.stop, row, side="right")]
        following = slice(row, int(end))
        holds = area[following] >= least
        if back[event] >= 0:
            holds &= rows.frame[following] < back[event]
        flags[row : row + (holds.size if holds.all() else int(np.argmin(holds)))] = True
    return flags


@by_parts
def swallowed(rows: Rows, links: Mapping[str, ArrayLike]) -> BoolArray:
    """Flag rows whose object has swallowed other cells according to the tracker's links."""
    if "merged" not in links:
        return np.zeros(len(rows), bool)
    hit = np.asarray(links["merged"]) > 0
    cell, frame = (np.asarray(links[name], np.int64)[hit] for name in ("cell", "frame"))
    return rows_named(rows, cell, frame)


def rows_named(rows: Rows, cell: IntArray, frame: IntArray) -> BoolArray:
    """Tell of each row whether its cell and frame are among those named."""
    frames = rows.shape[0] + 1
    return np.isin(rows.cell.astype(np.int64) * frames + rows.frame, cell * frames + frame)


def _disappearances(rows: Rows) -> tuple[IntArray, IntArray]:
    """Return the rows whose cell is not found in the next acquired frame, and that frame."""
    place = np.searchsorted(rows.acquired, rows.frame)
    lost = np.flatnonzero((rows.step != 1) & (place + 1 < rows.acquired.size))
    return lost, rows.acquired[place[lost] + 1]


def _hosts(rows: Rows, lost: IntArray, now: IntArray) -> list[tuple[int, int]]:
    """Return pairs: an event, and a row of its frame whose box holds the lost cell's centroid."""
    x0, y0, x1, y1 = (rows.column(f"bbox_{edge}") for edge in ("x0", "y0", "x1", "y1"))
    x: FloatArray = rows.column("position_x")[lost]
    y: FloatArray = rows.column("position_y")[lost]
    by_frame = np.argsort(rows.frame, kind="stable")
    sorted_frames = rows.frame[by_frame]
    by_time = np.argsort(now, kind="stable")
    frames, starts = np.unique(now[by_time], return_index=True)
    pairs: list[tuple[int, int]] = []
    for frame, events in zip(frames, np.split(by_time, starts[1:]), strict=False):
        low, high = np.searchsorted(sorted_frames, [frame, frame + 1])
        there = by_frame[low:high]
        # A box covers the pixels x0 to x1 - 1, that is, x0 - 1/2 to x1 - 1/2.
        px, py = x[events, None] + 0.5, y[events, None] + 0.5
        inside = (px >= x0[there]) & (px < x1[there]) & (py >= y0[there]) & (py < y1[there])
        which, host = np.nonzero(inside)
        pairs += zip(events[which].tolist(), there[host].tolist(), strict=True)
    return pairs
