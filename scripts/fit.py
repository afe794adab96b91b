"""Fit a kinetic model to each cell of one table."""

from fovflow.adapter.job import run
from fovflow.analysis.fits import fit

run(snakemake, fit)
