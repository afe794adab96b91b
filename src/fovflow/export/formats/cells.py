"""A table of cells as CSV: one row per cell, with its motion, its growth and its place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fovflow.export.fov import ExportedFov, Format, named


def _write(fovs: Sequence[ExportedFov], folder: Path) -> None:
    dataset = fovs[0].fov.dataset
    for number, each in enumerate(fovs):
        table = each.fov.cells()
        if each.good_only:
            table = table[table["good_frames"] > 0]
        named(table, each.fov).insert(0, "dataset", dataset)
        path = folder / f"{dataset}_cells.csv"
        table.to_csv(path, mode="a" if number else "w", header=not number, index=False)


FORMAT = Format(
    "a CSV table with one row per cell: speed, path, growth, neighbours, parent, times",
    _write,
    ("_cells.csv",),
    needs=("traces",),
    wants=("tracks",),
    per_fov=False,
)
