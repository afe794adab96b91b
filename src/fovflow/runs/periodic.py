"""A thread that does small things now and then while a run goes on."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress


class Periodic:
    """Call functions at intervals, in one daemon thread, until stopped.

    A function that fails is not called again; why is said once on the error stream.
    """

    def __init__(self, name: str):
        self._tasks: list[tuple[float, Callable[[], object], float]] = []
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._changed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def add(self, interval_s: float, function: Callable[[], object]) -> None:
        """Call `function` every `interval_s` seconds from now on."""
        with self._lock:
            self._tasks.append((interval_s, function, time.monotonic() + interval_s))
        self._changed.set()
        if not self._thread.is_alive() and not self._end.is_set():
            self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End the thread after what it is doing; safe to call twice and from within it."""
        self._end.set()
        self._changed.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._end.is_set():
            with self._lock:
                soonest = min((due for _, _, due in self._tasks), default=time.monotonic() + 60)
            self._changed.wait(max(soonest - time.monotonic(), 0))
            self._changed.clear()
            if not self._end.is_set():
                self._do_what_is_due()

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        with self._lock:
            due = [task for task in self._tasks if task[2] <= now]
            self._tasks = [task for task in self._tasks if task[2] > now]
        for interval, function, _ in due:
            try:
                function()
            except Exception as error:  # what goes on beside the work must not disturb it
                with suppress(OSError, ValueError):
                    print(f"fovflow: the run is watched no further: {error}", file=sys.stderr)
                continue
            with self._lock:
                self._tasks.append((interval, function, time.monotonic() + interval))
