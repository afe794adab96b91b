"""How the pipeline meets the Snakemake workflow that it is part of, its own or another's."""

from __future__ import annotations

import os
import re
import site
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import fovflow
from fovflow.adapter.engine import Engine, log_handlers, print_safely, refuse
from fovflow.adapter.engine.cluster import pass_to_nodes
from fovflow.adapter.engine.deciding import decide
from fovflow.adapter.engine.patches import patch_all, patch_main
from fovflow.adapter.engine.shortcuts import take_shortcuts
from fovflow.adapter.job import pipeline_of_job
from fovflow.config.load import read_config
from fovflow.errors import FovflowError, did_you_mean
from fovflow.planning.pipeline import Pipeline
from fovflow.planning.summary import summary

_PLANNED = "_fovflow_pipeline"
"""Attribute of a Snakemake workflow that holds the pipeline which was planned for it."""


def _tell_jobs_where_the_package_is() -> None:
    """Let the jobs' Python import the same package, also where it is not installed."""
    source = str(Path(fovflow.__file__).resolve().parents[1])
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if source not in (*known, *site.getsitepackages()):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [source, *known]))


ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "MALLOC_ARENA_MAX": "1",
}
"""Where this is glibc, jobs keep the memory of one frame for the next: the system clears each page
that it hands out, which took up to a sixth of a job. Threads share it: what each of them kept for
itself made a job of two frames at once a twelfth larger."""


def plan_pipeline(config: Mapping[str, Any], workflow: Any) -> Pipeline:
    """Return the pipeline of a Snakemake workflow.

    `config`: the configuration as Snakemake merged it. Raises WorkflowError if the configuration is
    wrong, or the workflow takes the pipeline as a module in a way that cannot work; Snakemake shows
    it without a traceback.
    """
    print_safely()
    _tell_jobs_where_the_package_is()
    for name, value in ALLOCATOR.items():
        os.environ.setdefault(name, value)
    pass_to_nodes(workflow)
    engine = Engine(workflow)
    try:
        check_interpreter(sys.executable)
        _check_cores(engine)
        if engine.is_main and not engine.is_module:
            for name in engine.configfiles:
                read_config(name)  # of keys that stand twice Snakemake takes the last one
        pipeline = Pipeline(config) if engine.is_main else pipeline_of_job(config)
        _check_rules(pipeline, engine)
        _check_prefix(pipeline, engine)
        _check_alone(pipeline, workflow)
    except FovflowError as error:
        raise refuse(str(error)) from None
    patch_all(pipeline.occupied)
    take_shortcuts(silent=engine.is_dry_run and engine.is_quiet("ALL"))
    if not engine.is_main:
        from fovflow.runs.claim import join

        join(Path(pipeline.config.outdir) / "runs")
    else:
        from fovflow.adapter.outcome import reasons_to_run
        from fovflow.adapter.recording import explain_targets, record_run, say

        decide(engine, partial(reasons_to_run, pipeline))
        log_handlers()[0].addFilter(explain_targets(pipeline))
        record_run(pipeline, workflow)
        patch_main(engine)
        if engine.is_dry_run:
            say(summary(pipeline))
    return pipeline


def check_interpreter(executable: str) -> None:
    """Refuse a Python whose path has white space: Snakemake does not quote it in its commands.

    `executable`: path of the Python that runs Snakemake. Raises FovflowError if the path has white
    space.
    """
    if any(letter.isspace() for letter in executable):
        raise FovflowError(
            "Snakemake cannot start jobs with a Python in a folder whose name has a space",
            found=executable,
            remedy="make the environment in a folder without spaces; data folders may have them",
        )


def _check_cores(engine: Engine) -> None:
    """Refuse a run that would wait for ever."""
    if engine.is_main and engine.has_no_cores:
        raise FovflowError("no job can run with --cores 0", remedy="give 1 or more, or all")


_EXPRESSION = re.compile(r"\d+|.*(\W|attempt).*")
_FURTHER = ("all", "traces", "problem", "results", "report", "merge", "fit", "statistics")
"""Rules that are no stage."""


def _check_rules(pipeline: Pipeline, engine: Engine) -> None:
    """Refuse what is set for rules by an option or a profile and cannot be meant."""
    if not engine.is_main:
        return
    for rule, threads in engine.set_threads.items():
        if not _EXPRESSION.fullmatch(threads):
            raise FovflowError(
                f"set-threads: {rule} gets no number of cores",
                found=threads,
                remedy=f"write --set-threads {rule}=4",
            )
    known = [*pipeline.stages, *_FURTHER]
    for rule in engine.rules_set:
        if not rule.startswith(tuple(known)) and (near := did_you_mean(rule, known)):
            raise FovflowError(
                f"there is no rule {rule}{near}",
                found=", ".join(known),
                remedy="correct it where threads or resources are set: command line or profile",
            )


def _check_prefix(pipeline: Pipeline, engine: Engine) -> None:
    """Refuse a module whose prefix changes file names: they are made here, and would not agree."""
    name = pipeline.layout.report()
    changed = engine.renamed(name)
    if changed != name:
        raise FovflowError(
            "fovflow is used as a module with prefix or replace_prefix",
            found=f"{changed} in place of {name}",
            remedy="leave it out, and choose the folder with outdir in the module's config",
        )


def _check_alone(pipeline: Pipeline, workflow: Any) -> None:
    """Refuse a second configuration in one workflow: one run of Snakemake has one record.

    The same module may be planned more than once, by several ``use rule`` statements.
    """
    other = getattr(workflow, _PLANNED, pipeline)
    if other.config != pipeline.config:
        raise FovflowError(
            "fovflow is used as a module twice, with two configurations",
            found=f"the output folders {other.config.outdir} and {pipeline.config.outdir}",
            remedy="put all datasets into one configuration, or run Snakemake twice",
        )
    setattr(workflow, _PLANNED, pipeline)
