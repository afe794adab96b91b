"""Post-run: assemble a dataset's processing_results.yaml."""

from fovflow.adapter.job import job
from fovflow.adapter.outcome import write_dataset_results
from fovflow.adapter.pipeline import Pipeline

with job(snakemake):
    pipeline = Pipeline(snakemake.config, is_main=False)
    write_dataset_results(pipeline, snakemake.wildcards.dataset)
