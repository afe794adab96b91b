"""How far a map is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Self

LINE_EVERY_S = 30.0
"""Seconds between two lines where there is no terminal; quick work is silent."""


class Progress:
    """Counts what is done and what failed; use it as a context manager.

    Parameters
    ----------
    total : int
    what : str
        What is done, before the numbers.
    shown : bool
    unit : str
        What is counted.
    """

    def __init__(self, total: int, what: str, *, shown: bool = True, unit: str = "FOV"):
        self.total = total
        self.what = what
        self.unit = unit
        self.done = 0
        self.failed = 0
        self._shown = shown
        self._bar: Any = None
        self._start = self._last = monotonic()

    def __enter__(self) -> Self:
        if self._shown and sys.stderr.isatty():
            from tqdm import tqdm

            known = os.get_terminal_size(sys.stderr.fileno()).columns > 0
            size = {} if known else {"ncols": 80, "nrows": 24}
            self._bar = tqdm(total=self.total, desc=self.what, unit=self.unit, **size)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def count(self, *, ok: bool) -> None:
        """Count one more."""
        self.done += 1
        self.failed += not ok
        if self._bar is not None:
            if not ok:
                self._bar.set_postfix(failed=self.failed, refresh=False)
            self._bar.update()
        elif self._shown and monotonic() - self._last >= LINE_EVERY_S:
            self._last = monotonic()
            rate = self.done / (self._last - self._start)
            failed = f", {self.failed} failed" if self.failed else ""
            print(
                f"{self.what}: {self.done} of {self.total} {self.unit}s{failed}, "
                f"{rate:.3g} {self.unit}/s",
                file=sys.stderr,
                flush=True,
            )

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bar away while something else is written."""
        if self._bar is not None:
            self._bar.clear()
        yield
        if self._bar is not None:
            self._bar.refresh()
