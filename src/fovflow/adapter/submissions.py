"""Which of the engine's jobs were handed in to a cluster as one, from what the engine says.

The executor plugins tell it in sentences only; a sentence of another form is no error, and leaves
the run without the cluster's numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fovflow.runs.clusterjobs import GENERIC, SLURM, HandedIn

_REFUSED = re.compile(r"sbatch failed\. The error message was '(.*?)'\.\n", re.DOTALL)
_RUN_NAME = re.compile(r"SLURM run ID: (\S+)")
_HANDED_IN = (
    (SLURM, re.compile(r"Job (\S+) has been submitted with SLURM jobid (\S+) \(log: (.+)\)\.")),
    (GENERIC, re.compile(r"Submitted (?:group job|job) (\S+) with external jobid '([^']+)'()\.")),
)

ASKED = ("mem_mb", "runtime")
"""Resources that are recorded of a cluster's job: MB, and minutes."""


class Submissions:
    """Follows the engine's records."""

    def __init__(self) -> None:
        self._groups: dict[str, tuple[int, ...]] = {}
        self._asked: dict[str, dict[str, int]] = {}

    def take_group(self, record: Any) -> None:
        """Note the members of a group; the engine calls it by the name of any one of them."""
        with suppress(Exception):
            jobs = list(record.jobs)
            members = tuple(sorted(int(job.jobid) for job in jobs))
            self._groups.update({str(job.uuid()): members for job in jobs})
            resources = jobs[0].dag.get_job_group(jobs[0]).resources
            asked = {name: int(resources[name]) for name in ASKED if name in dict(resources)}
            self._asked.update({str(job.uuid()): asked for job in jobs})

    def handed_in(self, sentence: str) -> HandedIn | None:
        """Return what a sentence says of a job that was handed in; None for any other."""
        for scheduler, form in _HANDED_IN:
            match = form.match(sentence)
            if match:
                key, number, log = match.groups()
                idents = (int(key),) if key.isdecimal() else self._groups.get(key, ())
                return HandedIn(idents, scheduler, number, log, self._asked.get(key, {}))
        return None


def run_name(sentence: str) -> str:
    """Return the name that all SLURM jobs of this run have, where a sentence tells it."""
    match = _RUN_NAME.match(sentence)
    return match[1] if match else ""


def refusal(message: str) -> str:
    """Return why a cluster did not take a job, where a message of the engine tells it."""
    match = _REFUSED.search(message)
    return f"SLURM did not take the job: {' '.join(match[1].split())}" if match else ""


def hear_groups(take: Callable[[tuple[int, ...], str], None]) -> None:
    """Have `take` told which jobs failed as a group, and the executor's message.

    Snakemake drops the message of a group before its logger sees it, and with it the only word of a
    job that the cluster did not take.
    """
    from snakemake.jobs import GroupJob

    tell = getattr(GroupJob.log_error, "__wrapped__", GroupJob.log_error)

    def log_error(self: Any, msg: str | None = None, *arguments: Any, **keys: Any) -> None:
        with suppress(Exception):
            take(tuple(int(job.jobid) for job in self.jobs), msg or "")
        tell(self, msg, *arguments, **keys)

    log_error.__wrapped__ = tell  # type: ignore[attr-defined]
    GroupJob.log_error = log_error
