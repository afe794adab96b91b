"""Compare the conditions of all samples: tables and pictures."""

from fovflow.adapter.job import run
from fovflow.adapter.outcome import make_statistics

run(snakemake, make_statistics)
