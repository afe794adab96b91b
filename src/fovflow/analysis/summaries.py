"""What a trace says without a model: its mean, area under the curve, onset and half-life."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fovflow.analysis.reading import TIDY
from fovflow.errors import check_columns

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

UNITS = {"mean": "{}", "area_under_curve": "{}·h", "onset": "h", "half_life": "h"}
"""The quantities and their units; ``{}`` is that of the values."""
OVER_TIME = ("mean", "area_under_curve")
"""Those that depend on when and for how long a cell was seen."""

_RISE = (0.1, 0.4)
"""Parts of the whole rise between which it is taken as straight."""
_WHOLE = 0.9
"""Least part of the longest trace's duration from which on an area is that of the whole movie."""
_SIGNAL = 6.0
"""Least rise, in standard deviations of the noise, in which an onset is looked for."""


def summaries(traces: pd.DataFrame, quantities: Iterable[str] = tuple(UNITS)) -> pd.DataFrame:
    """Return what the trace of each cell says without a model.

    Parameters
    ----------
    traces : pandas.DataFrame
        Tidy: ``time`` (h), ``fov``, ``cell``, ``value``. Rows without a value are left out.
    quantities : iterable of str
        Some of `UNITS`. ``mean``: over time, so that it does not depend on where frames lie close.
        ``area_under_curve``: by trapezoids; none of a cell that was seen for less than 90 % of the
        time that the longest trace of the table covers. ``onset``: where the straight line through
        the rise from 10 % to 40 % meets the baseline, of medians over three points. ``half_life``:
        from the greatest value until half of it, above the baseline, is left.

    Returns
    -------
    pandas.DataFrame
        Columns ``fov``, ``cell``, ``quantity``, ``value``, ``verdict``: ``ok``, or why there is no
        value; ``hours`` from the first value of the cell to the last. Sorted by FOV and cell.

    Raises
    ------
    FovflowError
        If a column is missing.
    """
    import pandas as pd

    check_columns("the table of traces", traces.columns, TIDY)
    names = list(quantities)
    table = traces.sort_values(["fov", "cell", "time"], kind="stable")
    time, value = table["time"].to_numpy(float), table["value"].to_numpy(float)
    good = np.isfinite(time) & np.isfinite(value)
    cells = table.groupby(["fov", "cell"], sort=True).size().reset_index(name="points")
    rows: list[tuple[object, ...]] = []
    known = table[good].groupby(["fov", "cell"])["time"].agg(["min", "max"])
    longest = float((known["max"] - known["min"]).max()) if len(known) else 0.0
    stop = 0
    for fov, cell, points in cells.itertuples(index=False):
        start, stop = stop, stop + points
        own = good[start:stop]
        when = time[start:stop][own]
        hours = float(when[-1] - when[0]) if when.size else 0.0
        found = _summary(when, value[start:stop][own])
        if found["area_under_curve"][1] == "ok" and hours < _WHOLE * longest:
            found["area_under_curve"] = np.nan, "part of the movie"
        rows += [(fov, cell, name, *found[name], hours) for name in names]
    return pd.DataFrame(rows, columns=["fov", "cell", "quantity", "value", "verdict", "hours"])


def _summary(time: Array, value: Array) -> dict[str, tuple[float, str]]:
    """Return each quantity of one trace, and its verdict."""
    if time.size < 2 or time[-1] <= time[0]:
        mean = float(value.mean()) if value.size else np.nan
        found = dict.fromkeys(UNITS, (np.nan, "too few points"))
        return found | {"mean": (mean, "ok" if value.size else "no valid values")}
    area = float(np.trapezoid(value, time))
    return {
        "mean": (area / float(time[-1] - time[0]), "ok"),
        "area_under_curve": (area, "ok"),
        "onset": _onset(time, _smooth(value), noise_of(value)),
        "half_life": _half_life(time, _smooth(value), noise_of(value)),
    }


def _smooth(value: Array) -> Array:
    """Return medians over three points; the first and the last point stay."""
    if value.size < 3:
        return value
    inner = np.median(np.stack([value[:-2], value[1:-1], value[2:]]), axis=0)
    return np.concatenate([value[:1], inner, value[-1:]])


def noise_of(value: Array) -> float:
    """Return the standard deviation of the noise, from second differences."""
    if value.size < 5:
        return 0.0
    return float(1.4826 * np.median(np.abs(np.diff(value, 2))) / np.sqrt(6))


def _onset(time: Array, value: Array, noise: float) -> tuple[float, str]:
    top = int(value.argmax())
    if top < 3:
        return np.nan, "no rise"
    # The baseline is the mean of all that lies below the noise above the least value.
    least = float(value[: top + 1].min())
    flat = value[: top + 1] <= least + max(3 * noise, 0.02 * (value[top] - least))
    last = int(np.flatnonzero(flat)[-1])
    base = float(value[: last + 1].mean())
    height = float(value[top]) - base
    if not height > _SIGNAL * noise:
        return np.nan, "no rise"
    low, high = (_crossing(time, value, base + part * height, top) for part in _RISE)
    onset = low - (high - low) * _RISE[0] / (_RISE[1] - _RISE[0])
    if last == 0 or onset <= time[0]:
        return np.nan, "onset not seen"
    return onset, "ok"


def _half_life(time: Array, value: Array, noise: float) -> tuple[float, str]:
    top = int(value.argmax())
    # A trace that begins at its top has shown no baseline: it is taken to fall to zero.
    base = float(value[:top].min()) if top >= 3 else 0.0
    half = (float(value[top]) + base) / 2
    if not value[top] - base > _SIGNAL * noise:
        return np.nan, "no rise"
    below = np.flatnonzero(value[top:] <= half)
    if not below.size:
        return np.nan, "half not reached"
    after = top + int(below[0])
    step = (value[after - 1] - half) / (value[after - 1] - value[after])
    at = time[after - 1] + step * (time[after] - time[after - 1])
    return float(at - time[top]), "ok"


def _crossing(time: Array, value: Array, level: float, top: int) -> float:
    """Return when a level is passed for the last time before the top."""
    below = int(np.flatnonzero(value[:top] < level)[-1])
    step = (level - value[below]) / (value[below + 1] - value[below])
    return float(time[below] + step * (time[below + 1] - time[below]))
