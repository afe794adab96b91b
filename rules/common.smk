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

from fovflow.adapter.outcome import describe_outcome, record_failure
from fovflow.adapter.entry import plan_pipeline
from fovflow.adapter.reporting import report_inputs, report_options
from fovflow.adapter.recording import say
from fovflow.adapter.targets import last_files, targets, trace_targets

PIPELINE = plan_pipeline(config, workflow)
LAYOUT = PIPELINE.layout


# Used with --sdm apptainer only; a change of it reruns nothing without.
container: PIPELINE.config.container


wildcard_constraints:
    dataset=PIPELINE.constraint(),
    fov=r"\d\d\d+",
    channel=r"\d+",


def bulky(kind, name):
    """Mark a stack as temporary where the config does not keep its kind."""
    return name if kind in PIPELINE.kept else temp(name)


def memory(step):
    """Return the memory of a step's job in MB, half as much again at each new attempt."""
    return lambda wildcards, attempt: round(
        PIPELINE.memory_mb(step, wildcards.dataset) * (1 + 0.5 * (attempt - 1))
    )


def disk(step):
    """Return the disk space of a step's outputs in MB."""
    return lambda wildcards: PIPELINE.disk_mb(step, wildcards.dataset)


def parameters(step):
    """Return the step's own parameters: only a change of these reruns it."""
    return lambda wildcards: PIPELINE.parameters(step, wildcards.dataset)
