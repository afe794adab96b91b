"""What is known of each job of a dataset: how it ended last, what it made, when and where."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fovflow.atomic import Digest
from fovflow.errors import FovflowError
from fovflow.events import read_events
from fovflow.layout import LOGS, parse_record
from fovflow.runs.store import RunFolder, list_runs
from fovflow.stages import step_of_rule
from fovflow.tables import read_json


@dataclass(frozen=True, slots=True, order=True)
class JobKey:
    """Which job of a dataset: its step and, where it has them, its FOV and channel."""

    step: str
    fov: str = ""
    channel: str = ""

    @property
    def name(self) -> str:
        """The job as one word: ``segment.fov_003.ch_0``."""
        parts = [self.step, f"fov_{self.fov}" if self.fov else ""]
        return ".".join(filter(None, [*parts, f"ch_{self.channel}" if self.channel else ""]))

    @property
    def words(self) -> str:
        """The job in words: ``segment, FOV 3, channel 0``."""
        parts = [self.step, f"FOV {int(self.fov)}" if self.fov else ""]
        return ", ".join(filter(None, [*parts, f"channel {self.channel}" if self.channel else ""]))


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A status record.

    Attributes
    ----------
    file : str
        The record's name relative to the dataset's folder.
    key : JobKey
    status : str
        ``complete`` or ``failed``, as recorded.
    options : object
        Parameters of the step.
    outputs : dict of str to Digest or None
        By name relative to the dataset's folder; None where no digest was recorded.
    inputs : tuple of str
        Names relative to the dataset's folder; empty where they were not recorded.
    error : str
    frame : int or None
    """

    file: str
    key: JobKey
    status: str
    options: Any = None
    outputs: dict[str, Digest | None] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    error: str = ""
    frame: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a job, as a run recorded it; times are ISO 8601.

    ``status`` is ``completed``, ``failed``, or ``running`` for one without an end.
    """

    run: str
    job: str
    number: int
    key: JobKey
    dataset: str
    status: str
    started: str | None = None
    ended: str | None = None
    host: str | None = None
    error: str = ""
    frame: int | None = None
    usage: dict[str, float] = field(default_factory=dict)
    outputs: dict[str, Digest | None] = field(default_factory=dict)


def read_job_records(folder: str | os.PathLike[str]) -> list[JobRecord]:
    """Return all status records of a dataset's folder, by name; unreadable ones are left out."""
    found = []
    base = Path(folder)
    for path in sorted((base / LOGS).rglob("*.json")):
        record = read_job_record(base, path)
        if record is not None:
            found.append(record)
    return found


def read_job_record(folder: Path, path: Path) -> JobRecord | None:
    """Return one status record; None for a file that is none."""
    try:
        content = read_json(path)
    except FovflowError:
        return None
    if not isinstance(content, dict) or not isinstance(content.get("status"), str):
        return None
    inputs = content.get("inputs")
    frame = content.get("frame")
    return JobRecord(
        file=path.relative_to(folder).as_posix(),
        key=JobKey(*parse_record(path.as_posix())),
        status=content["status"],
        options=content.get("options"),
        outputs=_digests(content.get("outputs")),
        inputs=tuple(map(str, inputs)) if isinstance(inputs, list) else (),
        error=str(content.get("error") or ""),
        frame=frame if isinstance(frame, int) else None,
    )


def read_attempts(run: RunFolder) -> Iterator[Attempt]:
    """Yield every attempt of every job of a run.

    What a job could not tell itself (it was killed, or is no script of ours) stands among the
    run's own events.
    """
    told: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for event in run.events():
        if str(event.get("type", "")).startswith("job_"):
            told.setdefault((str(event["job"]), int(event["attempt"])), []).append(event)
    for job, number, path in run.attempts():
        events = [*read_events(path), *told.pop((job, number), [])]
        attempt = _attempt(run.id, job, number, events)
        if attempt is not None:
            yield attempt
    for (job, number), events in sorted(told.items()):
        attempt = _attempt(run.id, job, number, events)
        if attempt is not None:
            yield attempt


def newest_attempts(runs: Iterable[RunFolder]) -> dict[tuple[str, JobKey], Attempt]:
    """Return the newest attempt of each (dataset, job) over `runs`, which are oldest first."""
    found: dict[tuple[str, JobKey], Attempt] = {}
    for run in runs:
        for attempt in read_attempts(run):
            place = attempt.dataset, attempt.key
            known = found.get(place)
            if known is None or known.run != run.id or known.number < attempt.number:
                found[place] = attempt
    return found


def last_attempts(outdir: str | os.PathLike[str], dataset: str) -> dict[JobKey, Attempt]:
    """Return the newest attempt of each job of a dataset, over all runs of the output folder."""
    found = newest_attempts(list_runs(outdir))
    return {key: attempt for (name, key), attempt in found.items() if name == dataset}


def job_key(rule: str, wildcards: Mapping[str, Any]) -> JobKey:
    """Return the key of a job from its rule and wildcards.

    Examples
    --------
    >>> job_key("copy_1", {"dataset": "plate1", "fov": "003"}).name
    'copy.fov_003'
    """
    fov, channel = wildcards.get("fov"), wildcards.get("channel")
    return JobKey(
        step_of_rule(rule), "" if fov is None else str(fov), "" if channel is None else str(channel)
    )


def _digests(outputs: Any) -> dict[str, Digest | None]:
    """Return recorded outputs; a record may be of any form."""
    if not isinstance(outputs, Mapping):
        return {}
    return {str(name): _digest(content) for name, content in outputs.items()}


def _digest(content: Any) -> Digest | None:
    if not isinstance(content, Mapping):
        return None
    size, sha256 = content.get("bytes"), content.get("sha256")
    return Digest(size, sha256) if isinstance(size, int) and isinstance(sha256, str) else None


def _attempt(run: str, job: str, number: int, events: list[dict[str, Any]]) -> Attempt | None:
    about = [event for event in events if str(event.get("type", "")).startswith("job_")]
    if not about:
        return None
    wildcards = about[0].get("wildcards")
    wildcards = wildcards if isinstance(wildcards, Mapping) else {}
    starts = [event for event in about if event["type"] == "job_started"]
    ends = [event for event in about if event["type"] in ("job_finished", "job_failed")]
    end = ends[-1] if ends else {}
    status = {"job_finished": "completed", "job_failed": "failed"}.get(end.get("type", ""))
    frame = end.get("frame")
    return Attempt(
        run=run,
        job=job,
        number=number,
        key=job_key(str(about[0].get("rule", "")), wildcards),
        dataset=str(wildcards.get("dataset", "")),
        status=status or "running",
        started=str(starts[0]["time"]) if starts else None,
        ended=str(end["time"]) if end else None,
        host=next((str(event["host"]) for event in about if event.get("host")), None),
        error=str(end.get("error") or ""),
        frame=frame if isinstance(frame, int) else None,
        usage={
            name: float(end[name])
            for name in ("seconds", "cpu_s", "peak_mib")
            if isinstance(end.get(name), int | float)
        },
        outputs=_digests(end.get("outputs")),
    )


@dataclass(frozen=True, slots=True)
class Output:
    """An output: its name relative to the output folder, its digest, and who made it."""

    path: str
    digest: Digest | None
    attempt: Attempt


def outdir_of(run: RunFolder) -> Path:
    """Return the output folder that a run belongs to."""
    return run.path.parent.parent


def outputs_of(run: RunFolder) -> dict[str, Output]:
    """Return the outputs as of the end of a run, by name relative to the output folder.

    These are the outputs that the run made, and those of earlier runs of the folder that it found
    up to date: a run that was stopped and one that completed its work are told alike from one that
    did all at once.
    """
    runs = [other for other in list_runs(outdir_of(run)) if other.id <= run.id]
    found: dict[str, Output] = {}
    for (dataset, _), attempt in newest_attempts(runs).items():
        for name, digest in attempt.outputs.items():
            path = os.path.normpath(os.path.join(dataset, name))  # noqa: PTH118
            found[path] = Output(path, digest, attempt)
    return dict(sorted(found.items()))
