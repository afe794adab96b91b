"""Threads that take FOVs one by one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import SimpleQueue
from typing import Any

from fovflow.mapping.outcomes import Outcome, attempt
from fovflow.results import FovResult

Task = tuple[FovResult, dict[str, Any]]
"""An FOV and the arguments of its own."""


class ThreadPool:
    """Threads of this process; iterate to get (index of the task, outcome) as they come.

    A thread takes the next task when it has done its last one: nothing queues up. The threads are
    daemons, so that a stopped program need not wait for callbacks that cannot be interrupted.

    Parameters
    ----------
    callback : callable
        ``callback(fov, **own, **shared)``.
    tasks : sequence of Task
    shared : mapping
        Arguments that all FOVs share.
    workers : int
        Number of threads.
    """

    def __init__(
        self,
        callback: Callable[..., Any],
        tasks: Sequence[Task],
        shared: Mapping[str, Any],
        workers: int,
    ):
        self._callback = callback
        self._shared = dict(shared)
        self._total = len(tasks)
        self._waiting = iter(enumerate(tasks))
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._done: SimpleQueue[tuple[int, Outcome]] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"map_fovs-{i}", daemon=True)
            for i in range(min(workers, self._total))
        ]

    def __iter__(self) -> Iterator[tuple[int, Outcome]]:
        for thread in self._threads:
            thread.start()
        for _ in range(self._total):
            yield self._done.get()

    def stop(self, *, wait: bool = False) -> None:
        """Begin no further FOV; with `wait`, return when those at work are done."""
        self._stopped.set()
        for thread in self._threads if wait else ():
            thread.join()

    def _work(self) -> None:
        while not self._stopped.is_set():
            with self._lock:
                following = next(self._waiting, None)
            if following is None:
                return
            index, (fov, own) = following
            self._done.put((index, attempt(self._callback, fov, {**own, **self._shared})))
