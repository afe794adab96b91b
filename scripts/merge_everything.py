"""Merge the traces of all samples into one table."""

from fovflow.adapter.job import run
from fovflow.adapter.outcome import make_everything

run(snakemake, make_everything)
