"""Post-run: assemble a dataset's processing_results.yaml."""

from fovflow.adapter.job import run
from fovflow.adapter.outcome import make_results

run(snakemake, make_results)
