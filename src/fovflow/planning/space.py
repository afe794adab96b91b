"""Disk and CPU time of a run, for each choice of the stacks that are kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from fovflow.errors import FovflowError
from fovflow.layout import parse
from fovflow.planning.dataset import DatasetPlan
from fovflow.planning.pipeline import Pipeline
from fovflow.stages import FILES, STACKS
from fovflow.states import Folder, to_run

CHOICES = (STACKS, ("pc", "fl", "seg_labeled"), ("seg_labeled",), ())
"""What may be kept, the most first."""

_USUAL = {"seg_labeled": 2}
"""Bytes per pixel of stacks that have more only in rare cases: here above 65,535 cells."""

_JOB_CPU_S = 0.4
"""CPU time of a job beside its frames: its start, its records, and the engine's part."""


def stack_bytes(plan: DatasetPlan, kind: str) -> int:
    """Return the bytes of a stack of this kind."""
    source = np.dtype(plan.header.dtype if plan.header else np.uint16).itemsize
    sizes = {"pc": source, "fl": source, **_USUAL}
    return plan.n_frames * plan.height * plan.width * sizes.get(kind, FILES[kind].pixel_bytes)


def fov_bytes(plan: DatasetPlan, kinds: Collection[str]) -> int:
    """Return the bytes of an FOV's stacks of these kinds."""
    return sum(stack_bytes(plan, kind) * len(plan.indices(FILES[kind].role)) for kind in kinds)


def to_write(pipeline: Pipeline, kept: Collection[str], at_once: int = 1) -> int:
    """Return by how many bytes the stacks of a run grow at its peak: those that stay, and others.

    Others are those that are removed when their FOV is finished, and old ones, which stay until
    their job has made them anew. `at_once`: FOVs at work at the same time.
    """
    total, passing = 0, 0
    for name, plan in pipeline.datasets.items():
        folder = pipeline.look(name)
        found = [_growth(pipeline, plan, fov, folder, kept) for fov in plan.ready]
        total += sum(max(0, stays) for stays, _ in found)
        beside = sorted(peak - max(0, stays) for stays, peak in found)
        passing = max(passing, sum(beside[-at_once:]))
    return total + passing


def _growth(
    pipeline: Pipeline, plan: DatasetPlan, fov: int, folder: Folder, kept: Collection[str]
) -> tuple[int, int]:
    """Return by how many bytes an FOV's stacks grow, in the end and at most, job by job."""
    jobs = pipeline.jobs(plan.name, fov)
    running, made = to_run(jobs, folder), set[str]()
    now = most = removed = 0
    for job in jobs:
        named = {name: found.kind for name in job.makes if (found := parse(name))}
        stacks = {name: kind for name, kind in named.items() if kind in STACKS}
        unasked = pipeline.stages[job.step].optional and not {*kept} & {*stacks.values()}
        if job.record not in running or unasked:
            continue
        made |= stacks.keys()
        written = {name: stack_bytes(plan, kind) for name, kind in stacks.items()}
        most = max(most, now + sum(written.values()))
        now += sum(written.values()) - sum(map(folder.size, stacks))
        removed += sum(n for name, n in written.items() if stacks[name] not in kept)
    start = len(folder.path) + 1
    for kind in kept:
        for channel in plan.indices(FILES[kind].role):
            name = pipeline.layout.file(kind, plan.name, fov, channel)[start:]
            if name not in made and not folder.has(name):
                now += stack_bytes(plan, kind)
    return now - removed, max(most, now)


def free_bytes(folder: str | os.PathLike[str]) -> int:
    """Return the free bytes of the disk that a folder, or where it will be, lies on."""
    place = Path(folder).absolute()
    return shutil.disk_usage(next(p for p in (place, *place.parents) if p.exists())).free


def check_space(pipeline: Pipeline) -> None:
    """Raise FovflowError where what a run writes will not fit on the disk."""
    if not pipeline.config.run.check_disk:
        return
    outdir, plans = pipeline.layout.outdir, pipeline.datasets.values()
    free = free_bytes(outdir)
    if sum(len(plan.ready) * fov_bytes(plan, STACKS) for plan in plans) <= free:
        return  # all stacks of all FOVs would fit: which of them are missing need not be asked
    need = to_write(pipeline, pipeline.kept)
    if need <= free:
        return
    for choice in CHOICES:
        less = to_write(pipeline, choice)
        if less <= free and less < need:
            fits = f"set keep: [{', '.join(choice)}] in the configuration, which needs {told(less)}"
            break
    else:
        fits = "choose fewer FOVs or frames"
    raise FovflowError(
        f"the stacks of this run do not fit on the disk of {outdir}",
        found=f"{told(need)} are to be written, {told(free)} are free",
        remedy=f"{fits}, or make room, or choose another outdir; run: {{check_disk: false}} has "
        "the run begin all the same",
    )


def told(size: float) -> str:
    """Return a number of bytes for people.

    Examples
    --------
    >>> told(1_234_000_000), told(45_600)
    ('1.2 GB', '0.0 MB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def estimate_run(pipeline: Pipeline, at_once: int) -> dict[str, Any]:
    """Return what a run of all FOVs makes: ``raw_bytes``, ``free_bytes``, ``cpu_s``, ``jobs``.

    ``keep`` lists for each choice what is kept, ``bytes`` that stay, ``per_raw_byte``, what is
    still ``to_write`` at the peak, with `at_once` FOVs at work, and whether it ``fits``. Raw bytes
    are those of the pixels that are copied; tables, pictures and records, a percent or two, are
    left out.
    """
    plans = pipeline.datasets.values()
    raw = sum(len(plan.ready) * fov_bytes(plan, ("pc", "fl")) for plan in plans)
    free = free_bytes(pipeline.layout.outdir)
    own = tuple(kind for kind in STACKS if kind in pipeline.kept)
    keep = []
    for choice in dict.fromkeys((*CHOICES[:-1], own)):
        stay = sum(len(plan.ready) * fov_bytes(plan, choice) for plan in plans)
        need = to_write(pipeline, choice, at_once)
        keep.append(
            {
                "keep": list(choice),
                "configured": choice == own,
                "bytes": stay,
                "per_raw_byte": round(stay / raw, 2) if raw else None,
                "to_write": need,
                "fits": need <= free,
            }
        )
    jobs, seconds = 0, 0.0
    for name, plan in pipeline.datasets.items():
        megapixels = plan.height * plan.width * plan.n_frames / 1e6
        for job in pipeline.jobs(name, plan.ready[0]) if plan.ready else ():
            stage = pipeline.stages[job.step]
            channels = len(plan.channels) if stage.all_channels else 1
            jobs += len(plan.ready) if stage.per_fov else 1
            seconds += len(plan.ready) * (
                _JOB_CPU_S + stage.cpu_s_per_megapixel * megapixels * channels
            )
    return {
        "raw_bytes": raw,
        "free_bytes": free,
        "cpu_s": round(seconds, 1),
        "jobs": jobs,
        "keep": keep,
    }


def format_run(found: dict[str, Any]) -> str:
    """Return what `estimate_run` found for people."""
    lines = [
        f"{told(found['raw_bytes'])} of raw pixels, {told(found['free_bytes'])} free; "
        f"{found['jobs']} jobs, about {found['cpu_s'] / 60:.1f} min of CPU",
        f"{'keep':<42}{'stays':>10}{'per raw byte':>14}{'to write':>11}",
    ]
    for each in found["keep"]:
        names = "all" if each["keep"] == [*STACKS] else f"[{', '.join(each['keep'])}]"
        ratio = "–" if each["per_raw_byte"] is None else f"{each['per_raw_byte']:.2f}"
        lines.append(
            f"{'* ' if each['configured'] else '  '}{names:<40}{told(each['bytes']):>10}"
            f"{ratio:>14}{told(each['to_write']):>11}{'' if each['fits'] else '  does not fit'}"
        )
    lines.append("*: as configured. To write: what is added at most, while FOVs pass and old")
    lines.append("stacks stay until they are replaced.")
    return "\n".join(lines)
