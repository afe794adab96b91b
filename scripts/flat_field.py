"""Estimate the flat-field of one fluorescence channel over all FOVs of a dataset."""

from fovflow.adapter.job import run
from fovflow.processing import flat_field

run(snakemake, flat_field)
