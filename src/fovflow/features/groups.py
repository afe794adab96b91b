"""Values that stand group by group in one array: sums, extremes and medians per group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Groups:
    """Consecutive groups of an array's entries; a group may be empty.

    `size`: (n,) entries per group.

    Attributes
    ----------
    size : numpy.ndarray
        (n,) int64.
    total : int
        Entries of all groups.
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

    def median(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the median of each group, NaN for an empty one.

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
        lower = np.maximum.reduceat(values, halves)[::2]
        upper = values[middle]
        result[self._filled] = np.where(size % 2, upper, (lower + upper) / 2)
        return result
