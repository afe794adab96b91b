"""One job of the workflow by itself, for a debugger and for tests."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from fovflow.adapter.engine import workflow_folder
from fovflow.errors import FovflowError


def job_by_itself(step: str, configfile: str | os.PathLike[str], **wildcards: str | None) -> Any:
    """Return the object ``snakemake`` that a job's script is given, with the path ``script``.

    The workflow is read as by a job of the engine: nothing is run or recorded.

    `step`: name of a rule, or of the step that several rules share, such as ``copy``. `configfile`:
    relative to the working directory, as are all paths of the workflow. `wildcards`: values by
    name; those that the rule does not have are left out. Raises FovflowError if the workflow cannot
    be read, or has no such job.
    """
    from snakemake.api import SnakemakeApi
    from snakemake.dag import DAG
    from snakemake.exceptions import WorkflowError
    from snakemake.iocontainers import Snakemake
    from snakemake.jobs import Job
    from snakemake.settings import types

    with SnakemakeApi(types.OutputSettings(quiet={types.Quietness.ALL})) as api:
        opened = api.workflow(
            types.ResourceSettings(cores=1),
            types.ConfigSettings(configfiles=[Path(configfile)]),
            workflow_settings=types.WorkflowSettings(exec_mode=types.ExecMode.SUBPROCESS),
            snakefile=workflow_folder() / "Snakefile",
        )
        try:
            opened.dag()
            workflow = opened._workflow
        except WorkflowError as error:
            raise FovflowError(f"the workflow cannot be read: {error}") from None
        given = {name: value for name, value in wildcards.items() if value is not None}
        for rule in workflow.rules:
            if step not in (rule.name, rule.params.get("step")) or rule.script is None:
                continue
            chosen = {name: given[name] for name in rule.wildcard_names & set(given)}
            forms = {**workflow.wildcard_constraints, **rule.wildcard_constraints}
            fits = (re.fullmatch(forms.get(name, ".*"), value) for name, value in chosen.items())
            if set(chosen) == rule.wildcard_names and all(fits):
                job = Job(rule, DAG(workflow, rules=workflow.rules), chosen)
                parts = (job.input, job.output, job.params, job.wildcards, job.threads)
                made = Snakemake(*parts, job.resources, job.log, workflow.config, rule.name, None)
                script = Path(str(rule.basedir.get_path_or_uri(secret_free=True))) / rule.script
                made.script, made.scriptdir = str(script.resolve()), str(script.parent)
                return made
    raise FovflowError(
        f"the workflow has no job {step} of {', '.join(f'{k} {v}' for k, v in given.items())}",
        found=", ".join(sorted({str(rule.name) for rule in workflow.rules if rule.script})),
        remedy="name one of these rules, and the dataset, FOV and channel of one of its jobs",
    )
