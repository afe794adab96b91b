"""Files of events: each written by one process, line by line, and read while it grows."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from fovflow.runs.form import from_line, make_event, to_line


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

    def write(self, kind: str, *, time: str | None = None, **keys: Any) -> dict[str, Any]:
        """Append an event; see `fovflow.runs.form.EVENTS` for types and keys."""
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
        """Close the file; safe to call twice."""
        with self._lock:
            self._file.close()


def _ends_within_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def read_events(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the events of a file; cut-off lines and lines of another form are left out."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [event for line in text.splitlines() if (event := from_line(line)) is not None]


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
        lines = data[:end].decode("utf-8", errors="replace").splitlines()
        return [event for line in lines if (event := from_line(line)) is not None]
