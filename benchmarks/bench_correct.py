"""CPU per frame and truth of the background methods.

    python benchmarks/bench_correct.py [--size 2048] [--rounds 5] [--json FILE]

Times are CPU times of one thread, the least of several rounds, as ratios to copying the same
bytes (frame, labels and result) in memory and to the plain float64 version in tests/reference/.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

for pool in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[pool] = "1"

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from fovflow.background import get_corrector  # noqa: E402
from fovflow.simulation import MovieParams, simulate  # noqa: E402

METHODS = ("tiles", "classic")
REFERENCE = Path(__file__).resolve().parents[1] / "tests"
BRIGHT = 10_000.0  # counts; dimmer totals drown in noise


def cpu_ms(call: Callable[[], object], rounds: int) -> float:
    """Return the least CPU time of a call in ms, after one call to warm up."""
    call()
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return 1e3 * min(spent)


def reference_ms(method: str, image: NDArray, labels: NDArray) -> float | None:
    """Return the CPU time of the plain version, or None where there is none."""
    sys.path.insert(0, str(REFERENCE))
    try:
        from reference.background import correct_stack
    except ImportError:
        return None
    return cpu_ms(lambda: correct_stack(image[None], labels[None], method=method), 1)


def speed(size: int, rounds: int) -> dict[str, dict[str, float | None]]:
    """Measure each method on one frame of about 200 cells at 2048 × 2048."""
    cells = max(5, round(200 * (size / 2048) ** 2))
    movie = simulate(MovieParams(seed=4, frames=2, height=size, width=size, cells=cells))
    image, labels = movie.frame(0, 1)[1], movie.masks(0, 1)
    out = np.empty(image.shape, np.float32)
    copy = cpu_ms(lambda: (image.copy(), labels.copy(), out.copy()), rounds)
    table = {}
    for method in METHODS:
        corrector = get_corrector(method, shape=image.shape)
        own = cpu_ms(lambda corrector=corrector: corrector(image, labels, out=out), rounds)
        plain = reference_ms(method, image, labels)
        table[method] = {
            "cpu_ms": own,
            "times_copy": own / copy,
            "reference_ms": plain,
            "faster_than_reference": None if plain is None else plain / own,
        }
    return table


def accuracy(size: int) -> dict[str, dict[str, dict[str, float]]]:
    """Compare surfaces and totals with the truth of simulated movies."""
    cells = max(10, round(120 * (size / 1024) ** 2))
    scenes = {
        "default": {"seed": 1},
        "shading 0.4": {"seed": 2, "shading": 0.4},
        "touching, gradient 0.5": {"seed": 3, "touching": 0.5, "background_gradient": 0.5},
    }
    table = {}
    for name, settings in scenes.items():
        movie = simulate(MovieParams(frames=20, height=size, width=size, cells=cells, **settings))
        table[name] = {method: truth(movie, method, size) for method in METHODS}
    return table


def truth(movie: object, method: str, size: int) -> dict[str, float]:
    """Return median errors of totals and rms errors of the surface, middle and border."""
    corrector = get_corrector(method, shape=(size, size))
    width = size // 16
    ring = np.ones((size, size), bool)
    ring[width:-width, width:-width] = False
    totals: dict[bool, list[float]] = {False: [], True: []}
    squares: dict[bool, list[float]] = {False: [], True: []}
    for t in (8, 13, 19):
        labels = movie.masks(0, t)
        corrected, _ = corrector(movie.frame(0, t)[1], labels)
        error = corrector.background - movie.background(0, t, 1)
        for border in (False, True):
            squares[border].append(float((error[ring == border] ** 2).mean()))
        flat = labels.ravel()
        light = np.bincount(flat, movie.signal(0, t, 1).ravel())
        found = np.bincount(flat, corrected.ravel().astype(np.float64))
        at_border = np.bincount(flat, ring.ravel()) > 0
        for label in np.flatnonzero(light > BRIGHT):
            if label:
                totals[bool(at_border[label])].append(abs(found[label] / light[label] - 1))
    return {
        "total_error_middle": float(np.median(totals[False])),
        "total_error_border": float(np.median(totals[True])),
        "surface_rms_middle": float(np.sqrt(np.mean(squares[False]))),
        "surface_rms_border": float(np.sqrt(np.mean(squares[True]))),
    }


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description="Benchmark of the background correction.")
    parser.add_argument("--size", type=int, default=2048, help="frame edge in pixels")
    parser.add_argument("--accuracy-size", type=int, default=1024, help="frame edge for the truth")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)

    measured = {
        "size": arguments.size,
        "speed": speed(arguments.size, arguments.rounds),
        "accuracy_size": arguments.accuracy_size,
        "accuracy": accuracy(arguments.accuracy_size),
    }
    for method, row in measured["speed"].items():
        plain = row["faster_than_reference"]
        beside = "no reference" if plain is None else f"{plain:.0f} times faster than the reference"
        print(
            f"{method:8s} {row['cpu_ms']:6.1f} ms CPU per frame, "
            f"{row['times_copy']:.0f} times a copy, {beside}"
        )
    for scene, methods in measured["accuracy"].items():
        for method, row in methods.items():
            print(
                f"{scene:24s} {method:8s} totals: middle {row['total_error_middle']:.2%}, border "
                f"{row['total_error_border']:.2%}; surface rms: middle "
                f"{row['surface_rms_middle']:.2f}, border {row['surface_rms_border']:.2f} counts"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
