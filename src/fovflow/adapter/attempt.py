"""The events of one attempt of a job: where they go, what they tell, and what a job may use."""

from __future__ import annotations

import math
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fovflow.adapter.given import attempt_of_engine
from fovflow.errors import complain
from fovflow.events import (
    Clock,
    EventFile,
    Status,
    make_event,
    read_events,
    to_line,
)
from fovflow.jobrecord import job_name, logged_metrics
from fovflow.runs.claim import join
from fovflow.runs.store import ENVIRONMENT, JOB_EVENTS, STOP_SUFFIX, RunFolder, run_at_work


def peak_memory_mib() -> float:
    """Return this process's peak resident memory in MiB; NaN where the system does not tell.

    Linux's own account of the process is read: `resource.getrusage` would count the parent's
    memory at the fork, too.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return math.nan


RESOURCES_AFTER_S = 3.0
"""Age of a job, in seconds, from which it measures what it uses; shorter ones are not slowed."""


class AttemptRecorder:
    """Writes the events of one attempt of one job, where there is a run that it belongs to.

    `rule`: the engine's name of the rule. `outdir`: output folder, for jobs on machines that have
    not inherited the run's environment variable. `resources_every_s`: seconds between two
    measurements of what the job uses; 0 measures nothing.

    `run` is the run's id, empty where the job is not recorded; `begun` is the first event.
    """

    def __init__(
        self,
        rule: str,
        wildcards: Mapping[str, str],
        outdir: str | os.PathLike[str],
        *,
        resources_every_s: float = 10.0,
    ):
        self.run, self.attempt = "", 1
        self.begun: dict[str, Any] = {}
        self._clock = Clock()
        self._started = time.perf_counter()
        self._events: EventFile | None = None
        self._closed = threading.Event()
        self._sums: dict[str, tuple[float, int]] = {}
        self._monitor: Any = None
        self._resources_every_s = resources_every_s
        self._stop_file: Path | None = None
        os.environ[JOB_EVENTS] = ""  # inside a job that is not recorded: log nowhere
        named = os.environ.get(ENVIRONMENT)
        join(Path(named).parent if named else Path(outdir) / "runs")
        name = job_name(rule, wildcards)
        try:
            run = run_of_job(outdir)
            if run is not None:
                self.attempt, path = run.new_attempt(name, attempt_of_engine())
                self.run, about = run.id, run.known()
                if about.get("host") == socket.gethostname():  # else clocks differ
                    self._clock.now(about.get("started"))
                self._events = EventFile(path)
                os.environ[JOB_EVENTS] = str(path.absolute())
                self._stop_file = path.with_suffix(STOP_SUFFIX)
        except Exception as error:
            self._give_up(error)
        self._about: dict[str, Any] = {
            "job": name,
            "rule": rule,
            "wildcards": dict(wildcards),
            "attempt": self.attempt,
            "host": socket.gethostname(),
        }

    def start(self, **facts: Any) -> None:
        """Record that the job began; a long one is measured from then on."""
        self.begun = make_event(
            "job_started", time=self._clock.now(), **self._about, run=self.run, pid=os.getpid(),
            **facts, **_cluster(),
        )  # fmt: skip
        self._append(self.begun)
        if self._events is not None and self._resources_every_s > 0:
            timer = threading.Timer(RESOURCES_AFTER_S, self._measure_resources)
            timer.daemon = True
            timer.start()

    def measure(self, values: Mapping[str, float]) -> None:
        """Take numbers of one frame; their means are recorded by the next `progress`."""
        for name, value in values.items():
            number = float(value)
            if math.isfinite(number):
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = (total + number, count + 1)

    def progress(self, done: int, total: int, **keys: Any) -> None:
        """Record that `done` of `total` frames are done, and the means of what was measured.

        Raises KeyboardInterrupt if the run asks this job to stop.
        """
        self._write("progress", t=done, T=total, **keys)
        self._flush_metrics(done - 1)
        if self.stop_reason():
            raise KeyboardInterrupt

    def stop_reason(self) -> str:
        """Return why the run asks this job to stop; empty where it does not."""
        try:
            return "" if self._stop_file is None else self._stop_file.read_text("utf-8")
        except OSError:
            return ""

    def _flush_metrics(self, step: int) -> None:
        """Record the means of what was measured since the last time; `step` is the last frame."""
        if self._sums:
            means = {name: total / count for name, (total, count) in self._sums.items()}
            self._sums.clear()
            self._write("metrics", metrics=means, step=step)

    def ending(self, status: Status, **facts: Any) -> dict[str, Any]:
        """Return the last event: how the job ended, and what it used. `end` writes it."""
        if status == "completed":
            self._flush_metrics(0)
        if self._monitor is not None:
            self._monitor.stop()
        return make_event(
            "job_finished" if status == "completed" else "job_failed",
            time=self._clock.now(),
            **self._about,
            status=status,
            seconds=round(time.perf_counter() - self._started, 3),
            cpu_s=round(time.process_time(), 3),
            peak_mib=round(peak_memory_mib(), 1) if sys.platform == "linux" else None,
            **logged_metrics(read_events(self._events.path) if self._events else ()),
            **facts,
        )

    def end(self, event: Mapping[str, Any]) -> None:
        """Write the last event and close the file; later calls do nothing."""
        self._append(event)
        self._close()

    def _measure_resources(self) -> None:
        if not self._closed.is_set():
            from fovflow.runs.resources import ResourceMonitor

            self._monitor = ResourceMonitor(self._write, interval_s=self._resources_every_s)
            self._monitor.start()

    def _write(self, kind: str, /, **keys: Any) -> None:
        self._append(make_event(kind, **keys))

    def _append(self, event: Mapping[str, Any]) -> None:
        if self._events is None or self._closed.is_set():
            return
        try:
            self._events.append(to_line(event))
        except Exception as error:
            self._give_up(error)

    def _close(self) -> None:
        self._closed.set()
        if self._events is not None:
            self._events.close()

    def _give_up(self, error: BaseException) -> None:
        if not self._closed.is_set():
            complain(f"fovflow: this job is not recorded further: {error}")
            self._close()


def run_of_job(outdir: str | os.PathLike[str]) -> RunFolder | None:
    """Return the run that this job belongs to.

    It is the one that the environment names, where that variable is set (empty means none), else
    the one at work in `outdir`.
    """
    named = os.environ.get(ENVIRONMENT)
    if named == "":
        return None
    known = named is not None and (Path(named) / "run.json").exists()
    run = RunFolder(named or "") if known else run_at_work(outdir)
    if run is None:
        return None
    # What the run itself says counts where the job was told of it: clocks of machines may differ.
    status = run.status() if named is None else str(run.read_record()["status"])
    return run if status in ("created", "running") else None


def _cluster() -> dict[str, Any]:
    """Return ``cluster``: which job of SLURM this one is part of, and what that one may use."""
    ident = os.environ.get("SLURM_JOB_ID")
    if not ident:
        return {}
    found: dict[str, Any] = {"id": ident, "node": os.environ.get("SLURMD_NODENAME", "")}
    cpus = os.environ.get("SLURM_CPUS_ON_NODE", "")
    return {"cluster": found | ({"cpus": int(cpus)} if cpus.isdecimal() else {})}
