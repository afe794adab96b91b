"""What is known of a run and its jobs at one moment, and of a dataset over all runs."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fovflow.atomic import Digest
from fovflow.events import ENDED, FINAL, EventTail, Status, seconds_of
from fovflow.jobrecord import (
    ENDS,
    MALFORMED,
    JobKey,
    JobRecord,
    check_place,
    read_records,
    shared_words,
    whole,
)
from fovflow.records import inside, leads_out
from fovflow.runs.assets import Asset
from fovflow.runs.store import RunFolder, list_runs, runs_until


class RunState:
    """A run's state, from its record and its events.

    `record`: the content of ``run.json``. `files`: whether parameters, inputs and outputs of jobs
    are kept; see `JobRecord.take`.

    `planned` has the number of jobs by rule, `jobs` the records by job and attempt, `alerts` those
    that fired, `messages` those of the run itself, `assets` the files that scripts made or kept,
    `announced` the types of outputs that an execution was about to write, by path, and has not
    recorded, `cluster_jobs` what a cluster was given, and, by file in the run's folder, `malformed`
    the number of lines that are no events and `unreadable` why it cannot be read.
    """

    def __init__(self, record: Mapping[str, Any] | None = None, *, files: bool = False):
        self.record: dict[str, Any] = dict(record or {})
        self.planned: dict[str, int] = {}
        with suppress(*MALFORMED):
            self.plan(self.record.get("jobs") or {})
        self.jobs: dict[tuple[str, int], JobRecord] = {}
        self.alerts: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []
        self.assets: list[Asset] = []
        self.announced: dict[str, tuple[str, ...]] = {}
        self.cluster_jobs: list[dict[str, Any]] = []
        self.malformed: Counter[str] = Counter()
        self.unreadable: dict[str, str] = {}
        self._files = files
        self._last: dict[str, JobRecord] = {}
        self._by_status: dict[str, dict[str, JobRecord]] = {}
        self._spent: dict[str, tuple[int, float]] = {}

    # ---- events

    def plan(self, jobs: Mapping[str, Any]) -> None:
        """Note the number of jobs by rule."""
        self.planned = {str(rule): whole(number) for rule, number in jobs.items()}

    def submitted(self, job: str, attempt: int, rule: str, wildcards: Mapping[str, Any]) -> None:
        """Note a job that the engine has handed out and that has not said anything itself yet."""
        record = self._job(job, attempt)
        record.rule, record.wildcards = rule, dict(wildcards)

    def withdraw(self, job: str, attempt: int) -> None:
        """Forget an attempt that was submitted and never began; the one before counts again."""
        record = self.jobs.get((job, attempt))
        if record is None or record.status != "submitted":
            return
        del self.jobs[job, attempt]
        if self._last.get(job) is record:
            self._by_status["submitted"].pop(job, None)
            del self._last[job]
            before = max((n for name, n in self.jobs if name == job), default=None)
            if before is not None:
                self._last[job] = record = self.jobs[job, before]
                self._by_status.setdefault(record.status, {})[job] = record

    def feed(self, event: Mapping[str, Any], job: tuple[str, int] | None = None) -> bool:
        """Take one event; `job` says whose it is where a job tells it itself.

        Returns whether it is one; an event of other values than it should have is left out.
        """
        kind = str(event["type"])
        try:
            if kind == "workflow":
                self.plan(event["jobs"])
            elif kind == "alert":
                self.alerts.append(dict(event))
            elif kind == "message" and job is None:
                self.messages.append(dict(event))
            elif kind == "artifact":
                self.assets.append(Asset.of(event, job[0] if job else ""))
                self.announced.pop(self.assets[-1].path, None)
            elif kind == "announced" and not leads_out(None, event["path"]):
                self.announced[event["path"]] = tuple(map(str, event.get("types") or ()))
            elif kind == "cluster_job":
                attempt, asked = whole(event["attempt"]), dict(event.get("asked") or {})
                names = [check_place(name, attempt)[0] for name in event["jobs"]]
                about = {"attempt": attempt, "jobs": names, "asked": asked}
                self.cluster_jobs.append({**event, **about})
            elif kind == "job_started" or kind in ENDS:
                place = check_place(event["job"], event["attempt"])
                self._feed_job(event, self._job(*place), job)
            elif job is not None:
                self._feed_job(event, self._job(*job), job)
        except MALFORMED:
            return False
        return True

    def _feed_job(
        self, event: Mapping[str, Any], record: JobRecord, job: tuple[str, int] | None
    ) -> None:
        before = record.status
        record.take(event, own=job is not None, files=self._files)
        if record.status == before:
            return
        if record.status == "completed" and record.ended is not None:
            number, seconds = self._spent.get(record.rule, (0, 0.0))
            spent = seconds + record.seconds(seconds_of(record.ended))
            self._spent[record.rule] = (number + 1, spent)
        if self._last.get(record.job) is record:
            self._by_status[before].pop(record.job, None)
            self._by_status.setdefault(record.status, {})[record.job] = record

    def _job(self, job: str, attempt: int) -> JobRecord:
        key = (job, attempt)
        if key not in self.jobs:
            self.jobs[key] = record = JobRecord(job, attempt)
            last = self._last.get(job)
            if last is None or last.attempt < attempt:
                if last is not None:
                    self._by_status[last.status].pop(job, None)
                self._last[job] = record
                self._by_status.setdefault(record.status, {})[job] = record
        return self.jobs[key]

    # ---- what is asked of it

    def damages(self) -> dict[str, str]:
        """Return in words what is left out of the files of events, by name."""
        lines = {
            file: "1 line is no event" if number == 1 else f"{number} lines are no events"
            for file, number in self.malformed.items()
        }
        return lines | self.unreadable

    def last(self) -> list[JobRecord]:
        """Return the last attempt of each job, in the order in which the jobs came up."""
        return list(self._last.values())

    def last_of(self, job: str) -> JobRecord | None:
        """Return the last attempt of a job."""
        return self._last.get(job)

    def count(self, status: Status) -> int:
        """Return the number of jobs whose last attempt has this status."""
        return len(self._by_status.get(status, {}))

    @property
    def total(self) -> int:
        """Number of jobs of the run."""
        return max(sum(self.planned.values()), self.count("completed") + self.count("failed"))

    @property
    def running(self) -> list[JobRecord]:
        """Jobs at work, the one at work for longest first."""
        found = self._by_status.get("running", {}).values()
        return sorted(found, key=lambda record: (record.started or "", record.job))

    @property
    def failed(self) -> list[JobRecord]:
        """Jobs whose last attempt failed."""
        return list(self._by_status.get("failed", {}).values())

    @property
    def terminated(self) -> list[JobRecord]:
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
        failed = Counter(record.rule for record in self.failed)
        left = 0.0
        for rule, planned in self.planned.items():
            number, seconds = self._spent.get(rule, (0, 0.0))
            mean = seconds / number if number else spent / number_done
            left += max(0, planned - number - failed[rule]) * mean
        at_work = sum(record.seconds(now) for record in self.running)
        at_once = max(1.0, (spent + at_work) / elapsed)
        return max(0.0, left - at_work) / at_once


Attempt = tuple[str, int]
"""A job and the number of its attempt."""

Listener = Callable[[Mapping[str, Any], Attempt], None]

_SETTLED_S = 10.0
"""Age of a folder's last change from which no file can have been added unseen."""


class JobFiles:
    """The files of events of a run's jobs: found as they come up, read as they grow.

    `tails` are those that may grow; `settled` tells when folders changed last that need no look.
    """

    def __init__(self, run: RunFolder):
        self.run = run
        self.tails: dict[Attempt, EventTail] = {}
        self.settled: dict[str, int] = {}
        self._ended: set[Attempt] = set()

    def find(self) -> None:
        """Look for attempts that are new."""
        try:
            folders = sorted(os.scandir(self.run.path / "jobs"), key=lambda entry: entry.name)
        except OSError:
            return
        for folder in folders:
            with suppress(OSError):
                changed = folder.stat().st_mtime_ns
                if self.settled.get(folder.name) != changed:
                    self.open(folder.name)
                    if time.time() - changed / 1e9 > _SETTLED_S:
                        self.settled[folder.name] = changed

    def open(self, job: str) -> None:
        """Look for attempts of a job that are new."""
        for attempt in self.run.attempts_of(job):
            key = job, attempt
            if key not in self._ended and key not in self.tails:
                self.tails[key] = EventTail(self.run.job_file(job, attempt))

    def read(self) -> Iterator[tuple[Attempt, EventTail, list[dict[str, Any]]]]:
        """Yield what is new of each file."""
        for key, tail in list(self.tails.items()):
            yield key, tail, tail.read()

    def end(self, key: Attempt) -> None:
        """Read an attempt no further: it has ended."""
        self._ended.add(key)
        self.tails.pop(key, None)


class RunReader:
    """Brings the state of a run up to date from its files.

    `state`: a new one otherwise. `listener`: called with each new event of a job and whose it is.
    """

    def __init__(
        self, run: RunFolder, state: RunState | None = None, listener: Listener | None = None
    ):
        self.run = run
        self.state = state or RunState()
        self._listener = listener
        self._own = [EventTail(run.path / name) for name in ("events.jsonl", "alerts.jsonl")]
        self._files = JobFiles(run)

    def poll(self) -> RunState:
        """Read everything that is new; return the state."""
        record = self.state.record = self.run.read_record()
        if not self.state.planned:
            with suppress(*MALFORMED):
                self.state.plan(record.get("jobs") or {})
        record["status"] = self.run.status()
        self.poll_events()
        return self.state

    def poll_events(self) -> None:
        """Read what is new of all files of events."""
        for tail in self._own:
            self._take(tail, tail.read(), None)
        own, known = self._own[0].path, self.run.known()
        begun = known.get("status", "created") != "created" and "recording_failed" not in known
        if begun and not own.exists():
            self.state.unreadable[own.name] = "missing"
        self._files.find()
        self.poll_jobs(())

    def poll_jobs(self, jobs: Iterable[str]) -> None:
        """Read what is new of these jobs, and of those whose files are open already."""
        for job in jobs:
            self._files.open(job)
        for key, tail, events in self._files.read():
            for event in self._take(tail, events, key):
                if self._listener is not None:
                    self._listener(event, key)
                if event["type"] in ENDS:
                    self._files.end(key)

    def _take(
        self, tail: EventTail, events: list[dict[str, Any]], key: Attempt | None
    ) -> list[dict[str, Any]]:
        """Take what is new of a file; count what in it is no event, and return the events."""
        taken = [event for event in events if self.state.feed(event, key)]
        tail.malformed += len(events) - len(taken)
        file = tail.path.relative_to(self.run.path).as_posix()
        if tail.malformed:
            self.state.malformed[file] = tail.malformed
        if tail.problem:
            self.state.unreadable[file] = tail.problem
        return taken


def read_run(run: RunFolder) -> RunState:
    """Return all that is known of a run now."""
    return RunReader(run).poll()


def read_with_files(run: RunFolder) -> RunState:
    """Return what a run's events tell, with the files of its jobs."""
    reader = RunReader(run, RunState(files=True))
    reader.poll_events()
    for job in reader.state.jobs.values():
        job.run = run.id
    return reader.state


def read_attempts(run: RunFolder) -> list[JobRecord]:
    """Return every attempt of every job of a run, with its files, by job, then attempt."""
    return [job for _, job in sorted(read_with_files(run).jobs.items()) if job.rule]


MOST_FAILURES = 1000
"""Longest list of failures in a run's record; jobs' own records hold all."""

_WORDS = {"failed": "failed", "terminated": "were stopped", "not_done": "were not begun"}


def outcome(state: RunState, interrupted: str) -> tuple[str, str | None]:
    """Return the final status of a run, and in words what it comes from.

    `interrupted` says who asked the run to stop; a run that had done everything by then is complete
    all the same.
    """
    found = counts(state)
    parts = [f"{found[key]} {words}" for key, words in _WORDS.items() if found[key]]
    if not parts:
        return "completed", None
    words = f"of {found['total']} jobs {', '.join(parts)}"
    if interrupted:
        return "terminated", f"{interrupted}; {words}"
    return "failed", words


def counts(state: RunState) -> dict[str, int]:
    """Return the number of jobs: ``total``, ended by status, and ``not_done``."""
    ended = {str(status): state.count(status) for status in ENDED}
    not_done = max(0, state.total - sum(ended.values()))
    return {"total": state.total, **ended, "not_done": not_done}


def failures(state: RunState) -> list[dict[str, Any]]:
    """Return which jobs failed or were stopped, and why."""
    keys = ("job", "attempt", "rule", "wildcards", "error", "frame", "log")
    bad = [*state.failed, *state.terminated][:MOST_FAILURES]
    return [{key: getattr(job, key) for key in keys} for job in bad]


def cluster_costs(state: RunState) -> list[dict[str, Any]]:
    """Return what every job of a cluster took, in the order in which they were handed in.

    Times run from the start of its first step to the end of its last; what the engine needs before
    and after is not among them. ``memory_mb`` was asked for, ``peak_mib`` is that of its largest
    step; what is not known is None.
    """
    return [_cost(state, event) for event in state.cluster_jobs]


def _cost(state: RunState, event: dict[str, Any]) -> dict[str, Any]:
    names, attempt = event["jobs"], event["attempt"]
    members = [state.jobs[name, attempt] for name in names if (name, attempt) in state.jobs]
    begun = [job for job in members if job.started]
    starts = [seconds_of(job.started) for job in begun if job.started]
    ends = [seconds_of(job.ended) for job in begun if job.ended]
    seconds = round(max(ends) - min(starts), 1) if ends else None
    about = next((job.cluster for job in begun if job.cluster), {})
    cpus = about.get("cpus")
    spent = [job.usage["cpu_s"] for job in begun if "cpu_s" in job.usage]
    statuses = {job.status for job in begun}
    if statuses & {"failed", "terminated"}:
        status = "failed"
    elif not begun:
        status = "waiting"
    else:
        whole = statuses == {"completed"} and len(begun) == len(names)
        status = "completed" if whole else "running"
    return {
        "id": str(event["id"]),
        "scheduler": event["scheduler"],
        "attempt": attempt,
        "jobs": list(names),
        "what": shared_words([job.wildcards for job in members]) if members else "",
        "status": status,
        "node": about.get("node") or next((job.host for job in begun if job.host), None),
        "waited_s": round(max(0.0, min(starts) - seconds_of(event["time"])), 1) if starts else None,
        "seconds": seconds,
        "cpus": cpus,
        "core_hours": round(seconds * cpus / 3600, 4) if seconds is not None and cpus else None,
        "cpu_s": round(sum(spent), 2) if spent else None,
        "memory_mb": (event.get("asked") or {}).get("mem_mb"),
        "peak_mib": max((job.usage.get("peak_mib", 0.0) for job in begun), default=0.0) or None,
    }


def newest_attempts(
    attempts: Iterable[JobRecord], *, complete: bool = False
) -> dict[tuple[str, JobKey], JobRecord]:
    """Return the newest attempt of each (dataset, job) among `attempts`, which are oldest first.

    `complete`: whether the last one that was complete stands for later ones that were not.
    """
    found: dict[tuple[str, JobKey], JobRecord] = {}
    for job in attempts:
        if not complete or job.status == "completed" or (job.dataset, job.key) not in found:
            found[job.dataset, job.key] = job
    return found


def last_attempts(outdir: str | os.PathLike[str], dataset: str) -> dict[JobKey, JobRecord]:
    """Return the newest attempt of each job of a dataset, over all runs of the output folder.

    Where the last run completed, what was complete before a later attempt failed was so again.
    """
    runs = list_runs(outdir)
    attempts = [job for run in runs for job in read_attempts(run) if job.dataset == dataset]
    found = newest_attempts(attempts)
    if runs and runs[-1].status() == "completed":
        records = {record.key: record.run for record in read_records(Path(outdir) / dataset)}
        done = newest_attempts(attempts, complete=True)
        found |= {at: job for at, job in done.items() if records.get(at[1]) == job.run}
    return {key: job for (_, key), job in found.items()}


def read_jobs(outdir: str | os.PathLike[str], dataset: str) -> list[JobRecord]:
    """Return every job of a dataset: what its folder records, and what the runs tell besides."""
    ended = frozenset(run.id for run in list_runs(outdir) if run.status() in FINAL)
    records = read_records(Path(outdir) / dataset)
    found = join_attempts(records, last_attempts(outdir, dataset), ended)
    return sorted(found, key=lambda job: job.key)


def join_attempts(
    records: Iterable[JobRecord],
    attempts: Mapping[JobKey, JobRecord],
    ended: frozenset[str] = frozenset(),
) -> list[JobRecord]:
    """Join the records of a dataset's folder with the newest attempts of its jobs, one per job.

    The status is that of the record, never the engine's; but a later attempt that ended badly, and
    could not leave a record, is told as it ended. An attempt without an end in a run that has ended
    (`ended` holds their ids) was stopped: the job was terminated.
    """
    jobs = {record.key: record for record in records}
    for key, attempt in attempts.items():
        record, lost = jobs.get(key, attempt), attempt.status == "running" and attempt.run in ended
        is_same = record.run in ("", attempt.run) and record.attempt in (0, attempt.attempt)
        if not is_same and (lost or attempt.status in ("failed", "terminated")):
            record = attempt
        job = replace(
            record,
            run=attempt.run,
            attempt=attempt.attempt,
            started=attempt.started,
            ended=attempt.ended,
            host=attempt.host,
            usage=attempt.usage,
        )
        if lost:
            job.status, job.error, job.outputs = "terminated", "stopped before its end", {}
        jobs[key] = job
    return list(jobs.values())


@dataclass(frozen=True, slots=True)
class Output:
    """An output: its name relative to the output folder, its digest, and the job that made it."""

    path: str
    digest: Digest | None
    job: JobRecord
    name: str
    """Relative to the folder of the job's dataset."""

    def file(self, outdir: Path) -> Path:
        """Return the file; FovflowError where its name leads out of the dataset's folder."""
        return inside(inside(outdir, self.job.dataset or "."), self.name)


def outputs_of(run: RunFolder, *, records: bool = False) -> dict[str, Output]:
    """Return the outputs as of the end of a run, by name relative to the output folder.

    These are the outputs that the run made, and those of earlier runs of the folder that it found
    up to date: a run that was stopped and one that completed its work are told alike from one that
    did all at once. With `records`, those of the datasets' folders tell of jobs whose events are
    damaged or gone.
    """
    outdir = run.outdir
    until, later = runs_until(run)
    whole = run.status() == "completed"
    attempts = newest_attempts((j for each in until for j in read_attempts(each)), complete=whole)
    for dataset in {name for name, _ in attempts} if records else ():
        if leads_out(outdir, dataset or "."):
            continue
        for record in read_records(outdir / dataset):
            known = attempts.get((dataset, record.key))
            unknown = known is None or (known.run == record.run and known.ended is None)
            if unknown and record.run not in later:
                attempts[dataset, record.key] = record
    found: dict[str, Output] = {}
    for (dataset, _), job in sorted(attempts.items(), key=lambda each: each[1].ended or ""):
        for name, digest in job.outputs.items():
            path = f"{dataset}/{name}" if dataset else name
            found[path] = Output(path, digest, job, name)
    return dict(sorted(found.items()))
