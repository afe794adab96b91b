"""Bring the manifests of a run's datasets up to date."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fovflow.adapter.pipeline import Pipeline
from fovflow.adapter.starting import workflow_folder
from fovflow.runs.manifest_records import Circumstances, write_manifest


def update_manifests(pipeline: Pipeline) -> None:
    """Write the manifest of each dataset of which there is anything; see `update_manifest`."""
    for name, plan in pipeline.datasets.items():
        if plan.fovs and Path(pipeline.layout.dataset(name)).is_dir():
            update_manifest(pipeline, name)


def update_manifest(pipeline: Pipeline, dataset: str) -> None:
    """Write a dataset's manifest from what is recorded now; safe to repeat.

    It is called with the results file, and when the run ends. A failure is said on the error
    stream and disturbs nothing.
    """
    circumstances = Circumstances(
        config=pipeline.config.model_dump(mode="json", by_alias=True),
        workflow_folder=workflow_folder(),
        engine=("Snakemake", _engine_version()),
    )
    try:
        write_manifest(pipeline.layout.outdir, dataset, circumstances)
    except Exception as error:  # records are no reason for results to fail
        print(f"{dataset}: cannot write the manifest: {error}", file=sys.stderr, flush=True)


def _engine_version() -> str:
    try:
        return version("snakemake")
    except PackageNotFoundError:
        return "unknown"
