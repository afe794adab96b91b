"""CPU per frame, fixed cost and peak memory of every step, measured in real jobs of the workflow.

Two movies that differ only in their number of frames run through the pipeline on one core. Each
job's log states its CPU time and its peak memory; the difference of the two, divided by the
difference in frames, is the cost of one frame, and what remains is the fixed cost of a job.

    python benchmarks/steps.py [--size 2048] [--frames 4 24] [--cells 200] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from fovflow.driver import snakemake_command
from fovflow.simulation import MovieParams, simulate, write_movie

STEPS = {
    "copy": "copy",
    "segment": "segment_ch_0",
    "correct": "correct_ch_1",
    "track": "track",
    "extract": "extract",
}
COST = re.compile(r"CPU (?P<cpu>[\d.]+) s, peak memory (?P<mib>\d+) MiB")


def measure(folder: Path, frames: int, size: int, cells: int) -> dict[str, tuple[float, int]]:
    """Run the pipeline on a simulated movie; return (CPU seconds, peak MiB) of each step."""
    params = MovieParams(seed=1, frames=frames, height=size, width=size, cells=cells, divisions=4)
    (folder / "raw").mkdir(parents=True)
    (folder / "config").mkdir()
    write_movie(simulate(params), folder / "raw" / "bench.nd2")
    (folder / "config" / "config.yaml").write_text("datasets: {bench: {path: raw/bench.nd2}}\n")
    command = snakemake_command(["--cores", "1", "--quiet", "all"])
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    costs = {}
    for step, log in STEPS.items():
        text = (folder / "results" / "bench" / "logs" / "fov_000" / f"{log}.log").read_text()
        found = COST.search(text)
        if found is None:
            raise SystemExit(f"no cost in the log of {step}")
        costs[step] = (float(found["cpu"]), int(found["mib"]))
    return costs


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=2048, help="rows and columns (default: 2048)")
    parser.add_argument("--frames", type=int, nargs=2, default=(4, 24), help="default: 4 24")
    parser.add_argument("--cells", type=int, default=200, help="cells (default: 200)")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    arguments = parser.parse_args()
    few, many = sorted(arguments.frames)
    with tempfile.TemporaryDirectory(prefix="fovflow-bench-") as name:
        runs = {
            frames: measure(Path(name) / str(frames), frames, arguments.size, arguments.cells)
            for frames in (few, many)
        }
    rows = {}
    for step in STEPS:
        per_frame = (runs[many][step][0] - runs[few][step][0]) / (many - few)
        rows[step] = {
            "cpu_s_per_frame": per_frame,
            "fixed_cpu_s": runs[few][step][0] - few * per_frame,
            "peak_mib": runs[many][step][1],
            "peak_mib_few_frames": runs[few][step][1],
        }
    print(
        f"{arguments.size} x {arguments.size}, {arguments.cells} cells, phase + 1 fluorescence, "
        f"{few} and {many} frames; {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, NumPy {np.__version__}\n"
    )
    print("| step | CPU per frame (ms) | fixed CPU (s) | peak memory (MiB) | with few frames |")
    print("|---|---|---|---|---|")
    for step, row in rows.items():
        print(
            f"| {step} | {1000 * row['cpu_s_per_frame']:.1f} | {row['fixed_cpu_s']:.2f} | "
            f"{row['peak_mib']} | {row['peak_mib_few_frames']} |"
        )
    total = sum(row["cpu_s_per_frame"] for step, row in rows.items() if step != "copy")
    print(f"\nsegment + correct + track + extract: {1000 * total:.1f} ms CPU per frame")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
