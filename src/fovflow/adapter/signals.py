"""Notice that somebody asks the engine to stop, without getting in its way.

Ctrl-C goes to Snakemake and to all its jobs at once. A job that is still importing has no words
for it but a traceback: jobs are started with the signal held back, and hear it when they are ready.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

OF_JOBS = "fovflow.adapter.job"
"""What scripts import that are jobs of this package; others are left to themselves."""

_HOLDS = "_fovflow_holds"

NAMES = {
    signal.SIGINT: "stopped by the user (Ctrl-C)",
    signal.SIGTERM: "stopped by SIGTERM",
    signal.SIGHUP: "stopped: the terminal was closed",
}


class Interruptions:
    """Signal handlers in front of the engine's own; to be installed in the main thread.

    The engine's handler of SIGTERM takes a lock that the main thread may hold at that moment, so
    that it is called in a thread of its own. A closed terminal ends the engine like Ctrl-C.

    Parameters
    ----------
    note : callable
        Gets the reason in words.
    """

    def __init__(self, note: Callable[[str], None]):
        self._note = note
        self._previous: dict[int, Any] = {}

    def install(self) -> None:
        """Put the handlers in place, where signals are not ignored."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in NAMES:
            previous = signal.getsignal(number)
            if previous not in (signal.SIG_IGN, None):
                self._previous[number] = previous
                signal.signal(number, self._handle)

    def remove(self) -> None:
        """Put the previous handlers back."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, previous)
        self._previous.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._note(NAMES[signal.Signals(number)])
        previous = self._previous.get(number, signal.SIG_DFL)
        if number == signal.SIGTERM and callable(previous):
            threading.Thread(target=previous, args=(number, frame), daemon=True).start()
        elif callable(previous):
            previous(number, frame)
        else:
            raise KeyboardInterrupt


def meet_interrupts() -> None:
    """Say in one sentence that planning was stopped; hear Ctrl-C from now on (see `held`).

    Raises
    ------
    KeyboardInterrupt
        At once, where Ctrl-C was held back before.
    """
    shown = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            print(f"{NAMES[signal.SIGINT]} before the first job", file=sys.stderr, flush=True)
        else:
            shown(kind, error, trace)

    sys.excepthook = show
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def hold_interrupts() -> None:
    """Let the engine start this package's scripts with Ctrl-C held back; see `heard`."""
    from snakemake.script import PythonScript

    execute = PythonScript._execute_cmd
    if getattr(execute, _HOLDS, False):
        return

    def execute_held(script: Any, *words: Any, **keys: Any) -> Any:
        if OF_JOBS not in str(script.source):
            return execute(script, *words, **keys)
        with held():
            return execute(script, *words, **keys)

    setattr(execute_held, _HOLDS, True)
    PythonScript._execute_cmd = execute_held


@contextmanager
def held() -> Iterator[None]:
    """Hold Ctrl-C back from this thread in the body, and from processes that it starts there."""
    with _mask(signal.SIG_BLOCK):
        yield


@contextmanager
def heard() -> Iterator[None]:
    """Hear Ctrl-C in the body, also one that was held back until now.

    Raises
    ------
    KeyboardInterrupt
        At once, if there was one.
    """
    with _mask(signal.SIG_UNBLOCK):
        yield


@contextmanager
def _mask(change: int) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(change, {signal.SIGINT})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
