"""Step 6: what the report loads of one FOV."""

from fovflow.adapter.job import run
from fovflow.processing import browse

run(snakemake, browse)
