"""Step 4: give the cells of one FOV one id over time."""

from fovflow.adapter.job import run
from fovflow.processing import track

run(snakemake, track)
