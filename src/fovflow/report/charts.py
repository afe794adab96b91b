"""Charts of traces and of numbers per frame: scales, and the places of what is drawn as SVG.

The template ``charts.html.j2`` draws them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.report.gather import FrameSeries
from fovflow.report.traces import TraceSample

LINES = 200
"""Cells that are drawn one by one in a plot of traces, at most."""

POINTS = 160
"""Points of a line, at most."""

_WIDTH = 1200
_HEIGHT, _WIDE_HEIGHT = 600, 500
_LEFT, _RIGHT, _TOP, _BOTTOM = 104, 16, 64, 92

Stroke = str | tuple[int, int]
"""Path data of a line, or the place of a dot where it has one point alone."""


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


def path(x: NDArray[np.int64], y: NDArray[np.int64]) -> str:
    """Return the path data of a line in steps, which are shorter to write than places.

    Examples
    --------
    >>> path(np.array([0, 10, 20]), np.array([5, 5, 2]))
    'M0 5l10 0 10-3'
    """
    if not x.size:
        return ""
    steps = np.stack([np.diff(x), np.diff(y)], axis=1).ravel().tolist()
    text = "".join(f" {step}" if step >= 0 else str(step) for step in steps).lstrip()
    return f"M{int(x[0])} {int(y[0])}" + (f"l{text}" if text else "")


def _stroke(x: NDArray[np.int64], y: NDArray[np.int64]) -> Stroke:
    return path(x, y) if x.size > 1 else (int(x[0]), int(y[0]))


@dataclass(frozen=True, slots=True)
class TraceChart:
    """Traces of good cells over time, placed."""

    width: int
    height: int
    x: Scale
    y: Scale
    cells: list[Stroke]
    """Lines of cells; a cell's line is broken where it has no good row in a measured frame."""
    band: str
    """Path data of the area between the quartiles."""
    median: Stroke


def trace_chart(sample: TraceSample, *, wide: bool = False) -> TraceChart | None:
    """Return a chart of the good cells' values and their quartiles; None where there are none.

    `wide`: whether it has the page's whole width.
    """
    lines, summary = sample.lines(LINES), sample.summary()
    if not lines:
        return None
    times = np.concatenate([line.time for line in lines])
    low, high = float(min(times.min(), 0)), float(times.max())
    x = Scale(low, high if high > low else low + 1, _LEFT, _WIDTH - _RIGHT)
    height = _WIDE_HEIGHT if wide else _HEIGHT
    y = Scale(*value_range(sample.values()), height - _BOTTOM, _TOP)
    cells: list[Stroke] = []
    unmeasured = sample.unmeasured()
    for line in lines:
        every = max(1, -(-line.time.size // POINTS))
        for rows in _split(line.frame - np.searchsorted(unmeasured, line.frame)):
            chosen = np.append(rows[:-1:every], rows[-1])
            cells.append(_stroke(x(line.time[chosen]), y(line.value[chosen])))
    there = np.concatenate([summary.time, summary.time[::-1]])
    band = path(x(there), y(np.concatenate([summary.lower, summary.upper[::-1]]))) + "z"
    return TraceChart(
        _WIDTH, height, x, y, cells, band, _stroke(x(summary.time), y(summary.median))
    )


def _split(frames: NDArray[Any]) -> list[NDArray[np.intp]]:
    """Return the indices of ascending frames, split where one does not follow the last."""
    return np.split(np.arange(frames.size), np.flatnonzero(np.diff(frames) > 1) + 1)


@dataclass(frozen=True, slots=True)
class FrameChart:
    """A number per frame, placed, and its least and greatest value."""

    low: float
    high: float
    line: list[Stroke]
    """Broken where a frame has no value."""
    marks: list[FrameMark]


@dataclass(frozen=True, slots=True)
class FrameMark:
    """A bar behind the line at frames `first` to `last`, which have one flag."""

    first: int
    last: int
    flag: str
    left: int
    width: int


def frame_chart(series: FrameSeries, width: int, height: int) -> FrameChart | None:
    """Return a small chart of a number per frame; None where no frame has a value."""
    values = series.values
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    low, high = float(finite.min()), float(finite.max())
    margin = 14 if height > 100 else 5
    x = Scale(0, max(values.size - 1, 1), margin, width - margin)
    frames = np.arange(values.size)
    if values.size > width // 2:
        frames = np.unique(np.linspace(0, values.size - 1, width // 2).round().astype(np.intp))
    drawn = np.flatnonzero(np.isfinite(values[frames]))
    at_x = x(frames)
    at_y = Scale(low, high, height - margin, margin)(np.nan_to_num(values[frames], nan=low))
    if low == high:
        at_y[:] = height // 2
    line = [_stroke(at_x[drawn[rows]], at_y[drawn[rows]]) for rows in _split(drawn) if rows.size]
    half = max(2, round((width - 2 * margin) / x.high / 2))
    marks = []
    flagged = enumerate(sorted(series.flags))
    # Frames in a row that carry one flag are one bar.
    for (_, flag), run in groupby(flagged, lambda at: (at[1] - at[0], series.flags[at[1]])):
        bar = [frame for _, frame in run]
        first, last = bar[0], bar[-1]
        left = int(x(first)) - half
        marks.append(FrameMark(first, last, flag, left, int(x(last)) + half - left))
    return FrameChart(low, high, line, marks)
