"""Notice that somebody asks the engine to stop, without getting in its way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

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
