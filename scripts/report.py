"""The report: one page that shows what was made of all datasets."""

from fovflow.adapter.job import run
from fovflow.adapter.outcome import make_report

run(snakemake, make_report)
