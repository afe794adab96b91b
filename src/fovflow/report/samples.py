"""Samples, and fits to their cells, as the browser of the report is told of them."""

from __future__ import annotations

import re
import zlib
from base64 import b64encode
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fovflow.analysis.answer import Table, model_curves, read_fits, tables_in, units_of
from fovflow.browsing import levels, packed
from fovflow.errors import FovflowError, explained, reading
from fovflow.layout import ANALYSIS, Layout
from fovflow.tables import read_csv

if TYPE_CHECKING:
    import pandas as pd

POINTS = 96
"""Places of a fitted curve, evenly over the time of its sample."""
_CELL = re.compile(r"fov_(\d+)_cell_\d+")


def samples_in(outdir: Path) -> list[dict[str, Any]]:
    """Return the samples of an output folder: their names, and the FOVs that have good cells."""
    path = outdir / ANALYSIS / "samples.csv"
    if not path.is_file():
        return []
    with reading(path), explained(f"{path} is no table of samples", KeyError, ValueError):
        import pandas as pd

        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        keys = ["sample", "dataset", "condition", "replicate"]
        found = [dict(zip(keys, row, strict=True)) for row in table[keys].to_numpy().tolist()]
    fovs: dict[str, set[int]] = {each["sample"]: set() for each in found}
    for sample, _, model, tidy in tables_in(path.parent, list(fovs)):
        wide = tidy.with_name(f"{tidy.stem}_wide.csv")
        if not model and wide.is_file():
            with wide.open(encoding="utf-8") as file:
                head = next((line for line in file if not line.startswith("#")), "")
            fovs[sample].update(map(int, _CELL.findall(head)))
    return [{**each, "fovs": sorted(fovs[each["sample"]])} for each in found]


def fits_in(outdir: Path, samples: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield what the browser is told of each table of fits; one that cannot be read is left out."""
    by_name = {each["sample"]: each for each in samples}
    for table in tables_in(outdir / ANALYSIS, list(by_name)):
        if table.model:
            sample = by_name[table.sample]
            try:
                fits, span = read_fits(table.path), _span(Layout(outdir), sample)
                with explained(f"{table.path} is no table of fits", KeyError, ValueError):
                    told = _told(table, fits, span)
            except FovflowError:
                continue
            yield {"dataset": sample["dataset"], "fovs": sample["fovs"], **told}


def _span(layout: Layout, sample: dict[str, Any]) -> tuple[float, float]:
    """Return the first and last time of a sample in hours."""
    files = (Path(layout.file("times", sample["dataset"], fov)) for fov in sample["fovs"])
    tables = (read_csv(path)["time_s"] for path in files if path.is_file())
    times = np.array([*chain.from_iterable(tables), 0.0], np.float64) / 3600
    return float(np.nanmin(times)), float(np.nanmax(times))


def _told(table: Table, fits: pd.DataFrame, span: tuple[float, float]) -> dict[str, Any]:
    """Return a table of fits with base64 of a zlib stream, which ``docs/report.md`` describes."""
    names = [str(name) for name in fits if f"{name}_se" in fits]
    verdicts, code = np.unique(fits["verdict"], return_inverse=True)
    curves = model_curves(table.model, np.linspace(*span, POINTS), fits)
    first = np.arange(len(fits)) * POINTS
    low, high, steps = levels(curves.ravel(), first, np.full(len(fits), POINTS))
    numbers = [fits[f"{name}{end}"] for name in names for end in ("", "_low", "_high")]
    parts: list[tuple[Any, str]] = [
        (fits["fov"], "<u2"), (fits["cell"], "<u4"), (fits["success"], "u1"), (code, "<u2"),
        *((each, "<f4") for each in [fits["r_squared"], *numbers, low, high]),
    ]  # fmt: skip
    data = b"".join(np.asarray(values).astype(kind).tobytes() for values, kind in parts)
    data += packed(np.diff(steps, prepend=0), first, steps)
    units = units_of(table.model)
    feature = table.measure.rpartition("_ch_")[0]
    return {
        "sample": table.sample,
        "column": feature if feature == "area_um2" else table.measure,
        "model": table.model,
        "parameters": [[name, units.get(name, "")] for name in names],
        "verdicts": verdicts.tolist(),
        "span": span,
        "points": POINTS,
        "cells": len(fits),
        "data": b64encode(zlib.compress(data, 9)).decode("ascii"),
    }
