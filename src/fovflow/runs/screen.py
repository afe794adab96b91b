"""Lines at the bottom of a terminal that are drawn again and again, with other output above.

Between two drawings the cursor stands at the start of the first of these lines. Whatever another
process writes therefore begins where it should, and the lines move below it at the next drawing.
"""

from __future__ import annotations

import os
import shutil
import threading
from typing import TextIO

_CLEAR = "\r\x1b[J"


class Screen:
    """A terminal with live lines.

    Parameters
    ----------
    stream : text stream
        The terminal.
    """

    def __init__(self, stream: TextIO):
        self.stream = stream
        self._lock = threading.RLock()
        self._lines: list[str] = []
        self._closed = False

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        try:
            found = os.get_terminal_size(self.stream.fileno())
        except (OSError, ValueError, AttributeError):
            found = shutil.get_terminal_size()
        return found.columns or 80, found.lines or 24

    @property
    def plain(self) -> bool:
        """Whether only ASCII can be shown."""
        encoding = (getattr(self.stream, "encoding", None) or "ascii").lower()
        return not encoding.startswith("utf")

    def draw(self, lines: list[str]) -> None:
        """Show these lines in place of those before."""
        with self._lock:
            if not self._closed:
                self._lines = list(lines)
                self._write(_CLEAR + self._drawn())

    def say(self, text: str) -> None:
        """Write text above the lines."""
        with self._lock:
            whole = text if text.endswith("\n") else f"{text}\n"
            self._write(whole if self._closed else f"{_CLEAR}{whole}{self._drawn()}")

    def close(self) -> None:
        """Take the lines off; from now on `say` writes plainly."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._write(_CLEAR)

    def _drawn(self) -> str:
        if not self._lines:
            return ""
        return "\n".join(self._lines) + f"\n\x1b[{len(self._lines)}A"

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError):
            self._closed = True  # the terminal is gone: the run goes on


class ScreenStream:
    """A stream for logging handlers whose messages appear above a screen's lines."""

    def __init__(self, screen: Screen):
        self._screen = screen
        self._parts: list[str] = []
        self.encoding = getattr(screen.stream, "encoding", "utf-8")

    def write(self, text: str) -> int:
        """Take text; show it once a line is whole."""
        self._parts.append(text)
        if text.endswith("\n"):
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Show what was taken."""
        text = "".join(self._parts)
        self._parts.clear()
        if text:
            self._screen.say(text)

    def fileno(self) -> int:
        """Return the terminal's descriptor."""
        return self._screen.stream.fileno()

    def isatty(self) -> bool:
        """Tell that this is a terminal."""
        return True


def live_possible(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal that lines can be drawn on again."""
    try:
        return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    except ValueError:
        return False
