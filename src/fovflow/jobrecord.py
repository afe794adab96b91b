"""A job as it is recorded: by its events while it works, and by one record when it has ended.

The events of an attempt are what is known of a job. The record beside its log, in the dataset's
folder, is made from them by `job_record`, so that a folder that is moved or copied alone still
tells what is complete and can be verified. `JobRecord` reads both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fovflow.atomic import Digest, sha256_or_none
from fovflow.events import ENDED, Status, as_float, moment, plain_values, seconds_of, upgrade
from fovflow.layout import LOGS, parse_record
from fovflow.records import leads_out, mapping_of, read_json_object
from fovflow.stages import step_of_rule

ENDS = ("job_finished", "job_failed")
"""Types of the last event of an attempt."""

BEFORE = "before"
"""Key of a record that is not complete: the last one that was."""

USAGE = ("seconds", "cpu_s", "peak_mib")
"""Keys of it that tell what the attempt used."""

MALFORMED = (AttributeError, KeyError, OverflowError, TypeError, ValueError)
"""What `JobRecord.take` raises for an event whose values are of other kinds than they should be."""


class JobKey(NamedTuple):
    """Which job of a dataset: its step and, where it has them, its FOV and channel.

    `of`: sample and feature of a job of the analysis.
    """

    step: str
    fov: str = ""
    channel: str = ""
    of: str = ""

    @property
    def name(self) -> str:
        """The job as one word: ``segment.fov_003.ch_0``."""
        place = (self.fov and f"fov_{self.fov}", self.channel and f"ch_{self.channel}")
        return ".".join(filter(None, (self.step, self.of, *place)))

    @property
    def words(self) -> str:
        """The job in words: ``segment, FOV 3, channel 0``."""
        place = {"of": self.of, "fov": self.fov, "channel": self.channel}
        words = in_words({key: value for key, value in place.items() if value})
        return f"{self.step}, {words}" if words else self.step


@dataclass(slots=True)
class JobRecord:
    """One attempt of one job. Times are ISO 8601."""

    job: str = ""
    """Name of the job, and of the folder of its events; see `job_name`."""
    attempt: int = 0
    """0 where a record of version 1 does not tell."""
    rule: str = ""
    wildcards: dict[str, str] = field(default_factory=dict)
    step: str = ""
    run: str = ""
    """Id of the run; empty where none was recorded."""
    status: Status = "submitted"
    started: str | None = None
    ended: str | None = None
    host: str = ""
    pid: int | None = None
    cluster: dict[str, Any] = field(default_factory=dict)
    """``id``, ``node`` and ``cpus`` of the SLURM job that it is part of."""
    error: str = ""
    frame: int | None = None
    """The frame at work when it failed."""
    transient: bool = False
    """Whether another attempt may succeed: memory, disk, network."""
    log: str = ""
    usage: dict[str, float] = field(default_factory=dict)
    """``seconds``, ``cpu_s``, ``peak_mib`` where known."""
    options: Any = None
    """Parameters of the step; None where they are not known."""
    inputs: tuple[str, ...] = ()
    """Names relative to the dataset's folder; empty where they were not recorded."""
    made_from: dict[str, str] | None = None
    """SHA-256 of its inputs in the dataset's folder, by name; None in records of old versions."""
    outputs: dict[str, Digest | None] = field(default_factory=dict)
    """By name relative to the dataset's folder; None where no digest was recorded."""
    times: Mapping[str, Any] = field(default_factory=dict)
    """When the outputs were written, in ns since 1970, by name as above, where that is known."""
    found: Mapping[str, Any] = field(default_factory=dict)
    """What the job found, such as ``cells``, ``good_cells``, ``corrections_not_followed``."""
    t: int = 0
    """Frames done, of `total`; 0 of 0 where the job has not said."""
    total: int = 0
    message: str = ""
    """What is done with these frames."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Latest numbers by name."""
    logged: dict[str, Any] = field(default_factory=dict)
    """Last value of each metric that `fovflow.Run` logged in it, as recorded."""
    units: dict[str, str] = field(default_factory=dict)
    """Their units, where given."""
    file: str = ""
    """Name of the record relative to the dataset's folder; empty for what a run recorded."""
    before: JobRecord | None = None
    """Where it is not complete: the attempt that was, whose outputs may still be there."""
    _ended_by_engine: bool = False

    @property
    def dataset(self) -> str:
        """Name of the dataset; empty for jobs of several."""
        return self.wildcards.get("dataset", "")

    @property
    def complete(self) -> JobRecord | None:
        """Itself where it is complete, else the attempt before that was; None where none was."""
        return self if self.status == "completed" else self.before

    @property
    def key(self) -> JobKey:
        """Which job of its dataset it is."""
        fov, channel, *of = (
            self.wildcards.get(name, "") for name in ("fov", "channel", "sample", "feature")
        )
        return JobKey(self.step, fov, channel, ".".join(filter(None, of)))

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
        end = now if self.ended is None else seconds_of(self.ended)
        return max(0.0, end - seconds_of(self.started))

    def take(self, event: Mapping[str, Any], *, own: bool = True, files: bool = True) -> None:
        """Take one of the job's events, or its record.

        `own`: whether the job itself tells it, and not the engine: how a job ended is the engine's
        to say where it does, also when the job's own last event is read later. `files`: whether
        parameters, inputs and outputs are kept: they need memory.
        """
        kind = event["type"]
        if kind == "progress":
            self.t, self.total = whole(event["t"]), whole(event["T"])
            self.message = str(event.get("message") or "")
        elif kind == "metrics":
            self.metrics.update(_numbers(event["metrics"]))
            if "elapsed_s" in event:  # not measured by the job itself
                self._log(event)
        elif kind == "job_started":
            self._begin(event, files=files)
            self.started = event["time"]
            if not self._ended_by_engine:
                self.status = "running"
        elif kind in ENDS:
            self._begin(event, files=files)
            self.usage |= _numbers({name: event.get(name) for name in USAGE})
            if not (own and self._ended_by_engine):
                self._ended_by_engine = not own
                self._end(event, files=files)

    def _log(self, told: Mapping[str, Any]) -> None:
        self.logged |= mapping_of(told.get("metrics"))
        self.units |= mapping_of(told.get("units"))

    def _begin(self, event: Mapping[str, Any], *, files: bool) -> None:
        self.rule = str(event["rule"])
        self.wildcards = {key: str(value) for key, value in event["wildcards"].items()}
        self.step = str(event.get("step") or step_of_rule(self.rule))
        self.host = str(event.get("host") or self.host)
        pid = event.get("pid", self.pid)
        self.pid = pid if isinstance(pid, int) else None
        self.cluster = dict(event.get("cluster") or self.cluster)
        self.cluster |= {"cpus": whole(self.cluster["cpus"])} if "cpus" in self.cluster else {}
        if files:
            self.options = event.get("options", self.options)
            inputs = event.get("inputs")
            self.inputs = tuple(map(str, inputs)) if isinstance(inputs, list) else self.inputs
            made_from = event.get("made_from")
            self.made_from = dict(made_from) if isinstance(made_from, Mapping) else self.made_from

    def _end(self, event: Mapping[str, Any], *, files: bool) -> None:
        if event["status"] not in ENDED:
            raise ValueError(f"wrong status {event['status']!r}")
        self.status, self.ended = event["status"], event.get("time")
        self.started = event["started"] if moment(event.get("started")) else self.started
        self.error, self.log = str(event.get("error") or ""), str(event.get("log") or "")
        frame = event.get("frame")
        self.frame = frame if isinstance(frame, int) else None
        self.transient = bool(event.get("transient"))
        self._log(event)
        if files:
            outputs = mapping_of(event.get("outputs"))
            self.outputs = {str(name): _digest(content) for name, content in outputs.items()}
            self.times, self.found = mapping_of(event.get("times")), mapping_of(event.get("found"))


def logged_metrics(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the last value of each metric of `fovflow.Run`, and units, for a last event."""
    job = JobRecord()
    for event in events:
        if event["type"] == "metrics":
            with suppress(*MALFORMED):
                job.take(event)
    found = {"metrics": job.logged, "units": job.units}
    return {key: known for key, known in found.items() if known}


def job_record(started: Mapping[str, Any], ended: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's record from the first and the last event of its attempt.

    It is the last event with what the first one tells besides.
    """
    return {**started, **ended, "started": started.get("time")}


def record_text(started: Mapping[str, Any], ended: Mapping[str, Any]) -> str:
    """Return the content of a job's record file; see `job_record`."""
    content = plain_values(job_record(started, ended))
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def read_record(path: str | Path, folder: str | Path = "") -> JobRecord | None:
    """Return the job of a record in a dataset's folder; None for a file that is no record.

    `folder`: the dataset's folder.
    """
    return _record(read_json_object(path), Path(path), folder)


def _record(content: dict[str, Any], file: Path, folder: str | Path) -> JobRecord | None:
    if "v" not in content:
        content = upgrade(content)
    if content.get("status") not in ENDED or content.get("type") not in ENDS:
        return None
    step, fov, channel = parse_record(file.as_posix())
    record = JobRecord(
        job=str(content.get("job") or ""),
        run=str(content.get("run") or ""),
        file=file.relative_to(folder).as_posix() if folder else "",
    )
    named = {key: value for key, value in {"fov": fov, "channel": channel}.items() if value}
    try:
        record.attempt = whole(content.get("attempt") or 0)
        record.take({"rule": step, "step": step, "wildcards": named, **content})
    except MALFORMED:
        return None
    before = content.get(BEFORE) if record.status != "completed" else None
    known = _record({**before, BEFORE: None}, file, folder) if isinstance(before, dict) else None
    record.before = known and known.complete
    return record


def read_records(folder: str | Path, *, complete: bool = False) -> list[JobRecord]:
    """Return the jobs of all records of a dataset's folder, by name of the record.

    `complete`: whether the attempt before stands for one that is not complete, where it was.
    """
    paths = sorted((Path(folder) / LOGS).rglob("*.json"))
    found = [record for path in paths if (record := read_record(path, folder)) is not None]
    return [each.complete or each for each in found] if complete else found


def reads_others(folder: Path, *names: str) -> bool:
    """Tell whether one of some jobs read other files of a folder than are there now.

    `names`: of their records, in the folder; of a job that has none nothing is known.
    """
    records = filter(None, (read_record(folder / name) for name in names))
    made_from = [known.made_from or {} for record in records if (known := record.complete)]
    return any(
        leads_out(folder, name) or sha256_or_none(folder / name) != sha256
        for read in made_from
        for name, sha256 in read.items()
    )


def job_name(rule: str, wildcards: Mapping[str, Any]) -> str:
    """Return a job's name, which is a folder: the rule and its wildcards.

    Examples
    --------
    >>> job_name("segment", {"dataset": "plate 1", "fov": "003", "channel": "0"})
    'segment.plate 1.fov_003.ch_0'
    """
    short = {"dataset": "", "fov": "fov_", "channel": "ch_"}
    parts = [f"{short.get(key, key + '_')}{value}" for key, value in wildcards.items()]
    return ".".join([rule, *parts]).replace("/", "_")


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
    names = {"dataset": "", "fov": "FOV "}
    fov = str(wildcards.get("fov", ""))
    shown = {**wildcards, **({"fov": fov.lstrip("0") or "0"} if fov.isdecimal() else {})}
    return ", ".join(f"{names.get(key, f'{key} ')}{value}" for key, value in shown.items())


def whole(value: Any) -> int:
    """Return a whole number of a record, 0 to 10⁹; TypeError, ValueError for anything else."""
    if not 0 <= value <= 10**9:
        raise ValueError(f"{value} is no number of a record")
    return int(value)


def check_place(job: Any, attempt: Any) -> tuple[str, int]:
    """Return a job's name and attempt, which name a file; ValueError where they cannot."""
    if leads_out(None, job) or "/" in job:
        raise ValueError(f"{job!r} is no name of a job")
    return job, whole(attempt)


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Return those of the values that are finite numbers."""
    known = {str(k): as_float(v) for k, v in values.items() if isinstance(v, int | float)}
    return {name: value for name, value in known.items() if value is not None}


def _digest(content: Any) -> Digest | None:
    told = mapping_of(content)
    size, sha256 = told.get("bytes"), told.get("sha256")
    return Digest(size, sha256) if isinstance(size, int) and isinstance(sha256, str) else None
