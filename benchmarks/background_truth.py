"""Truth of the background methods: surfaces and totals against those of simulated movies.

python -m benchmarks.background_truth [--size 1024]
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from benchmarks.correct import METHODS
from fovflow.background import get_corrector
from fovflow.simulation import MovieParams, simulate
from fovflow.simulation.movie import Movie

BRIGHT = 10_000.0  # counts; dimmer totals drown in noise


def accuracy(size: int) -> dict[str, dict[str, dict[str, float]]]:
    """Compare surfaces and totals with the truth of simulated movies."""
    cells = max(10, round(120 * (size / 1024) ** 2))
    scenes: dict[str, dict[str, Any]] = {
        "default": {"seed": 1},
        "shading 0.4": {"seed": 2, "shading": 0.4},
        "touching, gradient 0.5": {"seed": 3, "touching": 0.5, "background_gradient": 0.5},
    }
    table = {}
    for name, settings in scenes.items():
        movie = simulate(MovieParams(frames=20, height=size, width=size, cells=cells, **settings))
        table[name] = {method: truth(movie, method, size) for method in METHODS}
    return table


def truth(movie: Movie, method: str, size: int) -> dict[str, float]:
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
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=1024, help="frame edge in pixels")
    given = parser.parse_args()
    for scene, methods in accuracy(given.size).items():
        for method, row in methods.items():
            print(
                f"{scene:24s} {method:8s} totals: middle {row['total_error_middle']:.2%}, border "
                f"{row['total_error_border']:.2%}; surface rms: middle "
                f"{row['surface_rms_middle']:.2f}, border {row['surface_rms_border']:.2f} counts"
            )


if __name__ == "__main__":
    main()
