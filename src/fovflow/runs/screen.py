"""A run on the terminal: live lines at the bottom of the screen, or a plain line now and then."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from typing import TextIO

from fovflow.errors import complain
from fovflow.jobrecord import JobRecord
from fovflow.runs.state import RunState
from fovflow.runs.store import RunFolder
from fovflow.terminal import printable, unguarded

_CLEAR = "\r\x1b[J"


class Screen:
    """A terminal, `stream`, with live lines at its end."""

    def __init__(self, stream: TextIO):
        self.stream = unguarded(stream)
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
                self._lines = [printable(line, one_line=True) for line in lines]
                self._write(_CLEAR + self._drawn())

    def say(self, text: str, *, colours: bool = False) -> None:
        """Write text above the lines; with `colours`, those that are set in it."""
        with self._lock:
            whole = printable(text if text.endswith("\n") else f"{text}\n", colours=colours)
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
            self._screen.say(text, colours=True)

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


MOST_JOBS = 12
"""Jobs at work that are shown with a line of their own, at most."""


def render(
    state: RunState,
    width: int = 80,
    *,
    rows: int = 24,
    now: float | None = None,
    plain: bool = False,
) -> list[str]:
    """Return a run as lines that fit on a screen of `width` columns and `rows` rows.

    `now` is in seconds since the epoch; `plain` uses ASCII only.
    """
    now = time.time() if now is None else now
    share = state.count("completed") / state.total if state.total else 0.0
    whole = bar(share, max(8, min(30, width // 4)), plain)
    lines = [f"{state.record.get('name', 'run')} {whole} {_counts(state, now)}"]
    running = state.running
    shown = running[: max(1, min(MOST_JOBS, rows - 4))]
    name_width = max((len(_name(job)) for job in shown), default=0)
    small = max(6, min(16, width // 8))
    for job in shown:
        done = bar(job.t / job.total, small, plain) if job.total else " " * small
        attempt = f", attempt {job.attempt}" if job.attempt > 1 else ""
        text = f"{done}{_frames(job)} {clock(job.seconds(now))}{attempt}"
        lines.append(f"  {_name(job):<{name_width}} {text}")
    if len(running) > len(shown):
        lines.append(f"  and {len(running) - len(shown)} more at work")
    return [printable(line, one_line=True)[: width - 1] for line in lines]


def summary(state: RunState, now: float | None = None) -> str:
    """Return a run on one line, for places that are no terminal."""
    now = time.time() if now is None else now
    text = f"{state.record.get('name', 'run')}: {_counts(state, now)}"
    jobs = [f"{_name(job)}{_frames(job)}" for job in state.running[:4]]
    return f"{text}; now: {'; '.join(jobs)}" if jobs else text


def clock(seconds: float) -> str:
    """Return a duration as people read it.

    Examples
    --------
    >>> clock(7), clock(83), clock(7384)
    ('7 s', '1:23', '2:03:04')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def bar(share: float, width: int, plain: bool = False) -> str:
    """Return a bar that is filled up to `share` (0 to 1).

    Examples
    --------
    >>> bar(0.5, 8, plain=True)
    '####----'
    """
    full = int(min(1.0, max(0.0, share)) * width)
    done, to_do = "#-" if plain else "█░"
    return done * full + to_do * (width - full)


def _counts(state: RunState, now: float) -> str:
    done, total = state.count("completed"), state.total
    status = str(state.record.get("status", "running"))
    at_work = status in ("created", "running")
    parts = [f"{done}/{total} jobs", clock(state.elapsed(now))]
    left = state.remaining(now)
    if not at_work:
        parts.append(status)
    elif left is not None and done < total:
        parts.append(f"about {clock(left)} left")
    starting = 0 if state.running or not at_work else state.count("submitted")
    numbers = {
        "starting": starting,
        "stopped": state.count("terminated"),
        "FAILED": state.count("failed"),
        "alert" if len(state.alerts) == 1 else "alerts": len(state.alerts),
    }
    return ", ".join([*parts, *(f"{number} {what}" for what, number in numbers.items() if number)])


def _name(job: JobRecord) -> str:
    return f"{job.rule} {job.where}".strip()


def _frames(job: JobRecord) -> str:
    message = f" ({job.message})" if job.message else ""
    return f" frame {job.t} of {job.total}{message}" if job.total else ""


PLAIN_EVERY_S = 30.0
"""Seconds between two lines of progress where there is no terminal."""


class Announcer:
    """Tells people of one run.

    `say`: tells a line to people where there is no screen. `screen`: terminal on which the run is
    shown live. `progress_lines`: whether lines of progress are told where there is no screen.
    `failures` {"none", "unrecorded", "all"}: of which failed jobs people are told: of those that
    have not recorded so themselves, or of all, where the jobs run elsewhere.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        screen: Screen | None = None,
        progress_lines: bool = True,
        failures: str = "none",
    ):
        self._screen, self._say, self._progress_lines = screen, say, progress_lines
        self._failures = failures
        self._last_line: float | None = None

    @property
    def live(self) -> bool:
        """Whether the run is shown on a screen."""
        return self._screen is not None

    def show(self, state: RunState) -> None:
        """Draw the run, or tell its progress in a line where the last one is long ago."""
        if self._screen is not None:
            columns, rows = self._screen.size
            self._screen.draw(render(state, columns, rows=rows, plain=self._screen.plain))
            return
        at = time.monotonic()
        if self._last_line is None:
            self._last_line = at
        elif self._progress_lines and at - self._last_line >= PLAIN_EVERY_S:
            self._say(summary(state))
            self._last_line = at

    def failed(self, job: JobRecord, recorded: bool) -> None:
        """Tell of a job that failed; `recorded` says whether it has recorded so itself."""
        if self._failures == "all" or (self._failures == "unrecorded" and not recorded):
            log = f"\n  log: {job.log}" if job.log else ""
            self._say(f"\n{job.where}: {job.rule} failed: {job.error}{log}\n")

    def warn(self, text: str) -> None:
        """Tell something that needs people's eyes."""
        self._say(f"fovflow: {text}")

    def close(self) -> None:
        """Take the live lines off the screen."""
        if self._screen is not None:
            self._screen.close()

    def end(self, state: RunState, run: RunFolder | None) -> None:
        """Tell how the run ended, and where its records are."""
        if not self._progress_lines:
            return
        text = summary(state)
        if run is not None:
            folder = os.path.relpath(run.path)
            text += f"\n  records: {folder if len(folder) < len(str(run.path)) else run.path}"
        self._say(text)

    def unrecorded(self, error: BaseException) -> None:
        """Tell that nothing is recorded from now on; the channel of lines may be what broke."""
        why = f"{type(error).__name__}: {error}"
        if isinstance(error, OSError) and error.strerror:
            why = error.strerror + (f" ({error.filename})" if error.filename else "")
        say = complain if self._screen is None else self._screen.say
        say(f"fovflow: the run is not recorded further, and goes on: {why}")
