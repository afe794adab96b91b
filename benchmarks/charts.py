"""Small charts as SVG: bars with an aim, and lines over what grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from fovflow.units import number, ticks

WIDTH, HEIGHT = 460, 330
LEFT, RIGHT, TOP, BOTTOM = 86, 30, 62, 52
INK, SOFT, GRID = "#1f2a33", "#5b6b78", "#dfe5ea"
BLUE, PALE, RED = "#2a6f97", "#a9cfe4", "#c1443c"

Content = str | Element | list[Element]


def tag(name: str, *content: Content, **attributes: object) -> Element:
    """Return an SVG element; attributes that are None are left out, ``_`` becomes a hyphen."""
    given = {
        key.replace("_", "-"): str(value) for key, value in attributes.items() if value is not None
    }
    element = Element(name, given)
    for part in content:
        if isinstance(part, str):
            element.text = part
        else:
            element.extend(part if isinstance(part, list) else [part])
    return element


@dataclass(frozen=True)
class Axis:
    """Values to places along an axis, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(max(value, low))
        return round(self.start + (at - low) / (high - low) * (self.end - self.start), 1)

    def marks(self) -> list[float]:
        """Return round values along the axis."""
        if not self.log:
            return ticks(self.low, self.high, 4)
        first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        powers = [10.0**power for power in range(first - 1, last + 1)]
        if last - first >= 1:
            return powers[1:]
        finer = [digit * power for power in powers for digit in (1, 2, 5)]
        return [value for value in finer if self.low <= value <= self.high]


def label(
    words: str, x: float, y: float, *, size: int = 14, fill: str = INK, anchor: str = "start",
    bold: bool = False,
) -> Element:  # fmt: skip
    """Return text; `anchor` is ``start``, ``middle`` or ``end``."""
    weight = "600" if bold else None
    return tag("text", words, x=x, y=y, font_size=size, fill=fill, text_anchor=anchor,
               font_weight=weight, stroke="#ffffff", stroke_width=4, stroke_linejoin="round",
               paint_order="stroke")  # fmt: skip


def panel(title: str, subtitle: str, column: int, row: int, *content: Content) -> Element:
    """Return one chart at its place in a grid of charts."""
    return tag(
        "g",
        label(title, 8, 22, size=17, bold=True),
        label(subtitle, 8, 43, size=13, fill=SOFT),
        *content,
        transform=f"translate({column * WIDTH} {row * HEIGHT})",
    )


def bars(
    rows: Sequence[tuple[str, Sequence[float], str]],
    *,
    aims: Sequence[float | None] = (),
    log: bool = False,
    unit: str,
) -> list[Element]:
    """Return horizontal bars.

    Parameters
    ----------
    rows : sequence of (name, parts, text)
        Parts lie one after another; the text stands at the bar's end.
    aims : sequence of float or None
        An aim for each bar, drawn as a red tick; a single one is drawn through all bars.
    log : bool
        Whether the axis is logarithmic, from 1.
    unit : str
        Name of the axis.
    """
    totals = [sum(parts) for _, parts, _ in rows]
    high = max([*totals, *(aim for aim in aims if aim is not None)]) * (2.2 if log else 1.22)
    x = Axis(1.0 if log else 0.0, high, LEFT, WIDTH - RIGHT, log)
    pitch = (HEIGHT - TOP - BOTTOM) / len(rows)
    thick = min(26.0, 0.6 * pitch)
    drawn = list(_uprights(x, unit))
    for i, (name, parts, text) in enumerate(rows):
        top, at = round(TOP + i * pitch + (pitch - thick) / 2, 1), x.low
        middle = round(top + thick / 2 + 5, 1)
        drawn.append(label(name, LEFT - 10, middle, anchor="end"))
        for part, colour in zip(parts, (BLUE, PALE), strict=False):
            start, stop = x(at), x(part if log else at + part)
            width = round(max(stop - start, 0), 1)
            drawn.append(tag("rect", x=start, y=top, width=width, height=thick, fill=colour))
            at = part if log else at + part
        if len(aims) == len(rows) and aims[i] is not None:
            drawn.append(_aim_mark(x(aims[i] or 0), top - 5, top + thick + 5))
            if 0 < x(aims[i] or 0) - x(totals[i]) < 50:  # the text goes beyond a mark near by
                at = aims[i] or 0
        drawn.append(label(text, x(max(at, totals[i])) + 8, middle, size=13, bold=True))
    if len(aims) == 1 and aims[0] is not None:
        drawn.append(_aim_mark(x(aims[0]), TOP, HEIGHT - BOTTOM))
    return drawn


def lines(
    points: Sequence[tuple[float, float]],
    *,
    x_title: str,
    aim: float | None = None,
    log_y: bool = False,
    percent: bool = False,
) -> list[Element]:
    """Return a line with a point and its value for each measurement; x is logarithmic."""
    values = [value for _, value in points]
    low_x, high_x = points[0][0] / 1.25, points[-1][0] * 1.25
    x = Axis(low_x, high_x, LEFT - 20, WIDTH - RIGHT, log=True)
    high = max([*values, aim or 0.0]) * (1.9 if log_y else 1.2)
    y = Axis(min(values) / 2 if log_y else 0.0, high, HEIGHT - BOTTOM, TOP, log_y)
    drawn: list[Element] = []
    for value in y.marks():
        at = y(value)
        words = f"{value:.0%}" if percent else number(value)
        drawn.append(_stroke(x.start, at, x.end, at, GRID))
        drawn.append(label(words, x.start - 8, at + 5, size=13, fill=SOFT, anchor="end"))
    for value, _ in points:
        at = x(value)
        drawn.append(_stroke(at, y.start, at, y.start + 5, SOFT))
        drawn.append(label(number(value), at, y.start + 20, size=13, fill=SOFT, anchor="middle"))
    drawn.append(label(x_title, (x.start + x.end) / 2, HEIGHT - 10, size=13, anchor="middle"))
    if aim is not None:
        drawn.append(_aim_mark(x.start, y(aim), y(aim), x.end))
        words = f"reach {aim:.0%}" if percent else f"reach {number(aim)}"
        drawn.append(label(words, x.start + 4, y(aim) - 7, size=12, fill=RED))
    places = " ".join(f"{x(a)},{y(b)}" for a, b in points)
    drawn.append(tag("polyline", points=places, fill="none", stroke=BLUE, stroke_width=2.5))
    for a, b in points:
        words = f"{b:.1%}" if percent else number(round(b, 1) if b < 100 else round(b))
        drawn.append(tag("circle", cx=x(a), cy=y(b), r=4.5, fill=BLUE))
        drawn.append(label(words, x(a), y(b) - 11, size=13, anchor="middle", bold=True))
    return drawn


def _uprights(x: Axis, unit: str) -> list[Element]:
    base = HEIGHT - BOTTOM
    drawn = []
    for value in x.marks():
        drawn.append(_stroke(x(value), TOP, x(value), base, GRID))
        drawn.append(label(number(value), x(value), base + 20, size=13, fill=SOFT, anchor="middle"))
    drawn.append(label(unit, (x.start + x.end) / 2, HEIGHT - 10, size=13, anchor="middle"))
    return drawn


def _stroke(x1: float, y1: float, x2: float, y2: float, colour: str) -> Element:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=colour)


def _aim_mark(x: float, y1: float, y2: float, x2: float | None = None) -> Element:
    dashes = "6 4" if x2 or y2 - y1 > 60 else None
    return tag("line", x1=x, y1=y1, x2=x if x2 is None else x2, y2=y2, stroke=RED,
               stroke_width=2.5, stroke_dasharray=dashes)  # fmt: skip
