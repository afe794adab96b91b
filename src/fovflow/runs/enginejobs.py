"""Jobs as the engine sees them, and what is recorded of those that do not tell themselves.

A job writes its own start and end. Of a job that does not (a shell command, a process that was
killed) the engine's word is recorded in its place, and only then: nothing stands twice.

On a cluster several jobs are one, and end as one. When that fails, Snakemake removes what all of
them made: the step that failed is told apart from those that are lost with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fovflow.runs.clusterjobs import ClusterJob, ClusterJobs, HandedIn
from fovflow.runs.form import make_event, now, seconds_of
from fovflow.runs.jobview import OVER, STOPPED, JobView, shared_words
from fovflow.runs.store import job_name
from fovflow.runs.view import RunView

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
    refused: str = ""


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
    cluster : ClusterJobs
        Tells why a job ended that cannot tell itself.
    """

    def __init__(
        self,
        view: RunView,
        write: Callable[..., None],
        failed: Callable[[JobView, bool], None],
        interrupted: Callable[[], bool],
        cluster: ClusterJobs,
    ):
        self._view, self._write = view, write
        self._failed, self._interrupted = failed, interrupted
        self._cluster = cluster
        self._groups: list[tuple[int, ...]] = []
        self._by_ident: dict[int, EngineJob] = {}
        self._open: dict[int, EngineJob] = {}

    def get(self, ident: int) -> EngineJob | None:
        """Return the last attempt of a job."""
        return self._by_ident.get(ident)

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
            group = next((group for group in self._groups if ident in group), None)
            if group is None:
                self._settle(ident, before)
            else:
                self._settle_group(group)
        attempt = 1 if before is None else before.attempt + 1
        job = EngineJob(job_name(rule, dict(wildcards)), rule, dict(wildcards), attempt, log, at)
        self._by_ident[ident] = self._open[ident] = job
        self._cluster.begin(job.name)
        self._view.submitted(job.name, attempt, rule, wildcards)

    def handed_in(self, handed: HandedIn, at: str) -> None:
        """Take which jobs were handed in to a cluster as one."""
        found = [self._by_ident[ident] for ident in handed.idents if ident in self._by_ident]
        if not found:
            return
        names = tuple(job.name for job in found)
        label = shared_words([job.wildcards for job in found]) or found[0].rule
        self._cluster.submitted(
            ClusterJob(handed.number, handed.scheduler, names, label, handed.log, seconds_of(at))
        )
        about = {"id": handed.number, "scheduler": handed.scheduler, "jobs": list(names)}
        how = {"attempt": found[0].attempt, "log": handed.log, "asked": handed.asked}
        self._record("cluster_job", at, **about, **how)

    def ended(self, ident: int, failed: bool, at: str, refused: str = "") -> None:
        """Take the end of a job; `refused` says why a cluster did not take it."""
        job = self._open.get(ident)
        if job is not None and not any(ident in group for group in self._groups):
            job.ended, job.failed, job.refused = at, failed, refused
            if self._told(job):
                self._settle(ident, job)

    def group_failed(self, idents: tuple[int, ...], at: str, refused: str = "") -> None:
        """Take the end of jobs that were one for the cluster, of which one at least failed."""
        members = tuple(ident for ident in idents if ident in self._open)
        for ident in members:
            job = self._open[ident]
            job.ended, job.failed, job.refused = at, True, refused
        if members:
            self._groups.append(members)
            told = any(self._status(self._open[ident]) == "failed" for ident in members)
            if told or refused:
                self._settle_group(members)

    def settle(self, at: float | None) -> None:
        """Record the engine's word of jobs that have ended and stay silent.

        Parameters
        ----------
        at : float or None
            Seconds since the epoch; None at the end of the run, when nothing more is waited for.
        """
        for group in list(self._groups):
            ended = min(seconds_of(self._open[ident].ended or now()) for ident in group)
            told = any(self._status(self._open[ident]) == "failed" for ident in group)
            if at is None or told or at - ended > GRACE_S:
                self._settle_group(group)
        for ident, job in list(self._open.items()):
            if any(ident in group for group in self._groups):
                continue
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
        return self._status(job) in OVER

    def _status(self, job: EngineJob) -> str:
        view = self._view.jobs.get((job.name, job.attempt))
        return "submitted" if view is None else view.status

    def _settle_group(self, group: tuple[int, ...]) -> None:
        """Record which of the jobs failed, and that the others were lost with it.

        It is the one that said so itself, else the one that was at work, else the one that would
        have been the first.
        """
        self._groups.remove(group)
        jobs = {ident: self._open[ident] for ident in group}
        if self._interrupted():
            guilty = list(jobs)
        else:
            guilty = [i for i, job in jobs.items() if self._status(job) == "failed"]
            at_work = ("running", "terminated")  # a cluster's end of a job is a signal first
            guilty = guilty or [i for i, job in jobs.items() if self._status(job) in at_work]
            guilty = guilty or [min(jobs, key=lambda ident: self._place(jobs[ident]))]
        for ident in guilty:
            self._settle(ident, jobs[ident])
        rules = ", ".join(sorted({jobs[ident].rule for ident in guilty}))
        for ident in set(jobs) - set(guilty):
            self._open.pop(ident, None)
            about = self._about(jobs[ident])
            if self._status(jobs[ident]) == "submitted":  # it never began
                self._view.withdraw(jobs[ident].name, jobs[ident].attempt)
                continue
            error = f"removed with what failed in the same job: {rules}"
            ended = jobs[ident].ended
            self._record("job_failed", ended or now(), **about, error=error, exit=STOPPED)

    def _place(self, job: EngineJob) -> tuple[bool, int]:
        """Return where a job stands in the plan; jobs that have made their files come last."""
        rules = list(self._view.planned)
        place = rules.index(job.rule) if job.rule in rules else len(rules)
        return self._status(job) == "completed", place

    @staticmethod
    def _about(job: EngineJob) -> dict[str, Any]:
        return {
            "job": job.name,
            "rule": job.rule,
            "wildcards": job.wildcards,
            "attempt": job.attempt,
        }

    def _settle(self, ident: int, job: EngineJob, silent: str = "") -> None:
        self._open.pop(ident, None)
        view = self._view.jobs.get((job.name, job.attempt))
        about = self._about(job)
        if view is None or view.status == "submitted":
            self._record("job_started", job.started, **about)
        told = view is not None and view.status
        if self._interrupted():
            silent = STOPPED_WITH_RUN
        elif told == "completed" and job.failed and self._cluster.of(job.name) is not None:
            told = "running"  # its files are removed: why is what the cluster knows
        ended = job.ended or job.started
        self._cluster.ended([job.name])
        stopped_by_cluster = told == "terminated" and view is not None and view.error == "stopped"
        if job.failed and (told not in ("failed", "terminated") or stopped_by_cluster):
            silent = silent or job.refused or self._cluster.why(job.name) or SILENT
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
