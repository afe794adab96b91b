"""Units and selections: times, and ranges such as ``0-5, 7``."""

from __future__ import annotations

import re
from typing import Literal

from fovflow.errors import ConfigError

TimeUnit = Literal["s", "min", "h"]

SECONDS_PER: dict[str, float] = {"s": 1.0, "min": 60.0, "h": 3600.0}
"""Seconds in one unit of time."""

_RANGE = re.compile(r"^(\d+)(?:\s*-\s*(\d+))?$")


def parse_ranges(text: str | int, what: str = "fovs") -> tuple[int, ...]:
    """Parse inclusive ranges such as ``"0-5, 7, 9-11"`` into sorted distinct indices.

    Parameters
    ----------
    text : str or int
        Comma-separated indices and ranges, both ends included, counted from 0.
    what : str
        The key that is named in errors.

    Raises
    ------
    ConfigError
        For anything that is no list of ranges, for negative and for reversed ranges.

    Examples
    --------
    >>> parse_ranges("0-2, 7")
    (0, 1, 2, 7)
    """
    found: set[int] = set()
    remedy = 'write indices from 0 and inclusive ranges, such as "0-5, 7, 9-11", or all'
    for part in str(text).split(","):
        match = _RANGE.match(part.strip())
        if not match:
            raise ConfigError(f"{what}: {part.strip()!r} is no index and no range", remedy=remedy)
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
        if last < first:
            raise ConfigError(f"{what}: the range {part.strip()!r} is reversed", remedy=remedy)
        if last - first > 10_000_000:
            raise ConfigError(f"{what}: the range {part.strip()!r} is too long", remedy=remedy)
        found.update(range(first, last + 1))
    return tuple(sorted(found))


def format_ranges(indices: tuple[int, ...] | list[int] | range) -> str:
    """Write indices as inclusive ranges: the inverse of `parse_ranges`.

    Examples
    --------
    >>> format_ranges([0, 1, 2, 7])
    '0-2, 7'
    """
    runs: list[list[int]] = []
    for index in sorted(set(indices)):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
