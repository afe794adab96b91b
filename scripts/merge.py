"""Merge the good traces of one sample into its tables."""

from fovflow.adapter.job import run
from fovflow.analysis.merge import merge

run(snakemake, merge)
