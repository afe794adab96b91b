"""What the engine does not tell its own processes on a cluster's nodes.

A job of a cluster is a process of the engine that starts the steps of one field of view. It is told
which steps, but neither how many of them may run at once, nor, further down, which attempt this is:
both travel in the environment.
"""

from __future__ import annotations

import os
import sys
from typing import Any

FOV_STEP = "fov_step"
"""Resource that every step of a field of view takes one of."""

AT_ONCE = "FOVFLOW_FOV_STEPS"
"""Environment variable: how many steps of a field of view may run at once in its job."""

ATTEMPT = "FOVFLOW_ATTEMPT"
"""Environment variable: which attempt of its job this is, counted by the engine from 1."""


def pass_to_nodes(workflow: Any) -> None:
    """Pass on to processes on nodes what they need to know, or take it from there.

    Parameters
    ----------
    workflow : snakemake.workflow.Workflow
    """
    if workflow.is_main_process:
        os.environ.pop(ATTEMPT, None)
        limit = workflow.global_resources.get(FOV_STEP)
        value = getattr(limit, "value", limit)
        os.environ[AT_ONCE] = str(value) if isinstance(value, int) else ""
    elif workflow.remote_exec:
        os.environ[ATTEMPT] = _option("--attempt")
        at_once = os.environ.get(AT_ONCE, "1")
        if at_once:  # else the job would ask for more cores than its allocation has
            workflow.register_resource(FOV_STEP, int(at_once))


def attempt_of_engine() -> int:
    """Return which attempt of its job this process is part of; 1 where the engine has not said."""
    text = os.environ.get(ATTEMPT, "")
    return int(text) if text.isdecimal() else 1


def _option(name: str) -> str:
    """Return the value of an option of this process; its settings do not stand yet."""
    words = iter(sys.argv)
    return next((next(words, "") for word in words if word == name), "")
