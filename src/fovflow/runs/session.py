"""Where a `fovflow.Run` writes: a run of its own, or the file of the job that it runs in."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fovflow.errors import FovflowError
from fovflow.runs.journal import Journal
from fovflow.runs.saving import Cabinet
from fovflow.runs.store import ENVIRONMENT, JOB_EVENTS, RunFolder, list_runs

CLAIM = ".owner"
"""File that the process which takes a waiting run makes, so that only one does."""


@dataclass(slots=True)
class Session:
    """An open run.

    Attributes
    ----------
    folder : RunFolder
    journal : Journal
    cabinet : Cabinet
    owner : bool
        Whether the run is ours; else we write into the file of a job of it.
    started : float
        `time.monotonic` when it was opened.
    """

    folder: RunFolder
    journal: Journal
    cabinet: Cabinet
    owner: bool
    started: float = field(default_factory=time.monotonic)


def new_session(
    outdir: str | os.PathLike[str], name: str | None, queue: dict[str, Any], **content: Any
) -> Session:
    """Make a run of our own."""
    return own_session(RunFolder.create(outdir, name=name, **content), queue)


def own_session(folder: RunFolder, queue: dict[str, Any]) -> Session:
    """Open a run as its owner."""
    journal = Journal(folder.path / "events.jsonl", **queue)
    return Session(folder, journal, Cabinet(folder.path / "artifacts", folder.path), owner=True)


def inside_job() -> bool:
    """Tell whether this process belongs to a job or run of the pipeline, recorded or not."""
    return JOB_EVENTS in os.environ or ENVIRONMENT in os.environ


def join_job(queue: dict[str, Any]) -> Session | None:
    """Open the file of the job that this process belongs to; None where there is none."""
    named = os.environ.get(JOB_EVENTS)
    if not named:
        return None
    path = Path(named)
    if not path.parent.is_dir():
        return None
    folder = RunFolder(path.parents[2])
    return _inside(folder, path, queue)


def join_run(queue: dict[str, Any]) -> Session | None:
    """Open a file of our own in the run that the environment names; None where none is at work."""
    named = os.environ.get(ENVIRONMENT)
    if not named:
        return None
    folder = RunFolder(named)
    try:
        if folder.status() not in ("created", "running"):
            return None
    except FovflowError:
        return None
    script = Path(sys.argv[0] if sys.argv else "").stem or "python"
    _, path = folder.new_attempt(f"script.{script}")
    return _inside(folder, path, queue)


def take_over(outdir: str | os.PathLike[str], name: str, queue: dict[str, Any]) -> Session:
    """Open a run that waits in the state ``created``, by its name or id, the newest first.

    Raises
    ------
    FovflowError
        If there is none of that name, it is in another state, or someone else has it.
    """
    named = [run for run in list_runs(outdir) if name in (run.id, run.read_record()["name"])]
    if not named:
        known = [run.id for run in list_runs(outdir)]
        raise FovflowError(
            f"there is no run {name!r} in {Path(outdir) / 'runs'}",
            found=", ".join(known[-5:]) or "no runs",
            remedy="give the name or id of a run that was made with init(running=False)",
        )
    folder = named[-1]
    status = folder.read_record()["status"]
    if status != "created" or not claim(folder):
        raise FovflowError(
            f"the run {folder.id} does not wait for a process to take it over",
            found=f"status {status}" if status != "created" else "another process has it",
            remedy="only runs that were made with init(running=False) can be taken, once",
        )
    return own_session(folder, queue)


def claim(folder: RunFolder) -> bool:
    """Take a waiting run; False where another process did."""
    try:
        (folder.path / CLAIM).open("x").close()
    except FileExistsError:
        return False
    return True


def _inside(folder: RunFolder, path: Path, queue: dict[str, Any]) -> Session:
    cabinet = Cabinet(path.with_suffix(""), folder.path)
    return Session(folder, Journal(path, **queue), cabinet, owner=False)
