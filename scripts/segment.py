"""Step 2: find the cells of each frame of one FOV."""

from fovflow.adapter.job import run
from fovflow.processing import segment

run(snakemake, segment)
