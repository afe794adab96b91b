"""Before a run begins: nobody else may be at work on its output folder."""

from __future__ import annotations

import logging
import os
import sys

from fovflow.errors import FovflowError
from fovflow.runs.claim import Claim, left_locked


class FolderGuard:
    """Takes the output folder for one run, and says in one sentence why it cannot be had.

    As a filter of Snakemake's logger it puts that sentence where Snakemake would show its code.

    Parameters
    ----------
    outdir : path-like
    unheard : bool
        Whether the engine says nothing at all, not even errors (``--quiet all``): the sentence
        then goes to the screen from here.
    """

    def __init__(self, outdir: str | os.PathLike[str], *, unheard: bool = False):
        self._outdir, self._unheard = outdir, unheard
        self._claim: Claim | None = None
        self._refusal = ""

    def take(self) -> None:
        """Take the folder.

        Raises
        ------
        snakemake.exceptions.WorkflowError
            If another run is at work on it; the engine then ends before it locks, removes or
            starts anything.
        """
        if self._claim is not None:
            return
        claim = Claim(self._outdir)
        try:
            claim.take()
        except FovflowError as error:
            from snakemake.exceptions import WorkflowError

            self._refusal = str(error)
            raise WorkflowError(str(error)) from None
        self._claim = claim

    def release(self) -> None:
        """Give the folder back; safe to call twice."""
        claim, self._claim = self._claim, None
        if claim is not None:
            claim.release()

    def filter(self, record: logging.LogRecord) -> bool:
        """Give Snakemake's error another text, where it is about its lock or the refusal."""
        error = getattr(record, "exception", None)
        if error == "LockException":
            record.msg, record.args = left_locked(self._outdir), ()
        elif error == "WorkflowError" and self._refusal:
            record.msg, record.args = self._refusal, ()
        else:
            return True
        if self._unheard:
            print(record.msg, file=sys.stderr, flush=True)
        return True
