"""How work grows with the number of FOVs, counted in files and comparisons and never in seconds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fovflow.planning.pipeline import Pipeline, last_files, missing_files, report_inputs, targets
from fovflow.records import read_yaml
from stand_in import DATASET, LAYOUT, finish, widen_plan, write_project

FOVS = 12


def pipeline_of(*, is_main: bool = True) -> Pipeline:
    return Pipeline(read_yaml("config/config.yaml"), is_main=is_main)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished project of `FOVS` FOVs, without results; tests put back what they remove."""
    folder = tmp_path_factory.mktemp("scale")
    write_project(folder)
    finish(folder, FOVS)
    return folder


@pytest.mark.parametrize("fovs", [10, 100])
def test_rules_that_gather_files_ask_for_one_per_fov_or_for_none(tmp_path, monkeypatch, fovs):
    """The engine compares every input of a job with every job that makes one."""
    write_project(tmp_path)
    widen_plan(tmp_path, fovs)
    monkeypatch.chdir(tmp_path)
    pipeline = pipeline_of()
    assert len(last_files(pipeline, DATASET)) == fovs
    assert report_inputs(pipeline) == [LAYOUT.results(DATASET)]
    assert targets(pipeline) == [LAYOUT.results(DATASET), LAYOUT.report()]


def test_all_jobs_of_a_step_share_their_parameters(tmp_path, monkeypatch):
    write_project(tmp_path)
    widen_plan(tmp_path, 3)
    monkeypatch.chdir(tmp_path)
    pipeline = pipeline_of()
    assert pipeline.parameters("segment", DATASET) is pipeline.parameters("segment", DATASET)
    assert pipeline.parameters("segment", DATASET) is not pipeline.parameters("track", DATASET)


def test_a_file_that_is_gone_is_asked_for_by_name(finished, monkeypatch):
    monkeypatch.chdir(finished)
    pipeline = pipeline_of()
    assert missing_files(pipeline) == []
    gone = [LAYOUT.file("segment_frames", DATASET, 3, 0), LAYOUT.file("pc", DATASET, 7, 0)]
    kept = [Path(name).rename(f"{name}.kept") for name in gone]
    try:
        assert missing_files(pipeline) == gone
        assert targets(pipeline)[:2] == gone
        assert targets(pipeline_of(is_main=False)) == targets(pipeline)[2:]
    finally:
        for name, path in zip(gone, kept, strict=True):
            path.rename(name)


def test_an_fov_that_is_gone_is_asked_for_once_there_are_results(finished, monkeypatch):
    monkeypatch.chdir(finished)
    pipeline = pipeline_of()
    folder, away = Path(LAYOUT.fov(DATASET, 5)), Path("away")
    folder.rename(away)
    try:
        assert missing_files(pipeline) == []
        Path(LAYOUT.results(DATASET)).touch()
        assert missing_files(pipeline) == [LAYOUT.file("traces", DATASET, 5)]
    finally:
        Path(LAYOUT.results(DATASET)).unlink(missing_ok=True)
        away.rename(folder)


def test_missing_files_are_found_with_one_listing_per_fov(finished, monkeypatch):
    monkeypatch.chdir(finished)
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    missing_files(pipeline_of())
    assert listed == [LAYOUT.fov(DATASET, fov) for fov in range(FOVS)]
