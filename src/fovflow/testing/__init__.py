"""For authors of plug-ins and of steps: conformance suites, and scripts that run by themselves.

A suite is a class for pytest. A subclass names the part as the configuration does; a plug-in must
be installed, so that it is found by its entry point::

    from fovflow.testing import SegmenterConformance

    class TestMine(SegmenterConformance):
        method = "mine"
        parameters = {"factor": 2.0}

In a project's folder, `run_script` runs one job of the pipeline in this process, as a debugger
needs it; ``python -m fovflow.testing segment --dataset plate1 --fov 0`` does the same.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovflow.errors import FovflowError

if TYPE_CHECKING:
    from fovflow.testing.conformance import (
        CorrectorConformance,
        FeatureConformance,
        ReaderConformance,
        SegmenterConformance,
        TrackerConformance,
        check_lineage,
    )

__all__ = [
    "CorrectorConformance",
    "FeatureConformance",
    "ReaderConformance",
    "SegmenterConformance",
    "TrackerConformance",
    "check_lineage",
    "job",
    "run_script",
]

_SUITES = f"{__name__}.conformance"
if "pytest" in sys.modules:  # lets failed asserts of the suites show their values
    sys.modules["pytest"].register_assert_rewrite(_SUITES)


def __getattr__(name: str) -> Any:
    """Import the suites, and pytest, when they are asked for."""
    if name in __all__:
        return getattr(importlib.import_module(_SUITES), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def job(
    rule: str,
    dataset: str | None = None,
    fov: int | None = None,
    channel: int | None = None,
    *,
    configfile: str | os.PathLike[str] = "config/config.yaml",
) -> Any:
    """Return the object ``snakemake`` that the script of a rule is given for one job.

    It has the script's path, too: ``script``.

    As when a run begins, the raw files are looked at and the datasets' plans are written; nothing
    else is run or recorded.

    Parameters
    ----------
    rule : str
        ``copy``, ``segment``, ``correct``, …, or the name of a step of your own.
    dataset, fov, channel : optional
        As far as the rule has them. `channel` may be left out where there is only one.
    configfile : path-like
        The project's configuration; its folder's parent is the working directory, as for the
        pipeline.

    Raises
    ------
    FovflowError
        If there is no such job, or files that it starts from are missing.
    """
    from fovflow.adapter.engine.alone import job_by_itself
    from fovflow.config.load import read_config
    from fovflow.layout import fov_name
    from fovflow.planning.pipeline import Pipeline
    from fovflow.stages import STAGES
    from fovflow.units import format_ranges

    plan = Pipeline(read_config(configfile)).datasets.get(dataset or "")
    if channel is None and plan is not None and plan.fovs:
        role = STAGES[rule].role if rule in STAGES else ""
        channels = plan.indices(role) if role else ()
        channel = int(channels[0]) if len(channels) == 1 else None
        if fov is not None and fov not in plan.fovs:
            raise FovflowError(
                f"{dataset} has no FOV {fov} to process",
                found=format_ranges(plan.fovs),
                remedy="name one of these, or correct fovs in the configuration",
            )
    found = job_by_itself(
        rule,
        configfile,
        dataset=dataset,
        fov=None if fov is None else fov_name(fov),
        channel=None if channel is None else str(channel),
    )
    missing = [str(name) for name in found.input if not Path(name).exists()]
    if missing:
        raise FovflowError(
            f"{rule} starts from files that are not there",
            found=f"no {', '.join(missing)}",
            remedy="run the pipeline up to this step; with --notemp, stacks that `keep` leaves out "
            "stay",
        )
    return found


def run_script(rule: str, *where: Any, **options: Any) -> None:
    """Run the script of a rule for one job, in this process; it writes what the pipeline writes.

    Parameters and errors are those of `job`. A script that fails ends the process with status 1,
    after a sentence on the error stream; the traceback is in the job's log.
    """
    snakemake = job(rule, *where, **options)
    for name in (*snakemake.output, *snakemake.log):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
    os.environ["FOVFLOW_RUN"] = ""  # no part of a run
    runpy.run_path(snakemake.script, {"snakemake": snakemake}, "__main__")
