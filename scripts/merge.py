"""Merge the traces of one sample into its tables."""

from fovflow.adapter.job import run
from fovflow.adapter.outcome import make_merged

run(snakemake, make_merged)
