"""A file of events that survives a disk which is full or away for a while."""

from __future__ import annotations

import os
import sys
import threading
import time as clock
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from fovflow.runs.eventfile import EventFile
from fovflow.runs.form import make_event, to_line

RETRY_S = 0.1


class Journal:
    """Write events as they come; keep what cannot be written now, in order, and try again.

    Parameters
    ----------
    path : path-like
        The file of events.
    size : int
        Events that are kept while the file cannot be written.
    blocking : bool
        What happens when so many are kept: wait until the file can be written, or drop the new
        event and count it; the count is recorded (`dropped`) as soon as the file can be written.
    """

    def __init__(self, path: str | os.PathLike[str], *, size: int = 10_000, blocking: bool = False):
        self.dropped = 0
        self.path = Path(path)
        self._file = EventFile(path)
        self._size = size
        self._blocking = blocking
        self._kept: deque[str] = deque()
        self._to_tell = 0
        self._told = False
        self._closed = False
        self._lock = threading.Lock()

    def write(self, kind: str, *, time: str | None = None, **keys: Any) -> dict[str, Any]:
        """Record an event; see `fovflow.runs.form.EVENTS`.

        Raises
        ------
        ValueError
            If the event is not of the form, or the journal is closed.
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
            return len(self._kept) + self._to_tell

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
        self._to_tell += 1
        return True

    def _drain(self) -> bool:
        """Write what is kept; tell whether all is written."""
        while self._kept:
            if not self._append(self._kept[0]):
                return False
            self._kept.popleft()
        if self._to_tell:
            if not self._append(to_line(make_event("dropped", count=self._to_tell))):
                return False
            self._to_tell = 0
        return True

    def _append(self, line: str) -> bool:
        try:
            self._file.append(line)
        except OSError as error:
            if not self._told:
                self._told = True
                with suppress(OSError, ValueError):
                    print(
                        f"fovflow: cannot write {self._file.path} ({error.strerror}); events are "
                        "kept in memory meanwhile",
                        file=sys.stderr,
                    )
            return False
        return True
