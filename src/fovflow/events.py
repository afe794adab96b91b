"""Events of runs: one JSON object per line, versioned; files of them, written and followed."""

from __future__ import annotations

import json
import math
import os
import re
import threading
import time as clock
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar
from weakref import WeakKeyDictionary

from fovflow.errors import complain, words_of
from fovflow.userfiles import open_own, open_regular

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
_BEGINNING = (
    "step",
    "run",
    "host",
    "pid",
    "threads",
    "cluster",
    "options",
    "inputs",
    "made_from",
    "message",
)
_END = (
    *_BEGINNING, "started", "seconds", "cpu_s", "peak_mib", "outputs", "times", "found", "error",
    "kind", "transient", "frame", "exit", "log", "metrics", "units",
)  # fmt: skip

EVENTS: dict[str, EventKind] = {
    "status": EventKind("the run or job has a new status", ("status",), ("message",)),
    "message": EventKind("something that a person should read", ("message",), ("level",)),
    "metrics": EventKind("numbers by name", ("metrics", "step"), ("elapsed_s", "units")),
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
    "announced": EventKind("an output is about to be written", ("path",), ("types",)),
    "workflow": EventKind("the engine's plan: number of jobs by rule", ("jobs",), ("total",)),
    "job_started": EventKind("a job began", _JOB, _BEGINNING),
    "cluster_job": EventKind(
        "jobs were handed in to a cluster as one",
        ("id", "scheduler", "jobs", "attempt"),
        ("log", "asked"),
    ),
    "job_finished": EventKind("a job ended well", (*_JOB, "status"), _END),
    "job_failed": EventKind("a job ended badly", (*_JOB, "status"), (*_END, "before")),
    "alert_defined": EventKind("an alert is watched for", ("alert",)),
    "user_alert": EventKind(
        "a script says how it is with an alert", ("name", "critical", "message")
    ),
    "alert": EventKind("an alert fired", ("name", "source"), ("job", "value", "message", "action")),
    "dropped": EventKind("a full queue lost this many events", ("count",)),
}
"""All types of events."""


LEVELS = ("debug", "info", "warning", "error")
"""How much a message matters; that an alert fired has the level ``alert``."""


def now() -> str:
    """Return the time in UTC as ISO 8601 with microseconds.

    Examples
    --------
    >>> now()[-6:], len(now())
    ('+00:00', 32)
    """
    return datetime.now(UTC).isoformat(timespec="microseconds")


class Clock:
    """Tells the time in order: where the system's clock is set back, it goes on from before."""

    def __init__(self) -> None:
        self._last, self._ticks = datetime.min.replace(tzinfo=UTC), 0.0

    def now(self, *after: Any) -> str:
        """Return the time like `now`; no earlier than any of the time stamps `after`."""
        at, ticks = datetime.now(UTC), clock.monotonic()
        if at < self._last:
            at = self._last + timedelta(seconds=ticks - self._ticks)
        known = [found for found in map(moment, after) if found and found.year < 9999]
        self._last, self._ticks = max([at, *known]), ticks
        return self._last.isoformat(timespec="microseconds")


def moment(stamp: Any) -> datetime | None:
    """Return the time that a record tells, in UTC; None for no time.

    Examples
    --------
    >>> moment("2026-03-01T10:00:00").isoformat(), moment("soon"), moment(None)
    ('2026-03-01T10:00:00+00:00', None, None)
    """
    try:
        at = datetime.fromisoformat(stamp)
    except (ValueError, TypeError):
        return None
    with suppress(OverflowError):  # the first and the last day that there are
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    return None


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


def plain_values(value: Any, number: Callable[[int | float], Any] | None = None) -> Any:
    """Return `value` as a record holds it: as it comes back from JSON, without what is secret.

    Arrays and sets are lists. NaN, infinities and integers beyond all floats are None, where
    `number` does not say what numbers become.

    Examples
    --------
    >>> plain_values({1: (2.5, float("nan")), "a": {"y", "x"}})
    {'1': [2.5, None], 'a': ['x', 'y']}
    """
    if isinstance(value, str):
        return writable(value)
    if isinstance(value, int | float):
        known = value if as_float(value) is not None else None
        return known if number is None else number(value)
    if isinstance(value, Mapping):
        return {
            writable(str(key)): SECRET if is_secret(key, item) else plain_values(item, number)
            for key, item in value.items()
        }
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    if isinstance(value, list | tuple):
        return [plain_values(item, number) for item in value]
    if hasattr(value, "tolist"):  # scalars and arrays of NumPy
        plain = value.tolist()
        return plain_values(str(plain) if type(plain) is type(value) else plain, number)
    return value if value is None else writable(str(value))


SECRET = "(secret)"
"""What records have in place of values that the configuration calls secret."""

LEAST_SECRET = 6
"""Shortest text, in characters, that is also taken out of other texts, such as messages."""

_CREDENTIALS = re.compile(r"(?<=://)(?!git@)[^/\s@]+@(?:[^/\s@?#]+@)*")

_secret_keys: set[str] = set()
_secret_texts: set[str] = set()


def keep_secret(keys: str | Iterable[str], content: Any) -> None:
    """Keep the values that stand under these keys, anywhere, out of all records of this process.

    `keys`: as ``run: secret`` has them. `content`: where the values are found which are taken out
    of other texts, too.
    """
    names = keys.split(",") if isinstance(keys, str) else keys
    _secret_keys.update(name.strip() for name in names)
    found = _texts_under(content, inside=False) if _secret_keys else ()
    _secret_texts.update(*map(spellings_of, found))


def spellings_of(secret: str) -> set[str]:
    """Return how a secret text is spelt in other texts; nothing where it is too short for that.

    Messages have it as Python or JSON writes it, addresses with ``%``, commands with quotes.
    """
    from urllib.parse import quote, quote_plus

    if len(secret) < LEAST_SECRET:
        return set()
    quoted = (quote(secret, safe, errors="replace") for safe in ("/", ""))
    written = (
        repr(secret), ascii(secret), json.dumps(secret), json.dumps(secret, ensure_ascii=False)
    )  # fmt: skip
    return {
        secret,
        *quoted,
        quote_plus(secret, errors="replace"),
        *(each[1:-1] for each in written),
        repr(secret.encode(errors="replace"))[2:-1],
        secret.replace("'", "'\"'\"'"),
    }


def _texts_under(value: Any, *, inside: bool) -> Iterator[str]:
    """Yield the texts under secret keys."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts_under(item, inside=inside or key in _secret_keys)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts_under(item, inside=inside)
    elif inside and value is not None:
        yield str(value)


def is_secret(key: Any, value: Any) -> bool:
    """Tell whether a record has `SECRET` in place of the value of a key."""
    return key in _secret_keys and value is not None


def writable(value: str) -> str:
    """Return a text as records hold it: without secrets, and credentials in addresses.

    Halves of surrogate pairs, which UTF-8 cannot hold, are ``?``.
    """
    text = value.encode("utf-8", "replace").decode()
    if "://" in text:
        text = _CREDENTIALS.sub(f"{SECRET}@", text)
    for secret in sorted(_secret_texts, key=len, reverse=True):
        text = text.replace(secret, SECRET)
    return text


def as_float(value: int | float) -> float | None:
    """Return a number as a float; None for infinities, NaN and integers beyond all floats.

    Examples
    --------
    >>> as_float(3), as_float(10**400)
    (3.0, None)
    """
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def recorded_number(value: int | float) -> int | float | str:
    """Return a number as records hold it: infinities and NaN, which JSON lacks, are text.

    So are integers beyond all floats: infinities. `number_of` reads it.

    Examples
    --------
    >>> recorded_number(2.5), recorded_number(float("-inf")), recorded_number(float("nan"))
    (2.5, '-inf', 'nan')
    """
    try:
        return value if math.isfinite(value) else str(float(value))
    except OverflowError:
        return "inf" if value > 0 else "-inf"


def number_of(value: Any) -> float | None:
    """Return the number that a record holds; None where it holds none."""
    if isinstance(value, str):
        return float(value) if value in ("inf", "-inf", "nan") else None
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return as_float(value) if plain else None


_Shared = TypeVar("_Shared")
_shared: WeakKeyDictionary[Any, Callable[[Any], None]] = WeakKeyDictionary()


def after_fork(thing: _Shared, set_up: Callable[[_Shared], None]) -> None:
    """Set up what a child of this process must not share, such as locks: now, and in each child.

    A lock that another thread holds at a fork would stay locked in the child for ever.
    """
    _shared[thing] = set_up
    set_up(thing)


def _set_up_all() -> None:
    for thing, set_up in list(_shared.items()):
        set_up(thing)


os.register_at_fork(after_in_child=_set_up_all)


class EventFile:
    """An open file of events with this process as its only writer.

    Each line is handed to the operating system at once, in one piece: a crash of the process right
    after a call loses nothing. Threads may share it. A line that a crash or a full disk cut off
    stays alone: the next one begins on a line of its own.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open_own(self.path, "ab")
        self._torn = _ends_within_a_line(self.path)
        after_fork(self, EventFile._unlock)

    def _unlock(self) -> None:
        self._lock = threading.RLock()  # a signal's handler may log, too

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
                complain(f"fovflow: the record {self.path} may have gaps: {words_of(error)}")


def _ends_within_a_line(path: Path) -> bool:
    with open_regular(path) as file:
        if not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def read_events(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the events of a file; cut-off lines and lines of another form are left out."""
    return EventTail(path).read(to_end=True)


def lines_of(data: bytes) -> list[str]:
    """Return the lines of a file of JSON objects that are not empty.

    Texts in it may hold other characters at which Python would end a line.
    """
    return [line for line in data.decode("utf-8", errors="replace").split("\n") if line.strip()]


class EventTail:
    """Read a growing file of events: each call returns what is new and whole.

    `malformed` counts the lines that are no events, which are left out; `problem` says why the
    file, which is there, cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.malformed = 0
        self.problem = ""
        self._offset = 0

    def read(self, *, to_end: bool = False) -> list[dict[str, Any]]:
        """Return the events since the last call; `to_end`: also of a line that has no end yet."""
        try:
            with open_regular(self.path) as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        except OSError as error:
            self.problem = f"cannot be read: {error.strerror or error}"
            return []
        end = len(data) if to_end else data.rfind(b"\n") + 1
        self._offset += end
        lines = lines_of(data[:end])
        events = [event for line in lines if (event := from_line(line)) is not None]
        self.malformed += len(lines) - len(events)
        return events


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
        self._complained = False
        self._closed = False
        after_fork(self, Journal._start)

    def _start(self) -> None:
        """Start with nothing to write: what a parent keeps is the parent's to write."""
        self._kept: deque[str] = deque()
        self._unrecorded = 0
        self._lock = threading.RLock()

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
