"""The form of all records: one JSON object per line, versioned.

Every line has ``v`` (version of the form), ``time`` (UTC, ISO 8601, microseconds, ``+00:00``) and
``type``; the other keys depend on the type (see `EVENTS`). ``schema/events.schema.json`` in the
repository is the same as a JSON schema.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

VERSION = 1

STATUSES = ("created", "running", "completed", "failed", "terminated", "lost")
"""Statuses of a run and of a job; ``lost`` is never written, only inferred by readers."""

FINAL = frozenset({"completed", "failed", "terminated", "lost"})
"""Statuses after which nothing more is expected."""


@dataclass(frozen=True, slots=True)
class EventKind:
    """What a type of event means, and its keys beside ``v``, ``time`` and ``type``."""

    meaning: str
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = field(default=())


_JOB = ("job", "rule", "wildcards", "attempt")

EVENTS: dict[str, EventKind] = {
    "status": EventKind("the run or job has a new status", ("status",), ("message",)),
    "message": EventKind("something that a person should read", ("message",), ("level",)),
    "metrics": EventKind("numbers by name", ("metrics", "step"), ("elapsed_s",)),
    "progress": EventKind(
        "frame t of T of a step is done", ("step", "fov", "t", "T"), ("dataset", "message")
    ),
    "resources": EventKind(
        "what a process and its children use",
        ("cpu_percent", "rss_mib"),
        ("read_mib", "written_mib", "gpu_percent", "gpu_mib", "pid"),
    ),
    "metadata": EventKind("key-value pairs were added or changed", ("metadata",)),
    "tags": EventKind("the tags are now these", ("tags",)),
    "artifact": EventKind(
        "a file was read, made or kept",
        ("path", "category"),
        ("name", "filetype", "bytes", "sha256", "mode", "types"),
    ),
    "workflow": EventKind("the engine's plan: number of jobs by rule", ("jobs",), ("total",)),
    "job_started": EventKind(
        "a job began", _JOB, ("host", "pid", "params", "message", "threads", "cluster")
    ),
    "cluster_job": EventKind(
        "jobs were handed in to a cluster as one",
        ("id", "scheduler", "jobs", "attempt"),
        ("log", "asked"),
    ),
    "job_finished": EventKind(
        "a job ended well", _JOB, ("seconds", "cpu_s", "peak_mib", "outputs", "host")
    ),
    "job_failed": EventKind(
        "a job ended badly",
        _JOB,
        ("seconds", "cpu_s", "peak_mib", "error", "frame", "exit", "host", "log"),
    ),
    "alert_defined": EventKind("an alert is watched for", ("alert",)),
    "alert": EventKind("an alert fired", ("name", "source"), ("job", "value", "message", "action")),
    "dropped": EventKind("a full queue lost this many events", ("count",)),
}
"""All types of events."""


def now() -> str:
    """Return the time in UTC as ISO 8601 with microseconds.

    Examples
    --------
    >>> now()[-6:], len(now())
    ('+00:00', 32)
    """
    return datetime.now(UTC).isoformat(timespec="microseconds")


def seconds_of(stamp: str) -> float:
    """Return a time stamp of the records as seconds since the epoch."""
    at = datetime.fromisoformat(stamp)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def make_event(kind: str, *, time: str | None = None, **keys: Any) -> dict[str, Any]:
    """Return an event of the form.

    Raises
    ------
    ValueError
        For an unknown type, a missing or an unknown key.
    """
    event = {"v": VERSION, "time": time or now(), "type": kind, **keys}
    check_event(event)
    return event


def check_event(event: Mapping[str, Any]) -> None:
    """Raise ValueError unless `event` is of the form."""
    kind = EVENTS.get(str(event.get("type")))
    if kind is None:
        raise ValueError(f"unknown type of event {event.get('type')!r}")
    keys = set(event) - {"v", "time", "type"}
    missing = set(kind.required) - keys
    unknown = keys - set(kind.required) - set(kind.optional)
    if missing or unknown or event.get("v") != VERSION or not isinstance(event.get("time"), str):
        raise ValueError(
            f"an event {event['type']!r} that lacks {sorted(missing)}, has unknown "
            f"{sorted(unknown)}, or has another version or time"
        )


def to_line(event: Mapping[str, Any]) -> str:
    """Return an event as one line; numbers that JSON does not know become null."""
    return json.dumps(_finite(event), ensure_ascii=False, separators=(",", ":")) + "\n"


def from_line(line: str) -> dict[str, Any] | None:
    """Return the event of a line; None for a line that was cut off or is of another form."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and event.get("v") == VERSION else None


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_finite(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if hasattr(value, "item"):  # NumPy scalars
        return _finite(value.item())
    return str(value)
