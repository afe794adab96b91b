"""Say why a dataset, or FOVs that the configuration names, cannot be processed."""

from fovflow.adapter.job import run
from fovflow.processing import problem

run(snakemake, problem)
