"""Pictures of answers as SVG: SuperPlots, fits over traces, dose curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fovflow.analysis.statistics import sentence
from fovflow.units import number, ticks

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""Of replicates: Okabe and Ito's, which the colour-blind can tell apart; the marks differ too."""
_INK, _SOFT, _GRID = "#1f2a33", "#5b6b78", "#e3e8ec"
_CELLS = 400
"""Cells drawn in a condition, at most: every n-th by value."""
_SIDES = (0, 4, 3, 6, 5)
"""Corners of a replicate's mark; 0 is a circle."""
_SPREAD = 50.0
"""Ratio of the 99th to the 1st percentile from which an axis is logarithmic."""


@dataclass(frozen=True)
class Axis:
    """Values to places along an axis, linear or logarithmic; values outside go to its ends."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: Any) -> Array:
        """Return the places of values."""
        scale: Callable[[Any], Any] = np.log10 if self.log else np.asarray
        held = np.clip(np.asarray(value, float), self.low, self.high)
        part = (scale(held) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return np.asarray(np.round(self.start + part * (self.end - self.start), 1))

    def marks(self) -> list[float]:
        """Return round values along the axis."""
        if not self.log:
            return ticks(self.low, self.high, 5)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        digits = (1, 2, 5) if self.high < 2000 * self.low else (1,)
        found = [digit * 10.0**power for power in powers for digit in digits]
        return [value for value in found if self.low <= value <= self.high]


def axis_of(values: Array, start: float, end: float, *, log: bool | None = None) -> Axis:
    """Return an axis that holds all values but rare extremes, with some room."""
    values = values[np.isfinite(values)]
    if not values.size:
        return Axis(0.0, 1.0, start, end)
    low, high = np.percentile(values, [1, 99]).tolist()
    if log is None:
        log = low > 0 and high > _SPREAD * low
    if log:
        low = float(values.min()) if values.min() > 0 else low  # rare ones below go to the end
        high = float(values.max())
        return Axis(low / (high / low) ** 0.05, high * (high / low) ** 0.05, start, end, log=True)
    reach = 0.5 * (high - low)
    low, high = max(float(values.min()), low - reach), min(float(values.max()), high + reach)
    low = 0.0 if 0 < low < 0.5 * high else low
    room = 0.05 * (high - low) or 0.5 * abs(high) or 0.5
    return Axis(low if low == 0 else low - room, high + room, start, end)


def superplot(
    cells: pd.DataFrame,
    described: pd.DataFrame,
    compared: pd.DataFrame,
    *,
    title: str,
    label: str,
) -> str:
    """Return a SuperPlot of one quantity (Lord et al. 2020): cells small, replicates large.

    The line is the mean over the replicates, with its 95 % interval beside the cells; a replicate
    has one colour and form of mark.

    `cells`: the usable values, with ``condition``, ``replicate``, ``value``. `described`,
    `compared`: the rows of conditions of `fovflow.analysis.statistics.describe`, and of `compare`.
    `label`: what the values are, with their unit.
    """
    names = [str(name) for name in described["condition"]]
    pitch = max(132, min(190, 900 // max(len(names), 1)))
    left, top, height = 92, 92, 330
    width = max(left + pitch * len(names) + 20, 480)
    base = top + height
    values = cells["value"].to_numpy(float)
    y = axis_of(values, base, top)
    replicates = sorted(cells["replicate"].astype(str).unique())
    parts = [*_frame(title, label, y, left, width - 16), *_legend(replicates, width)]
    for k, (name, row) in enumerate(zip(names, described.to_dict("records"), strict=True)):
        middle = left + pitch * (k + 0.5)
        own = cells[cells["condition"].astype(str) == name]
        parts += _swarm(own, y, middle, 0.34 * pitch, replicates)
        at = float(y(row["estimate"]))
        if math.isfinite(at):
            parts.append(_line((middle - 0.4 * pitch, middle + 0.4 * pitch), (at, at), _INK, 2))
        else:
            parts.append(_text(NOTHING, middle, (top + base) / 2, size=13, anchor="middle"))
        parts += _replicates(own, y, middle, 0.34 * pitch, replicates)
        parts += _bar(row, y, middle + 0.42 * pitch)
        few = "replicate" if row["replicates"] == 1 else "replicates"
        parts.append(_text(_short(name or "(none)", pitch), middle, base + 26, anchor="middle"))
        counts = (f"{row['replicates']} {few}", f"{row['cells']} cells")
        for line, words in enumerate(counts):
            at = base + 46 + 17 * line
            parts.append(_text(words, middle, at, size=13, fill=_SOFT, anchor="middle"))
    lines = [sentence(row) for row in compared.to_dict("records")][:6]
    for k, words in enumerate(lines):
        parts.append(_text(words, 16, base + 96 + 20 * k, size=14))
    outside = int(((values < y.low) | (values > y.high)).sum())
    if outside:
        words = "1 cell" if outside == 1 else f"{outside} cells"
        words = f"{words} beyond the axis, drawn at its end"
        parts.append(_text(words, left, top - 14, size=12, fill=_SOFT))
    longest = max((len(words) for words in lines), default=0)
    return _svg(parts, max(width, 32 + 7.2 * longest), base + 84 + 20 * len(lines) + 12)


def _swarm(
    cells: pd.DataFrame, y: Axis, middle: float, half: float, replicates: Sequence[str]
) -> list[str]:
    """Draw cells as dots, spread over the width by how many lie at one height."""
    own = cells.sort_values("value", kind="stable")
    own = own.iloc[:: max(1, -(-len(own) // _CELLS))]
    at = y(own["value"])
    if not at.size:
        return []
    density = np.exp(-(((at[:, None] - at[None]) / 9) ** 2)).sum(axis=1)
    turn = (np.arange(at.size) * 0.618034) % 1 - 0.5
    x = middle + 2 * half * turn * np.minimum(1, density / max(float(density.max()), 8.0))
    colours = [COLOURS[replicates.index(str(name)) % len(COLOURS)] for name in own["replicate"]]
    return [
        f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.6" fill="{colour}" fill-opacity=".38"/>'
        for a, b, colour in zip(x, at, colours, strict=True)
    ]


def _replicates(
    cells: pd.DataFrame, y: Axis, middle: float, half: float, replicates: Sequence[str]
) -> list[str]:
    medians = cells.groupby(cells["replicate"].astype(str))["value"].median()
    step = min(24.0, 2 * half / max(len(replicates), 1))
    drawn = []
    for name, value in medians.items():
        k = replicates.index(str(name))
        at = middle + step * (k - (len(replicates) - 1) / 2)
        told = f"replicate {name}: median {number(float(value))}" if name else "one replicate"
        drawn.append(_mark(k, at, float(y(value)), told))
    return drawn


def _mark(kind: int, x: float, y: float, told: str, size: float = 9) -> str:
    """Return the mark of a replicate."""
    look = f'fill="{COLOURS[kind % len(COLOURS)]}" stroke="#fff" stroke-width="2"'
    sides = _SIDES[kind % len(_SIDES)]
    said = f"<title>{escape(told)}</title>"
    if not sides:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" {look}>{said}</circle>'
    turns = [2 * math.pi * (i + (0.5 if sides == 4 else 0)) / sides for i in range(sides)]
    far = 1.22 * size
    corners = " ".join(f"{x + far * math.sin(a):.1f},{y - far * math.cos(a):.1f}" for a in turns)
    return f'<polygon points="{corners}" stroke-linejoin="round" {look}>{said}</polygon>'


def _bar(row: Mapping[Any, Any], y: Axis, x: float) -> list[str]:
    """Draw the interval of an estimate."""
    low, high = (float(y(row[f"estimate_{end}"])) for end in ("low", "high"))
    if not (math.isfinite(low) and math.isfinite(high)):
        return []
    ends = [_line((x - 5, x + 5), (end, end), _INK, 2.5) for end in (low, high)]
    return [_line((x, x), (low, high), _INK, 2.5), *ends]


def _frame(title: str, label: str, y: Axis, left: float, right: float) -> list[str]:
    """Draw the title and the upright axis of a picture."""
    drawn = [_text(title, 16, 30, size=19, bold=True)]
    for value in y.marks():
        at = float(y(value))
        drawn.append(_line((left, right), (at, at), _GRID))
        drawn.append(_text(number(value), left - 8, at + 5, size=14, fill=_SOFT, anchor="end"))
    return [*drawn, _upright(label, 24, (y.start + y.end) / 2)]


def _legend(replicates: Sequence[str], width: float) -> list[str]:
    drawn = [_text("replicates", 16, 61, size=14, fill=_SOFT)]
    at = 108.0
    for k, name in enumerate(replicates):
        words = name or "one replicate"
        if at + 24 + 8 * len(words) > width:
            return [*drawn, _text("…", at, 61, size=14, fill=_SOFT)]
        drawn += [_mark(k, at, 56, words, 7), _text(words, at + 14, 61, size=14, fill=_SOFT)]
        at += 40 + 8 * len(words)
    return drawn


def dose_curve(described: pd.DataFrame, cells: pd.DataFrame, *, title: str, label: str) -> str:
    """Return a quantity over conditions that are numbers; for the parameters see `superplot`.

    The axis of doses is logarithmic where they range over more
    than tenfold; dose 0 then stands apart on its left.
    """
    left, top, width, height = 92, 92, 640, 330
    base = top + height
    doses = np.array([float(name) for name in described["condition"]])
    replicates = sorted(cells["replicate"].astype(str).unique())
    groups = cells.groupby([cells["condition"].astype(float), cells["replicate"].astype(str)])
    points = groups["value"].median().reset_index()
    ends = [described[name].to_numpy(float) for name in ("estimate_low", "estimate_high")]
    y = axis_of(np.concatenate([points["value"].to_numpy(float), *ends]), base, top)
    positive = doses[doses > 0]
    log = positive.size > 1 and doses.min() >= 0 and positive.max() >= 10 * positive.min()
    shift = 70 if log and (doses == 0).any() else 0
    x = axis_of(positive if log else doses, left + 30 + shift, width - 30, log=log)

    def place(dose: float) -> float:
        return left + 30.0 if shift and dose == 0 else float(x(dose))

    parts = [*_frame(title, label, y, left, width - 16), *_legend(replicates, width)]
    for dose in (*x.marks(), *[0.0] * bool(shift)):
        parts.append(_line((place(dose), place(dose)), (base, base + 6), _SOFT))
        parts.append(_text(number(dose), place(dose), base + 24, size=14, anchor="middle"))
    if shift:
        parts.append(_text("//", left + 30 + shift / 2, base + 5, size=14, anchor="middle"))
    words = f"condition{' (logarithmic)' if log else ''}"
    parts.append(_text(words, (left + width) / 2, base + 50, size=15, anchor="middle"))
    rows = sorted(described.to_dict("records"), key=lambda row: float(row["condition"]))
    rows = [row for row in rows if math.isfinite(row["estimate"])]
    line = " ".join(f"{place(float(r['condition']))},{float(y(r['estimate']))}" for r in rows)
    parts.append(f'<polyline points="{line}" fill="none" stroke="{_INK}" stroke-width="2.5"/>')
    for dose, name, value in points.itertuples(index=False):
        k = replicates.index(str(name))
        at = place(dose) + 10 * (k - (len(replicates) - 1) / 2)
        parts.append(_mark(k, at, float(y(value)), f"replicate {name}: {number(float(value))}", 6))
    for row in rows:
        parts += _bar(row, y, place(float(row["condition"])))
    return _svg(parts, width, base + 68)


def fits_over_traces(traces: pd.DataFrame, curves: pd.DataFrame, *, title: str, label: str) -> str:
    """Return a panel for each cell of `curves`, with its values as dots and its fitted curve.

    `traces`: ``time`` (h), ``fov``, ``cell``, ``value``. `curves`: these and ``verdict``.
    """
    wide, high, gap, left, top, pitch = 190, 130, 60, 92, 84, 198
    cells = curves[["fov", "cell", "verdict"]].drop_duplicates(["fov", "cell"])
    across = min(4, max(len(cells), 1))
    x = Axis(min(0.0, float(traces["time"].min())), float(traces["time"].max()), 0, wide)
    parts = [_text(title, 16, 30, size=19, bold=True)]
    shown = traces.merge(cells[["fov", "cell"]])
    for k, (fov, cell, verdict) in enumerate(cells.itertuples(index=False)):
        row, column = divmod(k, across)
        ox, oy = left + column * (wide + gap), top + row * pitch
        own = shown[(shown["fov"] == fov) & (shown["cell"] == cell)]
        curve = curves[(curves["fov"] == fov) & (curves["cell"] == cell)]
        y = axis_of(own["value"].to_numpy(float), oy + high, oy, log=False)
        good = verdict == "ok"
        parts.append(
            f'<rect x="{ox}" y="{oy}" width="{wide}" height="{high}" fill="none" stroke="{_GRID}"/>'
        )
        for value in ticks(y.low, y.high, 3):
            at = float(y(value))
            parts.append(_line((ox, ox + wide), (at, at), _GRID))
            words = number(value)
            parts.append(_text(words, ox - 6, at + 4, size=12, fill=_SOFT, anchor="end"))
        colour = _INK if good else COLOURS[5]
        reach = curve["time"].between(own["time"].min(), own["time"].max())
        line = " ".join(
            f"{ox + a:.1f},{b:.1f}"
            for a, b in zip(x(curve["time"]), y(curve["value"].where(reach)), strict=True)
            if math.isfinite(b)
        )
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.4" fill="{COLOURS[4]}" fill-opacity=".75"/>'
            for a, b in zip(ox + x(own["time"]), y(own["value"]), strict=True)
            if math.isfinite(b)
        ]
        parts.append(_text(f"FOV {fov}, cell {cell}", ox, oy - 22, size=13))
        if not good:
            words = _short(str(verdict).replace(";", ", "), 1.3 * wide)
            parts.append(_text(words, ox, oy - 6, size=12, fill=colour))
        if k + across >= len(cells):
            for value in ticks(x.low, x.high, 4):
                at = ox + float(x(value))
                words = f"{number(value)} h"
                parts.append(_text(words, at, oy + high + 16, size=12, fill=_SOFT, anchor="middle"))
    rows = -(-len(cells) // across) if len(cells) else 1
    parts.append(_upright(label, 24, top + (rows * pitch - 68) / 2))
    words = "dots: values; line: fit, orange where the fit is flagged"
    tall = top + rows * pitch - 20
    parts.append(_text(words, left, tall + 12, size=13, fill=_SOFT))
    return _svg(parts, left + across * (wide + gap) - gap + 24, tall + 26)


NOTHING = "no usable value"
"""What a picture says in which there is nothing to see."""


def blank(title: str) -> str:
    """Return a picture that says that there is nothing to see."""
    parts = [_text(title, 16, 30, size=19, bold=True), _text(NOTHING, 16, 64, size=15)]
    return _svg(parts, 560, 84)


def _line(x: tuple[float, float], y: tuple[float, float], colour: str, width: float = 1) -> str:
    places = f'x1="{x[0]:.1f}" y1="{y[0]:.1f}" x2="{x[1]:.1f}" y2="{y[1]:.1f}"'
    return f'<line {places} stroke="{colour}" stroke-width="{width}"/>'


def _text(
    words: str,
    x: float,
    y: float,
    *,
    size: int = 16,
    fill: str = _INK,
    anchor: str = "start",
    bold: bool = False,
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}"'
        f"{weight}>{escape(words)}</text>"
    )


def _upright(words: str, x: float, y: float) -> str:
    return f'<g transform="translate({x:.1f} {y:.1f}) rotate(-90)">' + (
        _text(words, 0, 0, size=15, anchor="middle") + "</g>"
    )


def _short(words: str, width: float) -> str:
    """Cut text to about the width that it has."""
    most = max(4, int(width / 8))
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _svg(parts: Sequence[str], width: float, height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" font-family="Helvetica, Arial, sans-serif">\n'
        '<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )
