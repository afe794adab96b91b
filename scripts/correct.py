"""Step 3: subtract the background of one fluorescence channel of one FOV."""

from fovflow.adapter.job import run
from fovflow.processing import correct

run(snakemake, correct)
