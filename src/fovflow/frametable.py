"""Per-frame statistics of a step as the columns of a table."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


class FrameTable:
    """Collect one row of statistics per frame.

    Rows of missing frames have NaN for numbers with a fraction, 0 for counts, and the flag
    ``missing``.

    Parameters
    ----------
    kind : type
        The frozen dataclass of the statistics; its fields become columns.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True)
    ... class Stats:
    ...     level: float
    ...     flag: str = ""
    >>> table = FrameTable(Stats)
    >>> table.add(0, Stats(1.5))
    >>> table.add_missing(1)
    >>> {name: column.tolist() for name, column in table.columns().items()}
    {'frame': [0, 1], 'level': [1.5, nan], 'flag': ['', 'missing']}
    """

    def __init__(self, kind: type):
        self._fields = dataclasses.fields(kind)
        self._rows: list[tuple[Any, ...]] = []

    def add(self, t: int, stats: Any) -> None:
        """Add the statistics of frame `t`."""
        self._rows.append((t, *(getattr(stats, field.name) for field in self._fields)))

    def add_missing(self, t: int) -> None:
        """Add a row for frame `t`, which the acquisition lacks."""
        absent = {"float": math.nan, "int": 0, "str": "missing", "bool": False}
        self._rows.append((t, *(absent[str(field.type)] for field in self._fields)))

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the table's columns, ``frame`` first."""
        names = ["frame", *(field.name for field in self._fields)]
        if not self._rows:
            return {name: np.array([]) for name in names}
        return {
            name: np.array(column)
            for name, column in zip(names, zip(*self._rows, strict=True), strict=True)
        }
