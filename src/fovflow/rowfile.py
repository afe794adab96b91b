"""Rows of a long table in an unnamed file: memory holds a block of them, whatever their number."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fovflow.atomic import blaming, unnamed_file
from fovflow.labels import compact

_READ = 1 << 16


class RowFile:
    """Takes rows in any order and gives them back by column, sorted by cell, then frame.

    The rows lie in blocks. Each is sorted, and written column by column, so that neighbouring
    rows of the sorted table are neighbours in each block.

    `table`: the file that is made of the rows; they lie on the same disk, in a file without a name.
    `block`: rows that are gathered in memory before they are written.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> with tempfile.TemporaryDirectory() as folder, RowFile(f"{folder}/traces.csv") as rows:
    ...     for frame in range(2):
    ...         part = {"cell": np.array([2, 1]), "frame": np.full(2, frame)}
    ...         rows.append({**part, "area": np.array([20, 10]) + frame})
    ...     area = rows.columns({"cell": int, "frame": int, "area": int})["area"]
    ...     area[1:3].tolist(), np.asarray(area).tolist()
    ([11, 20], [10, 11, 20, 21])
    """

    def __init__(self, table: str | os.PathLike[str], *, block: int = 1 << 14):
        self._table = Path(table)
        self._file = unnamed_file(table)
        self._block = block
        self._parts: list[Mapping[str, NDArray[Any]]] = []
        self._waiting = 0
        self._bases = [0]  # the first row of each block, and the number of all rows
        self._starts: list[int] = []  # where each block begins in the file
        self._end = 0
        self._dtypes: dict[str, np.dtype[Any]] = {}
        self._before: dict[str, int] = {}  # bytes per row of the columns before one
        self._order: NDArray[np.int32] = np.zeros(0, np.int32)
        self._plan = _Plan(0, 0, [], self._order)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(OSError):  # what was not written yet, nobody needs any more
            self._file.close()

    def append(self, part: Mapping[str, NDArray[Any]]) -> None:
        """Take rows: columns of numbers, always the same ones, with `cell` and `frame` among them.

        Each row is of a cell and a frame of its own.
        """
        self._parts.append(part)
        self._waiting += part["cell"].size
        if self._waiting >= self._block:
            self._write_block()

    def _write_block(self) -> None:
        parts, self._parts = self._parts, []
        if not self._dtypes:
            self._dtypes = {name: values.dtype for name, values in parts[0].items()}
            sizes = [dtype.itemsize for dtype in self._dtypes.values()]
            self._before = dict(zip(self._dtypes, accumulate(sizes, initial=0), strict=False))
        cell, frame = (np.concatenate([part[name] for part in parts]) for name in ("cell", "frame"))
        order = np.lexsort((frame, cell))
        self._starts.append(self._end)
        self._bases.append(self._bases[-1] + self._waiting)
        self._waiting = 0
        with blaming(self._table):
            for name, dtype in self._dtypes.items():
                values = np.concatenate([part[name] for part in parts], dtype=dtype, casting="safe")
                self._end += self._file.write(values[order].data)
            self._file.flush()

    def columns(self, dtypes: Mapping[str, DTypeLike]) -> dict[str, Any]:
        """Return the columns named, of the dtypes that were appended, as long as the file is open.

        No row can be taken afterwards.
        """
        if self._waiting:
            self._write_block()
        n = self._bases[-1]
        if n:
            # Read as they lie, which is sorted within each block.
            self._order = np.arange(n, dtype=np.int32)
            keys = [compact(self.read(name, 0, n)) for name in ("frame", "cell")]
            self._order = np.lexsort(keys).astype(np.int32)
            self._plan = _Plan(0, 0, [], self._order)
        return {name: FileColumn(self, name, np.dtype(dtype)) for name, dtype in dtypes.items()}

    def __len__(self) -> int:
        return self._order.size

    def read(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Return the sorted rows ``start <= i < stop`` of a column, after `columns` was called."""
        if (self._plan.start, self._plan.stop) != (start, stop):
            self._plan = self._find(start, stop)  # the same for all columns, which come in turn
        dtype, before = self._dtypes[name], self._before[name]
        found = np.empty(stop - start, dtype)
        into = found.view(np.uint8).data
        done = 0
        for block, first, count in self._plan.pieces:
            rows = self._bases[block + 1] - self._bases[block]
            self._file.seek(self._starts[block] + rows * before + first * dtype.itemsize)
            size = count * dtype.itemsize
            if self._file.readinto(into[done : done + size]) != size:
                raise OSError("the file of a table's rows ended early")
            done += size
        return np.asarray(found[self._plan.order])

    def _find(self, start: int, stop: int) -> _Plan:
        """Find the pieces of the blocks that hold some rows of the sorted table."""
        order = self._order[start:stop]
        if order.size == len(self):  # all blocks as a whole
            sizes = [high - low for low, high in pairwise(self._bases)]
            return _Plan(start, stop, [(k, 0, size) for k, size in enumerate(sizes)], order)
        taken = np.sort(order)
        bounds = np.searchsorted(taken, self._bases).tolist()
        pieces = [
            (block, int(taken[low]) - self._bases[block], high - low)
            for block, (low, high) in enumerate(pairwise(bounds))
            if high > low
        ]
        return _Plan(start, stop, pieces, np.searchsorted(taken, order))


@dataclass(frozen=True, slots=True)
class _Plan:
    """How the rows ``start <= i < stop`` of the sorted table are put together.

    `pieces` are (block, its first row that is read, number of rows that are read); `order` tells
    where each of the rows lies among those that are read.
    """

    start: int
    stop: int
    pieces: list[tuple[int, int, int]]
    order: NDArray[Any]


class FileColumn:
    """A column of a `RowFile`: slices of step 1 give arrays, and so does `numpy.asarray`."""

    ndim, on_disk = 1, True

    def __init__(self, rows: RowFile, name: str, dtype: np.dtype[Any]):
        self._rows, self._name, self.dtype = rows, name, dtype

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self._rows)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, _ = rows.indices(self.size)
        if stop <= start:
            return np.zeros(0, self.dtype)
        found = np.empty(stop - start, self.dtype)
        for first in range(start, stop, _READ):  # what is put in order stays small
            last = min(first + _READ, stop)
            found[first - start : last - start] = self._rows.read(self._name, first, last)
        return found

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all rows."""
        return self[:].astype(dtype or self.dtype, copy=False)
