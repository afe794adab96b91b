"""What people are told of a run while it is recorded: live on a screen, else line by line."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from fovflow.runs.display import render, summary
from fovflow.runs.jobview import JobView
from fovflow.runs.screen import Screen
from fovflow.runs.store import RunFolder
from fovflow.runs.view import RunView

PLAIN_EVERY_S = 30.0
"""Seconds between two lines of progress where there is no terminal."""


class Announcer:
    """Tells people of one run.

    Parameters
    ----------
    say : callable
        Tells a line to people where there is no screen.
    screen : Screen, optional
        Terminal on which the run is shown live.
    progress_lines : bool
        Whether lines of progress are told where there is no screen.
    tell_failures : {"none", "silent", "all"}
        Of which failed jobs people are told: of those that have not told themselves, or of all,
        where the jobs run elsewhere.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        screen: Screen | None = None,
        progress_lines: bool = True,
        tell_failures: str = "none",
    ):
        self._screen, self._say, self._progress_lines = screen, say, progress_lines
        self._tell_failures = tell_failures
        self._told: float | None = None

    @property
    def live(self) -> bool:
        """Whether the run is shown on a screen."""
        return self._screen is not None

    def show(self, view: RunView) -> None:
        """Draw the run, or tell its progress in a line where the last one is long ago."""
        if self._screen is not None:
            columns, rows = self._screen.size
            self._screen.draw(render(view, columns, rows=rows, plain=self._screen.plain))
            return
        at = time.monotonic()
        if self._told is None:
            self._told = at
        elif self._progress_lines and at - self._told >= PLAIN_EVERY_S:
            self._say(summary(view))
            self._told = at

    def failed(self, job: JobView, told: bool) -> None:
        """Tell of a job that failed; `told` says whether it has told so itself."""
        if self._tell_failures == "all" or (self._tell_failures == "silent" and not told):
            log = f"\n  log: {job.log}" if job.log else ""
            self._say(f"\n{job.where}: {job.rule} failed: {job.error}{log}\n")

    def warn(self, text: str) -> None:
        """Tell something that needs people's eyes."""
        self._say(f"fovflow: {text}")

    def close(self) -> None:
        """Take the live lines off the screen."""
        if self._screen is not None:
            self._screen.close()

    def end(self, view: RunView, run: RunFolder | None) -> None:
        """Tell how the run ended, and where its records are."""
        if not self._progress_lines:
            return
        text = summary(view)
        if run is not None:
            folder = os.path.relpath(run.path)
            text += f"\n  records: {folder if len(folder) < len(str(run.path)) else run.path}"
        self._say(text)

    def unrecorded(self, error: BaseException) -> None:
        """Tell that nothing is recorded from now on; the channel of lines may be what broke."""
        text = f"fovflow: the run is not recorded further, and goes on: {_sentence(error)}"
        (self._screen.say if self._screen is not None else _complain)(text)


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}"


def _complain(text: str) -> None:
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)
