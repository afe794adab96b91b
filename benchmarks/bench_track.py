"""Cost of tracking per frame, as ratios to numpy.copy and to the reference.

    python benchmarks/bench_track.py [--json FILE] [--size 2048] [--cells 200] [--rounds 5]

All figures come from one run on one machine and one thread: CPU seconds per frame, linking and
relabelling together, the least of all rounds. 2 % of the detections are missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fovflow.tracking import get_tracker

ROOT = Path(__file__).resolve().parents[1]
PIXEL_UM = 0.65


def stack(size: int, cells: int, frames: int, seed: int = 0) -> np.ndarray:
    """Return (T, size, size) labels of ellipses that walk at random about a grid."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(cells)))
    pitch = size / side
    place = (np.stack(np.divmod(np.arange(cells), side), 1) + 0.5) * pitch
    half = rng.uniform(0.18, 0.3, cells) * pitch
    span = np.arange(-int(0.55 * pitch), int(0.55 * pitch) + 1)
    labels = np.zeros((frames, size, size), np.uint16)
    for frame in labels:
        seen = np.flatnonzero(rng.random(cells) >= 0.02)
        for label, cell in enumerate(seen, start=1):
            y, x = np.rint(place[cell]).astype(int)
            inside = (1.4 * span[:, None] ** 2 + span**2) <= half[cell] ** 2
            rows, columns = np.nonzero(inside)
            rows, columns = rows + y + span[0], columns + x + span[0]
            held = (rows >= 0) & (rows < size) & (columns >= 0) & (columns < size)
            frame[rows[held], columns[held]] = label
        place += rng.normal(0, 0.02 * pitch, place.shape)
    return labels


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Return the least CPU seconds of one call."""
    best = np.inf
    for _ in range(rounds):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return float(best)


def track(labels: np.ndarray, method: str) -> int:
    """Track and relabel a stack frame by frame, as the pipeline does."""
    tracker = get_tracker(method, pixel_um=PIXEL_UM)
    for t, frame in enumerate(labels):
        tracker.add(t, frame)
    lineage = tracker.finish()
    for t, frame in enumerate(labels):
        lineage.relabel(t, frame)
    return lineage.n_cells


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()

    labels = stack(given.size, given.cells, given.frames)
    buffer = np.empty_like(labels)
    copy = seconds(lambda: np.copyto(buffer, labels), given.rounds) / given.frames
    figures: dict[str, float | int] = {
        "size": given.size,
        "cells": given.cells,
        "foreground": float((labels[0] > 0).mean()),
        "copy_s": copy,
    }
    sys.path.insert(0, str(ROOT / "tests"))
    from reference import tracking as reference

    few = labels[:3]
    for method in ("classic", "iou"):
        own = seconds(lambda m=method: track(labels, m), given.rounds) / given.frames
        figures[f"{method}_s"] = own
        figures[f"{method}_over_copy"] = own / copy
        plain = seconds(lambda m=method: reference.track_stack(few, method=m, pixel_um=PIXEL_UM), 1)
        figures[f"{method}_reference_s"] = plain / len(few)
        figures[f"{method}_speedup"] = plain / len(few) / own
    for name, value in figures.items():
        print(f"{name:24} {value:.5g}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
