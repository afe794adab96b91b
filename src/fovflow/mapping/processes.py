"""Worker processes, each with one FOV at a time; one that dies costs that FOV only."""

from __future__ import annotations

import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from time import monotonic
from typing import Any

from fovflow.errors import ConfigError, FovflowError
from fovflow.mapping.outcomes import Outcome
from fovflow.mapping.threads import Task
from fovflow.mapping.worker import READY, packed_work, serve, unpacked

_GRACE_S = 2.0
"""How long a stopped worker may take to end before it is killed."""

_STILLBORN = 3
"""So many workers in a row that end before they are ready: no more are started."""


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    connection: Connection
    ready: bool = False
    task: int | None = None
    since: float = 0.0

    def signal_group(self, number: int) -> None:
        """Send a signal to the worker and to processes that its callback has started."""
        with suppress(OSError):
            if self.ready and self.process.pid is not None:
                os.killpg(self.process.pid, number)
            else:
                self.process.terminate()


class ProcessPool:
    """Fresh processes (spawn); iterate to get (index of the task, outcome) as they come.

    Each worker is sent one task when it has done its last one: nothing queues up.

    Parameters
    ----------
    callback, tasks, shared, workers
        As for `fovflow.mapping.threads.ThreadPool`.

    Raises
    ------
    ConfigError
        If the callback or an argument cannot be pickled.
    """

    def __init__(
        self,
        callback: Callable[..., Any],
        tasks: Sequence[Task],
        shared: Mapping[str, Any],
        workers: int,
    ):
        self._work = packed_work(callback, tasks, shared)
        self._tasks = tasks
        self._waiting = deque(range(len(tasks)))
        self._count = min(workers, len(tasks))
        self._workers: list[_Worker] = []
        self._any_ready = False
        self._stillborn = 0

    def __iter__(self) -> Iterator[tuple[int, Outcome]]:
        for _ in range(self._count):
            self._start()
        while self._waiting or any(worker.task is not None for worker in self._workers):
            if not self._workers:  # none can be started any more
                yield self._waiting.popleft(), _failed(_cannot_start())
                continue
            for worker in self._signalled():
                yield from self._hear(worker)

    def stop(self, *, wait: bool = False) -> None:
        """End all workers: the idle ones by themselves, the others at once."""
        del wait  # nothing can be waited for that would not be ended
        for worker in self._workers:
            worker.connection.close()
            if worker.task is not None or not worker.ready:
                worker.signal_group(signal.SIGTERM)
        until = monotonic() + _GRACE_S
        for worker in self._workers:
            worker.process.join(max(0.0, until - monotonic()))
            if worker.process.is_alive():
                worker.signal_group(signal.SIGKILL)
                worker.process.kill()
                worker.process.join()
        self._workers = []

    def _start(self) -> None:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs,), name="map_fovs")
        worker = _Worker(process, ours)
        process.start()
        self._workers.append(worker)
        theirs.close()
        with suppress(OSError):  # it ended already: heard of below
            ours.send_bytes(self._work)

    def _signalled(self) -> list[_Worker]:
        """Wait until workers have something to say, or have ended; return these."""
        channels: dict[Any, _Worker] = {}
        for worker in self._workers:
            channels[worker.connection] = worker
            channels[worker.process.sentinel] = worker
        found = {id(channels[item]): channels[item] for item in wait(list(channels))}
        return list(found.values())

    def _hear(self, worker: _Worker) -> Iterator[tuple[int, Outcome]]:
        try:
            message = worker.connection.recv_bytes() if worker.connection.poll() else None
        except (EOFError, OSError):
            message = None
        if message is None:
            yield from self._bury(worker)
        elif not worker.ready:
            if message != READY:
                raise ConfigError(
                    "callback: worker processes cannot load it",
                    found=message.decode(errors="replace"),
                    remedy="define it with def at the top level of a module that can be imported",
                )
            worker.ready = self._any_ready = True
            self._stillborn = 0
            self._give(worker)
        elif worker.task is not None:
            index, worker.task = worker.task, None
            self._give(worker)
            yield index, unpacked(message)

    def _give(self, worker: _Worker) -> None:
        """Send the next task, if there is one."""
        if not self._waiting:
            return
        worker.task = self._waiting.popleft()
        worker.since = monotonic()
        with suppress(OSError):  # it ended meanwhile: heard of next
            worker.connection.send_bytes(
                pickle.dumps(self._tasks[worker.task], pickle.HIGHEST_PROTOCOL)
            )

    def _bury(self, worker: _Worker) -> Iterator[tuple[int, Outcome]]:
        """Tell that a worker has died with its task, and start another one if there is work."""
        self._workers.remove(worker)
        worker.connection.close()
        wait([worker.process.sentinel], _GRACE_S)
        worker.signal_group(signal.SIGKILL)  # what its callback has started
        worker.process.join()
        if not worker.ready:
            self._stillborn += 1
            if self._stillborn >= _STILLBORN and not self._any_ready:
                raise _cannot_start()
        if self._waiting and self._stillborn < _STILLBORN:
            self._start()
        if worker.task is not None:
            yield worker.task, _failed(_death(worker.process.exitcode), monotonic() - worker.since)


def _death(status: int | None) -> FovflowError:
    if status is not None and status < 0:
        with suppress(ValueError):
            return FovflowError(
                "the worker process was killed",
                found=f"signal {signal.Signals(-status).name}",
                remedy="if memory ran out, use fewer workers",
            )
    return FovflowError("the worker process ended", found=f"exit status {status}")


def _cannot_start() -> FovflowError:
    return FovflowError(
        "worker processes end before they are ready",
        remedy='in a script, call map_fovs below `if __name__ == "__main__":`, since each worker '
        "imports the script; what they print may tell more",
    )


def _failed(error: FovflowError, seconds: float = 0.0) -> Outcome:
    return Outcome(False, None, error, f"{type(error).__name__}: {error}", seconds)
