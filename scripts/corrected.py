"""Step 3, on request: write the corrected frames of one fluorescence channel of one FOV."""

from fovflow.adapter.job import run
from fovflow.processing import corrected

run(snakemake, corrected)
