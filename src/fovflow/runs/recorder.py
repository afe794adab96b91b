"""The recorder of a run: takes what the engine tells and brings it to disk and to the screen.

Callers only put notes into a queue; a thread of its own writes, reads the jobs' events, beats and
draws. A failure of the recording is said once and ends the recording, never the run.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from fovflow.atomic import write_text
from fovflow.runs.announcer import Announcer
from fovflow.runs.clusterjobs import ClusterJobs, HandedIn
from fovflow.runs.ending import counts, failures, outcome
from fovflow.runs.enginejobs import EngineJobs
from fovflow.runs.eventfile import EventFile, EventTail
from fovflow.runs.form import now
from fovflow.runs.inbox import Inbox
from fovflow.runs.jobview import JobView
from fovflow.runs.reader import RunReader
from fovflow.runs.runplan import RunPlan
from fovflow.runs.store import BEAT_S, CURRENT, ENVIRONMENT, RunFolder
from fovflow.runs.view import RunView

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
