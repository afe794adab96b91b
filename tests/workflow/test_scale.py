"""How work grows with the number of FOVs, counted in files and comparisons and never in seconds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fovflow.planning.pipeline import Pipeline
from fovflow.planning.targets import last_files, report_inputs, targets
from fovflow.records import read_yaml
from stand_in import DATASET, LAYOUT, finish, widen_plan, write_project

FOVS = 12


def pipeline_of() -> Pipeline:
    return Pipeline(read_yaml("config/config.yaml"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished project of `FOVS` FOVs, without results; tests put back what they remove."""
    folder = tmp_path_factory.mktemp("scale")
    write_project(folder)
    finish(folder, FOVS)
    return folder


@pytest.mark.parametrize("fovs", [10, 100])
def test_rules_that_gather_files_ask_for_those_of_the_last_step_or_for_none(
    tmp_path, monkeypatch, fovs
):
    """The engine compares every input of a job with every job that makes one."""
    write_project(tmp_path)
    widen_plan(tmp_path, fovs)
    monkeypatch.chdir(tmp_path)
    pipeline = pipeline_of()
    assert len(last_files(pipeline, DATASET)) == 2 * fovs  # both files of the last step
    assert report_inputs(pipeline) == [LAYOUT.results(DATASET)]
    assert targets(pipeline) == [LAYOUT.results(DATASET), LAYOUT.report()]


def test_all_jobs_of_a_step_share_their_parameters(tmp_path, monkeypatch):
    write_project(tmp_path)
    widen_plan(tmp_path, 3)
    monkeypatch.chdir(tmp_path)
    pipeline = pipeline_of()
    assert pipeline.parameters("segment", DATASET) is pipeline.parameters("segment", DATASET)
    assert pipeline.parameters("segment", DATASET) is not pipeline.parameters("track", DATASET)


def reasons(pipeline: Pipeline) -> dict[str, str]:
    return {
        name: reason
        for name, reason in pipeline.reasons(DATASET, pipeline.look(DATASET)).reasons.items()
        if reason
    }


def test_a_file_that_is_gone_is_a_reason_for_its_job_alone(finished, monkeypatch):
    monkeypatch.chdir(finished)
    pipeline = pipeline_of()
    assert reasons(pipeline) == {}
    gone = [LAYOUT.file("segment_frames", DATASET, 3, 0), LAYOUT.file("pc", DATASET, 7, 0)]
    kept = [Path(name).rename(f"{name}.kept") for name in gone]
    try:
        found = reasons(pipeline)
        assert set(gone) < set(found)
        assert {name.split("_fov_")[1][:3] for name in found} == {"003", "007"}
        assert set(found.values()) == {f"missing: {Path(name).name}" for name in gone}
    finally:
        for name, path in zip(gone, kept, strict=True):
            path.rename(name)


def test_files_and_records_are_looked_at_with_one_listing_each_per_fov(finished, monkeypatch):
    monkeypatch.chdir(finished)
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    pipeline_of().statuses(DATASET)
    folders = [LAYOUT.fov(DATASET, fov) for fov in range(FOVS)]
    logs = [f"{LAYOUT.dataset(DATASET)}/logs/fov_{fov:03d}" for fov in range(FOVS)]
    assert sorted(listed) == sorted(folders + logs)
