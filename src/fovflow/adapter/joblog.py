"""What a job says: to its log everything, to the screen one plain sentence."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path

from fovflow.errors import FovflowError

LIVE = "FOVFLOW_LIVE"
"""Environment variable that tells jobs that the screen shows the run live."""


def open_log(path: Path) -> None:
    """Send what is logged and warned about to the job's log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    logging.raiseExceptions = False  # a full disk is told in one sentence, by what it stopped
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    warnings.simplefilter("default")


def clear_screen() -> str:
    """Return what clears the live display off the screen, where there is one."""
    return "\r\x1b[J" if os.environ.get(LIVE) and sys.stderr.isatty() else ""


def sentence_of(error: BaseException) -> str:
    """Return what a person is told of an error."""
    if isinstance(error, FovflowError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory; to do: fewer --cores, or a machine with more memory"
    if isinstance(error, OSError):
        name = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror or error}{name}"
    return f"unexpected {type(error).__name__}: {error}; to do: report it, with the log"
