"""The recorder of a run: takes what the engine tells and brings it to disk and to the screen."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fovflow.atomic import write_text
from fovflow.events import EventFile, EventTail, make_event, now, seconds_of
from fovflow.runs.screen import Announcer
from fovflow.runs.slurm import ClusterJob, ClusterJobs, HandedIn
from fovflow.runs.store import BEAT_S, CURRENT, ENVIRONMENT, RunFolder, RunPlan, RunReader, job_name
from fovflow.runs.view import (
    OVER,
    STOPPED,
    JobView,
    RunView,
    counts,
    failures,
    outcome,
    shared_words,
)

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


class Inbox:
    """Notes for the recorder's thread; every method returns at once.

    Attributes
    ----------
    interrupted : str
        Who asked the run to stop; empty where nobody did.
    """

    def __init__(self) -> None:
        self.interrupted = ""
        self._queue: queue.SimpleQueue[tuple[str, tuple[Any, ...]]] = queue.SimpleQueue()

    def job_started(self, ident: int, rule: str, wildcards: Mapping[str, Any], log: str) -> None:
        """Note that the engine hands out a job, perhaps for another attempt."""
        self._queue.put(("started", (ident, rule, dict(wildcards), log, now())))

    def job_ended(self, ident: int, failed: bool, refused: str = "") -> None:
        """Note that a job ended; `refused` says why a cluster did not take it."""
        self._queue.put(("ended", (ident, failed, refused, now())))

    def group_failed(self, idents: tuple[int, ...], refused: str = "") -> None:
        """Note that jobs that were one for the cluster ended, and that one of them failed."""
        self._queue.put(("groupfailed", (idents, refused, now())))

    def handed_in(self, handed: HandedIn) -> None:
        """Note that jobs were handed in to a cluster as one."""
        self._queue.put(("handed", (handed, now())))

    def belongs_to(self, scheduler: str, name: str) -> None:
        """Record the name that all jobs of this run have on the cluster."""
        self._queue.put(("named", (scheduler, name)))

    def interrupt(self, reason: str) -> None:
        """Note that somebody asked the run to stop; safe inside a signal handler."""
        self.interrupted = self.interrupted or reason


LIVE_EVERY_S = 0.5
"""Seconds between two drawings on a terminal, and between two looks for alerts."""

QUIET_EVERY_S = 2.0
"""Seconds between two looks at the jobs' files where nothing is drawn."""

JOIN_S = 20.0
"""Longest time, in seconds, that the end of a run waits for its records."""


class Recorder(Inbox):
    """Records one run.

    Parameters
    ----------
    plan : RunPlan
    announcer : Announcer
        Tells people of the run.
    stop : callable, optional
        Ends the run cleanly; gets the view of the run.
    stop_job : callable, optional
        Ends a job cleanly; gets the view of the job.
    """

    def __init__(
        self,
        plan: RunPlan,
        announcer: Announcer,
        *,
        stop: Callable[[RunView], None] | None = None,
        stop_job: Callable[[JobView], None] | None = None,
    ):
        super().__init__()
        self.plan = plan
        self.view = RunView({"name": plan.name or "run", "status": "created", "jobs": plan.jobs})
        self.run: RunFolder | None = None
        self._announcer = announcer
        self._stop_run, self._stop_job = stop, stop_job
        self._events: EventFile | None = None
        self._reader: RunReader | None = None
        self._watcher: Any = None
        self._alerts: EventTail | None = None
        self._jobs: EngineJobs | None = None
        self._cluster = ClusterJobs(
            plan.silent_after_s, self._warn, self._stop if plan.stop_when_lost else None
        )
        self._broken = self._finished = self._stopping = False
        self._owner = os.getpid()
        self._before = os.environ.get(ENVIRONMENT)
        self._thread = threading.Thread(target=self._work, name="fovflow-recorder", daemon=True)

    # ---- called by the engine's side

    def start(self) -> None:
        """Make the run's folder and tell jobs of it, before the first of them starts."""
        try:
            self.run = RunFolder.create(
                self.plan.outdir, name=self.plan.name, **self.plan.content, jobs=self.plan.jobs
            )
            self.run.path = self.run.path.absolute()
            write_text(self.run.path.parent / CURRENT, self.run.id + "\n")
            self._events = EventFile(self.run.path / "events.jsonl")
            self.run.beat()
            self.view.record = self.run.set_status("running")
            os.environ[ENVIRONMENT] = str(self.run.path)
        except Exception as error:
            self._give_up(error)
        self._reader = None if self.run is None else RunReader(self.run, self.view, self._heard)
        self._jobs = EngineJobs(
            self.view,
            self._write,
            self._announcer.failed,
            lambda: bool(self.interrupted),
            self._cluster,
        )
        if self.view.record.get("started") is None:
            self.view.record["started"] = now()
        self._thread.start()

    def finish(self) -> None:
        """Bring the run to its end; later calls do nothing."""
        if self._finished or os.getpid() != self._owner:
            return
        self._finished = True
        if self._thread.is_alive():
            self._queue.put(("end", ()))
            self._thread.join(JOIN_S)
        if self._events is not None:
            with suppress(OSError, ValueError):
                self._events.close()
        self._announcer.close()
        if self._before is None:
            os.environ.pop(ENVIRONMENT, None)
        else:
            os.environ[ENVIRONMENT] = self._before
        self._announcer.end(self.view, None if self._broken else self.run)

    # ---- the thread

    def _work(self) -> None:
        self._guarded(self._prepare)
        watched = self._announcer.live or self._watcher is not None
        every = LIVE_EVERY_S if watched else QUIET_EVERY_S
        beat = look = 0.0
        ending = False
        while not ending:
            with suppress(queue.Empty):
                what, arguments = self._queue.get(timeout=min(every, BEAT_S))
                ending = what == "end"
                if not ending:
                    self._guarded(getattr(self, f"_{what}"), *arguments)
            at = time.monotonic()
            if at - beat >= BEAT_S:
                beat = at
                self._guarded(self._beat)
            if at - look >= every:
                look = at
                self._guarded(self._look)
                self._announcer.show(self.view)
        self._guarded(self._end)

    def _prepare(self) -> None:
        if self.run is None or self._broken:
            return
        if self.plan.watch is not None:
            self._watcher = self.plan.watch(self.run, self._act)
            self._alerts = EventTail(self.run.path / "alerts.jsonl")
        self.view.record = self.run.update(**self.plan.slow())

    def _started(self, ident: int, rule: str, wildcards: dict[str, Any], log: str, at: str) -> None:
        assert self._jobs is not None
        self._jobs.started(ident, rule, wildcards, log, at)

    def _ended(self, ident: int, failed: bool, refused: str, at: str) -> None:
        assert self._jobs is not None
        job = self._jobs.get(ident)
        if self._reader is not None and job is not None:
            self._reader.poll_jobs([job.name])
        self._jobs.ended(ident, failed, at, refused)

    def _groupfailed(self, idents: tuple[int, ...], refused: str, at: str) -> None:
        assert self._jobs is not None
        if self._reader is not None:
            self._reader.poll_jobs(self._jobs.open())
        self._jobs.group_failed(idents, at, refused)

    def _handed(self, handed: HandedIn, at: str) -> None:
        assert self._jobs is not None
        self._jobs.handed_in(handed, at)

    def _named(self, scheduler: str, name: str) -> None:
        if self.run is not None and not self._broken:
            self.view.record = self.run.update(cluster={"scheduler": scheduler, "name": name})

    def _look(self) -> None:
        assert self._jobs is not None
        if self._reader is not None:
            self._reader.poll_jobs(self._jobs.open())
        self._jobs.settle(time.time())
        self._cluster.look(time.time())
        if self._watcher is not None:
            self._watcher.poll()
        if self._alerts is not None:
            for event in self._alerts.read():
                self.view.feed(event)

    def _beat(self) -> None:
        if self.run is not None and not self._broken:
            self.run.beat()

    def _heard(self, event: Mapping[str, Any], job: tuple[str, int] | None) -> None:
        """Act on what jobs tell, where nothing else watches their alerts."""
        if job is not None:
            self._cluster.heard(job[0], time.time())
        if self._watcher is None and event["type"] == "alert" and job is not None:
            action = str(event.get("action"))
            if action == "stop_run":
                self._stop(f"alert {event['name']}")

    def _act(self, action: str, firing: Any) -> None:
        """Act on an alert: ``firing`` has a name and the job that it fired for."""
        reason = f"alert {firing.name}"
        if action == "stop_run":
            self._stop(reason)
        elif action == "stop_job" and self.run is not None:
            view = self.view.last_of(firing.job)
            if view is not None and view.status == "running":
                self.run.ask_to_stop(view.job, view.attempt, reason)
                if self._stop_job is not None:
                    self._stop_job(view)

    def _warn(self, text: str) -> None:
        """Tell people something that needs their eyes, and record it."""
        self._write("message", message=text, level="warning")
        self._announcer.warn(text)

    def _stop(self, reason: str) -> None:
        """Stop the run, once."""
        if self._stopping:
            return
        self._stopping = True
        self.interrupt(reason)
        self._warn(f"the run is stopped: {reason}")
        if self._stop_run is not None:
            self._stop_run(self.view)

    # ---- the end

    def _end(self) -> None:
        assert self._jobs is not None
        if self._reader is not None:
            self._reader.poll_jobs(self._jobs.open())
        self._jobs.settle(None)
        if self._watcher is not None:
            self._guarded(self._watcher.poll)
            self._guarded(self._watcher.finish)
        status, message = outcome(self.view, self.interrupted)
        self.view.record["status"], self.view.record["ended"] = status, now()
        if self.run is None:
            return
        with suppress(OSError):
            current = self.run.path.parent / CURRENT
            if current.read_text(encoding="utf-8").strip() == self.run.id:
                current.unlink()
        self.run.update(counts=counts(self.view), failures=failures(self.view))
        self.view.record = self.run.set_status(status, message)

    # ---- failures of the recording itself

    def _write(self, kind: str, *, time: str | None = None, **keys: Any) -> None:
        if self._events is not None and not self._broken:
            self._guarded(self._events.write, kind, time=time, **keys)

    def _guarded(self, call: Callable[..., Any], *arguments: Any, **keys: Any) -> None:
        try:
            call(*arguments, **keys)
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        """Say once that nothing is recorded from now on."""
        if self._broken:
            return
        self._broken = True
        self._reader = None
        if self.run is None:
            os.environ[ENVIRONMENT] = ""  # jobs shall not take an earlier run for theirs
        self._announcer.unrecorded(error)
