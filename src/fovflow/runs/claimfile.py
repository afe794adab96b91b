"""A run's claim on its output folder where the file system knows no locks.

The file ``runs/.claim`` is made by whoever comes first, and taken away at the end. One that a
killed run left behind counts for nothing: its process is gone, or, where it was on another machine,
it is older than a run goes without a heartbeat.
"""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from fovflow.runs.store import LOST_AFTER_S

CLAIM = ".claim"
"""File in ``runs/`` of the run at work; it says which process that is."""

CLOCKS_S = 10.0
"""How far the clock of a file server may be off, in seconds."""


def make_claim(path: Path, about: dict[str, Any]) -> bool:
    """Make the file; False where it is that of another run that may be at work.

    Parameters
    ----------
    path : Path
    about : dict
        Of this process: ``host`` and ``pid``, and what else is to be told.

    Raises
    ------
    OSError
        If the file can be neither made nor taken away.
    """
    for _ in range(2):
        try:
            with path.open("x", encoding="utf-8") as file:
                json.dump(about, file)
        except FileExistsError:
            if _holds(path):
                return False
            path.unlink(missing_ok=True)
        else:
            return read_claim(path) == about  # another one may have taken away this one, too
    return False


def drop_claim(path: Path, about: dict[str, Any]) -> None:
    """Take the file away, if it is still the one that was made with `about`."""
    if read_claim(path) == about:
        with suppress(OSError):
            path.unlink()


def read_claim(path: Path) -> dict[str, Any]:
    """Return what the file says; nothing where it is absent or was cut off."""
    with suppress(OSError, ValueError, RecursionError):
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    return {}


def still_there(pid: int, seen: float) -> bool:
    """Tell whether a process of this machine that was there at a time is there now.

    Another one may have got its number since.

    Parameters
    ----------
    pid : int
    seen : float
        Seconds since the epoch.
    """
    import psutil

    try:
        return float(psutil.Process(pid).create_time()) <= seen + CLOCKS_S
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False
    except psutil.AccessDenied:
        return True


def _holds(path: Path) -> bool:
    about, pid = read_claim(path), None
    with suppress(TypeError, ValueError):
        pid = int(about["pid"]) if about.get("host") == socket.gethostname() else None
    try:
        made = path.stat().st_mtime
    except OSError:
        return False
    if pid is None:
        return time.time() - made < LOST_AFTER_S
    return still_there(pid, made)
