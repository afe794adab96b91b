"""Where an extractor keeps its rows until all frames are there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

Columns = dict[str, Any]
"""Columns of one length: arrays, or what gives parts of one as slices."""


class RowStore(Protocol):
    """Takes rows frame by frame and gives them back by column, sorted by cell, then frame."""

    def append(self, part: Mapping[str, NDArray[Any]]) -> None:
        """Take the rows of a frame: always the same columns, with `cell` and `frame`."""
        ...

    def columns(self, dtypes: Mapping[str, DTypeLike]) -> Columns:
        """Return the columns named, of these dtypes; no row is appended afterwards."""
        ...


class MemoryRows:
    """Keeps rows in memory."""

    def __init__(self) -> None:
        self._parts: list[dict[str, NDArray[Any]]] = []

    def append(self, part: Mapping[str, NDArray[Any]]) -> None:
        """Take the rows of a frame."""
        self._parts.append(dict(part))

    def columns(self, dtypes: Mapping[str, DTypeLike]) -> Columns:
        """Return the columns as arrays; all rows are let go of."""
        # Column by column, and each is let go of: the table stands in memory only once.
        parts, self._parts = self._parts, []
        keys = [_joined([part[name] for part in parts], np.int64) for name in ("frame", "cell")]
        order = np.lexsort(keys)
        return {
            name: _joined([part.pop(name) for part in parts], dtype)[order]
            for name, dtype in dtypes.items()
        }


def _joined(parts: list[NDArray[Any]], dtype: DTypeLike) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *parts])
