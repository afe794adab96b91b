"""A user step: call a function of the user's own with one FOV."""

from fovflow.adapter.job import run
from fovflow.processing import user_step

run(snakemake, user_step)
