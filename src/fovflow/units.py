"""Units, numbers and selections: lengths, times, marks of an axis, ranges such as ``0-5, 7``."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Literal, TypeVar

from fovflow.errors import ConfigError

T = TypeVar("T")

Axes = str | Mapping[str, str]
"""Letters of all axes that are longer than one, outermost first, such as ``"TCYX"``; or names of
axes and what they are, such as ``{"z": "time"}``."""

Pattern = str | Sequence[str]
"""How the names of a series are made up: one pattern, or several of which the first that fits
counts."""

_AXES = {"position": "P", "time": "T", "channel": "C", "z": "Z"}

TimeUnit = Literal["s", "min", "h"]

SECONDS_PER: dict[str, float] = {"s": 1.0, "min": 60.0, "h": 3600.0}
"""Seconds in one unit of time."""

_RANGE = re.compile(r"(\d{1,18})(?:\s*-\s*(\d{1,18}))?")
_MOST = 10_000_000


def parse_ranges(text: str | int, what: str = "fovs") -> tuple[int, ...]:
    """Parse inclusive ranges such as ``"0-5, 7, 9-11"`` into sorted distinct indices.

    Both ends of a range are included, and indices count from 0. Anything else, also a negative or
    reversed range, is a `ConfigError` that names the key `what`.

    Examples
    --------
    >>> parse_ranges("0-2, 7")
    (0, 1, 2, 7)
    """
    found: set[int] = set()
    remedy = 'write indices from 0 and inclusive ranges, such as "0-5, 7, 9-11", or all'
    for part in str(text).split(","):
        match = _RANGE.fullmatch(part.strip())
        if not match:
            raise ConfigError(f"{what}: {part.strip()!r} is no index and no range", remedy=remedy)
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
        if last < first:
            raise ConfigError(f"{what}: the range {part.strip()!r} is reversed", remedy=remedy)
        if last - first + len(found) > _MOST:
            raise ConfigError(f"{what}: the range {part.strip()!r} is too long", remedy=remedy)
        found.update(range(first, last + 1))
    return tuple(sorted(found))


def format_ranges(indices: Sequence[int]) -> str:
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


def format_fovs(indices: Sequence[int]) -> str:
    """Return FOVs in words.

    Examples
    --------
    >>> format_fovs([3]), format_fovs([0, 1, 2, 7])
    ('FOV 3', 'FOVs 0-2, 7')
    """
    return f"{'FOV' if len(indices) == 1 else 'FOVs'} {format_ranges(indices)}"


def first_middle_last(frames: Sequence[int]) -> list[int]:
    """Return the first, the middle and the last of ascending frames, each once.

    Examples
    --------
    >>> first_middle_last(range(36))
    [0, 18, 35]
    """
    return sorted({frames[i] for i in (0, len(frames) // 2, -1)}) if frames else []


def megabytes(size: int) -> str:
    """Return a number of bytes in MB, such as ``2.3 MB``."""
    return f"{size / 1e6:.1f} MB"


_UM = {
    "m": "1e6",
    "mm": "1e3",
    "cm": "1e4",
    "in": "25400",
    "um": "1",
    "nm": "1e-3",
    "pm": "1e-6",
    "å": "1e-4",
    "angstrom": "1e-4",
}
_S = {
    "s": "1",
    "ms": "1e-3",
    "msec": "1e-3",
    "us": "1e-6",
    "ns": "1e-9",
    "min": "60",
    "h": "3600",
    "d": "86400",
}
_PREFIXES = {"milli": "m", "micro": "u", "nano": "n", "pico": "p", "centi": "c"}
_WORDS = {
    "meter": "m",
    "metre": "m",
    "second": "s",
    "sec": "s",
    "minute": "min",
    "min": "min",
    "hr": "h",
    "micron": "um",
    "inch": "in",
    "hour": "h",
    "day": "d",
}


def to_um(value: float | str | None, unit: str | None) -> float | None:
    """Return a length in µm; None if it is no finite number or its unit is not known.

    Examples
    --------
    >>> to_um(650, "nm"), to_um(0.5, "micrometer"), to_um(1, "pixel")
    (0.65, 0.5, None)
    """
    return _convert(value, unit, _UM)


def to_s(value: float | str | None, unit: str | None) -> float | None:
    """Return a time in seconds; None if it is no finite number or its unit is not known.

    Examples
    --------
    >>> to_s(5, "minute"), to_s("250", "ms")
    (300.0, 0.25)
    """
    return _convert(value, unit, _S)


def positive(value: float | None) -> float | None:
    """Return `value` if it is above zero, else None: files write 0 where they know nothing."""
    return value if value is not None and value > 0 else None


def _convert(value: float | str | None, unit: str | None, table: dict[str, str]) -> float | None:
    factor = table.get(_short(unit or ""))
    if value is None or factor is None:
        return None
    try:
        number = Decimal(str(value)) * Decimal(factor)  # exact: 1.6e-06 m are 1.6 µm
    except InvalidOperation:
        return None
    return float(number) if number.is_finite() else None


def _short(unit: str) -> str:
    """Return the symbol of a unit that is written in any of its usual forms."""
    text = unicodedata.normalize("NFKC", re.sub(r"\\u00[bB]5", "µ", unit).strip().strip('"'))
    text = text.replace("μ", "u").replace("µ", "u")
    lower = text.lower()
    for word, symbol in _WORDS.items():
        for stem, prefix in {"": "", **_PREFIXES}.items():
            if lower in (stem + word, stem + word + "s"):
                return prefix + symbol
    return lower


_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers from `low` to `high`, both inside the range.

    Examples
    --------
    >>> ticks(0, 350)
    [0.0, 100.0, 200.0, 300.0]
    """
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low] if math.isfinite(low) else []
    rough = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in _STEPS if s * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def number(value: float) -> str:
    """Return a number short enough for an axis: ``12.5``, ``40k``, ``1.2M``.

    Examples
    --------
    >>> [number(x) for x in (0, 0.25, 1500, 40000, 2.5e6, float("nan"))]
    ['0', '0.25', '1500', '40k', '2.5M', '–']
    """
    if not math.isfinite(value):
        return "–"
    for limit, unit, suffix in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= limit:
            return f"{value / unit:.4g}{suffix}"
    if value and abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{round(value, 6):.4g}" if abs(value) < 1000 else f"{value:.0f}"


def parse_axes(axes: Axes) -> str | dict[str, str]:
    """Return `axes` as letters without the plane's own ``YX``, or as a table of letters.

    Raises ValueError that says what is allowed, for axes that do not exist or stand twice.

    Examples
    --------
    >>> parse_axes("tcyx"), parse_axes({"z": "time"})
    ('TC', {'Z': 'T'})
    """
    known = set(_AXES.values())
    if isinstance(axes, str):
        letters = axes.strip().upper().removesuffix("YX")
        if letters and set(letters) <= known and len(set(letters)) == len(letters):
            return letters
    else:
        words = {str(old).lower(): str(new).lower() for old, new in axes.items()}
        table = {
            _AXES.get(old, old.upper()): _AXES.get(new, new.upper()) for old, new in words.items()
        }
        if table and {*table, *table.values()} <= known and len({*table.values()}) == len(table):
            return table
    raise ValueError(
        'the letters of the axes, outermost first, such as "TCYX" (P position, T time, C channel, '
        "Z z plane), or which axis is what, such as {z: time}"
    )


def spread(items: Sequence[T], most: int) -> list[T]:
    """Return at most so many items, spread evenly over all.

    Examples
    --------
    >>> spread("abcdef", 3)
    ['a', 'c', 'e']
    """
    count = min(most, len(items))
    return [items[i * len(items) // count] for i in range(count)]
