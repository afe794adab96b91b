"""Good traces of all FOVs, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

CAPACITY_ROWS = 2_000_000
"""Rows that are held at once for one plot; beyond this, every second cell is let go."""


@dataclass(frozen=True, slots=True)
class Line:
    """One cell's good rows: times and values, (n,) float32, in the order of time."""

    time: NDArray[np.float32]
    value: NDArray[np.float32]
    frame: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Summary:
    """Quartiles of the cells per frame: (n,) float64 each, frames without cells left out."""

    time: NDArray[np.float64]
    lower: NDArray[np.float64]
    median: NDArray[np.float64]
    upper: NDArray[np.float64]


class TraceSample:
    """Collect the good rows of one feature, FOV by FOV.

    All are kept up to `capacity` rows; beyond, every second cell is dropped, again and again, so
    that memory is bounded and the choice depends on the order of cells alone.

    Parameters
    ----------
    capacity : int
        Rows to hold at most.

    Attributes
    ----------
    cells : int
        Good cells that were offered.
    every : int
        One cell in so many is kept.
    """

    def __init__(self, capacity: int = CAPACITY_ROWS):
        self.cells = 0
        self.every = 1
        self._capacity = capacity
        self._lines: list[tuple[int, Line]] = []
        self._rows = 0

    def add(self, table: dict[str, NDArray[Any]], column: str) -> None:
        """Add the good rows of one FOV's traces; rows without a finite value are left out."""
        values = np.asarray(table[column], np.float32)
        use = np.asarray(table["good"], bool) & np.isfinite(values)
        if not use.any():
            return
        cell, frame = np.asarray(table["cell"])[use], np.asarray(table["frame"])[use]
        order = np.lexsort((frame, cell))
        cell, frame, values = cell[order], frame[order].astype(np.int32), values[use][order]
        time = np.asarray(table["time"], np.float32)[use][order]
        starts = np.flatnonzero(np.diff(cell, prepend=cell[0] - 1))
        for start, stop in zip(starts, [*starts[1:], cell.size], strict=True):
            number, self.cells = self.cells, self.cells + 1
            if number % self.every:
                continue
            part = slice(start, stop)
            self._lines.append(
                (number, Line(time[part].copy(), values[part].copy(), frame[part].copy()))
            )
            self._rows += stop - start
            while self._rows > self._capacity and len(self._lines) > 1:
                self._thin()

    def _thin(self) -> None:
        self.every *= 2
        self._lines = [(n, line) for n, line in self._lines if n % self.every == 0]
        self._rows = sum(line.value.size for _, line in self._lines)

    def lines(self, most: int) -> list[Line]:
        """Return at most `most` cells, spread evenly over all that are kept."""
        kept = len(self._lines)
        chosen = range(kept) if kept <= most else [i * kept // most for i in range(most)]
        return [self._lines[i][1] for i in chosen]

    def values(self) -> NDArray[np.float32]:
        """Return all kept values, (n,)."""
        return _joined([line.value for _, line in self._lines], np.float32)

    def summary(self) -> Summary:
        """Return the quartiles of the kept cells in each frame."""
        frames = _joined([line.frame for _, line in self._lines], np.int32)
        times = _joined([line.time for _, line in self._lines], np.float32)
        values = self.values()
        order = np.argsort(frames, kind="stable")
        starts = np.flatnonzero(np.diff(frames[order], prepend=-1))
        rows = []
        for where in np.split(order, starts[1:]) if order.size else []:
            quartiles = np.percentile(values[where].astype(np.float64), [25, 50, 75])
            rows.append((float(np.median(times[where])), *quartiles.tolist()))
        columns = np.array(rows, np.float64).reshape(-1, 4).T
        return Summary(*columns)


def _joined(parts: list[NDArray[Any]], dtype: DTypeLike) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype)
