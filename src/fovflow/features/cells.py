"""All cells of one frame, found in one pass over the labels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fovflow.errors import FovflowError
from fovflow.labels import BoolArray, FloatArray, IntArray, find_runs, padded_size


class Groups:
    """Consecutive groups of an array's entries; a group may be empty.

    `size`: (n,) entries per group. `total`: entries of all groups.
    """

    def __init__(self, size: NDArray[Any]):
        self.size = size.astype(np.int64)
        self.stop = np.cumsum(self.size)
        self.start = self.stop - self.size
        self.total = int(self.stop[-1]) if size.size else 0
        self._filled = self.size > 0
        self._first = self.start[self._filled]

    def slices(self) -> Iterator[slice]:
        """Iterate over the groups' places in the array."""
        for start, stop in zip(self.start.tolist(), self.stop.tolist(), strict=True):
            yield slice(start, stop)

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return one value per entry from one value per group."""
        return np.repeat(values, self.size)

    def sum(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the sum of each group, 0 for an empty one; integers stay exact."""
        return self._reduced(np.add, values, 0.0)

    def count(self, flags: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return how many flags of each group are set."""
        result = np.zeros(self.size.size, np.int64)
        if self._first.size:
            result[self._filled] = np.add.reduceat(flags, self._first, dtype=np.int64)
        return result

    def mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean of each group, NaN for an empty one."""
        return np.asarray(self.sum(values) / np.where(self.size > 0, self.size, np.nan))

    def std(self, values: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the standard deviation (ddof = 0) of each group about its `mean`."""
        deviation = self.spread(mean)
        deviation -= values
        deviation *= deviation
        return np.sqrt(self.mean(deviation))

    def min(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the least value of each group; NaN for an empty one where values are floats."""
        return self._reduced(np.minimum, values, np.nan)

    def max(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the greatest value of each group; NaN for an empty one of floats."""
        return self._reduced(np.maximum, values, np.nan)

    def _reduced(self, ufunc: np.ufunc, values: NDArray[Any], empty: float) -> NDArray[Any]:
        dtype = np.float64 if values.dtype.kind == "f" else np.int64
        result = np.zeros(self.size.size, dtype)
        if dtype is np.float64:
            result[:] = empty
        if self._first.size:
            result[self._filled] = ufunc.reduceat(values, self._first)
        return result

    def median(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the median of each group of floats, NaN for an empty one.

        For an even number of values it is the mean of the two middle ones.
        """
        result = np.full(self.size.size, np.nan)
        if not self._first.size:
            return result
        values = values.copy()
        size = self.size[self._filled]
        middle = self._first + size // 2
        for begin, end, half in zip(
            self._first.tolist(), (self._first + size).tolist(), (size // 2).tolist(), strict=True
        ):
            values[begin:end].partition(half)
        # Each group is now a lower half, the upper middle, and the rest.
        halves = np.stack([self._first, middle], axis=1).reshape(-1)
        lower = np.maximum.reduceat(values, halves)[::2].astype(np.float64)
        upper = values[middle].astype(np.float64)
        result[self._filled] = np.where(size % 2, upper, (lower + upper) / 2)
        return result


_LINE = 8
_BLOCK = 1 << 16


class Cells:
    """The cells of one label frame, in ascending order of their ids.

    Runs are maximal horizontal stretches of one id: each has its `row` and its columns
    ``start <= x < stop``; `runs` tells which belong to which cell. They and the pixels are kept
    cell by cell, in raster order within a cell. What a feature does not ask for is not computed.
    """

    def __init__(self, labels: NDArray[Any], at: IntArray, length: IntArray, value: NDArray[Any]):
        self.shape: tuple[int, int] = (labels.shape[0], labels.shape[1])
        self._labels = labels
        order = np.argsort(value, kind="stable")
        value, self._at, self._length = value[order], at[order], length[order]
        begins = np.flatnonzero(np.diff(value, prepend=value[:1] * 0) != 0)  # ids are never 0
        self.ids = value[begins].astype(np.int64)
        self.runs = Groups(np.diff(begins, append=value.size))
        self.row = self._at // labels.shape[1] if value.size else self._at
        self.start = self._at - self.row * labels.shape[1]
        self.stop = self.start + self._length

    def __len__(self) -> int:
        return self.ids.size

    @cached_property
    def area(self) -> IntArray:
        """(n,) pixels per cell."""
        return self.runs.sum(self._length)

    @cached_property
    def box(self) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """x0, y0, x1, y1 of each cell; the ends are not included."""
        lowest, highest = self.runs.min, self.runs.max
        return lowest(self.start), lowest(self.row), highest(self.stop), highest(self.row) + 1

    @cached_property
    def sums(self) -> tuple[IntArray, IntArray]:
        """Σx and Σy of each cell, exact."""
        x = self._length * (self.start + self.stop - 1) // 2
        return self.runs.sum(x), self.runs.sum(self._length * self.row)

    @property
    def centroid(self) -> tuple[FloatArray, FloatArray]:
        """Centroid of each cell: x and y in pixels."""
        x, y = self.sums
        return x / self.area, y / self.area

    @cached_property
    def moments(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """μxx + μyy, μxx − μyy and μxy of each cell, without the pixels' own extent.

        The differences are taken in exact integers, so that symmetric shapes give exact zeros.
        """
        largest = int(self.area.max(initial=0)) * max(self.shape)
        exact = np.int64 if largest < 1 << 31 else object  # Python's integers never overflow
        x, y = (total.astype(exact) for total in self.sums)
        area = self.area.astype(exact)
        column = _squares_below(self.stop) - _squares_below(self.start)
        xx, yy = self.runs.sum(column), self.runs.sum(self._length * self.row**2)
        xy = self.runs.sum(self.row * (self._length * (self.start + self.stop - 1) // 2))
        numerator_xx = area * xx - x * x
        numerator_yy = area * yy - y * y
        numerator_xy = area * xy - x * y
        square = self.area.astype(np.float64) ** 2
        return (
            (numerator_xx + numerator_yy).astype(np.float64) / square,
            (numerator_xx - numerator_yy).astype(np.float64) / square,
            numerator_xy.astype(np.float64) / square,
        )

    @cached_property
    def pixels(self) -> Groups:
        """Which pixels belong to which cell."""
        return Groups(self.area)

    @cached_property
    def flat(self) -> IntArray:
        """Index of each pixel in the flattened frame, cell by cell."""
        length = self._length
        ends = np.cumsum(length)
        total = int(ends[-1]) if ends.size else 0
        return np.repeat(self._at - (ends - length), length) + np.arange(total)

    @cached_property
    def outline(self) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """Pixels whose neighbour at (dx, dy) is not in the cell: (1,0), (0,1), (1,1), (−1,1)."""
        upper, lower = self._stacked
        held = Groups(self.runs.sum(np.bincount(upper, minlength=self.row.size)))
        first, last = self.start[upper], self.stop[upper]
        left, right = self.start[lower], self.stop[lower]
        counts = [
            self.area
            - held.sum(np.maximum(np.minimum(last + dx, right) - np.maximum(first + dx, left), 0))
            for dx in (0, 1, -1)
        ]
        return self.runs.size, counts[0], counts[1], counts[2]

    @cached_property
    def _stacked(self) -> tuple[IntArray, IntArray]:
        """Pairs of runs of one cell in two successive rows, in order of the upper one."""
        row, n = self.row, self.row.size
        new_row = np.ones(n, bool)
        new_row[1:] = row[1:] != row[:-1]
        new_row[self.runs.start] = True
        begins = np.flatnonzero(new_row)  # of the runs of one cell in one row
        size = np.diff(begins, append=n)
        below = np.zeros(begins.size, np.int64)  # runs of the cell in the next row
        below[:-1] = np.where(row[begins[1:]] == row[begins[:-1]] + 1, size[1:], 0)
        below[np.searchsorted(begins, self.runs.start)[1:] - 1] = 0
        count = np.repeat(below, size)
        upper = np.repeat(np.arange(n), count)
        within = np.arange(upper.size) - np.repeat(np.cumsum(count) - count, count)
        return upper, np.repeat(begins + size, size)[upper] + within

    @cached_property
    def hull(self) -> FloatArray:
        """(n,) area of the convex hull of the corners of each cell's pixels."""
        import cv2

        corners = np.empty((self.row.size, 4, 2), np.int32)  # left, right above, then below
        corners[:, 0::2, 0], corners[:, 1::2, 0] = self.start[:, None], self.stop[:, None]
        corners[:, :2, 1], corners[:, 2:, 1] = self.row[:, None], self.row[:, None] + 1
        keep = self._outer_corners()
        outer = corners.reshape(-1, 2).take(np.flatnonzero(keep), axis=0)
        cells = Groups(Groups(4 * self.runs.size).count(keep.reshape(-1)))
        areas = [cv2.contourArea(cv2.convexHull(outer[place])) for place in cells.slices()]
        return np.array(areas, np.float64)

    def _outer_corners(self) -> BoolArray:
        """Tell for each run which corners can be the hull's: left, right above, then below.

        On the line between two runs, one above the other, only the outermost corner on each side
        can be one.
        """
        keep = np.ones((self.row.size, 4), bool)
        upper, lower = self._stacked
        start, stop = self.start, self.stop
        keep[lower[start[lower] > start[upper]], 0] = False
        keep[lower[stop[lower] < stop[upper]], 1] = False
        keep[upper[start[lower] <= start[upper]], 2] = False
        keep[upper[stop[lower] >= stop[upper]], 3] = False
        return keep

    def mask(self, i: int, margin: int = 0) -> tuple[BoolArray, int, int]:
        """Return the mask of cell number `i` in its box, and the box's corner x0, y0.

        `i`: place of the cell in `ids`. `margin`: pixels by which the box is widened; it stays
        inside the frame.
        """
        x0, y0, x1, y1 = (int(edge[i]) for edge in self.box)
        height, width = self.shape
        x0, y0 = max(x0 - margin, 0), max(y0 - margin, 0)
        x1, y1 = min(x1 + margin, width), min(y1 + margin, height)
        return self._labels[y0:y1, x0:x1] == self.ids[i], x0, y0


def gather(frame: NDArray[Any], flat: IntArray, dtype: DTypeLike) -> NDArray[Any]:
    """Return the pixels at the indices `flat` of a frame, as `dtype`.

    It goes block by block, and in each a sparse pass of independent reads goes first: it brings
    the cache lines in many at a time, where the dense pass would wait for one after the other. All
    indices lie inside the frame; NumPy takes them faster where it need not raise.
    """
    pixels = frame.reshape(-1)
    result = np.empty(flat.size, dtype)
    for begin in range(0, flat.size, _BLOCK):
        block = flat[begin : begin + _BLOCK]
        pixels.take(block[::_LINE], mode="wrap")
        result[begin : begin + _BLOCK] = pixels.take(block, mode="wrap")
    return result


def _squares_below(n: IntArray) -> IntArray:
    """Return Σk² for 0 <= k < n."""
    return (n - 1) * n * (2 * n - 1) // 6


class CellFinder:
    """Find the cells of frames, one after another; keeps its buffer between frames."""

    def __init__(self) -> None:
        self._flags: BoolArray = np.zeros(0, bool)

    def __call__(self, labels: NDArray[Any]) -> Cells:
        """Return the cells of one label frame.

        `labels`: (Y, X) of an integer dtype; 0 is background, other values are ids. Raises
        FovflowError if `labels` is no such array or has negative values.
        """
        if labels.ndim != 2 or labels.dtype.kind not in "ui":
            raise FovflowError(
                "features need label frames: (Y, X) arrays of integers",
                found=f"shape {labels.shape}, dtype {labels.dtype}",
                remedy="give the output of tracking, frame by frame",
            )
        labels = np.ascontiguousarray(labels)
        if self._flags.size != padded_size(labels):
            self._flags = np.zeros(padded_size(labels), bool)
        at, length, value = find_runs(labels, self._flags)
        if value.size and int(value.min()) < 0:
            raise FovflowError(
                "labels must not be negative",
                found=str(value.min()),
                remedy="number the cells from 1",
            )
        return Cells(labels, at, length, value)
