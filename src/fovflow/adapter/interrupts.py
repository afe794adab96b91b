"""Ctrl-C, SIGTERM and a closed terminal: who hears them while the engine works."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType, TracebackType
from typing import Any

REASONS = {
    signal.SIGINT: "stopped by the user (Ctrl-C)",
    signal.SIGTERM: "stopped by SIGTERM",
    signal.SIGHUP: "stopped: the terminal was closed",
}


class Interruptions:
    """Signal handlers in front of the engine's own; to be installed in the main thread.

    The engine's handler of SIGTERM takes a lock that the main thread may hold at that moment, so
    that it is called in a thread of its own. A closed terminal ends the engine like Ctrl-C.

    `note`: gets the reason in words.
    """

    def __init__(self, note: Callable[[str], None]):
        self._note = note
        self._previous: dict[int, Any] = {}

    def install(self) -> None:
        """Put the handlers in place, where signals are not ignored."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in REASONS:
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
        self._note(REASONS[signal.Signals(number)])
        previous = self._previous.get(number, signal.SIG_DFL)
        if number == signal.SIGTERM and callable(previous):
            threading.Thread(target=previous, args=(number, frame), daemon=True).start()
        elif callable(previous):
            previous(number, frame)
        else:
            raise KeyboardInterrupt


CALLER = "FOVFLOW_CALLER"
"""Environment variable with the descriptor of a pipe that ends with the process that began a run.
"""


def _end_with_caller() -> None:
    """End this run, as Ctrl-C does, where the caller of `fovflow.run` is killed."""
    named = os.environ.pop(CALLER, None)
    if named is None:
        return

    def watch() -> None:
        os.read(int(named), 1)  # nothing is ever written: it returns at the end of the caller
        REASONS[signal.SIGINT] = "stopped: the process that called fovflow.run is gone"
        os.killpg(0, signal.SIGINT)

    threading.Thread(target=watch, name="fovflow-caller", daemon=True).start()


def expect_interrupts() -> None:
    """Let Ctrl-C end the planning with one sentence in place of a traceback, from now on.

    Raises KeyboardInterrupt at once, where Ctrl-C was blocked before; see `interrupts_blocked`.
    """
    _end_with_caller()
    shown = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            print(f"{REASONS[signal.SIGINT]} before the first job", file=sys.stderr, flush=True)
        else:
            shown(kind, error, trace)

    sys.excepthook = show
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def _changed_mask(change: int) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(change, {signal.SIGINT})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


interrupts_blocked = partial(_changed_mask, signal.SIG_BLOCK)
"""Blocks Ctrl-C in the body for this thread, and for processes that it starts there."""

interrupts_unblocked = partial(_changed_mask, signal.SIG_UNBLOCK)
"""Lets Ctrl-C through in the body; KeyboardInterrupt at once, if it was blocked and came before."""
