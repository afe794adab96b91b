"""Scales of charts: round ticks, and numbers as people write them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def count(value: int) -> str:
    r"""Return a count with thin spaces between thousands.

    Examples
    --------
    >>> count(12345)
    '12\u202f345'
    """
    return f"{value:,}".replace(",", "\u202f")


def percent(part: float, whole: float) -> str:
    """Return a share in percent; a dash where there is no whole."""
    if not whole:
        return "–"
    share = 100 * part / whole
    if 0 < share < 1:
        return "< 1\N{NO-BREAK SPACE}%"
    if 99 < share < 100:
        return "> 99\N{NO-BREAK SPACE}%"
    return f"{share:.0f}\N{NO-BREAK SPACE}%"


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map of values in [low, high] to whole chart units from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, values: Any) -> NDArray[np.int64]:
        """Return the positions, rounded; values far outside are held near the range."""
        span = (self.high - self.low) or 1.0
        share = np.clip((np.asarray(values, np.float64) - self.low) / span, -0.5, 1.5)
        return np.rint(self.start + share * (self.end - self.start)).astype(np.int64)


def value_range(values: NDArray[Any]) -> tuple[float, float]:
    """Return a range of the axis that holds 0 and all values but rare extremes.

    From the 0.5th to the 99.5th percentile, or to the least and greatest value where these are
    not much further out; 5 % of room on each side that is not 0.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, p_low, p_high, high = np.percentile(finite, [0, 0.5, 99.5, 100]).tolist()
    span = max(p_high, 0.0) - min(p_low, 0.0)
    high = high if high <= p_high + 0.3 * span else p_high + 0.1 * span
    low = low if low >= p_low - 0.3 * span else p_low - 0.1 * span
    room = 0.05 * (max(high, 0.0) - min(low, 0.0))
    low, high = (low - room if low < 0 else 0.0), (high + room if high > 0 else 0.0)
    return (low, high) if high > low else (0.0, 1.0)
