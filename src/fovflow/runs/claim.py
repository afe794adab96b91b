"""One run at a time on an output folder, also where the file system knows no locks."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fovflow.errors import FovflowError
from fovflow.events import FINAL, moment, now, seconds_of
from fovflow.records import read_json_object
from fovflow.runs.store import LOST_AFTER_S, RunFolder, run_at_work

CLAIM = ".claim"
"""File in ``runs/`` of the run at work; it says which process that is."""

CLOCKS_S = 10.0
"""How far the clock of a file server may be off, in seconds."""


def make_claim(path: Path, about: dict[str, Any]) -> bool:
    """Make the file; False where it is that of another run that may be at work.

    `about`: of this process: ``host`` and ``pid``, and what else is to be told. Raises OSError if
    the file can be neither made nor taken away.
    """
    for _ in range(2):
        try:
            with path.open("x", encoding="utf-8") as file:
                json.dump(about, file)
        except FileExistsError:
            if _is_at_work(path):
                return False
            path.unlink(missing_ok=True)
        else:
            return read_json_object(path) == about  # another one may have taken away this one, too
    return False


def still_there(pid: int, seen: float) -> bool:
    """Tell whether a process of this machine that was there at a time is there now.

    Another one may have got its number since.

    `seen`: seconds since the epoch.
    """
    import psutil

    try:
        return float(psutil.Process(pid).create_time()) <= seen + CLOCKS_S
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False
    except psutil.AccessDenied:
        return True


def _is_at_work(path: Path) -> bool:
    """Tell whether the process that made the file may be at work."""
    about = read_json_object(path)
    try:
        made = path.stat().st_mtime
    except OSError:
        return False
    with suppress(KeyError, TypeError, ValueError):
        if about["host"] == socket.gethostname():
            return still_there(int(about["pid"]), made)
    return time.time() - made < LOST_AFTER_S


LOCK = ".lock"
"""File in ``runs/`` that the run at work has locked; it says which process that is."""

JOBS = ".jobs"
"""File in ``runs/`` that every job at work has locked together with the others."""

_joined: dict[Path, int] = {}
"""Descriptors that this process holds as a job, by file."""


class Claim:
    """The right to be the only run on an output folder."""

    def __init__(self, outdir: str | os.PathLike[str]):
        self.outdir = Path(outdir)
        self._descriptor: int | None = None
        self._about: dict[str, Any] = {}

    def take(self) -> None:
        """Take the right, until `release` or the end of this process.

        Raises FovflowError if another run, or a job of a killed one, is at work on the folder.
        """
        self._about = {"host": socket.gethostname(), "pid": os.getpid(), "since": now()}
        alone = self._lock()
        refusal = self._refusal(alone)
        if refusal is not None:
            self.release()
            raise refusal
        if self._descriptor is not None:
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, json.dumps(self._about).encode(), 0)

    def _lock(self) -> bool:
        """Tell whether no other run has locked the folder, and lock it, as far as can be."""
        folder = self.outdir / "runs"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._descriptor, alone = _lock(folder / LOCK, fcntl.LOCK_EX)
        except OSError:  # no folder or no locks here
            try:
                return make_claim(folder / CLAIM, self._about)
            except OSError:  # the heartbeat must do
                return True
        return alone

    def _refusal(self, alone: bool) -> FovflowError | None:
        """Return why the folder cannot be had, where it cannot."""
        from fovflow.runs.slurm import slurm_orphans  # which jobs can do without

        run = run_at_work(self.outdir)
        if not alone or (run is not None and _beats(run)):
            return self._busy(run, alone)
        waiting = slurm_orphans(self.outdir)
        if waiting is None and not self._without_jobs(run):
            return self._orphans(run)
        return waiting

    def _without_jobs(self, run: RunFolder | None) -> bool:
        """Tell whether no job of a killed run is at work here."""
        try:
            descriptor, free = _lock(self.outdir / "runs" / JOBS, fcntl.LOCK_EX)
        except OSError:  # no locks here
            return run is None or not _jobs_left(run)
        _release(descriptor)
        return free

    def release(self) -> None:
        """Give the right back; safe to call twice."""
        _release(self._descriptor)
        path = self.outdir / "runs" / CLAIM
        if self._about and read_json_object(path) == self._about:
            with suppress(OSError):
                path.unlink()
        self._descriptor, self._about = None, {}

    def _busy(self, run: RunFolder | None, alone: bool) -> FovflowError:
        folder, about = self.outdir / "runs", dict[str, Any]()
        if not alone:  # else it is the heartbeat of a run elsewhere that tells
            about = read_json_object(folder / CLAIM) or read_json_object(folder / LOCK)
        name, record = "that is about to begin", _told(run)
        same = (record.get("host"), record.get("pid")) == (about.get("host"), about.get("pid"))
        if record and (same or not about):
            name, about = record["name"], {**about, **record}
        return FovflowError(
            f"another run is at work on the output folder {self.outdir}",
            found=f"the run {name} ({_where(about)})",
            remedy="wait until it has ended (fovflow watch shows it), or stop it",
        )

    def _orphans(self, run: RunFolder | None) -> FovflowError:
        record = _told(run)
        name = f" {record['name']}" if record else ""
        alive = " ".join(map(str, _jobs_left(run))) if run is not None else ""
        return FovflowError(
            f"the run{name} was killed, but jobs of it are still at work on {self.outdir}",
            found=f"processes {alive}" if alive else None,
            remedy="wait until they have ended" + (f", or end them: kill {alive}" if alive else ""),
        )


def join(runs: str | os.PathLike[str]) -> int | None:
    """Tell that this process is a job of the run at work, until it ends; once is enough.

    `runs`: the folder ``{outdir}/runs``. Returns the descriptor that holds the lock; None where
    there are no locks.
    """
    path = Path(runs) / JOBS
    before = _joined.get(path)
    try:
        if before is not None and os.path.samestat(os.fstat(before), path.stat()):
            return before
        descriptor, _ = _lock(path, fcntl.LOCK_SH, make=False)
    except OSError:
        return None
    _release(before)
    if descriptor is not None:
        _joined[path] = descriptor
    return descriptor


def left_locked(outdir: str | os.PathLike[str]) -> str:
    """Return the sentence on a lock of the engine that a killed run left behind."""
    who = "a run that was killed before its first job"
    if record := _told(run_at_work(outdir)):
        who = f"the run {record['name']}, which was killed ({_where(record)})"
    return str(
        FovflowError(
            f"this folder is still locked by {who}; nothing is at work in it now",
            remedy="the same command with --unlock added, then the same command again; nothing "
            "that was complete is lost",
        )
    )


def _lock(path: Path, kind: int, *, make: bool = True) -> tuple[int | None, bool]:
    """Return a descriptor of the locked file, and whether the lock was had."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags | (os.O_CREAT if make else 0), 0o666)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None, False
    except OSError:
        os.close(descriptor)
        raise
    return descriptor, True


def _jobs_left(run: RunFolder) -> list[int]:
    """Return the processes of a run's jobs that are at work on this machine."""
    from fovflow.runs.state import read_run

    here = socket.gethostname()
    with suppress(FovflowError, OSError):
        return [
            job.pid
            for job in read_run(run).running
            if job.host == here and job.pid and job.started
            and still_there(job.pid, seconds_of(job.started))
        ]  # fmt: skip
    return []


def _release(descriptor: int | None) -> None:
    if descriptor is not None:
        with suppress(OSError):
            os.close(descriptor)


def _beats(run: RunFolder) -> bool:
    return run.known().get("pid") != os.getpid() and run.status() not in FINAL


def _told(run: RunFolder | None) -> dict[str, Any]:
    """Return the record of a run with ``since``; an empty one where it cannot be read."""
    record = run.known() if run is not None else {}
    since = record.get("started") or record.get("created")
    return {**record, "since": since} if "name" in record and since else {}


def _where(about: Mapping[str, Any]) -> str:
    at = moment(about.get("since"))
    since = f"{at.astimezone():%Y-%m-%d %H:%M:%S %z}" if at else about.get("since", "")
    return f"host {about.get('host', 'unknown')}, pid {about.get('pid', 'unknown')}, since {since}"
