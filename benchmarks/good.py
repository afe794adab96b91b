"""Wrong rows among those called good, in simulated settings from easy to hopeless.

``python -m benchmarks.good [NAME ...] [--method logstd] [--seed 101] [--quick]`` simulates movies,
makes traces of them, and prints the tables of docs/algorithms/quality.md. ``--movie FOLDER
--pixel-um 0.87 [--masks FOLDER]`` does so with TIFF files, and tells which rows lie on masks.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from fovflow.background import get_corrector
from fovflow.config.findings import FRAME_NOTES
from fovflow.features import get_extractor
from fovflow.quality import RULES, judge
from fovflow.segmentation import get_segmenter
from fovflow.simulation import MovieParams, simulate
from fovflow.tracking import get_tracker

USUAL: dict[str, Any] = {
    "frames": 40, "height": 512, "width": 512, "cells": 30, "births": 2, "deaths": 2,
    "divisions": 3,
}  # fmt: skip

SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "touching": {"touching": 1.0},
    "debris": {"debris": 6.0},
    "thin cells": {"elongation": 4.0, "roughness": 0.25},
    "glioma-like": {
        "pixel_um": 0.8708, "elongation": 3.5, "roughness": 0.25, "touching": 0.8, "cells": 70,
        "cell_radius_um": 12.0, "height": 768, "width": 768,
    },
    "contrast 0.4": {"phase_contrast": 0.4},
    "contrast 0.2": {"phase_contrast": 0.2},
    "read noise 60": {"electrons_per_count": 1.0, "read_noise": 60.0},
    "read noise 150": {"electrons_per_count": 1.0, "read_noise": 150.0},
    "defocus": {"defocus_px": 4.0},
    "radius 4 µm": {"cell_radius_um": 4.0},
    "radius 30 µm": {"cell_radius_um": 30.0, "cells": 8, "height": 768, "width": 768},
    "80 µm/h at 10 min": {"speed_um_h": 80.0},
    "12 µm/h at 1 h": {"speed_um_h": 12.0, "interval_s": 3600.0},
    "12-bit saturation": {"brightness": 2.5e6, "bit_depth": 12},
    "shading 0.5": {"shading": 0.5, "vignetting": 0.6},
    "bleaching 3 % a frame": {"bleaching": 0.03},
    "grain 0.03": {"grain": 0.03},
    "radius 22 µm": {"cell_radius_um": 22.0, "cells": 10, "height": 768, "width": 768},
    "many divisions": {"cells": 24, "divisions": 16, "births": 0, "deaths": 0},
    "drift 9 px a frame": {"drift_px": (8.0, -5.0), "drift_jitter_px": 3.0},
    "contrast 2": {"phase_contrast": 2.0},
    "dim": {"brightness": 8000.0, "brightness_spread": 0.6},
}  # fmt: skip

ERRORS = ("no cell", "merged", "other cell", "area", "intensity")
"""What is wrong with a row: more than 20 % off for area and intensity."""

CLAIMS: dict[str, tuple[str, ...]] = {
    "area_jump": ("area", "merged"), "merge": ("merged",), "saturation": ("intensity",),
    "frame": ("area", "no cell", "merged"), "focus": ("area",),
    "size": ("no cell", "merged", "area"), "debris": ("no cell",), "ragged": ("area", "no cell"),
    "low_confidence": ("other cell",), "fast": ("other cell",), "shading": ("intensity",),
    "dim": ("intensity",), "light": ("intensity",), "crowded": ("area", "merged"),
}  # fmt: skip
"""Which errors a flag stands for."""

MOVIE = ("fast", "shading", "bleaching", "crowded")
"""Flags of whole movies."""

Flags = NDArray[np.bool_]


Errors = dict[str, Flags]


def run(params: MovieParams, method: str) -> tuple[Mapping[str, Any], Errors, set[str]]:
    """Return the judged rows of a movie, per error which rows have it, and notes on most frames."""
    movie = simulate(params)
    frames = [movie.frame(0, t) for t in range(params.frames)]
    rows, labeled, flags = make_rows(frames, params.pixel_um, method)
    noted = {w for w in FRAME_NOTES if sum(w in text for text in flags) > len(flags) / 2}
    truth = np.stack([movie.masks(0, t) for t in range(params.frames)])
    return rows, errors(rows, labeled, truth, movie.cells(0)), noted


def make_rows(
    frames: Sequence[Sequence[NDArray[Any]]], px: float, method: str
) -> tuple[Mapping[str, Any], NDArray[Any], list[str]]:
    """Return judged rows, ids and flags of frames of phase contrast and perhaps fluorescence."""
    segmenter, tracker = get_segmenter(method, pixel_um=px), get_tracker("iou", pixel_um=px)
    shape = len(frames), *frames[0][0].shape
    corrector = get_corrector("tiles", shape=shape[1:], pixel_um=px)
    flags, labels, corrected = {}, [], []
    for t, (phase, *fluorescence) in enumerate(frames):
        found, stats = segmenter(phase)
        flags[t] = stats.flag
        labels.append(found)
        corrected.append([corrector(image, found)[0].copy() for image in fluorescence])
        tracker.add(t, found)
    lineage = tracker.finish()
    labeled = np.stack([lineage.relabel(t, found) for t, found in enumerate(labels)])
    fl = list(range(1, len(frames[0])))
    extractor = get_extractor(fov=0, pc=0, fl=fl, time=np.arange(len(frames)), pixel_um=px)
    for t, (phase, *fluorescence) in enumerate(frames):
        pairs = zip(fluorescence, corrected[t], strict=True)
        extractor.add(t, labeled[t], phase, dict(zip(fl, pairs, strict=True)))
    table = {name: np.asarray(column) for name, column in extractor.finish().items()}
    rows = judge(table, shape=shape, pixel_um=px, links=lineage.links, frame_flags=flags)
    return rows, labeled, list(flags.values())


def describe(movie: Path, masks: Path | None, px: float, method: str) -> str:
    """Return what was found in a movie, and how much of it lies on masks that others made."""
    frames = [[tifffile.imread(name)] for name in sorted(movie.glob("*.tif"))]
    rows, labeled, _ = make_rows(frames, px, method)
    good = rows["good"]
    text = f"{method}: {len(np.unique(rows['cell']))} ids, {len(good)} rows, {good.sum()} good"
    if masks is None:
        return text
    theirs = [cv2.imread(str(name), cv2.IMREAD_UNCHANGED) for name in sorted(masks.glob("*.png"))]
    on = np.array([
        (theirs[t][labeled[t] == cell] > 0).mean() > 0.5
        for cell, t in zip(rows["cell"], rows["frame"], strict=True)
    ])  # fmt: skip
    return f"{text}; on a mask: {on.sum()} of all, {(on & good).sum()} of the good rows"


def errors(
    rows: Mapping[str, Any], labeled: NDArray[Any], truth: NDArray[Any], cells: Mapping[str, Any]
) -> dict[str, Flags]:
    """Tell of each row whether it has each of `ERRORS`."""
    totals = {(int(c), int(t)): float(v) for c, t, v in zip(
        cells["cell"], cells["frame"], cells["total_ch_1"], strict=True)}  # fmt: skip
    least = 0.02 * float(np.nanmedian(cells["total_ch_1"]))
    owner, wrong = [], {name: np.zeros(len(rows["cell"]), bool) for name in ERRORS}
    by_frame = [_matches(found, true) for found, true in zip(labeled, truth, strict=True)]
    for i, (cell, t) in enumerate(zip(rows["cell"].tolist(), rows["frame"].tolist(), strict=True)):
        best, covered, area = by_frame[t].get(cell, (0, 0, 1))
        owner.append(best)
        wrong["no cell"][i], wrong["merged"][i] = best == 0, covered > 1
        if best:
            wrong["area"][i] = abs(rows["area_ch_0"][i] / area - 1) > 0.2
            total = totals.get((best, t), 0.0)
            off = abs(rows["intensity_total_ch_1"][i] - total) > 0.2 * total
            wrong["intensity"][i] = total > least and off
    for cell in np.unique(rows["cell"]):
        own = np.flatnonzero(rows["cell"] == cell)
        true = np.array(owner)[own]
        if true.any():
            wrong["other cell"][own] = (true > 0) & (true != np.bincount(true[true > 0]).argmax())
    return wrong


def _matches(found: NDArray[Any], true: NDArray[Any]) -> dict[int, tuple[int, int, int]]:
    """Return per id of a frame: the cell that it is, how many it covers by half, its true area."""
    base = int(true.max()) + 1
    pairs, common = np.unique(found.ravel() * np.int64(base) + true.ravel(), return_counts=True)
    both = np.divmod(pairs, base)
    area, true_area = np.bincount(found.ravel()), np.bincount(true.ravel())
    matches = {}
    for cell in np.unique(both[0][both[0] > 0]).tolist():
        part = (both[0] == cell) & (both[1] > 0)
        if not part.any():
            continue
        others, shared = both[1][part], common[part]
        half = shared > true_area[others] / 2
        best = int(others[shared.argmax()])
        if shared.max() >= 0.3 * area[cell] or half[shared.argmax()]:
            matches[cell] = best, int(half.sum()), int(true_area[best])
    return matches


def main() -> None:
    """Print both tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="settings; all without any")
    parser.add_argument("--method", default="logstd")
    parser.add_argument("--seed", type=int, default=101)
    parser.add_argument("--quick", action="store_true", help="12 frames, to see that it works")
    parser.add_argument("--movie", type=Path)
    parser.add_argument("--masks", type=Path)
    parser.add_argument("--pixel-um", type=float, default=0.65)
    args = parser.parse_args()
    if args.movie:
        print(describe(args.movie, args.masks, args.pixel_um, args.method))
        return
    counts = {name: np.zeros(4, np.int64) for name in CLAIMS}
    print("| setting | rows | good | wrong among good | by |", "flagged |")
    print("|---|---|---|---|---|---|")
    for name in args.names or SETTINGS:
        settings = USUAL | SETTINGS[name] | ({"frames": 12} if args.quick else {})
        rows, wrong, noted = run(MovieParams(seed=args.seed, **settings), args.method)
        good, texts = rows["good"], [str(text).split(";") for text in rows["flags"]]
        carries = {rule: np.array([rule in text for text in texts], bool) for rule in RULES}
        for rule, claimed in CLAIMS.items():
            true = np.logical_or.reduce([wrong[error] for error in claimed])
            hit = carries[rule] & true
            counts[rule] += carries[rule].sum(), hit.sum(), true.sum(), (true & ~good).sum()
        any_wrong, kept = np.logical_or.reduce(list(wrong.values())) & good, max(1, int(good.sum()))
        by = [
            f"{e} {(wrong[e] & good).sum() / kept:.1%}" for e in ERRORS if (wrong[e] & good).any()
        ]
        most = [rule for rule in ("frame", "focus", "dim", *MOVIE) if carries[rule].mean() > 0.25]
        most += sorted(noted)
        share = f"{any_wrong.sum() / kept:.1%}" if good.any() else "–"
        cells = (name, len(good), int(good.sum()), share, ", ".join(by), ", ".join(most))
        print("|", " | ".join(map(str, cells)), "|", flush=True)
    print("\n| flag | stands for | rows | precision | recall | of these errors not good |")
    print("|---|---|---|---|---|---|")
    for rule, (carry, hit, true, bad) in counts.items():
        shares = (f"{a / b:.2f}" if b else "–" for a, b in ((hit, carry), (hit, true), (bad, true)))
        print("|", " | ".join([f"`{rule}`", ", ".join(CLAIMS[rule]), str(carry), *shares]), "|")


if __name__ == "__main__":
    main()
