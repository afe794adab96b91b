"""Fits and comparisons of a simulated experiment against what was simulated."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from fovflow.analysis.statistics import sentence
from fovflow.simulation.truth import Truth, load_truth

NAMES = {"t0": "t0_h", "ktl": "ktl", "delta": "delta", "beta": "beta", "km": "km"}
"""Parameters of the models, and what the simulator calls them."""


def fit_errors(results: Any, truth: Truth) -> dict[str, tuple[float, int]]:
    """Return for each parameter the median error of successful fits, and the number of cells.

    Cells that were there in frame 0 are compared, each with the nearest true one in that frame;
    the error of ``t0`` is in hours, others are relative. `results`: `fovflow.load_results`.
    """
    fits, errors = results.fits, dict[str, list[float]]()
    fits = fits[fits["feature"] == "intensity_total"]
    for p in range(truth.params.positions):
        cells, kinetics = truth.cells(p), truth.kinetics(p)
        first = cells["frame"] == 0
        places = np.stack([cells["x"][first], cells["y"][first]], axis=1)
        traces = results.fovs[p].traces()
        starts = traces[traces["frame"] == 0].set_index("cell")
        own = fits[(fits["fov"] == p) & fits["success"] & fits["cell"].isin(starts.index)]
        for row in own.to_dict("records"):
            at = starts.loc[row["cell"], ["position_x", "position_y"]].to_numpy(float)
            nearest = cells["cell"][first][((places - at) ** 2).sum(axis=1).argmin()]
            same = (kinetics["cell"] == nearest) & (kinetics["channel"] == row["channel"])
            for name in NAMES.keys() & row:
                true = float(kinetics[NAMES[name]][same][0])
                if row[f"{name}_se"] and true and math.isfinite(row[name]):
                    scale = 1.0 if name == "t0" else true
                    errors.setdefault(name, []).append(abs(row[name] - true) / scale)
    return {name: (float(np.median(found)), len(found)) for name, found in errors.items()}


def describe_answers(results: Any, truth_folder: str | os.PathLike[str]) -> Iterator[str]:
    """Yield in a few lines how fits and comparisons agree with the truth."""
    truth, fits, compared = load_truth(truth_folder), results.fits, results.comparisons
    if fits.empty or compared.empty:
        return
    found = fit_errors(results, truth)
    yield f"fits of {len(fits)} cells, {int(fits['success'].sum())} successful; median errors:"
    for name in filter(found.__contains__, ("t0", "ktl")):
        error, count = found[name]
        told = f"{60 * error:.1f} min" if name == "t0" else f"{error:.1%}"
        yield f"  {name:<4} {told} ({count} cells)"
    for row in compared.fillna({"note": ""}).to_dict("records"):
        effects = truth.params.effects.get(row["condition"], {})
        true = effects.get(NAMES.get(row["quantity"], ""))
        if true is not None:
            yield f"{row['quantity']}: {sentence(row)}; simulated {true:g}"
