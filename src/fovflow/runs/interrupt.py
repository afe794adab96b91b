"""Ask a process to end cleanly."""

from __future__ import annotations

import os
import signal
from contextlib import suppress


def stop_process(pid: int) -> None:
    """Ask a process to end: this one as Ctrl-C would, another one, with its children, to terminate.

    Where this process ignores Ctrl-C, as in the background of some shells, it is terminated.
    """
    if pid == os.getpid():
        ignored = signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, signal.SIG_DFL, None)
        os.kill(pid, signal.SIGTERM if ignored else signal.SIGINT)
        return
    import psutil

    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.Error):
                process.terminate()
