"""What jobs need: memory, disk space, files; from the size of frames and their number."""

from __future__ import annotations

import math
from typing import Any

BASE_MEMORY_MB = 220
"""Resident memory of a job before it holds a frame: Python, NumPy, OpenCV, a reader; and what
`track` and `extract` keep of some hundred thousand rows, one per cell and frame."""

FRAMES_IN_MEMORY = {"copy": 6, "segment": 14, "correct": 12, "track": 8, "extract": 10}
"""Frames of four bytes per pixel that a step holds at once, rounded up."""

_BYTES_PER_PIXEL = {"copy": 2, "segment": 2, "correct": 4, "track": 4}
"""Bytes per pixel and frame of the stacks that a step writes, at most; of copy per channel."""


def memory_mb(step: str, height: int, width: int, channels: int) -> int:
    """Return the memory that a job of a step declares; it does not depend on the frames.

    Examples
    --------
    >>> memory_mb("segment", 2048, 2048, 2)
    460
    """
    frame_mb = height * width * 4 / 2**20
    planes = max(channels, 1) if step in ("copy", "extract") else 1
    return BASE_MEMORY_MB + round(frame_mb * (FRAMES_IN_MEMORY[step] + planes))


def disk_mb(step: str, height: int, width: int, frames: int, channels: int) -> int:
    """Return the disk space that the outputs of one job of a step take, at most.

    Examples
    --------
    >>> disk_mb("copy", 2048, 2048, 1000, 2)
    16000
    """
    stack_mb = height * width * frames / 2**20
    copies = channels if step == "copy" else 1
    return max(1, round(stack_mb * _BYTES_PER_PIXEL.get(step, 0) * copies))


def estimate(fovs: int, frames: int, height: int, width: int, channels: int) -> dict[str, Any]:
    """Return what a whole run needs: one phase channel, the others fluorescence, all kept.

    Returns
    -------
    dict
        ``steps``: for each step ``jobs``, ``memory_mb`` of a job and ``disk_mb`` of all its jobs;
        ``disk_mb``, ``jobs`` and ``files`` of the run. Tables, logs and records are left out of
        the disk space; `files` counts them.
    """
    fluorescence = channels - 1
    steps = {}
    for step in FRAMES_IN_MEMORY:
        jobs = fovs * (fluorescence if step == "correct" else 1)
        steps[step] = {
            "jobs": jobs,
            "memory_mb": memory_mb(step, height, width, channels),
            "disk_mb": jobs * disk_mb(step, height, width, frames, channels),
        }
    return {
        "steps": steps,
        "jobs": sum(step["jobs"] for step in steps.values()) + 2,
        "disk_mb": sum(step["disk_mb"] for step in steps.values()),
        "files": fovs * (30 + 10 * fluorescence),
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


BASE_RUNTIME_MIN = {"copy": 5, "flat_field": 5}
"""Time limit of a step on a cluster for a movie without frames, 1 where it is not named: the start
of the job, the file system, wrap-up."""

SECONDS_PER_MEGAPIXEL = 0.5
"""Time limit of a step on a cluster, per frame and 10⁶ pixels: many times what the built-in methods
take, also on a slow file system."""


def runtime_min(step: str, height: int, width: int, channels: int, frames: int) -> int:
    """Return the time limit of a job on a cluster in minutes.

    Parameters
    ----------
    step : str
    height, width : int
        Of a frame, in pixels.
    channels : int
        Number of channels that are copied.
    frames : int

    Examples
    --------
    >>> runtime_min("segment", 2048, 2048, 2, 100)
    5
    """
    planes = max(channels, 1) if step in ("copy", "extract") else 1
    seconds = frames * planes * height * width / 1e6 * SECONDS_PER_MEGAPIXEL
    return BASE_RUNTIME_MIN.get(step, 1) + math.ceil(seconds / 60)
