"""All cells of one frame, found in one pass over the labels."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.features.groups import Groups

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_WORD = 8
_LINE = 16


class Cells:
    """The cells of one label frame, in ascending order of their ids.

    Runs are maximal horizontal stretches of one id. They and the pixels are kept cell by cell, in
    raster order within a cell. What a feature does not ask for is not computed.

    Attributes
    ----------
    shape : tuple of int
        (Y, X) of the frame.
    ids : numpy.ndarray
        (n,) int64.
    row, start, stop : numpy.ndarray
        int64, one entry per run: its row and its columns ``start <= x < stop``.
    runs : Groups
        Which runs belong to which cell.
    """

    def __init__(
        self,
        padded: NDArray[Any],
        shape: tuple[int, int],
        at: IntArray,
        length: IntArray,
        value: NDArray[Any],
    ):
        self.shape = shape
        self._padded = padded
        order = np.argsort(value, kind="stable")
        value, self._at, self._length = value[order], at[order], length[order]
        begins = np.flatnonzero(np.diff(value, prepend=value[:1] * 0) != 0)  # ids are never 0
        self.ids = value[begins].astype(np.int64)
        self.runs = Groups(np.diff(begins, append=value.size))
        self.row = (self._at - 1) // (shape[1] + 1)
        self.start = self._at - 1 - self.row * (shape[1] + 1)
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

        The differences are taken in Python's integers, so that symmetric shapes give exact zeros.
        """
        x, y = (total.astype(object) for total in self.sums)
        area = self.area.astype(object)
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
        return self._expanded(self._at - 1 - self.row)

    @cached_property
    def outline(self) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """Pixels whose neighbour at (dx, dy) is not in the cell: (1,0), (0,1), (1,1), (−1,1)."""
        down = self.shape[1] + 1
        below = gather(self._padded, self._expanded(self._at + down))
        same = below == self.pixels.spread(self.ids.astype(self._padded.dtype))
        straight = self.pixels.count(same)
        # A step to the side along a run only trades the pixel at one end for one beyond the other.
        own = self.runs.spread(self.ids)
        ends = np.cumsum(self._length)
        first, last = same[ends - self._length], same[ends - 1]
        before = self._padded[self._at + down - 1] == own
        after = self._padded[self._at + down + self._length] == own
        right = straight - self.runs.count(first) + self.runs.count(after)
        left = straight - self.runs.count(last) + self.runs.count(before)
        return self.runs.size, self.area - straight, self.area - right, self.area - left

    @cached_property
    def hull(self) -> FloatArray:
        """(n,) area of the convex hull of the corners of each cell's pixels."""
        import cv2

        x0, y0, _, _ = (self.runs.spread(edge) for edge in self.box)
        corners = np.empty((self.runs.total, 4, 2), np.int32)
        corners[:, 0::2, 0] = (self.start - x0)[:, None]
        corners[:, 1::2, 0] = (self.stop - x0)[:, None]
        corners[:, :2, 1] = (self.row - y0)[:, None]
        corners[:, 2:, 1] = (self.row - y0 + 1)[:, None]
        return np.array(
            [
                cv2.contourArea(cv2.convexHull(corners[place].reshape(-1, 2)))
                for place in self.runs.slices()
            ],
            np.float64,
        )

    def _expanded(self, start: IntArray) -> IntArray:
        """Return the indices of all pixels of runs that begin at the indices `start`."""
        length = self._length
        ends = np.cumsum(length)
        total = int(ends[-1]) if ends.size else 0
        return np.repeat(start - (ends - length), length) + np.arange(total)

    def mask(self, i: int, margin: int = 0) -> tuple[BoolArray, int, int]:
        """Return the mask of cell number `i` in its box, and the box's corner x0, y0.

        Parameters
        ----------
        i : int
            Place of the cell in `ids`.
        margin : int
            Pixels by which the box is widened; it stays inside the frame.
        """
        x0, y0, x1, y1 = (int(edge[i]) for edge in self.box)
        height, width = self.shape
        x0, y0 = max(x0 - margin, 0), max(y0 - margin, 0)
        x1, y1 = min(x1 + margin, width), min(y1 + margin, height)
        frame = self._padded[1 : 1 + height * (width + 1)].reshape(height, width + 1)
        return frame[y0:y1, x0:x1] == self.ids[i], x0, y0


def gather(frame: NDArray[Any], flat: IntArray) -> NDArray[Any]:
    """Return the pixels at the indices `flat` of a flattened frame.

    A sparse pass of independent reads goes first: it brings the cache lines in many at a time,
    where the dense pass would wait for one after the other.
    """
    frame.take(flat[::_LINE])
    return frame.take(flat)


def _squares_below(n: IntArray) -> IntArray:
    """Return Σk² for 0 <= k < n."""
    return (n - 1) * n * (2 * n - 1) // 6


class CellFinder:
    """Find the cells of frames, one after another.

    The label frame is laid into a buffer with one zero after each row, one row of zeros below and
    one zero before all: then neither runs nor neighbours go past the frame's border.
    """

    def __init__(self) -> None:
        self._padded: NDArray[Any] = np.zeros(0, np.uint16)
        self._begins: BoolArray = np.zeros(0, bool)
        self._shape = (-1, -1)

    def __call__(self, labels: NDArray[Any]) -> Cells:
        """Return the cells of one label frame; they are valid until the next call.

        Parameters
        ----------
        labels : numpy.ndarray
            (Y, X) of an integer dtype; 0 is background, other values are ids.

        Raises
        ------
        FovflowError
            If `labels` is no such array or has negative values.
        """
        if labels.ndim != 2 or labels.dtype.kind not in "ui":
            raise FovflowError(
                "features need label frames: (Y, X) arrays of integers",
                found=f"shape {labels.shape}, dtype {labels.dtype}",
                remedy="give the output of tracking, frame by frame",
            )
        self._lay(labels)
        at = self._changes()
        value = self._padded[at]
        inside = value[:-1] != 0  # the last change is back to 0
        length = np.diff(at)[inside]
        at, value = at[:-1][inside], value[:-1][inside]
        if value.size and int(value.min()) < 0:
            raise FovflowError(
                "labels must not be negative",
                found=str(value.min()),
                remedy="number the cells from 1",
            )
        return Cells(self._padded, self._shape, at, length, value)

    def _lay(self, labels: NDArray[Any]) -> None:
        height, width = labels.shape
        if self._shape != labels.shape or self._padded.dtype != labels.dtype:
            size = -(-(2 + (height + 1) * (width + 1)) // _WORD) * _WORD
            self._padded = np.zeros(size, labels.dtype)
            self._begins = np.zeros(size, bool)
            self._shape = (height, width)
        rows = self._padded[1 : 1 + height * (width + 1)].reshape(height, width + 1)
        rows[:, :width] = labels

    def _changes(self) -> IntArray:
        """Return where the value differs from the one before."""
        np.not_equal(self._padded[1:], self._padded[:-1], out=self._begins[1:])
        # Eight flags at a time: changes are rare, and nonzero() of the flags themselves is slow.
        words = np.flatnonzero(self._begins.view(np.uint64) != 0)
        bits = np.flatnonzero(self._begins.reshape(-1, _WORD)[words])
        return words[bits // _WORD] * _WORD + bits % _WORD
