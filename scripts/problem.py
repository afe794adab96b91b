"""Say why a dataset, or FOVs that the configuration names, cannot be processed."""

from fovflow.adapter.job import job
from fovflow.errors import FovflowError

with job(snakemake):
    raise FovflowError("; ".join(snakemake.params.problems))
