"""A whole result against the truth of its movie, in numbers and in words.

Fits and comparisons of an experiment are held against what was simulated.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fovflow.accuracy.matching import Matches, match_frames
from fovflow.accuracy.scores import (
    Divisions,
    complete_tracks,
    detection_counts,
    intensity_errors,
    match_divisions,
    parents_of,
    seg_score,
    tra_score,
)
from fovflow.analysis.statistics import sentence
from fovflow.errors import FovflowError
from fovflow.layout import fov_name
from fovflow.simulation.truth import Truth, load_truth
from fovflow.tables import read_csv
from fovflow.verdicts import read_traces

NAMES = {"t0": "t0_h", "ktl": "ktl", "delta": "delta", "beta": "beta", "km": "km"}
"""Parameters of the models, and what the simulator calls them."""


def compare(results: Any, truth_folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Compare the results of a simulated movie with its truth.

    Parameters
    ----------
    results : fovflow.results.Results or path-like
        What `fovflow.load_results` returned, or the folder for it. FOVs that have no labelled
        stack or no traces are left out.
    truth_folder : path-like
        What `write_truth` wrote.

    Returns
    -------
    dict
        ``fovs`` compared and ``fovs_true``; over all of them ``cells_true``, ``cells_found``
        (true cells with a match in at least half of their frames), ``detections`` (see
        `DetectionCounts`), ``seg`` and ``tra`` (means over true objects and over FOVs),
        ``tracks_true``, ``tracks_complete``, ``divisions_true``, ``divisions_found``,
        ``divisions_matched``, ``divisions_f1``, and ``intensity``: per fluorescence channel what
        `intensity_errors` returns.

    Raises
    ------
    FovflowError
        If the results have other frames than the truth.
    """
    if isinstance(results, str | os.PathLike):
        from fovflow.results import load_results

        results = load_results(results)
    truth = load_truth(truth_folder)
    fovs = [
        p
        for p, fov in sorted(results.fovs.items())
        if fov.traces_path and "seg_labeled" in fov.stacks and p < truth.params.positions
    ]
    parts = [_compare_fov(results, truth, p) for p in fovs]
    return {
        "fovs": len(fovs),
        "fovs_true": truth.params.positions,
        **_sums(parts),
        "intensity": {
            channel: _intensity(results, truth, fovs, channel)
            for channel in range(1, len(truth.params.channels))
        },
    }


def _compare_fov(results: Any, truth: Truth, p: int) -> dict[str, Any]:
    fov = results.fovs[p]
    labeled = fov.stack("seg_labeled")
    with truth.masks(p) as masks:
        if masks.shape != labeled.shape:
            raise FovflowError(
                f"FOV {p} cannot be compared with its truth",
                found=f"stacks of {labeled.shape} and {masks.shape}",
                remedy="run the pipeline on all frames, without a crop",
            )
        matches = match_frames(iter(masks), iter(labeled))
    true_parents = parents_of(truth.lineage(p))
    tracks = Path(fov.traces_path).parent / f"{results.dataset}_fov_{fov_name(p)}_tracks.csv"
    found_parents = parents_of(read_csv(tracks)) if tracks.exists() else {}
    complete = complete_tracks(matches)
    divisions = match_divisions(matches, truth_parents=true_parents, found_parents=found_parents)
    return {
        "cells_true": complete.total,
        "cells_found": _cells_found(matches),
        "detections": detection_counts(matches),
        "seg": seg_score(matches),
        "tra": tra_score(matches, truth_parents=true_parents, found_parents=found_parents),
        "tracks_complete": complete.complete,
        "divisions": divisions,
    }


def _cells_found(matches: Matches) -> int:
    ids, place = np.unique(matches.truth_id, return_inverse=True)
    held = np.bincount(place, matches.match >= 0, ids.size)
    return int((2 * held >= np.bincount(place, minlength=ids.size)).sum())


def _sums(parts: list[dict[str, Any]]) -> dict[str, Any]:
    detections = [part["detections"] for part in parts]
    counted = ("true", "found", "matched")
    divisions = Divisions(*(sum(getattr(part["divisions"], n) for part in parts) for n in counted))
    objects = sum(d["true"] for d in detections)
    seg = sum(part["seg"] * part["detections"]["true"] for part in parts if part["cells_true"])
    tra = [part["tra"] for part in parts if part["cells_true"]]
    cells_true = sum(part["cells_true"] for part in parts)
    return {
        "cells_true": cells_true,
        "cells_found": sum(part["cells_found"] for part in parts),
        "detections": {k: sum(d[k] for d in detections) for k in (detections or [{}])[0]},
        "seg": seg / objects if objects else float("nan"),
        "tra": float(np.mean(tra)) if tra else float("nan"),
        "tracks_true": cells_true,
        "tracks_complete": sum(part["tracks_complete"] for part in parts),
        "divisions_true": divisions.true,
        "divisions_found": divisions.found,
        "divisions_matched": divisions.matched,
        "divisions_f1": divisions.f1,
    }


def _intensity(results: Any, truth: Truth, fovs: list[int], channel: int) -> dict[str, Any]:
    """Return the errors over all FOVs, whose frames are put one after another."""
    truths, traces, step = [], [], truth.params.frames
    name = f"intensity_total_ch_{channel}"
    for k, p in enumerate(fovs):
        found = read_traces(results.fovs[p].traces_path)
        if name not in found:
            continue
        true = truth.cells(p)
        truths.append({**true, "frame": true["frame"] + k * step})
        traces.append({**found, "frame": found["frame"] + k * step})
    true_columns = ("frame", "x", "y", "area", f"total_ch_{channel}")
    found_columns = ("frame", "position_x", "position_y", name)
    true, found = (
        {c: np.concatenate([np.zeros(0), *(table[c] for table in tables)]) for c in columns}
        for tables, columns in ((truths, true_columns), (traces, found_columns))
    )
    height, width = truth.params.height, truth.params.width
    return dict(intensity_errors(true, found, channel=channel, height=height, width=width))


def format_comparison(comparison: dict[str, Any]) -> str:
    """Return what `compare` returned as a few lines of plain text."""
    c = comparison
    objects = c["detections"].get("true", 0)
    share = c["detections"]["matched"] / objects if objects else float("nan")
    lines = [
        ("fields of view", f"{c['fovs']} of {c['fovs_true']}"),
        ("cells found", f"{c['cells_found']} of {c['cells_true']} ({share:.1%} of detections)"),
        ("complete tracks", f"{c['tracks_complete']} of {c['tracks_true']}"),
        ("segmentation SEG", _known(c["seg"], ".3f")),
        ("tracking TRA", _known(c["tra"], ".3f")),
    ]
    if c["divisions_true"] or c["divisions_found"]:
        words = f"{c['divisions_found']} found, F1 {_known(c['divisions_f1'], '.3f')}"
        lines.append(("divisions", f"{c['divisions_matched']} of {c['divisions_true']} ({words})"))
    for channel, errors in c["intensity"].items():
        names = ("median", "median_centre", "median_border")
        whole, centre, border = (_known(errors[name], ".1%") for name in names)
        words = f"median {whole} (centre {centre}, border {border})"
        lines.append((f"intensity error ch {channel}", words))
    width = max(len(name) for name, _ in lines)
    told = [f"  {name:<{width}}  {text}" for name, text in lines]
    return "\n".join(["compared with the truth:", *told])


def _known(value: float, form: str) -> str:
    return "not known" if np.isnan(value) else format(value, form)


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
