"""Step 5: measure the cells of one FOV over time, and judge them."""

from fovflow.adapter.job import run
from fovflow.processing import extract

run(snakemake, extract)
