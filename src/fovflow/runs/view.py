"""What is known of a run and its jobs at one moment: progress, failures, end, cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fovflow.events import seconds_of

STOPPED = 130
"""Exit status of a job that was told to stop: it is terminated, and has not failed."""

OVER = ("completed", "failed", "terminated")
"""Statuses of jobs that have ended."""


@dataclass(slots=True)
class JobView:
    """One attempt of one job.

    Attributes
    ----------
    status : str
        ``submitted`` (known to the engine, but not begun), ``running``, ``completed``, ``failed``,
        ``terminated``.
    started, ended : float or None
        Seconds since the epoch.
    t, total : int
        Frames done, of how many; 0 of 0 where the job has not told.
    metrics : dict
        Latest numbers by name.
    usage : dict
        ``seconds``, ``cpu_s``, ``peak_mib`` where known.
    cluster : dict
        ``id``, ``node`` and ``cpus`` of the SLURM job that it is part of.
    settled : bool
        Whether the engine has had the last word on how it ended.
    """

    job: str
    attempt: int
    rule: str = ""
    wildcards: dict[str, Any] = field(default_factory=dict)
    status: str = "submitted"
    started: float | None = None
    ended: float | None = None
    t: int = 0
    total: int = 0
    message: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    usage: dict[str, float] = field(default_factory=dict)
    host: str = ""
    pid: int | None = None
    error: str = ""
    frame: int | None = None
    log: str = ""
    cluster: dict[str, Any] = field(default_factory=dict)
    settled: bool = False

    @property
    def where(self) -> str:
        """The job's wildcards in words: ``plate1, FOV 3, channel 1``."""
        return in_words(self.wildcards)

    def seconds(self, now: float) -> float:
        """Return how long the job has been, or was, at work."""
        if "seconds" in self.usage:
            return self.usage["seconds"]
        if self.started is None:
            return 0.0
        return max(0.0, (self.ended or now) - self.started)


def shared_words(wildcards: Sequence[Mapping[str, Any]]) -> str:
    """Return in words what the wildcards of several jobs have in common.

    Examples
    --------
    >>> shared_words([{"dataset": "a", "fov": "003"}, {"dataset": "a", "fov": "003", "channel": 1}])
    'a, FOV 3'
    """
    first, *others = wildcards
    return in_words({k: v for k, v in first.items() if all(one.get(k) == v for one in others)})


def in_words(wildcards: Mapping[str, Any]) -> str:
    """Return a job's wildcards in words.

    Examples
    --------
    >>> in_words({"dataset": "plate1", "fov": "003", "channel": "1"})
    'plate1, FOV 3, channel 1'
    """
    parts = []
    for key, value in wildcards.items():
        text = str(value)
        if key == "dataset":
            parts.append(text)
        elif key == "fov":
            parts.append(f"FOV {int(text) if text.isdecimal() else text}")
        else:
            parts.append(f"{key} {text}")
    return ", ".join(parts)


ENDS = {"job_finished": "completed", "job_failed": "failed"}
"""Status of a job by the type of the event that ends it."""


class RunView:
    """A run's state, from its record and its events.

    Attributes
    ----------
    record : dict
        The content of ``run.json``.
    planned : dict of str to int
        Number of jobs by rule.
    jobs : dict of (str, int) to JobView
        By job and attempt.
    alerts : list of dict
        Alerts that fired.
    messages : list of dict
        Messages of the run itself.
    handed_in : list of dict
        Jobs that a cluster was given, in that order.
    """

    def __init__(self, record: Mapping[str, Any] | None = None):
        self.record: dict[str, Any] = dict(record or {})
        self.planned: dict[str, int] = dict(self.record.get("jobs") or {})
        self.jobs: dict[tuple[str, int], JobView] = {}
        self.alerts: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []
        self.handed_in: list[dict[str, Any]] = []
        self._last: dict[str, JobView] = {}
        self._by_status: dict[str, dict[str, JobView]] = {}
        self._spent: dict[str, tuple[int, float]] = {}

    # ---- events

    def submitted(self, job: str, attempt: int, rule: str, wildcards: Mapping[str, Any]) -> None:
        """Note a job that the engine has handed out and that has not said anything itself yet."""
        view = self._job(job, attempt)
        view.rule, view.wildcards = rule, dict(wildcards)

    def withdraw(self, job: str, attempt: int) -> None:
        """Forget an attempt that was submitted and never began; the one before counts again."""
        view = self.jobs.get((job, attempt))
        if view is None or view.status != "submitted":
            return
        del self.jobs[job, attempt]
        if self._last.get(job) is view:
            self._by_status["submitted"].pop(job, None)
            del self._last[job]
            before = max((n for name, n in self.jobs if name == job), default=None)
            if before is not None:
                self._last[job] = view = self.jobs[job, before]
                self._by_status.setdefault(view.status, {})[job] = view

    def feed(self, event: Mapping[str, Any], job: tuple[str, int] | None = None) -> None:
        """Take one event; `job` says whose it is where the event itself does not."""
        kind = str(event["type"])
        if kind == "workflow":
            self.planned = dict(event["jobs"])
        elif kind == "alert":
            self.alerts.append(dict(event))
        elif kind == "message" and job is None:
            self.messages.append(dict(event))
        elif kind.startswith("job_"):
            self._feed_job(kind, event, own_word=job is not None)
        elif kind == "cluster_job":
            self.handed_in.append(dict(event))
        elif job is not None:
            view = self._job(*job)
            if kind == "progress":
                view.t, view.total = int(event["t"]), int(event["T"])
                view.message = str(event.get("message") or "")
            elif kind == "metrics":
                view.metrics.update(event["metrics"])

    def _feed_job(self, kind: str, event: Mapping[str, Any], *, own_word: bool) -> None:
        view = self._job(str(event["job"]), int(event["attempt"]))
        view.rule, view.wildcards = str(event["rule"]), dict(event["wildcards"])
        view.host = str(event.get("host") or view.host)
        at = seconds_of(event["time"])
        if kind == "job_started":
            view.started, view.pid = at, event.get("pid")
            view.cluster = dict(event.get("cluster") or {})
            if not view.settled:
                self._set_status(view, "running")
        elif kind in ENDS:
            self._take_usage(view, event)
            if own_word and view.settled:
                return
            view.settled = not own_word
            view.ended = at
            view.error, view.frame = str(event.get("error") or ""), event.get("frame")
            view.log = str(event.get("log") or "")
            if kind == "job_finished" and view.status != "completed":
                number, seconds = self._spent.get(view.rule, (0, 0.0))
                self._spent[view.rule] = (number + 1, seconds + view.seconds(at))
            stopped = kind == "job_failed" and event.get("exit") == STOPPED
            self._set_status(view, "terminated" if stopped else ENDS[kind])

    @staticmethod
    def _take_usage(view: JobView, event: Mapping[str, Any]) -> None:
        for key in ("seconds", "cpu_s", "peak_mib"):
            if isinstance(event.get(key), int | float):
                view.usage[key] = float(event[key])

    def _set_status(self, view: JobView, status: str) -> None:
        if self._last.get(view.job) is view:
            self._by_status.get(view.status, {}).pop(view.job, None)
            self._by_status.setdefault(status, {})[view.job] = view
        view.status = status

    def _job(self, job: str, attempt: int) -> JobView:
        key = (job, attempt)
        if key not in self.jobs:
            self.jobs[key] = view = JobView(job, attempt)
            last = self._last.get(job)
            if last is None or last.attempt < attempt:
                if last is not None:
                    self._by_status[last.status].pop(job, None)
                self._last[job] = view
                self._set_status(view, view.status)
        return self.jobs[key]

    # ---- what is asked of it

    def last(self) -> list[JobView]:
        """Return the last attempt of each job, in the order in which the jobs came up."""
        return list(self._last.values())

    def last_of(self, job: str) -> JobView | None:
        """Return the last attempt of a job."""
        return self._last.get(job)

    def count(self, status: str) -> int:
        """Return the number of jobs whose last attempt has this status."""
        return len(self._by_status.get(status, {}))

    @property
    def total(self) -> int:
        """Number of jobs of the run."""
        return max(sum(self.planned.values()), self.count("completed") + self.count("failed"))

    @property
    def running(self) -> list[JobView]:
        """Jobs at work, the one at work for longest first."""
        found = self._by_status.get("running", {}).values()
        return sorted(found, key=lambda view: (view.started or 0.0, view.job))

    @property
    def failed(self) -> list[JobView]:
        """Jobs whose last attempt failed."""
        return list(self._by_status.get("failed", {}).values())

    @property
    def terminated(self) -> list[JobView]:
        """Jobs whose last attempt was told to stop."""
        return list(self._by_status.get("terminated", {}).values())

    def elapsed(self, now: float) -> float:
        """Return the seconds since the start, up to the end where there is one."""
        start = self.record.get("started") or self.record.get("created")
        if not start:
            return 0.0
        end = self.record.get("ended")
        return max(0.0, (seconds_of(end) if end else now) - seconds_of(start))

    def remaining(self, now: float) -> float | None:
        """Return about how many seconds are left; None where nothing tells.

        Each job to come is taken to last as long as the finished ones of its rule, or of all rules
        where none has finished, and as many jobs to run at once as did so far.
        """
        number_done = sum(number for number, _ in self._spent.values())
        elapsed = self.elapsed(now)
        if not number_done or elapsed <= 0:
            return None
        spent = sum(seconds for _, seconds in self._spent.values())
        failed: dict[str, int] = {}
        for view in self.failed:
            failed[view.rule] = failed.get(view.rule, 0) + 1
        left = 0.0
        for rule, planned in self.planned.items():
            number, seconds = self._spent.get(rule, (0, 0.0))
            mean = seconds / number if number else spent / number_done
            left += max(0, planned - number - failed.get(rule, 0)) * mean
        at_work = sum(view.seconds(now) for view in self.running)
        at_once = max(1.0, (spent + at_work) / elapsed)
        return max(0.0, left - at_work) / at_once


MOST_FAILURES = 1000
"""Longest list of failures in a run's record; jobs' own records hold all."""

_WORDS = {"failed": "failed", "terminated": "were stopped", "not_done": "were not begun"}


def outcome(view: RunView, interrupted: str) -> tuple[str, str | None]:
    """Return the final status of a run, and in words what it comes from.

    Parameters
    ----------
    view : RunView
    interrupted : str
        Who asked the run to stop; empty where nobody did. A run that had done everything by then
        is complete all the same.
    """
    found = counts(view)
    parts = [f"{found[key]} {words}" for key, words in _WORDS.items() if found[key]]
    if not parts:
        return "completed", None
    words = f"of {found['total']} jobs {', '.join(parts)}"
    if interrupted:
        return "terminated", f"{interrupted}; {words}"
    return "failed", words


def counts(view: RunView) -> dict[str, int]:
    """Return the number of jobs: ``total``, ended by status, and ``not_done``."""
    ended = {status: view.count(status) for status in OVER}
    return {
        "total": view.total,
        **ended,
        "not_done": max(0, view.total - sum(ended.values())),
    }


def failures(view: RunView) -> list[dict[str, Any]]:
    """Return which jobs failed or were stopped, and why."""
    keys = ("job", "attempt", "rule", "wildcards", "error", "frame", "log")
    bad = [*view.failed, *view.terminated][:MOST_FAILURES]
    return [{key: getattr(job, key) for key in keys} for job in bad]


def cluster_costs(view: RunView) -> list[dict[str, Any]]:
    """Return what every job of a cluster took, in the order in which they were handed in.

    Times run from the start of its first step to the end of its last; what the engine needs before
    and after is not among them.

    Returns
    -------
    list of dict
        ``id``, ``scheduler``, ``attempt``, ``jobs`` (names), ``what`` (in words), ``status``
        (``completed``, ``failed``, ``running``, ``waiting``), ``node``, ``waited_s``, ``seconds``,
        ``cpus``, ``core_hours``, ``cpu_s``, ``memory_mb`` (asked for) and ``peak_mib`` (of its
        largest step); None where it is not known.
    """
    return [_cost(view, event) for event in view.handed_in]


def _cost(view: RunView, event: dict[str, Any]) -> dict[str, Any]:
    attempt = int(event["attempt"])
    members = [view.jobs[name, attempt] for name in event["jobs"] if (name, attempt) in view.jobs]
    begun = [job for job in members if job.started is not None]
    about = next((job.cluster for job in begun if job.cluster), {})
    starts = [job.started for job in begun if job.started is not None]
    ends = [job.ended for job in begun if job.ended is not None]
    seconds = round(max(ends) - min(starts), 1) if ends else None
    cpus = about.get("cpus")
    hours = round(seconds * cpus / 3600, 4) if seconds is not None and cpus else None
    return {
        "id": str(event["id"]),
        "scheduler": event["scheduler"],
        "attempt": attempt,
        "jobs": list(event["jobs"]),
        "what": shared_words([job.wildcards for job in members]) if members else "",
        "status": _status(begun, len(event["jobs"])),
        "node": about.get("node") or next((job.host for job in begun if job.host), None),
        "waited_s": round(max(0.0, min(starts) - seconds_of(event["time"])), 1) if starts else None,
        "seconds": seconds,
        "cpus": cpus,
        "core_hours": hours,
        "cpu_s": _added(begun, "cpu_s"),
        "memory_mb": (event.get("asked") or {}).get("mem_mb"),
        "peak_mib": max(
            (job.usage["peak_mib"] for job in begun if "peak_mib" in job.usage), default=None
        ),
    }


def _status(begun: list[JobView], expected: int) -> str:
    statuses = {job.status for job in begun}
    if statuses & {"failed", "terminated"}:
        return "failed"
    if not begun:
        return "waiting"
    return "completed" if statuses == {"completed"} and len(begun) == expected else "running"


def _added(jobs: list[JobView], key: str) -> float | None:
    found = [job.usage[key] for job in jobs if key in job.usage]
    return round(sum(found), 2) if found else None
