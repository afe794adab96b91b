"""What the report tells, as plain data: filled by `fovflow.report.gather`, drawn by the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.report.sample import TraceSample

OBJECTS = "cells per frame"


@dataclass(frozen=True, slots=True)
class FrameSeries:
    """A number per frame of one FOV, with the frames that carry a flag.

    Attributes
    ----------
    title : str
        What it is, with its unit.
    values : numpy.ndarray
        (T,) float64, NaN where the frame has none.
    flags : dict of int to str
        Flag of each flagged frame.
    """

    title: str
    values: NDArray[np.float64]
    flags: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class CellLabel:
    """An id to write into a picture: place in pixels of the frame, verdict, reasons."""

    cell: int
    x: float
    y: float
    good: bool
    flags: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame with the outlines of its cells.

    Attributes
    ----------
    frame : int
    png : bytes
    width, height : int
        Size of the PNG in its pixels.
    scale : float
        Pixels of the PNG per pixel of the frame.
    labels : tuple of CellLabel
    """

    frame: int
    png: bytes
    width: int
    height: int
    scale: float
    labels: tuple[CellLabel, ...]


@dataclass(slots=True)
class FovSummary:
    """One FOV. Numbers of cells are those of complete FOVs; others have None."""

    index: int
    status: str
    step: str = ""
    error: str = ""
    at_frame: int | None = None
    frames: int | None = None
    missing: int | None = None
    cells: int | None = None
    good_cells: int | None = None
    median_frames: float | None = None
    reasons: dict[str, int] = field(default_factory=dict)
    frame_flags: dict[str, int] = field(default_factory=dict)
    series: list[FrameSeries] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    note: str = ""

    @property
    def objects(self) -> FrameSeries | None:
        """The number of cells per frame, where it is known."""
        return next((series for series in self.series if series.title == OBJECTS), None)


@dataclass(slots=True)
class Ledger:
    """Cells and rows of all complete FOVs: detected, kept, and the flags that they carry."""

    cells: int = 0
    cells_kept: int = 0
    rows: int = 0
    rows_kept: int = 0
    unexplained: int = 0
    reason_cells: Counter[str] = field(default_factory=Counter)
    reason_rows: Counter[str] = field(default_factory=Counter)
    not_evaluated: set[str] = field(default_factory=set)

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add one FOV's ledger, as `fovflow.quality.ledger` returns it."""
        self.cells += entry["cells"]["detected"]
        self.cells_kept += entry["cells"]["kept"]
        self.rows += entry["rows"]["detected"]
        self.rows_kept += entry["rows"]["kept"]
        self.unexplained += entry["unexplained"]
        self.reason_cells.update({n: v["cells"] for n, v in entry["reasons"].items()})
        self.reason_rows.update({n: v["rows"] for n, v in entry["reasons"].items()})
        if entry["rows"]["detected"]:
            self.not_evaluated.update(entry["not_evaluated"])


@dataclass(frozen=True, slots=True)
class TracePlot:
    """A plot to draw: its column, words for the axis, and the cells' values."""

    column: str
    title: str
    axis: str
    sample: TraceSample


@dataclass(slots=True)
class DatasetSummary:
    """One dataset.

    Attributes
    ----------
    content : dict
        Its ``processing_results.yaml``; empty where there is none.
    picture_note : str
        Why there are no pictures, or not of all FOVs.
    """

    name: str
    content: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    fovs: list[FovSummary] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    plots: list[TracePlot] = field(default_factory=list)
    picture_note: str = ""

    def number_of(self, status: str) -> int:
        """Return how many FOVs have this status."""
        return sum(fov.status == status for fov in self.fovs)
