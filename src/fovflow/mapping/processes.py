"""Worker processes, each with one FOV at a time; one that dies costs that FOV only.

Each process has a pipe of its own. In pools whose processes share a pipe, one that is killed while
it sends a value, or while the parent takes in that of another, leaves the others waiting forever.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from time import monotonic
from typing import Any

from fovflow.errors import ConfigError, FovflowError
from fovflow.mapping.outcomes import Outcome, attempt
from fovflow.mapping.selection import Call, Task, function_name
from fovflow.results import FovResult

_READY = b"ready"
"""What a worker says when it has loaded the function."""

_STARTS = 3
"""How often in a row a worker is started that ends before it is ready."""

_GRACE_S = 2.0
"""How long a stopped worker may take to end before it is killed."""

_INSTEAD = 'or use parallelism="thread"'


class Processes:
    """As many worker processes as `count` that share a function.

    `shared`: arguments that all FOVs share. Raises ConfigError if the function or an argument
    cannot be pickled.
    """

    def __init__(
        self,
        callback: Callable[..., Any],
        tasks: Sequence[Task],
        shared: Mapping[str, Any],
        count: int,
    ):
        self.work = _packed_work(callback, tasks, shared)
        self.lock = threading.Lock()
        """Held while a process is started, signalled or waited for."""
        self.any_ready = False
        self.stopped = False
        self.workers = [Worker(self) for _ in range(count)]

    def stop(self, join: Callable[[float], object]) -> None:
        """End the processes: idle ones by themselves, others at once; `join` waits for threads."""
        self.stopped = True
        for number in (signal.SIGTERM, signal.SIGKILL):
            for worker in self.workers:
                worker.signal(number)
            join(_GRACE_S)


class Worker:
    """Calls the function in a fresh process (spawn), which is replaced when it dies.

    It belongs to one thread, which enters and calls it; others may only `signal` its process.
    """

    def __init__(self, processes: Processes):
        self._all = processes
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._ready = self._busy = False

    def __enter__(self) -> Call:
        return self._call

    def __exit__(self, *exc: object) -> None:
        self._end()

    def _call(self, fov: FovResult, own: dict[str, Any]) -> Outcome:
        """Return what came of an FOV."""
        self._busy = True  # before looking, as `Processes.stop` says first that it stops
        if self._all.stopped:
            return _failed(FovflowError("stopped before it began"))
        if not self._ready and not any(self._start() for _ in range(_STARTS)):
            error = FovflowError(
                "worker processes end before they are ready",
                remedy='in a script, call map_fovs below `if __name__ == "__main__":`, since each '
                "worker imports the script; what they print may tell more",
            )
            if not self._all.any_ready:
                raise error
            return _failed(error)
        begin = monotonic()
        message = self._ask(pickle.dumps((fov, own), pickle.HIGHEST_PROTOCOL))
        self._busy = False
        if message is None:
            return _failed(_death(self._end(died=True)), monotonic() - begin)
        return _unpacked(message)

    def signal(self, number: int) -> None:
        """Send a signal to the process that is at work, and to those that it has started."""
        if self._busy:
            self._send_signal(number)

    def _send_signal(self, number: int) -> None:
        with self._all.lock, suppress(OSError):
            if self._process is not None and self._process.pid is not None:
                (os.killpg if self._ready else os.kill)(self._process.pid, number)

    def _end(self, *, died: bool = False) -> int | None:
        """End an idle process, or what is left of one that died; return its exit status."""
        if self._process is None or self._connection is None:
            return None
        self._connection.close()
        if not wait([self._process.sentinel], _GRACE_S) or died:
            self._send_signal(signal.SIGKILL)  # also what its callback has started
        wait([self._process.sentinel])
        with self._all.lock:
            self._process.join()
            status = self._process.exitcode
            self._process, self._ready = None, False
        return status

    def _start(self) -> bool:
        """Start a process and tell whether it has loaded the function."""
        context = get_context("spawn")
        with self._all.lock:
            if self._all.stopped:
                return False
            self._connection, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs,), name="map_fovs")
            self._process.start()
        theirs.close()
        message = self._ask(self._all.work)
        if message is None:
            self._end(died=True)
            return False
        if message != _READY:
            raise ConfigError(
                "callback: worker processes cannot load it",
                found=message.decode(errors="replace"),
                remedy="define it with def at the top level of a module that can be imported",
            )
        self._ready = self._all.any_ready = True
        return True

    def _ask(self, question: bytes) -> bytes | None:
        """Send something and return the answer; None where the process has ended instead."""
        assert self._connection is not None
        assert self._process is not None
        with suppress(OSError, EOFError):
            self._connection.send_bytes(question)
            wait([self._connection, self._process.sentinel])
            if self._connection.poll():
                return self._connection.recv_bytes()
        return None


def _serve(connection: Connection) -> None:
    """Load the function, then work on one FOV after another until the connection is closed."""
    os.setsid()  # a group of its own: Ctrl-C is the parent's affair, which stops the whole group
    try:
        callback, shared = pickle.loads(connection.recv_bytes())
    except EOFError:
        return
    except BaseException as error:
        connection.send_bytes(f"{type(error).__name__}: {error}".encode())
        return
    try:
        connection.send_bytes(_READY)
        while True:
            fov, own = pickle.loads(connection.recv_bytes())
            outcome = attempt(callback, fov, {**own, **shared})
            connection.send_bytes(_packed(outcome))
            del outcome, fov, own
    except (EOFError, OSError):  # the parent has closed the connection, or is gone
        return


def _packed(outcome: Outcome) -> bytes:
    """Return an outcome as bytes that the parent can read, whatever it holds."""
    try:
        data = pickle.dumps(outcome, pickle.HIGHEST_PROTOCOL)
        if outcome.error is not None:
            pickle.loads(data)  # some errors can be written but not read
    except Exception as error:
        if outcome.ok:
            what = (
                f"the function returned a {type(outcome.value).__name__}, which cannot be pickled"
            )
            instead = FovflowError(what, found=str(error), remedy=f"return plain data, {_INSTEAD}")
        else:
            instead = FovflowError(f"{type(outcome.error).__name__}: {outcome.error}")
        text = outcome.traceback or f"{type(error).__name__}: {error}"
        return pickle.dumps(Outcome(False, None, instead, text, outcome.seconds))
    return data


def _unpacked(data: bytes) -> Outcome:
    """Return the outcome that a worker sent."""
    try:
        outcome = pickle.loads(data)
    except Exception as error:
        what = "what the function returned cannot be read back"
        return _failed(FovflowError(what, found=f"{type(error).__name__}: {error}"))
    assert isinstance(outcome, Outcome)
    return outcome


def _packed_work(
    callback: Callable[..., Any], tasks: Sequence[Task], shared: Mapping[str, Any]
) -> bytes:
    """Return the function and its shared arguments as bytes; check that all tasks can travel."""
    inner = callback
    while isinstance(inner, partial):
        inner = inner.func
    name = function_name(inner)
    main = sys.modules.get("__main__")
    if getattr(inner, "__module__", "") == "__main__" and not getattr(main, "__file__", None):
        raise ConfigError(
            f"callback: {name} was defined in a notebook or at the prompt, where worker processes "
            "cannot find it",
            remedy=f"put it into a .py file and import it, {_INSTEAD}",
        )
    at_top = "define it with def at the top level of a module"
    _check("callback", f"{name} cannot be pickled for worker processes", callback, at_top)
    for key, value in shared.items():
        _check(key, "this argument cannot be pickled for worker processes", value)
    for fov, own in tasks:
        for key, value in own.items():
            what = f"{key} of {fov.name} cannot be pickled for worker processes"
            _check("fov_args", what, value)
    return pickle.dumps((callback, dict(shared)), pickle.HIGHEST_PROTOCOL)


def _check(
    key: str,
    what: str,
    value: Any,
    remedy: str = "give plain data, such as a path, and open it in the function",
) -> None:
    try:
        pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise ConfigError(
            f"{key}: {what}", found=" ".join(str(error).split()), remedy=f"{remedy}, {_INSTEAD}"
        ) from error


def _death(status: int | None) -> FovflowError:
    if status is not None and status < 0:
        with suppress(ValueError):
            return FovflowError(
                "the worker process was killed",
                found=f"signal {signal.Signals(-status).name}",
                remedy="if memory ran out, use fewer workers",
            )
    return FovflowError("the worker process ended", found=f"exit status {status}")


def _failed(error: FovflowError, seconds: float = 0.0) -> Outcome:
    return Outcome(False, None, error, f"{type(error).__name__}: {error}", seconds)
