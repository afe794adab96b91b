"""CPU per frame of the segmentation, as a ratio to copying the frame and to the reference.

python benchmarks/bench_segment.py [--size 2048] [--cells 200] [--json FILE]
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
from numpy.typing import NDArray

from fovflow.segmentation import get_segmenter
from fovflow.simulation import MovieParams, simulate

METHODS = ("classic", "logstd")


def cpu_seconds(call: Callable[[], Any], repeats: int) -> float:
    """Return the least CPU time of a call (s)."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def reference(method: str, image: NDArray[Any], pixel_um: float) -> Callable[[], Any] | None:
    """Return the plain float64 version of a method, or None where it is not there."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    try:
        from reference.segmentation import segment_stack
    except ImportError:
        return None
    return lambda: segment_stack(image[None], method=method, pixel_um=pixel_um)


def measure(size: int, cells: int, with_reference: bool) -> dict[str, dict[str, float]]:
    """Return the figures of each method."""
    cv2.setNumThreads(1)
    movie = simulate(MovieParams(seed=1, frames=2, height=size, width=size, cells=cells))
    image = np.ascontiguousarray(movie.frame(0, 1)[0])
    copy = cpu_seconds(lambda: [image.copy() for _ in range(20)], 5) / 20
    results = {}
    for method in METHODS:
        segmenter = get_segmenter(method, pixel_um=movie.params.pixel_um)
        segmenter(image)
        seconds = cpu_seconds(lambda use=segmenter: use(image), 7)
        results[method] = {"cpu_s_per_frame": seconds, "over_copy": seconds / copy}
        plain = reference(method, image, movie.params.pixel_um) if with_reference else None
        if plain is not None:
            results[method]["reference_over_this"] = cpu_seconds(plain, 1) / seconds
    return results


def main() -> None:
    """Print the figures, and write them as JSON where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2048, help="side of the frame (px)")
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--no-reference", action="store_true")
    given = parser.parse_args()
    results = measure(given.size, given.cells, not given.no_reference)
    for method, figures in results.items():
        print(f"{method:8}", "  ".join(f"{name} {value:.4g}" for name, value in figures.items()))
    if given.json:
        given.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
