"""A user step: call a function of the user's own with one FOV."""

from fovflow.adapter.job import job
from fovflow.adapter.usersteps import step_fov
from fovflow.usersteps import run_step

with job(snakemake):
    options = snakemake.params.options
    run_step(
        options["script"],
        options["function"],
        step_fov(snakemake.wildcards, snakemake.input, options["metadata"]),
        dict(zip(snakemake.params.outputs, snakemake.output, strict=True)),
        options["args"],
    )
