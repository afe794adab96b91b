"""A table of traces as the rules see it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fovflow.errors import FovflowError
from fovflow.features.groups import Groups

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_CHUNK = 1 << 13
_NEEDED = ("cell", "frame", "position_x", "position_y", "bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1")


class Rows:
    """Rows sorted by cell, then frame.

    Parameters
    ----------
    columns : mapping of str to array-like
        The columns of one FOV's traces, in any order of rows.
    shape : tuple of int
        (T, Y, X) of the movie.
    missing : collection of int
        Frames that were not acquired.

    Attributes
    ----------
    order : numpy.ndarray or slice
        Place of each sorted row in `columns`: all of them, where they are sorted there.
    cells : Groups
        Which rows belong to which cell.
    acquired : numpy.ndarray
        Sorted indices of the frames that were acquired.
    """

    def __init__(
        self,
        columns: Mapping[str, ArrayLike],
        shape: tuple[int, int, int],
        missing: frozenset[int] = frozenset(),
    ):
        absent = [name for name in _NEEDED if name not in columns]
        if absent:
            raise FovflowError(f"the traces have no column {absent[0]!r}", found=", ".join(columns))
        self._columns = columns
        self.shape = shape
        cell, frame = (np.asarray(columns[name]) for name in ("cell", "frame"))
        self.order = slice(None) if _sorted(cell, frame) else np.lexsort((frame, cell))
        self.cell: IntArray = cell[self.order].astype(np.int64, copy=False)
        self.frame: IntArray = frame[self.order].astype(np.int64, copy=False)
        begins = np.flatnonzero(np.append(True, self.cell[1:] != self.cell[:-1])[: self.cell.size])
        self.cells = Groups(np.diff(begins, append=self.cell.size))
        self.acquired = np.array([t for t in range(shape[0]) if t not in missing], np.int64)

    def __len__(self) -> int:
        return self.cell.size

    def column(self, name: str) -> NDArray[Any]:
        """Return one column, in sorted order."""
        return np.asarray(self._columns[name])[self.order]

    def of_feature(self, feature: str) -> list[NDArray[Any]]:
        """Return the columns of a feature, one per channel that has it."""
        return [self.column(n) for n in self._columns if n.startswith(f"{feature}_ch_")]

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


def _sorted(cell: NDArray[Any], frame: NDArray[Any]) -> bool:
    same = cell[1:] == cell[:-1]
    return bool(np.all((cell[1:] > cell[:-1]) | same & (frame[1:] >= frame[:-1])))


def running_median(values: FloatArray, groups: Groups, window: int) -> FloatArray:
    """Return the median over the `window` values around each one, within its group.

    At the ends of a group the window is cut off; NaNs do not count.
    """
    offsets = np.arange(window) - window // 2
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
