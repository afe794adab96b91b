"""The recorder of a run: takes what the engine tells and brings it to disk and to the screen."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from fovflow.atomic import write_text
from fovflow.events import (
    ENDED,
    STOPPED,
    Clock,
    EventFile,
    EventTail,
    Status,
    make_event,
    seconds_of,
)
from fovflow.jobrecord import JobRecord, job_name, shared_words
from fovflow.runs.screen import Announcer
from fovflow.runs.slurm import ClusterJob, ClusterJobs
from fovflow.runs.state import RunReader, RunState, counts, failures, outcome
from fovflow.runs.store import BEAT_S, CURRENT, ENVIRONMENT, RunFolder

GRACE_S = 10.0
"""Seconds that a job's own last words may take to arrive over a network file system."""

INTERRUPT_S = 3.0
"""Seconds after which a job that ended without a word was not stopped with the run."""

SILENT = "it ended without a word: killed, out of memory, or it could not start"
STOPPED_WITH_RUN = "stopped with the run"

now = Clock().now

Watch = Callable[[RunFolder, Callable[[str, Any], object]], Any]
"""Makes a watcher from a run's folder and a function of an action and of what fired."""


class EngineJobs:
    """The engine's jobs: when it began them and how they ended, also those that cannot tell.

    A job's `JobRecord` in here holds what the engine says of it; what the job itself says stands in
    `state`, which is fed with it by others and with the engine's word by this. `write` appends an
    event to the run's file. `failed` is called once for each attempt that failed, with whether the
    job has recorded so itself. `interrupted` tells whether somebody asked the run to stop: a job
    that then ends without a word was stopped. `cluster` tells why a job ended that cannot.
    """

    def __init__(
        self,
        state: RunState,
        write: Callable[..., None],
        failed: Callable[[JobRecord, bool], None],
        interrupted: Callable[[], bool],
        cluster: ClusterJobs,
    ):
        self._state, self._write = state, write
        self._failed, self._interrupted = failed, interrupted
        self._cluster = cluster
        self._groups: list[tuple[int, ...]] = []
        self._by_ident: dict[int, JobRecord] = {}
        self._open: dict[int, JobRecord] = {}

    def get(self, ident: int) -> JobRecord | None:
        """Return the last attempt of a job."""
        return self._by_ident.get(ident)

    def open(self) -> list[str]:
        """Return the names of jobs that have not ended."""
        return [job.job for job in self._open.values()]

    def started(
        self, ident: int, rule: str, wildcards: Mapping[str, str], log: str, at: str
    ) -> None:
        """Take a job that the engine hands out; one that it has had before is tried again."""
        before = self._by_ident.get(ident)
        if before is not None and ident in self._open:
            before.status, before.ended = "failed", at
            group = next((group for group in self._groups if ident in group), None)
            if group is None:
                self._settle(ident, before)
            else:
                self._settle_group(group)
        attempt = 1 if before is None else before.attempt + 1
        name = job_name(rule, wildcards)
        job = JobRecord(name, attempt, rule, dict(wildcards), log=log, started=at)
        self._by_ident[ident] = self._open[ident] = job
        self._cluster.begin(name)
        self._state.submitted(name, attempt, rule, wildcards)

    def handed_in(self, job: ClusterJob, at: str) -> None:
        """Take which jobs were handed in to a cluster as one."""
        found = [self._by_ident[ident] for ident in job.idents if ident in self._by_ident]
        if not found:
            return
        job.jobs = tuple(member.job for member in found)
        job.label = shared_words([member.wildcards for member in found]) or found[0].rule
        job.alive = seconds_of(at)
        self._cluster.submitted(job)
        self._record(
            "cluster_job", at, id=job.number, scheduler=job.scheduler, jobs=list(job.jobs),
            attempt=found[0].attempt, log=job.log, asked=job.asked,
        )  # fmt: skip

    def ended(self, ident: int, failed: bool, at: str, refused: str = "") -> None:
        """Take the end of a job; `refused` says why a cluster did not take it."""
        job = self._open.get(ident)
        if job is not None and not any(ident in group for group in self._groups):
            job.status, job.ended = "failed" if failed else "completed", at
            job.error = refused
            if self._own_status(job) in ENDED:
                self._settle(ident, job)

    def group_failed(self, idents: tuple[int, ...], at: str, refused: str = "") -> None:
        """Take the end of jobs that were one for the cluster, of which one at least failed."""
        members = tuple(ident for ident in idents if ident in self._open)
        for ident in members:
            job = self._open[ident]
            job.status, job.ended, job.error = "failed", at, refused
        if members:
            self._groups.append(members)
            if refused or self._has_failed(members):
                self._settle_group(members)

    def settle(self, at: float | None) -> None:
        """Record the engine's word of jobs that have ended and stay silent.

        `at` is in seconds since the epoch; None at the end of the run, when none is waited for.
        """
        for group in list(self._groups):
            ended = min(seconds_of(self._open[ident].ended or now()) for ident in group)
            if at is None or self._has_failed(group) or at - ended > GRACE_S:
                self._settle_group(group)
        for ident, job in list(self._open.items()):
            if any(ident in group for group in self._groups):
                continue
            own = self._own_status(job) in ENDED
            if job.ended is None:
                if at is None and own:
                    del self._open[ident]
                elif at is None:  # the run ends while it is at work
                    job.status, job.ended = "failed", now()
                    self._settle(ident, job, STOPPED_WITH_RUN)
            elif at is None or own or at - seconds_of(job.ended) > GRACE_S:
                self._settle(ident, job)

    def _own_status(self, job: JobRecord) -> Status:
        """Return the status that the job itself has told."""
        own = self._state.jobs.get((job.job, job.attempt))
        return "submitted" if own is None else own.status

    def _has_failed(self, group: tuple[int, ...]) -> bool:
        return any(self._own_status(self._open[ident]) == "failed" for ident in group)

    def _settle_group(self, group: tuple[int, ...]) -> None:
        """Record which of the jobs failed, and that the others were lost with it.

        It is the one that said so itself, else the one that was at work, else the one that would
        have been the first.
        """
        self._groups.remove(group)
        jobs = {ident: self._open[ident] for ident in group}
        statuses = {ident: self._own_status(job) for ident, job in jobs.items()}
        if self._interrupted():
            guilty = list(jobs)
        else:
            guilty = [ident for ident, status in statuses.items() if status == "failed"]
            at_work = ("running", "terminated")  # a cluster's end of a job is a signal first
            guilty = guilty or [ident for ident, status in statuses.items() if status in at_work]
            guilty = guilty or [min(jobs, key=lambda ident: self._place(jobs[ident]))]
        for ident in guilty:
            self._settle(ident, jobs[ident])
        rules = ", ".join(sorted({jobs[ident].rule for ident in guilty}))
        for ident in set(jobs) - set(guilty):
            self._open.pop(ident, None)
            job = jobs[ident]
            if self._own_status(job) == "submitted":  # it never began
                self._state.withdraw(job.job, job.attempt)
                continue
            self._record_end(
                job, "terminated", f"removed with what failed in the same job: {rules}"
            )

    def _await_interrupt(self) -> None:
        """Give a Ctrl-C that has ended a job a moment to be heard here, where much is at work."""
        until = time.monotonic() + INTERRUPT_S
        while not self._interrupted() and time.monotonic() < until:
            time.sleep(0.05)

    def _place(self, job: JobRecord) -> tuple[bool, int]:
        """Return where a job stands in the plan; jobs that have made their files come last."""
        rules = list(self._state.planned)
        place = rules.index(job.rule) if job.rule in rules else len(rules)
        return self._own_status(job) == "completed", place

    def _settle(self, ident: int, job: JobRecord, reason: str = "") -> None:
        """Record how the engine says that a job ended, unless the job has recorded the same."""
        self._open.pop(ident, None)
        own = self._own_status(job)
        if own == "submitted":
            self._record("job_started", job.started, **_about(job))
        removed = own == "completed" and job.status == "failed"
        by_cluster = own == "terminated" and (  # or by a Ctrl-C that is not heard here yet
            self._state.jobs[job.job, job.attempt].error == "stopped"
        )
        if job.status == "failed" and (own not in ENDED or removed or by_cluster):
            self._await_interrupt()
        if self._interrupted():
            reason = STOPPED_WITH_RUN
        elif removed and self._cluster.of(job.job) is not None:
            removed, own = False, "running"  # why its files are gone is what the cluster knows
        self._cluster.ended([job.job])
        if job.status == "completed":
            if own not in ENDED:
                began, ended = seconds_of(job.started or now()), seconds_of(job.ended or now())
                spent = round(max(0.0, ended - began), 3)
                about = {**_about(job), "status": "completed", "seconds": spent}
                self._record("job_finished", job.ended, **about)
            return
        if own not in ("failed", "terminated") or by_cluster:
            reason = reason or job.error or self._cluster.why(job.job) or SILENT
            status: Status = "terminated" if reason == STOPPED_WITH_RUN else "failed"
            error = "its outputs are not there" if removed else reason
            self._record_end(job, status, error, log=job.log)
        if reason != STOPPED_WITH_RUN:
            self._failed(self._state.jobs[job.job, job.attempt], own in ENDED)

    def _record_end(self, job: JobRecord, status: Status, error: str, **keys: Any) -> None:
        stopped = {"exit": STOPPED} if status == "terminated" else {}
        about = {**_about(job), "status": status, "error": error, **keys, **stopped}
        self._record("job_failed", job.ended or job.started, **about)

    def _record(self, kind: str, at: str | None, /, **keys: Any) -> None:
        self._state.feed(make_event(kind, time=at, **keys))
        self._write(kind, time=at, **keys)


def _about(job: JobRecord) -> dict[str, Any]:
    return {key: getattr(job, key) for key in ("job", "rule", "wildcards", "attempt")}


LIVE_EVERY_S = 0.5
"""Seconds between two drawings on a terminal, and between two looks for alerts."""

QUIET_EVERY_S = 2.0
"""Seconds between two looks at the jobs' files where nothing is drawn."""

JOIN_S = 20.0
"""Longest time, in seconds, that the end of a run waits for its records."""


class Recorder:
    """Records one run, in a thread of its own: what the engine's side calls returns at once.

    `announcer`: tells people of the run. `content`: keys of ``run.json``. `jobs`: number of jobs by
    rule. `slow`: returns further keys of ``run.json`` that take time to find. `watch`: makes the
    watcher for alerts, with ``poll()`` and ``finish()``. `silent_after_s`: time without a sign of
    life after which people are told of a job on a cluster; 0 never. `stop_when_lost`: whether the
    run ends where the cluster says that a job is over, and the engine still waits. `stop`,
    `stop_job`: end the run, or one job, cleanly; get the state of the run, or the job.

    `run` is None where it cannot be recorded. `interrupted` tells who asked the run to stop.
    """

    def __init__(
        self,
        outdir: str | os.PathLike[str],
        announcer: Announcer,
        *,
        content: Mapping[str, Any] | None = None,
        jobs: Mapping[str, int] | None = None,
        slow: Callable[[], Mapping[str, Any]] = dict,
        watch: Watch | None = None,
        silent_after_s: float = 0.0,
        stop_when_lost: bool = False,
        stop: Callable[[RunState], None] | None = None,
        stop_job: Callable[[JobRecord], None] | None = None,
    ):
        self._outdir, self._slow, self._watch = outdir, slow, watch
        self._content = {**(content or {}), "jobs": dict(jobs or {})}
        name = self._content.get("name") or "run"
        self.state = RunState({**self._content, "name": name, "status": "created"})
        self.run: RunFolder | None = None
        self.interrupted = ""
        self._announcer = announcer
        self._stop_run, self._stop_job = stop, stop_job
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._events: EventFile | None = None
        self._reader: RunReader | None = None
        self._watcher: Any = None
        self._alerts: EventTail | None = None
        self._cluster = ClusterJobs(
            silent_after_s, self._warn, self._stop if stop_when_lost else None
        )
        self._jobs = EngineJobs(
            self.state, self._write, announcer.failed, lambda: bool(self.interrupted), self._cluster
        )
        self._broken = self._finished = self._stopping = False
        self._failure: dict[str, str] = {}
        self._owner = os.getpid()
        self._before = os.environ.get(ENVIRONMENT)
        self._thread = threading.Thread(target=self._work, name="fovflow-recorder", daemon=True)

    # ---- called by the engine's side

    def start(self) -> None:
        """Make the run's folder and tell jobs of it, before the first of them starts."""
        try:
            self.run = RunFolder.create(self._outdir, **self._content)
            self.run.path = self.run.path.absolute()
            write_text(self.run.path.parent / CURRENT, self.run.id + "\n")
            self._events = EventFile(self.run.path / "events.jsonl")
            self.run.beat()
            self.state.record = self.run.set_status("running")
            os.environ[ENVIRONMENT] = str(self.run.path)
        except Exception as error:
            self._give_up(error)
        if self.run is not None:
            self._reader = RunReader(self.run, self.state, self._take_event)
        begun = now(self.state.record.get("started"))
        if self.state.record.get("started") is None:
            self.state.record["started"] = begun
        self._thread.start()

    def job_started(self, ident: int, rule: str, wildcards: Mapping[str, str], log: str) -> None:
        """Note that the engine hands out a job, perhaps for another attempt."""
        at = now()
        self._queue.put(lambda: self._jobs.started(ident, rule, wildcards, log, at))

    def job_ended(self, ident: int, failed: bool, refused: str = "") -> None:
        """Note that a job ended; `refused` says why a cluster did not take it."""
        at = now()

        def end() -> None:
            job = self._jobs.get(ident)
            self._read_jobs([] if job is None else [job.job])
            self._jobs.ended(ident, failed, at, refused)

        self._queue.put(end)

    def group_failed(self, idents: tuple[int, ...], refused: str = "") -> None:
        """Note that jobs that were one for the cluster ended, and that one of them failed."""
        at = now()

        def fail() -> None:
            self._read_jobs(self._jobs.open())
            self._jobs.group_failed(idents, at, refused)

        self._queue.put(fail)

    def handed_in(self, job: ClusterJob) -> None:
        """Note that jobs were handed in to a cluster as one."""
        at = now()
        self._queue.put(lambda: self._jobs.handed_in(job, at))

    def belongs_to(self, scheduler: str, name: str) -> None:
        """Record the name that all jobs of this run have on the cluster."""
        self._queue.put(lambda: self._update(cluster={"scheduler": scheduler, "name": name}))

    def warn(self, text: str) -> None:
        """Tell people something that needs their eyes, and record it."""
        self._queue.put(lambda: self._warn(text))

    def interrupt(self, reason: str) -> None:
        """Note that somebody asked the run to stop; safe inside a signal handler."""
        self.interrupted = self.interrupted or reason

    def finish(self) -> None:
        """Bring the run to its end; later calls do nothing."""
        if self._finished or os.getpid() != self._owner:
            return
        self._finished = True
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join(JOIN_S)
        if self._events is not None:
            self._events.close()
        self._announcer.close()
        if self._before is None:
            os.environ.pop(ENVIRONMENT, None)
        else:
            os.environ[ENVIRONMENT] = self._before
        self._announcer.end(self.state, None if self._broken else self.run)

    # ---- the thread

    def _work(self) -> None:
        self._guarded(self._prepare)
        watched = self._announcer.live or self._watcher is not None
        every = LIVE_EVERY_S if watched else QUIET_EVERY_S
        beat = look = 0.0
        ending = False
        while not ending:
            with suppress(queue.Empty):
                note = self._queue.get(timeout=min(every, BEAT_S))
                ending = note is None
                if note is not None:
                    self._guarded(note)
            at = time.monotonic()
            if at - beat >= BEAT_S:
                beat = at
                if self.run is not None and not self._broken:
                    self.run.beat()
            if at - look >= every:
                look = at
                self._guarded(self._look)
                self._announcer.show(self.state)
        self._guarded(self._end)

    def _prepare(self) -> None:
        if self.run is None or self._broken:
            return
        if self._watch is not None:
            self._watcher = self._watch(self.run, self._act)
            self._alerts = EventTail(self.run.path / "alerts.jsonl")
        self._update(**self._slow())

    def _update(self, **keys: Any) -> None:
        """Change keys of the run's record."""
        if self.run is not None and not self._broken:
            self.state.record = self.run.update(**keys)

    def _read_jobs(self, jobs: list[str]) -> None:
        """Read what these jobs have told."""
        if self._reader is not None:
            self._reader.poll_jobs(jobs)

    def _look(self) -> None:
        self._read_jobs(self._jobs.open())
        self._jobs.settle(seconds_of(now()))
        self._cluster.look(seconds_of(now()))
        if self._watcher is not None:
            self._watcher.poll()
        if self._alerts is not None:
            for event in self._alerts.read():
                self.state.feed(event)

    def _take_event(self, event: Mapping[str, Any], job: tuple[str, int]) -> None:
        """Note a sign of life, and act on a job's own alerts where nothing else watches them."""
        self._cluster.show_life(job[0], seconds_of(now()))
        stops = event["type"] == "alert" and event.get("action") == "stop_run"
        if self._watcher is None and stops:
            self._stop(f"alert {event['name']}")

    def _act(self, action: str, firing: Any) -> None:
        """Act on an alert: ``firing`` has a name and the job that it fired for."""
        reason = f"alert {firing.name}"
        if action == "stop_run":
            self._stop(reason)
        elif action == "stop_job" and self.run is not None:
            job = self.state.last_of(firing.job)
            if job is not None and job.status == "running":
                self.run.ask_to_stop(job.job, job.attempt, reason)
                if self._stop_job is not None:
                    self._stop_job(job)

    def _warn(self, text: str) -> None:
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
            self._stop_run(self.state)

    # ---- the end

    def _end(self) -> None:
        self._read_jobs(self._jobs.open())
        self._jobs.settle(None)
        if self._watcher is not None:
            self._guarded(self._watcher.poll)
            self._guarded(lambda: self._watcher.finish(self._ending))
        status, message = outcome(self.state, self.interrupted)
        here = ("", socket.gethostname())  # clocks of other machines may differ
        ended = now(*(job.ended for job in self.state.jobs.values() if job.host in here))
        self.state.record["status"], self.state.record["ended"] = status, ended
        if self.run is None:
            return
        with suppress(OSError):
            current = self.run.path.parent / CURRENT
            if current.read_text(encoding="utf-8").strip() == self.run.id:
                current.unlink()
        told = {"counts": counts(self.state), "failures": failures(self.state)}
        self.run.update(**told, **self._failure)
        self.state.record = self.run.set_status(status, message, after=ended)

    def _ending(self) -> str:
        return ": ".join(filter(None, outcome(self.state, self.interrupted)))

    # ---- failures of the recording itself

    def _write(self, kind: str, /, *, time: str | None = None, **keys: Any) -> None:
        if self._events is not None and not self._broken:
            events = self._events
            self._guarded(lambda: events.write(kind, time=time, **keys))

    def _guarded(self, call: Callable[[], Any]) -> None:
        try:
            call()
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        """Say once that nothing is recorded from now on."""
        if self._broken:
            return
        self._broken = True
        self._failure = {"recording_failed": getattr(error, "strerror", None) or str(error)}
        self._reader = None
        if self.run is None:
            os.environ[ENVIRONMENT] = ""  # jobs shall not take an earlier run for theirs
        self._announcer.unrecorded(error)
