"""Fit a kinetic model to each cell of one table."""

from fovflow.adapter.job import run
from fovflow.adapter.outcome import make_fits

run(snakemake, make_fits)
