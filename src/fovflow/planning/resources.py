"""What jobs need of a machine: memory, disk space, time; from the size and number of frames."""

from __future__ import annotations

import math
from typing import Any

from fovflow.planning.dataset import DatasetPlan
from fovflow.stages import STAGES, Stage


def memory_mb(stage: Stage, plan: DatasetPlan, threads: int = 1) -> int:
    """Return the memory that a job of a step declares; it does not grow with the movie."""
    frames = stage.frames_in_memory + (len(plan.channels) or 1 if stage.all_channels else 0)
    frames *= min(threads, stage.most_threads)
    return stage.base_memory_mb + round(plan.height * plan.width * 4 / 2**20 * frames)


def disk_mb(stage: Stage, plan: DatasetPlan) -> int:
    """Return the disk space that the outputs of one job of a step take, at most."""
    bytes_per_pixel = sum(
        file.pixel_bytes * (1 if stage.role else len(plan.indices(file.role)))
        for file in stage.files
    )
    return max(1, round(plan.height * plan.width * plan.n_frames / 2**20 * bytes_per_pixel))


def runtime_min(stage: Stage, plan: DatasetPlan) -> int:
    """Return the time limit of a job of a step on a cluster, in minutes."""
    frames = min(plan.n_frames, stage.most_frames or plan.n_frames)
    planes = frames * (len(plan.channels) or 1 if stage.all_channels else 1)
    seconds = planes * plan.height * plan.width / 1e6 * stage.seconds_per_megapixel
    return stage.base_runtime_min + math.ceil(seconds / 60)


def estimate(fovs: int, frames: int, height: int, width: int, channels: int) -> dict[str, Any]:
    """Return what a whole run needs: one phase channel, the others fluorescence, all kept.

    Returns
    -------
    dict
        ``steps``: for each step ``jobs``, ``memory_mb`` of a job and ``disk_mb`` of all its jobs;
        ``disk_mb``, ``jobs`` and ``files`` of the run. Tables, logs and records are left out of
        the disk space; `files` counts them.

    Examples
    --------
    >>> found = estimate(fovs=3, frames=1000, height=2048, width=2048, channels=2)
    >>> found["steps"]["copy"], found["jobs"]
    ({'jobs': 3, 'memory_mb': 348, 'disk_mb': 48000}, 23)
    """
    fl, chosen = tuple(range(1, channels)), (0, frames - 1, 1)
    plan = DatasetPlan("", pc=0, fl=fl, frames=chosen, height=height, width=width)
    steps = {}
    for stage in STAGES.values():
        if stage.per_fov:
            jobs = fovs * len(plan.indices(stage.role))
            steps[stage.name] = {
                "jobs": jobs,
                "memory_mb": memory_mb(stage, plan),
                "disk_mb": jobs * disk_mb(stage, plan),
            }
    return {
        "steps": steps,
        "jobs": sum(step["jobs"] for step in steps.values()) + 2,
        "disk_mb": sum(step["disk_mb"] for step in steps.values()),
        "files": fovs * (36 + 10 * len(plan.fl)),
    }


def format_estimate(found: dict[str, Any]) -> str:
    """Return an estimate as a table for people."""
    lines = [f"{'step':<10}{'jobs':>8}{'memory of a job, MB':>22}{'disk, GB':>12}"]
    for name, step in found["steps"].items():
        gigabytes = f"{step['disk_mb'] / 1024:.1f}"
        lines.append(f"{name:<10}{step['jobs']:>8}{step['memory_mb']:>22}{gigabytes:>12}")
    total = f"{found['disk_mb'] / 1024:.1f}"
    lines.append(f"{'all':<10}{found['jobs']:>8}{'':>22}{total:>12}")
    lines.append(f"about {found['files']} files, with logs and records")
    return "\n".join(lines)
