"""Every step: in real jobs of the workflow, and on arrays beside its plain version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import copying, correct, extract, segment, track
from benchmarks.contest import Contest
from benchmarks.measuring import Sample
from benchmarks.project import STEPS, Project, Run
from benchmarks.rendering import Scene, stacks
from fovflow.segmentation import get_segmenter
from fovflow.simulation import MovieParams
from fovflow.tracking import get_tracker


def measure_arrays(scene: Scene, folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Return the figures of every step and method on arrays, each from what comes before it."""
    return [contest.measure(rounds) for contest in contests(scene, folder)]


def contests(scene: Scene, folder: Path) -> list[Contest]:
    """Return what is to be measured; labels are those that the steps themselves find."""
    pixel_um = MovieParams().pixel_um
    phase, light = stacks(scene)
    segmenter = get_segmenter(segment.METHODS[0], pixel_um=pixel_um)
    tracker = get_tracker(track.METHODS[0], pixel_um=pixel_um)
    labels = np.stack([segmenter(image)[0] for image in phase])
    for t, image in enumerate(labels):
        tracker.add(t, image)
    lineage = tracker.finish()
    labeled = np.stack([lineage.relabel(t, image) for t, image in enumerate(labels)])
    return [
        copying.contest(scene, folder),
        *(segment.contest(phase, method, pixel_um) for method in segment.METHODS),
        *(
            correct.contest(light, labels, method, pixel_um)
            for method in correct.methods(scene.size)
        ),
        *(track.contest(labels, method, pixel_um) for method in track.METHODS),
        *(extract.contest(labeled, phase, light, name, pixel_um) for name in extract.SETS),
    ]


def measure_jobs(few: Scene, many: Scene, folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Return the figures of every step's job.

    Two movies that differ only in their number of frames run through the pipeline in turn. The
    difference of a job's CPU times over the difference in frames is the cost of a frame; what
    remains is the fixed cost of a job. The same difference of plainly moving the job's bytes is
    the cost that no step can avoid.
    """
    projects = [Project(folder, scene) for scene in (few, many)]
    runs: list[list[Run]] = []
    moving: list[list[dict[str, float]]] = []
    for _ in range(rounds):
        runs.append([project.run() for project in projects])
        moving.append([{step: p.moving_s(step) for step in STEPS} for p in projects])
    for project in projects:
        project.remove()

    def per_frame(seconds: list[list[float]]) -> Sample:
        short, long = (Sample.of(column) for column in zip(*seconds, strict=True))
        more = many.frames - few.frames
        return Sample(
            (long.least - short.least) / more, (long.median - short.median) / more, rounds
        )

    rows = []
    for step in STEPS:
        job = per_frame([[run.cpu_s(step) for run in pair] for pair in runs])
        moved = per_frame([[times[step] for times in pair] for pair in moving])
        shortest = min(run.cpu_s(step) for run, _ in runs)
        rows.append(
            {
                "step": step,
                "job_ms": job.times(1e3),
                "moving_ms": moved.times(1e3),
                "fixed_s": shortest - few.frames * job.least,
                "peak_mib": max(run.peak_mib(step) for _, run in runs),
                "peak_mib_few": max(run.peak_mib(step) for run, _ in runs),
                "cells_per_s": many.cells / job.least if job.least > 0 else None,
            }
        )
    return rows
