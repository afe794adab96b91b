"""Cost of extraction per frame, as ratios to numpy.copy and to the reference.

    python benchmarks/bench_extract.py [--json FILE] [--size 2048] [--cells 200] [--rounds 5]

All figures come from one run on one machine and one thread; CPU seconds per frame, the least of
all rounds. Before each measurement the frame is copied anew, as reading it from a stack does, so
that the caches hold what they hold in a job.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fovflow.features import DEFAULT_FEATURES, FEATURES, get_extractor

ROOT = Path(__file__).resolve().parents[1]
Frame = dict[str, np.ndarray]
EVERYTHING = {
    kind: [name for name, feature in FEATURES.items() if feature.kind == kind]
    for kind in ("pc", "fl")
}


def frame(size: int, cells: int, seed: int) -> Frame:
    """Return labels of disks of 14 to 24 px radius on a grid, phase, raw and corrected."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((size, size), np.uint16)
    side = int(np.ceil(np.sqrt(cells)))
    for i, cell in enumerate(rng.choice(np.arange(1, 60001), cells, replace=False)):
        cy, cx = (np.array([i // side, i % side]) + 0.5) * size / side
        radius = rng.uniform(14, 24)
        y, x = np.ogrid[:size, :size]
        near = slice(max(int(cy) - 26, 0), int(cy) + 27), slice(max(int(cx) - 26, 0), int(cx) + 27)
        disk = (y[near[0]] - cy) ** 2 + (x[:, near[1]] - cx) ** 2 <= radius**2
        labels[near][disk] = cell
    raw = rng.integers(90, 4000, labels.shape).astype(np.uint16)
    return {
        "labels": labels,
        "phase": rng.integers(900, 1100, labels.shape).astype(np.uint16),
        "raw": raw,
        "corrected": raw - np.float32(50.5),
    }


def seconds(work: Callable[[int, Frame], Any], source: Frame, rounds: int) -> float:
    """Return the least CPU seconds of one call, each on a frame that was just read."""
    best = np.inf
    for i in range(rounds + 1):  # the first one warms up
        image = {name: values.copy() for name, values in source.items()}
        start = time.process_time()
        work(i, image)
        best = min(best, time.process_time() - start) if i else np.inf
    return float(best)


def extraction(rounds: int, **options: Any) -> Callable[[int, Frame], None]:
    """Return the work of one frame."""
    extractor = get_extractor(fov=0, pc=0, fl=[1], time=np.arange(rounds + 1), **options)

    def work(t: int, image: Frame) -> None:
        extractor.add(t, image["labels"], image["phase"], {1: (image["raw"], image["corrected"])})

    return work


def reference() -> Callable[[int, Frame], Any] | None:
    """Return the same work by the plain version, where it stands beside this file."""
    sys.path.insert(0, str(ROOT / "tests"))
    try:
        from reference.features import frame_rows
    except ImportError:
        return None
    return lambda _, image: frame_rows(
        image["labels"], image["phase"], {1: (image["raw"], image["corrected"])}
    )


def measure(size: int, cells: int, rounds: int) -> dict[str, Any]:
    """Return all figures."""
    image = frame(size, cells, 0)
    variants = {
        "copy_s": lambda _, image: [values.copy() for values in image.values()],
        "default_s": extraction(rounds, features=DEFAULT_FEATURES),
        "all_features_s": extraction(rounds, features=EVERYTHING),
        "eroded_s": extraction(rounds, features=DEFAULT_FEATURES, erosion_px=3),
    }
    result: dict[str, Any] = {"size": size, "cells": cells}
    result |= {name: seconds(work, image, rounds) for name, work in variants.items()}
    result["default_over_copy"] = result["default_s"] / result["copy_s"]
    plain = reference()
    if plain is not None:
        result["reference_s"] = seconds(plain, image, min(rounds, 3))
        result["times_faster_than_reference"] = result["reference_s"] / result["all_features_s"]
    return result


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file that the figures are written to")
    parser.add_argument("--size", type=int, default=2048, help="edge of the frames in pixels")
    parser.add_argument("--cells", type=int, default=200, help="cells per frame")
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each figure")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    result = measure(options.size, options.cells, options.rounds)
    for name, value in result.items():
        print(f"{name:28s} {value:.4g}" if isinstance(value, float) else f"{name:28s} {value}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
