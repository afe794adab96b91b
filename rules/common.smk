# The plan of the run, and what several rules share.

import sys
from pathlib import Path

# In a clone the package need not be installed; jobs are told the same by plan_pipeline. The
# folder is this file's, not the main Snakefile's, which may be another where this is a module.
SOURCE = (
    Path(str(workflow.current_basedir.get_path_or_uri(secret_free=True))).parent / "src"
)
if (SOURCE / "fovflow").is_dir():
    sys.path.insert(0, str(SOURCE))

from fovflow.adapter.interrupts import expect_interrupts

expect_interrupts()  # what follows takes a moment

from fovflow.adapter.outcome import describe_outcome, record_failure
from fovflow.adapter.entry import plan_pipeline
from fovflow.adapter.pipeline import report_inputs, report_options
from fovflow.adapter.recording import say
from fovflow.adapter.pipeline import last_files, targets, trace_targets

PIPELINE = plan_pipeline(config, workflow)
LAYOUT = PIPELINE.layout

# On a cluster two processes of the engine live in every job, beside the step (MB).
ENGINE_MB = 300


# On a cluster these stay where Snakemake runs: they take seconds.
localrules:
    all,
    traces,
    problem,
    report,
    results,


# Used with --sdm apptainer only; a change of it reruns nothing without.
container: PIPELINE.config.container


wildcard_constraints:
    dataset=PIPELINE.constraint(),
    fov=r"\d\d\d+",
    channel=r"\d+",


def fov_group(wildcards):
    """Return the group of a step: on a cluster a field of view is one job, and never more."""
    return None if workflow.dryrun else f"{wildcards.dataset}_fov_{wildcards.fov}"


def bulky(kind, name):
    """Mark a stack as temporary where the config does not keep its kind."""
    return name if kind in PIPELINE.kept else temp(name)


def growing(amount):
    """Return a time limit in minutes that grows by half at each new attempt."""
    return lambda wildcards, attempt: round(amount * (1 + 0.5 * (attempt - 1)))


def minutes(step):
    """Return the time limit of a step's job in minutes, from frame size and number of frames."""
    return lambda wildcards, attempt: growing(
        PIPELINE.runtime_min(step, wildcards.dataset)
    )(wildcards, attempt)


def memory_of(amount):
    """Return the memory of a job in MB, half as much again at each new attempt."""
    return lambda wildcards, attempt: growing(
        amount + (0 if workflow.local_exec else ENGINE_MB)
    )(wildcards, attempt)


def memory(step):
    """Return the memory of a step's job in MB, from its frame size."""
    return lambda wildcards, attempt: memory_of(
        PIPELINE.memory_mb(step, wildcards.dataset)
    )(wildcards, attempt)


def disk(step):
    """Return the disk space of a step's outputs in MB."""
    return lambda wildcards: PIPELINE.disk_mb(step, wildcards.dataset)


def parameters(step):
    """Return the step's own parameters: only a change of these reruns it."""
    return lambda wildcards: PIPELINE.parameters(step, wildcards.dataset)
