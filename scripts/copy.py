"""Step 1: copy one FOV's planes from the raw file into npy stacks."""

from fovflow.adapter.job import run
from fovflow.processing import copy

run(snakemake, copy)
