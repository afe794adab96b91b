"""The report: one page that shows what was made of all datasets."""

from pathlib import Path

from fovflow.adapter.job import job
from fovflow.report import write_report

with job(snakemake):
    options, page = snakemake.params.options, Path(snakemake.output[0])
    write_report(page, page.parent, options["datasets"], options["problems"])
