"""Samples: merge the traces of one, or of all, or fit a model to the cells of a table."""

from fovflow.adapter.job import run
from fovflow.adapter.outcome import make_analysis

run(snakemake, make_analysis)
