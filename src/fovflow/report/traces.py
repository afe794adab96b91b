"""What is plotted of the traces: which feature, and its good rows of all FOVs in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fovflow.config.features import DEFAULT_FEATURES, FEATURES, plotted_intensity
from fovflow.units import spread

CAPACITY_ROWS = 2_000_000
"""Rows that are held at once for one plot; beyond this, every second cell is let go."""


@dataclass(frozen=True, slots=True)
class Line:
    """One cell's good rows: times and values, (n,) float32, in the order of time."""

    time: NDArray[np.float32]
    value: NDArray[np.float32]
    frame: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Summary:
    """Quartiles of the cells per frame: (n,) float64 each, frames without cells left out."""

    time: NDArray[np.float64]
    lower: NDArray[np.float64]
    median: NDArray[np.float64]
    upper: NDArray[np.float64]


class TraceSample:
    """Collect the good rows of one feature, FOV by FOV.

    All are kept up to `capacity` rows; beyond, every second cell is dropped, again and again, so
    that memory is bounded and the choice depends on the order of cells alone.
    """

    def __init__(self, capacity: int = CAPACITY_ROWS):
        self.cells = 0
        """Good cells that were offered."""
        self.every = 1
        """One cell in so many is kept."""
        self._capacity = capacity
        self._lines: list[Line] = []
        self._frames: set[int] = set()
        self._measured: set[int] = set()
        self._rows = 0

    def add(self, table: dict[str, NDArray[Any]], column: str) -> None:
        """Add the good rows of one FOV's traces; rows without a finite value are left out."""
        values = np.asarray(table[column], np.float32)
        time = np.asarray(table["time"], np.float32)
        cell, frame = np.asarray(table["cell"]), np.asarray(table["frame"], np.int32)
        self._frames.update(np.unique(frame).tolist())
        self._measured.update(np.unique(frame[np.isfinite(values)]).tolist())
        use = np.flatnonzero(np.asarray(table["good"], bool) & np.isfinite(values))
        if not use.size:
            return
        order = use[np.lexsort((frame[use], cell[use]))]
        for rows in np.split(order, np.flatnonzero(np.diff(cell[order])) + 1):
            if self.cells % self.every == 0:
                self._lines.append(Line(time[rows], values[rows], frame[rows]))
                self._rows += rows.size
            self.cells += 1
            while self._rows > self._capacity and len(self._lines) > 1:
                self.every *= 2
                self._lines = self._lines[::2]
                self._rows = sum(line.value.size for line in self._lines)

    def lines(self, most: int) -> list[Line]:
        """Return at most `most` cells, spread evenly over all that are kept."""
        return spread(self._lines, most)

    def values(self) -> NDArray[np.float32]:
        """Return all kept values, (n,)."""
        return _joined([line.value for line in self._lines], np.float32)

    def unmeasured(self) -> NDArray[np.int64]:
        """Return the frames with cells of which none has a value: the channel was not acquired."""
        return np.array(sorted(self._frames - self._measured), np.int64)

    def summary(self) -> Summary:
        """Return the quartiles of the kept cells in each frame."""
        frames = _joined([line.frame for line in self._lines], np.int32)
        times = _joined([line.time for line in self._lines], np.float32)
        values = self.values()
        order = np.argsort(frames, kind="stable")
        starts = np.flatnonzero(np.diff(frames[order], prepend=-1))
        rows = []
        for where in np.split(order, starts[1:]) if order.size else []:
            quartiles = np.percentile(values[where].astype(np.float64), [25, 50, 75])
            rows.append((float(np.median(times[where])), *quartiles.tolist()))
        columns = np.array(rows, np.float64).reshape(-1, 4).T
        return Summary(*columns)


def _joined(parts: list[NDArray[Any]], dtype: DTypeLike) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype)


@dataclass(frozen=True, slots=True)
class TracePlot:
    """A plot to draw: its column, words for the axis, and the cells' values."""

    column: str
    title: str
    axis: str
    sample: TraceSample


_TITLES = {"intensity_total": "total intensity", "intensity_mean": "mean intensity"}


def plots_of(content: Mapping[str, Any]) -> list[TracePlot]:
    """Return one plot per fluorescence channel; without any, that of the cells' area.

    `content`: a dataset's ``processing_results.yaml``.
    """
    channels = content.get("channels") or {}
    names = content.get("channel_names") or {}
    extract = (content.get("params") or {}).get("extract") or {}
    chosen = (extract.get("arguments") or {}).get("features") or {}
    plots = []
    for channel in channels.get("fl") or ():
        feature = plotted_intensity(chosen.get("fl") or DEFAULT_FEATURES["fl"])
        if feature is not None:
            name = names.get(channel, f"channel {channel}")
            plots.append(_plot(f"{feature}_ch_{channel}", feature, str(name)))
    if not plots and "area" in (chosen.get("pc") or DEFAULT_FEATURES["pc"]):
        if content.get("pixel_um"):
            plots.append(TracePlot("area_um2", "Area of cells", "area (µm²)", TraceSample()))
        elif channels.get("pc") is not None:
            plots.append(_plot(f"area_ch_{channels['pc']}", "area", "cells"))
    return plots


def _plot(column: str, feature: str, name: str) -> TracePlot:
    words = _TITLES.get(feature, feature.replace("_", " "))
    unit = FEATURES[feature].unit if feature in FEATURES else "1"
    axis = words if unit == "1" else f"{words} ({unit})"
    return TracePlot(column, f"{name}: {words}", axis, TraceSample())
