"""Events of runs: one JSON object per line, versioned; files of them, written and followed."""

from __future__ import annotations

import json
import math
import os
import threading
import time as clock
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from fovflow.errors import complain

VERSION = 2
"""Version of the form of events and of records; `upgrade` brings version 1 into it."""

Status = Literal["created", "submitted", "running", "completed", "failed", "terminated", "lost"]
"""Status of a run or of a job. A job is ``submitted`` until it begins. ``lost`` is never written:
readers infer it of a run whose process is gone."""

ENDED: tuple[Status, ...] = ("completed", "failed", "terminated")
"""Statuses of jobs that have ended; ``terminated`` were told to stop, which is no failure."""

FINAL: frozenset[Status] = frozenset({*ENDED, "lost"})
"""Statuses of runs after which nothing more is expected."""

RUN_STATUSES: tuple[Status, ...] = ("created", "running", *ENDED, "lost")
"""Statuses that a run can have."""


@dataclass(frozen=True, slots=True)
class EventKind:
    """What a type of event means, and its keys beside ``v``, ``time`` and ``type``."""

    meaning: str
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = field(default=())


_JOB = ("job", "rule", "wildcards", "attempt")
_BEGINNING = ("step", "run", "host", "pid", "threads", "cluster", "options", "inputs", "message")
_END = (
    *_BEGINNING, "started", "seconds", "cpu_s", "peak_mib", "outputs", "error", "kind",
    "transient", "frame", "exit", "log",
)  # fmt: skip

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
    "job_started": EventKind("a job began", _JOB, _BEGINNING),
    "cluster_job": EventKind(
        "jobs were handed in to a cluster as one",
        ("id", "scheduler", "jobs", "attempt"),
        ("log", "asked"),
    ),
    "job_finished": EventKind("a job ended well", (*_JOB, "status"), _END),
    "job_failed": EventKind("a job ended badly", (*_JOB, "status"), _END),
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


def moment(stamp: Any) -> datetime | None:
    """Return the time that a record tells, in UTC where it has no time zone; None for no time.

    Examples
    --------
    >>> moment("2026-03-01T10:00:00").isoformat(), moment("soon"), moment(None)
    ('2026-03-01T10:00:00+00:00', None, None)
    """
    try:
        at = datetime.fromisoformat(stamp)
    except (ValueError, TypeError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def seconds_of(stamp: str) -> float:
    """Return a time stamp of the records as seconds since the epoch; ValueError for no time."""
    at = moment(stamp)
    if at is None:
        raise ValueError(f"no time: {stamp!r}")
    return at.timestamp()


def make_event(kind: str, /, *, time: str | None = None, **keys: Any) -> dict[str, Any]:
    """Return an event of the form.

    Raises ValueError for an unknown type, a missing or an unknown key.
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


STOPPED = 130
"""Exit status of a job that was told to stop."""


def upgrade(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event, or the record of a job in a dataset's folder, of version 1 in today's form.

    In version 1 the status of a job followed from the type of its last event and its exit status;
    a record had neither version nor type, and ``complete`` for ``completed``.
    """
    names = {"params": "options", "may_pass": "transient"}
    new = {names.get(key, key): value for key, value in content.items()} | {"v": VERSION}
    kind, status = content.get("type"), content.get("status")
    if kind == "job_finished":
        new["status"] = "completed"
    elif kind == "job_failed":
        new["status"] = "terminated" if content.get("exit") == STOPPED else "failed"
    elif kind is None:
        new["status"] = "completed" if status == "complete" else status
        new["type"] = "job_failed" if new["status"] == "failed" else "job_finished"
    return new


def to_line(event: Mapping[str, Any]) -> str:
    """Return an event as one line; numbers that JSON does not know become null."""
    return json.dumps(plain_values(event), ensure_ascii=False, separators=(",", ":")) + "\n"


def from_line(line: str) -> dict[str, Any] | None:
    """Return the event of a line in today's form; None for a line that is cut off or no event."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or content.get("v") not in (1, VERSION):
        return None
    event: dict[str, Any] = upgrade(content) if content["v"] == 1 else content
    if not isinstance(event.get("type"), str):
        return None
    kind = EVENTS.get(event["type"])
    if kind is not None:  # others are of a later version, perhaps
        whole = moment(event.get("time")) and all(key in event for key in kind.required)
        return event if whole else None
    return event


def plain_values(value: Any) -> Any:
    """Return `value` as a record holds it: as it comes back from JSON; NaN and infinities as None.

    Examples
    --------
    >>> plain_values({1: (2.5, float("nan"))})
    {'1': [2.5, None]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_values(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if hasattr(value, "item"):  # NumPy scalars
        return plain_values(value.item())
    return str(value)


class EventFile:
    """An open file of events with this process as its only writer.

    Each line is handed to the operating system at once, in one piece: a crash of the process right
    after a call loses nothing. Threads may share it. A line that a crash or a full disk cut off
    stays alone: the next one begins on a line of its own.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab", buffering=0)
        self._torn = _ends_within_a_line(self.path)
        self._lock = threading.Lock()

    def write(self, kind: str, /, *, time: str | None = None, **keys: Any) -> dict[str, Any]:
        """Append an event; see `fovflow.events.EVENTS` for types and keys."""
        event = make_event(kind, time=time, **keys)
        self.append(to_line(event))
        return event

    def append(self, line: str) -> None:
        """Append a line as `to_line` makes it; OSError where it cannot be written whole."""
        data = line.encode("utf-8", "replace")
        with self._lock:
            data = b"\n" + data if self._torn else data
            self._torn = True
            while data:
                data = data[self._file.write(data) or 0 :]
            self._torn = False

    def close(self) -> None:
        """Close the file; safe to call twice. An error, which may mean a gap, is told."""
        with self._lock:
            try:
                self._file.close()
            except OSError as error:
                complain(f"fovflow: the record {self.path} may have gaps: {error}")


def _ends_within_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def read_events(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the events of a file; cut-off lines and lines of another form are left out."""
    try:
        return _events_in(Path(path).read_bytes())
    except OSError:
        return []


def _events_in(data: bytes) -> list[dict[str, Any]]:
    # Texts of events may hold other characters at which Python would end a line.
    lines = data.decode("utf-8", errors="replace").split("\n")
    return [event for line in lines if (event := from_line(line)) is not None]


class EventTail:
    """Read a growing file of events: each call returns what is new and whole."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self._offset = 0

    def read(self) -> list[dict[str, Any]]:
        """Return the events since the last call."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return []
        end = data.rfind(b"\n") + 1
        self._offset += end
        return _events_in(data[:end])


RETRY_S = 0.1


class Journal:
    """Write events as they come; keep what cannot be written now, in order, and try again.

    `path`: the file of events. `size`: events that are kept while the file cannot be written.
    `blocking`: what happens when so many are kept: wait until the file can be written, or drop the
    new event and count it; the count is recorded (`dropped`) as soon as the file can be written.
    """

    def __init__(self, path: str | os.PathLike[str], *, size: int = 10_000, blocking: bool = False):
        self.dropped = 0
        self.path = Path(path)
        self._file = EventFile(path)
        self._size = size
        self._blocking = blocking
        self._kept: deque[str] = deque()
        self._unrecorded = 0
        self._complained = False
        self._closed = False
        self._lock = threading.Lock()

    def write(self, kind: str, /, *, time: str | None = None, **keys: Any) -> dict[str, Any]:
        """Record an event; see `fovflow.events.EVENTS`.

        Raises ValueError if the event is not of the form, or the journal is closed.
        """
        event = make_event(kind, time=time, **keys)
        line = to_line(event)
        with self._lock:
            if self._closed:
                raise ValueError("the journal is closed")
            while not self._take(line):
                clock.sleep(RETRY_S)
        return event

    def close(self) -> int:
        """Write what is kept and close; return how many events are lost. Safe to call twice."""
        with self._lock:
            if not self._closed:
                self._drain()
                self._closed = True
                self._file.close()
            return len(self._kept) + self._unrecorded

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):  # a job that logs need not close anything
            self._file.close()

    def _take(self, line: str) -> bool:
        """Write, keep or drop a line; False where it must wait."""
        if self._drain() and self._append(line):
            return True
        if len(self._kept) < self._size:
            self._kept.append(line)
            return True
        if self._blocking:
            return False
        self.dropped += 1
        self._unrecorded += 1
        return True

    def _drain(self) -> bool:
        """Write what is kept; tell whether all is written."""
        while self._kept:
            if not self._append(self._kept[0]):
                return False
            self._kept.popleft()
        if self._unrecorded:
            if not self._append(to_line(make_event("dropped", count=self._unrecorded))):
                return False
            self._unrecorded = 0
        return True

    def _append(self, line: str) -> bool:
        try:
            self._file.append(line)
        except OSError as error:
            if not self._complained:
                self._complained = True
                complain(
                    f"fovflow: cannot write {self._file.path} ({error.strerror}); events are kept "
                    "in memory meanwhile"
                )
            return False
        return True
