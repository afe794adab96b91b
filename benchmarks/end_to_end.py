"""A whole run beside reading the raw file once and writing the same bytes, and as it grows."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measuring import Sample
from benchmarks.project import STEPS, Project, Run
from benchmarks.rendering import Scene

_PIECE = 8 << 20


def figures(scene: Scene, run: Run, cores: int) -> dict[str, Any]:
    """Return what a run cost, and what of it was the engine's.

    The engine's overhead is what the run took longer than its jobs, spread over the cores.
    """
    frames = scene.frames * scene.fovs
    overhead = run.cost.wall_s - run.work_s / cores
    return {
        "size": scene.size,
        "cells": scene.cells,
        "frames": scene.frames,
        "fovs": scene.fovs,
        "cores": cores,
        "jobs": len(run.jobs),
        "wall_s": run.cost.wall_s,
        "cpu_s": run.cost.cpu_s,
        "work_s": run.work_s,
        "jobs_cpu_s": sum(job.cpu_s for job in run.jobs),
        "overhead_s": overhead,
        "overhead_share": overhead / run.cost.wall_s,
        "cpu_ms_per_frame": 1e3 * run.cost.cpu_s / frames,
        "cells_per_s": scene.cells * frames / run.cost.wall_s,
        "peak_mib": run.largest.peak_mib,
        "peak_step": run.largest.step,
        "peaks_mib": {step: run.peak_mib(step) for step in STEPS},
        "raw_bytes": scene.raw_bytes,
        "read_bytes": run.cost.read_bytes,
        "written_bytes": run.cost.written_bytes,
    }


def measure(scene: Scene, folder: Path, rounds: int) -> dict[str, Any]:
    """Run on one core and move the same bytes plainly, in turn; return both and their ratio."""
    project = Project(folder, scene)
    runs, floors, sizes = [], [], []
    for _ in range(rounds):
        runs.append(project.run())
        sizes = [path.stat().st_size for path in project.results.rglob("*") if path.is_file()]
        project.clear()
        floors.append(move_bytes(project.raw, sizes, project.folder / "floor"))
    raw_file_bytes = project.raw.stat().st_size
    project.remove()
    best = min(runs, key=lambda run: run.cost.wall_s)
    ratios = [run.cost.wall_s / floor for run, floor in zip(runs, floors, strict=True)]
    return {
        **figures(scene, best, 1),
        "raw_file_bytes": raw_file_bytes,
        "output_bytes": sum(sizes),
        "walls": Sample.of([run.cost.wall_s for run in runs]).times(1),
        "floor": Sample.of(floors).times(1),
        "times_floor": best.cost.wall_s / min(floors),
        "times_floor_median": median(ratios),
    }


def move_bytes(raw: Path, sizes: list[int], folder: Path) -> float:
    """Read a file once, write files of these sizes to the disk; return the wall time in s.

    Like the pipeline's, every file is flushed to the disk before it counts.
    """
    folder.mkdir()
    buffer = memoryview(bytearray(os.urandom(1 << 20) * (_PIECE >> 20)))
    start = time.perf_counter()
    with raw.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    for number, size in enumerate(sizes):
        with (folder / str(number)).open("wb", buffering=0) as file:
            for left in range(size, 0, -_PIECE):
                file.write(buffer[: min(left, _PIECE)])
            os.fsync(file.fileno())
    wall = time.perf_counter() - start
    for number in range(len(sizes)):
        (folder / str(number)).unlink()
    folder.rmdir()
    return wall


def grow(scenes: list[tuple[Scene, int]], folder: Path) -> list[dict[str, Any]]:
    """Return the figures of one run for each scene and number of cores."""
    rows = []
    for scene, cores in scenes:
        project = Project(folder, scene)
        rows.append(figures(scene, project.run(cores=cores), cores))
        project.remove()
    return rows
