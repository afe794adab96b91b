"""A user step: call a function of the user's own with one FOV."""

from fovflow.adapter.job import job
from fovflow.usersteps import run_step, step_fov

with job(snakemake):
    options, wildcards = snakemake.params.options, snakemake.wildcards
    inputs = dict(snakemake.input.items())
    run_step(
        options["script"],
        options["function"],
        step_fov(wildcards.dataset, int(wildcards.fov), inputs, options["metadata"]),
        dict(zip(snakemake.params.outputs, snakemake.output, strict=True)),
        options["args"],
    )
