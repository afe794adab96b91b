"""What the engine says and passes on where its jobs run on a cluster."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from typing import Any

from fovflow.adapter.given import ATTEMPT
from fovflow.runs.slurm import GENERIC, SLURM, ClusterJob

FOV_STEP = "fov_step"
"""Resource that every step of a field of view takes one of."""

AT_ONCE = "FOVFLOW_FOV_STEPS"
"""Environment variable: how many steps of a field of view may run at once in its job."""


def pass_to_nodes(workflow: Any) -> None:
    """Pass on to processes on nodes what they need to know, or take it from there."""
    if workflow.is_main_process:
        os.environ.pop(ATTEMPT, None)
        limit = workflow.global_resources.get(FOV_STEP)
        value = getattr(limit, "value", limit)
        os.environ[AT_ONCE] = str(value) if isinstance(value, int) else ""
    elif workflow.remote_exec:
        words = iter(sys.argv)  # its settings do not stand yet
        os.environ[ATTEMPT] = next((next(words, "") for word in words if word == "--attempt"), "")
        at_once = os.environ.get(AT_ONCE, "1")
        if at_once:  # else the job would ask for more cores than its allocation has
            workflow.register_resource(FOV_STEP, int(at_once))


_REFUSED = re.compile(r"sbatch failed\. The error message was '(.*?)'\.\n", re.DOTALL)
_RUN_NAME = re.compile(r"SLURM run ID: (\S+)")
_HANDED_IN = (
    (SLURM, re.compile(r"Job (\S+) has been submitted with SLURM jobid (\S+) \(log: (.+)\)\.")),
    (GENERIC, re.compile(r"Submitted (?:group job|job) (\S+) with external jobid '([^']+)'()\.")),
)

ASKED = ("mem_mb", "runtime")
"""Resources that are recorded of a cluster's job: MB, and minutes."""


class Submissions:
    """Jobs that the engine hands in to a cluster, from its log records and sentences."""

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

    def handed_in(self, sentence: str) -> ClusterJob | None:
        """Return what a sentence says of a job that was handed in; None for any other."""
        for scheduler, form in _HANDED_IN:
            match = form.match(sentence)
            if match:
                key, number, log = match.groups()
                idents = (int(key),) if key.isdecimal() else self._groups.get(key, ())
                return ClusterJob(idents, scheduler, number, log, self._asked.get(key, {}))
        return None


def run_name(sentence: str) -> str:
    """Return the name that all SLURM jobs of this run have, where a sentence tells it."""
    match = _RUN_NAME.match(sentence)
    return match[1] if match else ""


def refusal(message: str) -> str:
    """Return why a cluster did not take a job, where a message of the engine tells it."""
    match = _REFUSED.search(message)
    return f"SLURM did not take the job: {' '.join(match[1].split())}" if match else ""
