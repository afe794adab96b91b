"""What the engine's side tells the recorder of a run: noted at once, done later."""

from __future__ import annotations

import queue
from collections.abc import Mapping
from typing import Any

from fovflow.runs.clusterjobs import HandedIn
from fovflow.runs.form import now


class Inbox:
    """Notes for the recorder's thread; every method returns at once.

    Attributes
    ----------
    interrupted : str
        Who asked the run to stop; empty where nobody did.
    """

    def __init__(self) -> None:
        self.interrupted = ""
        self._queue: queue.SimpleQueue[tuple[str, tuple[Any, ...]]] = queue.SimpleQueue()

    def job_started(self, ident: int, rule: str, wildcards: Mapping[str, Any], log: str) -> None:
        """Note that the engine hands out a job, perhaps for another attempt."""
        self._queue.put(("started", (ident, rule, dict(wildcards), log, now())))

    def job_ended(self, ident: int, failed: bool, refused: str = "") -> None:
        """Note that a job ended; `refused` says why a cluster did not take it."""
        self._queue.put(("ended", (ident, failed, refused, now())))

    def group_failed(self, idents: tuple[int, ...], refused: str = "") -> None:
        """Note that jobs that were one for the cluster ended, and that one of them failed."""
        self._queue.put(("groupfailed", (idents, refused, now())))

    def handed_in(self, handed: HandedIn) -> None:
        """Note that jobs were handed in to a cluster as one."""
        self._queue.put(("handed", (handed, now())))

    def belongs_to(self, scheduler: str, name: str) -> None:
        """Record the name that all jobs of this run have on the cluster."""
        self._queue.put(("named", (scheduler, name)))

    def interrupt(self, reason: str) -> None:
        """Note that somebody asked the run to stop; safe inside a signal handler."""
        self.interrupted = self.interrupted or reason
