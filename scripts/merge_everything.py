"""One table of all samples, and what each sample is."""

from fovflow.adapter.job import run
from fovflow.analysis.merge import merge_everything

run(snakemake, merge_everything)
