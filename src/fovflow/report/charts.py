"""Charts as inline SVG: traces of cells, and numbers per frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.report import axes
from fovflow.report.markup import Html, join, tag
from fovflow.report.sample import Line
from fovflow.report.summary import FrameSeries, TracePlot

LINES = 200
"""Cells that are drawn one by one in a plot of traces, at most."""

POINTS = 160
"""Points of a line, at most."""

_WIDTH = 1200
_HEIGHT, _WIDE_HEIGHT = 600, 500
_LEFT, _RIGHT, _TOP, _BOTTOM = 104, 16, 64, 92
_SMALL = (600, 150)


def traces(plot: TracePlot, time_units: str, colour: int, *, wide: bool = False) -> Html:
    """Return a plot of the good cells' values over time with their quartiles.

    Parameters
    ----------
    plot : TracePlot
    time_units : str
    colour : int
        Number of the series' colour, 0 to 3.
    wide : bool
        Whether it has the page's whole width.
    """
    lines, summary = plot.sample.lines(LINES), plot.sample.summary()
    if not lines:
        return tag("p", "No good cell has a value here.", class_="empty")
    times = np.concatenate([line.time for line in lines])
    low, high = float(min(times.min(), 0)), float(times.max())
    x = axes.Scale(low, high if high > low else low + 1, _LEFT, _WIDTH - _RIGHT)
    bottom, top = axes.value_range(plot.sample.values())
    height = _WIDE_HEIGHT if wide else _HEIGHT
    y = axes.Scale(bottom, top, height - _BOTTOM, _TOP)
    drawn = [_cell(line, x, y) for line in lines]
    return tag(
        "svg",
        tag("title", f"{plot.title} over time"),
        _grid(x, y, height, f"time ({time_units})" if time_units else "time", plot.axis),
        _clipped(
            height,
            tag("path", d=_area(summary.time, summary.lower, summary.upper, x, y), class_="band"),
            tag("g", drawn, class_="cells"),
            _median(summary.time, summary.median, x, y),
        ),
        viewBox=f"0 0 {_WIDTH} {height}",
        class_=f"traces series-{colour % 4}",
        role="img",
    )


def _clipped(total: int, *drawn: Html) -> Html:
    """Return what is drawn inside the axes: an SVG of its own cuts off what is outside."""
    left, top = _LEFT - 4, _TOP - 6
    width, height = _WIDTH - _RIGHT - left + 6, total - _BOTTOM - top + 6
    return tag(
        "svg",
        *drawn,
        x=left,
        y=top,
        width=width,
        height=height,
        viewBox=f"{left} {top} {width} {height}",
    )


def _grid(x: axes.Scale, y: axes.Scale, height: int, x_title: str, y_title: str) -> Html:
    marks: list[Html] = []
    for value in axes.ticks(y.low, y.high):
        at = int(y(value))
        marks.append(tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=at, y2=at, class_="grid"))
        marks.append(tag("text", axes.number(value), x=_LEFT - 12, y=at + 8, text_anchor="end"))
    for value in axes.ticks(x.low, x.high, 7):
        at, base = int(x(value)), height - _BOTTOM
        marks.append(tag("line", x1=at, x2=at, y1=base, y2=base + 8, class_="tick"))
        marks.append(tag("text", axes.number(value), x=at, y=base + 34, text_anchor="middle"))
    marks.append(
        tag(
            "text",
            x_title,
            x=(_LEFT + _WIDTH - _RIGHT) // 2,
            y=height - 18,
            text_anchor="middle",
            class_="axis",
        )
    )
    marks.append(
        tag(
            "text",
            y_title,
            x=0,
            y=30,
            class_="axis",
        )
    )
    return tag("g", marks, class_="scale")


def _cell(line: Line, x: axes.Scale, y: axes.Scale) -> list[Html]:
    """Return a cell's line; it is broken where the cell has no good row in between."""
    every = max(1, -(-line.time.size // POINTS))
    breaks = np.flatnonzero(np.diff(line.frame) > 1) + 1
    drawn = []
    for start, stop in zip([0, *breaks.tolist()], [*breaks.tolist(), line.time.size], strict=True):
        chosen = [*range(start, stop - 1, every), stop - 1]
        at_x, at_y = x(line.time[chosen]), y(line.value[chosen])
        if len(chosen) == 1:
            drawn.append(tag("circle", cx=int(at_x[0]), cy=int(at_y[0]), r=2))
        else:
            drawn.append(tag("path", d=path(at_x, at_y)))
    return drawn


def _median(
    time: NDArray[np.float64], value: NDArray[np.float64], x: axes.Scale, y: axes.Scale
) -> Html:
    if time.size == 1:
        return tag("circle", cx=int(x(time[0])), cy=int(y(value[0])), r=8, class_="median")
    line = path(x(time), y(value))
    return join(tag("path", d=line, class_="halo"), tag("path", d=line, class_="median"))


def path(x: NDArray[np.int64], y: NDArray[np.int64]) -> Html:
    """Return the path data of a line in steps, which are shorter to write than places.

    Examples
    --------
    >>> path(np.array([0, 10, 20]), np.array([5, 5, 2]))
    'M0 5l10 0 10-3'
    """
    if not x.size:
        return Html("")
    steps = np.stack([np.diff(x), np.diff(y)], axis=1).ravel().tolist()
    text = "".join(f" {step}" if step >= 0 else str(step) for step in steps).lstrip()
    return Html(f"M{int(x[0])} {int(y[0])}" + (f"l{text}" if text else ""))


def _area(
    time: NDArray[np.float64],
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
    x: axes.Scale,
    y: axes.Scale,
) -> Html:
    there = np.concatenate([time, time[::-1]])
    return Html(path(x(there), y(np.concatenate([lower, upper[::-1]]))) + "z")


def frame_chart(series: FrameSeries) -> Html:
    """Return a small chart of a number per frame, with its range and its flagged frames."""
    width, height = _SMALL
    finite = series.values[np.isfinite(series.values)]
    if not finite.size:
        return tag("p", f"{series.title}: no frame has a value.", class_="empty")
    low, high = float(finite.min()), float(finite.max())
    last = series.values.size - 1
    return tag(
        "figure",
        tag(
            "figcaption",
            tag("b", series.title),
            tag("span", _range_words(low, high)),
        ),
        tag(
            "svg",
            tag("title", f"{series.title} over frames 0 to {last}"),
            _marks(series, width, height),
            _line(series.values, width, height),
            viewBox=f"0 0 {width} {height}",
            class_="frames",
            role="img",
        ),
        tag("div", tag("span", "frame 0"), tag("span", str(last)), class_="ends"),
        class_="chart",
    )


def _range_words(low: float, high: float) -> str:
    return axes.number(low) if low == high else f"{axes.number(low)} to {axes.number(high)}"


def sparkline(series: FrameSeries) -> Html:
    """Return a line of a number per frame, without scale, with its flagged frames."""
    finite = series.values[np.isfinite(series.values)]
    if not finite.size:
        return Html("")
    low, high = float(finite.min()), float(finite.max())
    return tag(
        "svg",
        tag("title", f"{series.title}: {_range_words(low, high)}"),
        _marks(series, 240, 40),
        _line(series.values, 240, 40),
        viewBox="0 0 240 40",
        class_="spark",
        role="img",
    )


def _line(values: NDArray[np.float64], width: int, height: int) -> Html:
    """Return the line; it is broken where a frame has no value, and lone points are dots."""
    most, margin = width // 2, _margin(height)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    frames = np.arange(values.size)
    if values.size > most:
        frames = np.unique(np.linspace(0, values.size - 1, most).round().astype(np.intp))
    x = axes.Scale(0, max(values.size - 1, 1), margin, width - margin)(frames)
    flat = low == high
    y = axes.Scale(low, high, height - margin, margin)(np.nan_to_num(values[frames], nan=low))
    if flat:
        y[:] = height // 2
    fine = np.isfinite(values[frames])
    edges = np.flatnonzero(np.diff(fine.astype(np.int8), prepend=0, append=0))
    pieces = []
    for start, stop in edges.reshape(-1, 2).tolist():
        if stop - start == 1:
            pieces.append(tag("circle", cx=int(x[start]), cy=int(y[start]), r=2))
        else:
            pieces.append(tag("path", d=path(x[start:stop], y[start:stop])))
    return tag("g", pieces, class_="line")


def _margin(height: int) -> int:
    return 14 if height > 100 else 5


def _marks(series: FrameSeries, width: int, height: int) -> Html:
    """Return a bar at each run of frames with one flag: grey where the frame is missing."""
    total = max(series.values.size - 1, 1)
    margin = _margin(height)
    x = axes.Scale(0, total, margin, width - margin)
    half = max(2, round((width - 2 * margin) / total / 2))
    bars: list[Html] = []
    for first, last, flag in _runs(series.flags):
        left, right = int(x(first)) - half, int(x(last)) + half
        words = f"frame {first}" if first == last else f"frames {first} to {last}"
        kind = "missing" if "missing" in flag else "flagged"
        bars.append(
            tag(
                "rect",
                tag("title", f"{words}: {flag}"),
                x=left,
                y=0,
                width=right - left,
                height=height,
                class_=kind,
            )
        )
    return tag("g", bars)


def _runs(flags: Any) -> list[tuple[int, int, str]]:
    runs: list[tuple[int, int, str]] = []
    for frame in sorted(flags):
        if runs and runs[-1][1] == frame - 1 and runs[-1][2] == flags[frame]:
            runs[-1] = (runs[-1][0], frame, flags[frame])
        else:
            runs.append((frame, frame, flags[frame]))
    return runs
