# The plan of the run, and what several rules share.

import re
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

from fovflow.adapter.engine import cores_for_each
from fovflow.adapter.entry import plan_pipeline
from fovflow.adapter.outcome import bring_up_to_date, describe_outcome, report_options
from fovflow.adapter.recording import say
from fovflow.planning.summary import summary
from fovflow.planning.targets import last_files, report_inputs, targets, trace_targets
from fovflow.planning.resources import disk_mb, memory_mb, runtime_min
from fovflow.stages import STACKS

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
    fov=r"\d\d\d|[1-9]\d\d\d+",  # as fov_name writes it
    channel=r"\d+",


def fov_group(wildcards):
    """Return the group of a step: on a cluster a field of view is one job, and never more."""
    return None if workflow.dryrun else f"{wildcards.dataset}_fov_{wildcards.fov}"


def file_of(kind, channel="{channel}"):
    """Return the name of a step's file, with wildcards."""
    return LAYOUT.file(kind, "{dataset}", "{fov}", channel)


def output_of(kind, channel="{channel}"):
    """Return the name of a step's output; temporary where the config does not keep its kind."""
    name, is_stack = file_of(kind, channel), kind in STACKS
    return temp(name) if is_stack and kind not in PIPELINE.kept else name


def log_of(step):
    """Return the name of the log of a step's jobs."""
    return LAYOUT.log(*job_of(step))


def benchmark_of(step):
    """Return the file with the time and memory of a step's job, as Snakemake measures them."""
    return LAYOUT.benchmark(*job_of(step))


def job_of(step):
    stage = PIPELINE.stages[step]
    fov, rest = "{fov}" if stage.per_fov else None, (
        "_ch_{channel}" if stage.role else ""
    )
    return step, "{dataset}", fov, rest


def growing(amount):
    """Return a time limit in minutes that grows by half at each new attempt."""
    return lambda wildcards, attempt: round(amount * (1 + 0.5 * (attempt - 1)))


def memory(amount):
    """Return the memory of a job in MB, half as much again at each new attempt."""
    return lambda wildcards, attempt: growing(
        amount + (0 if workflow.local_exec else ENGINE_MB)
    )(wildcards, attempt)


def threads_of(step):
    """Return the cores of a step's jobs: where these are fewer, they share what lies idle."""
    most = PIPELINE.stages[step].most_threads
    return lambda wildcards: min(most, cores_for_each(workflow, step))


def resources_of(step):
    """Return what a step's jobs need, from the size and number of frames."""
    stage = PIPELINE.stages[step]
    found = {
        "mem_mb": lambda wildcards, attempt, threads: memory(
            memory_mb(stage, PIPELINE.datasets[wildcards.dataset], threads)
        )(wildcards, attempt),
        "runtime": lambda wildcards, attempt: growing(
            runtime_min(stage, PIPELINE.datasets[wildcards.dataset])
        )(wildcards, attempt),
    }
    if stage.per_fov:
        found["fov_step"] = 1
    if any(file.kind in STACKS for file in stage.files):
        found["disk_mb"] = lambda wildcards: disk_mb(
            stage, PIPELINE.datasets[wildcards.dataset]
        )
    return found


def parameters(step):
    """Return the step's own parameters: only a change of these reruns it."""
    return lambda wildcards: PIPELINE.parameters(
        step, wildcards.dataset, wildcards.get("fov")
    )
