"""Jobs as the engine sees them, and what is recorded of those that do not tell themselves.

A job writes its own start and end. Of a job that does not (a shell command, a process that was
killed) the engine's word is recorded in its place, and only then: nothing stands twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fovflow.runs.form import make_event, now
from fovflow.runs.store import job_name
from fovflow.runs.view import OVER, STOPPED, JobView, RunView, seconds_of

GRACE_S = 10.0
"""Seconds that a job's own last words may take to arrive over a network file system."""

SILENT = "it ended without a word: killed, out of memory, or it could not start"
STOPPED_WITH_RUN = "stopped with the run"


@dataclass(slots=True)
class EngineJob:
    """One attempt of a job, as the engine knows it."""

    name: str
    rule: str
    wildcards: dict[str, Any]
    attempt: int
    log: str
    started: str
    ended: str | None = None
    failed: bool = False


class EngineJobs:
    """The engine's jobs.

    Parameters
    ----------
    view : RunView
        Fed with what jobs themselves tell by others, and with the engine's word by this.
    write : callable
        Appends an event to the run's file.
    failed : callable
        Called once for each attempt that failed, with whether the job has told so itself.
    interrupted : callable
        Tells whether somebody asked the run to stop: a job that then ends without a word, perhaps
        before it had begun to speak, was stopped.
    """

    def __init__(
        self,
        view: RunView,
        write: Callable[..., None],
        failed: Callable[[JobView, bool], None],
        interrupted: Callable[[], bool],
    ):
        self._view, self._write = view, write
        self._failed, self._interrupted = failed, interrupted
        self._by_ident: dict[int, EngineJob] = {}
        self._open: dict[int, EngineJob] = {}

    def name(self, ident: int) -> str | None:
        """Return a job's name."""
        job = self._by_ident.get(ident)
        return None if job is None else job.name

    def open(self) -> list[str]:
        """Return the names of jobs that have not ended."""
        return [job.name for job in self._open.values()]

    def started(
        self, ident: int, rule: str, wildcards: Mapping[str, Any], log: str, at: str
    ) -> None:
        """Take a job that the engine hands out; one that it has had before is tried again."""
        before = self._by_ident.get(ident)
        if before is not None and ident in self._open:
            before.ended, before.failed = at, True
            self._settle(ident, before)
        attempt = 1 if before is None else before.attempt + 1
        job = EngineJob(job_name(rule, dict(wildcards)), rule, dict(wildcards), attempt, log, at)
        self._by_ident[ident] = self._open[ident] = job
        self._view.submitted(job.name, attempt, rule, wildcards)

    def ended(self, ident: int, failed: bool, at: str) -> None:
        """Take the end of a job."""
        job = self._open.get(ident)
        if job is not None:
            job.ended, job.failed = at, failed
            if self._told(job):
                self._settle(ident, job)

    def settle(self, at: float | None) -> None:
        """Record the engine's word of jobs that have ended and stay silent.

        Parameters
        ----------
        at : float or None
            Seconds since the epoch; None at the end of the run, when nothing more is waited for.
        """
        for ident, job in list(self._open.items()):
            if job.ended is None:
                if at is None:
                    self._stopped(ident, job)
                continue
            if at is None or self._told(job) or at - seconds_of(job.ended) > GRACE_S:
                self._settle(ident, job)

    def _stopped(self, ident: int, job: EngineJob) -> None:
        """Record that the run ended while the job was at work."""
        if self._told(job):
            del self._open[ident]
            return
        job.ended, job.failed = now(), True
        self._settle(ident, job, STOPPED_WITH_RUN)

    def _told(self, job: EngineJob) -> bool:
        view = self._view.jobs.get((job.name, job.attempt))
        return view is not None and view.status in OVER

    def _settle(self, ident: int, job: EngineJob, silent: str = SILENT) -> None:
        self._open.pop(ident, None)
        view = self._view.jobs.get((job.name, job.attempt))
        about = {
            "job": job.name,
            "rule": job.rule,
            "wildcards": job.wildcards,
            "attempt": job.attempt,
        }
        if view is None or view.status == "submitted":
            self._record("job_started", job.started, **about)
        told = view is not None and view.status
        if self._interrupted():
            silent = STOPPED_WITH_RUN
        ended = job.ended or job.started
        if job.failed and told not in ("failed", "terminated"):
            error = "its outputs are not there" if told == "completed" else silent
            stopped = {"exit": STOPPED} if silent is STOPPED_WITH_RUN else {}
            self._record("job_failed", ended, **about, error=error, log=job.log, **stopped)
        elif not job.failed and told not in OVER:
            seconds = max(0.0, seconds_of(ended) - seconds_of(job.started))
            self._record("job_finished", ended, **about, seconds=round(seconds, 3))
        if job.failed and silent is not STOPPED_WITH_RUN:
            self._failed(self._view.jobs[job.name, job.attempt], told in OVER)

    def _record(self, kind: str, at: str, **keys: Any) -> None:
        self._view.feed(make_event(kind, time=at, **keys))
        self._write(kind, time=at, **keys)
