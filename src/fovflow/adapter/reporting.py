"""The report of a run: its rule's files and parameters, and how it is made after a failure."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from fovflow.adapter.forget import forget
from fovflow.adapter.pipeline import Pipeline


def report_inputs(pipeline: Pipeline) -> list[str]:
    """Return the results of all datasets: they are made again whenever traces are."""
    plans = [plan for plan in pipeline.datasets.values() if plan.fovs]
    return [pipeline.layout.results(plan.name) for plan in plans]


def report_options(pipeline: Pipeline) -> dict[str, Any]:
    """Return what the report depends on besides files: its revision, and datasets' problems."""
    from fovflow.report import REPORT_REVISION

    problems = {n: list(plan.problems) for n, plan in pipeline.datasets.items() if plan.problems}
    return {"revision": REPORT_REVISION, "datasets": list(pipeline.datasets), "problems": problems}


def record_report(pipeline: Pipeline, workflow: Any) -> None:
    """Bring the report up to date after a run that did not succeed.

    As with the results files, Snakemake forgets that it was ever made, and it is dated before its
    inputs: the next run makes it again in any case.
    """
    from fovflow.report import write_report

    file = Path(pipeline.layout.report())
    options = report_options(pipeline)
    try:
        write_report(file, pipeline.layout.outdir, options["datasets"], options["problems"])
        forget(file, workflow, [Path(name) for name in report_inputs(pipeline)])
    except Exception as error:  # the run has failed already: say so, and go on
        print(f"cannot write {file}: {error}", file=sys.stderr)
