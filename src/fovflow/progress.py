"""How far work is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Self

from fovflow.errors import complain
from fovflow.terminal import printable, unguarded

LINE_EVERY_S = 30.0
"""Seconds between two lines where there is no terminal; quick work is silent."""

_DRAW_EVERY_S = 0.1


class Progress:
    """Counts what is done and what failed; use it as a context manager.

    `total`: how much there is to do; `advance` may tell it later. `what`: what is done, before the
    numbers. `unit`: what is counted; bytes (``"B"``) are shown in MB. `leave`: whether the bar
    stays when it is done.
    """

    def __init__(
        self,
        total: int,
        what: str,
        *,
        shown: bool = True,
        unit: str = "FOV",
        leave: bool = True,
    ):
        self.total = total
        self.what = printable(what, one_line=True)
        self.unit = unit
        self.done = 0
        self.failed = 0
        self._shown = shown
        self._leave = leave
        self._bar: Any = None
        self._task: Any = None
        self._start = self._last = monotonic()

    def __enter__(self) -> Self:
        if self._shown and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            text = "{task.description}: {task.percentage:.0f}%"
            self._bar = Bar(
                TextColumn(text, markup=False),
                BarColumn(24),
                TextColumn("{task.fields[numbers]}", markup=False),
                TimeRemainingColumn(compact=True),
                console=Console(file=unguarded(sys.stderr)),
                auto_refresh=False,
                transient=not self._leave,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._bar.add_task(self.what, total=self.total or None, numbers="")
            self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._draw()
            self._bar.live.transient = not self._leave
            self._bar.stop()

    def count(self, *, ok: bool = True) -> None:
        """Count one more."""
        self.failed += not ok
        self.advance(1)

    def advance(self, step: int, total: int | None = None) -> None:
        """Count some more, of a total that is known by now."""
        self.done += step
        self.total = self.total if total is None else total
        now = monotonic()
        if self._bar is not None and now - self._last >= _DRAW_EVERY_S:
            self._last = now
            self._draw()
        elif self._bar is None and self._shown and now - self._last >= LINE_EVERY_S:
            self._last = now
            failed = f", {self.failed} failed" if self.failed else ""
            complain(f"{self.what}: {self._amount(' of ', 's')}{failed}, {self._rate()}")

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bar away while something else is written."""
        if self._bar is not None:
            self._bar.live.transient = True
            self._bar.stop()
        yield
        if self._bar is not None:
            self._bar.start()

    def _draw(self) -> None:
        failed = f", failed={self.failed}" if self.failed else ""
        numbers = f"{self._amount('/')}, {self._rate()}{failed}"
        self._bar.update(self._task, completed=self.done, total=self.total or None, numbers=numbers)
        self._bar.refresh()

    def _amount(self, between: str, ending: str = "") -> str:
        if self.unit == "B":
            return f"{self.done / 1e6:.0f}{between}{self.total / 1e6:.0f} MB"
        return f"{self.done}{between}{self.total} {self.unit}{ending}"

    def _rate(self) -> str:
        rate = self.done / max(monotonic() - self._start, 1e-9)
        return f"{rate / 1e6:.3g} MB/s" if self.unit == "B" else f"{rate:.3g} {self.unit}/s"
