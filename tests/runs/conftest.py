"""Tests of records belong to no run, whatever started them or ran before in this process."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from runs.crate_validator import fill_cache
from runs.recorded import Recorded

from fovflow import Run
from fovflow.runs.store import ENVIRONMENT, JOB_EVENTS
from workflow_project import Project, make_project

SLOW_STEP = """
import time
import numpy as np
from fovflow.segmentation import FrameStats


class Slow:
    def __init__(self, *, pixel_um, seconds=0.25):
        self.seconds = seconds

    def __call__(self, image, *, missing=False):
        time.sleep(self.seconds)
        return np.ones(image.shape, np.uint16), FrameStats(n_objects=1, threshold=3.0)
"""


@pytest.fixture(autouse=True)
def _outside_of_jobs(monkeypatch):
    for variable in (ENVIRONMENT, JOB_EVENTS):
        monkeypatch.setenv(variable, "")  # so that it is taken back, whoever sets it meanwhile
        monkeypatch.delenv(variable)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Results with all records, which tests only read."""
    return Recorded(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def recorded(whole, tmp_path):
    """A copy of them, which a test may change."""
    return whole.copy_to(tmp_path)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """What the validator of RO-Crates looks up."""
    path = tmp_path_factory.mktemp("cache") / "http"
    fill_cache(path)
    return path


@pytest.fixture
def run(tmp_path):
    """A run of one's own, which raises its errors."""
    made = Run(outdir=tmp_path)
    made.config(suppress_errors=False, disable_resources_metrics=True)
    yield made
    made.close()


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after one good run."""
    project = make_project(tmp_path_factory.mktemp("recorded"), positions=2, frames=4)
    done = project.run_program()
    assert done.status == 0, done.text
    return project


@pytest.fixture
def slow(finished_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose segmentation takes a second, by a plug-in."""
    plugin = tmp_path / "plugin"
    info = plugin / "slow-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fovflow.segmenters]\nslow = slow_segmenter:Slow\n")
    (plugin / "slow_segmenter.py").write_text(SLOW_STEP)
    monkeypatch.setenv("PYTHONPATH", str(plugin))
    project = finished_project.copy_to(tmp_path / "slow")
    shutil.rmtree(project.folder / "results" / "runs")
    project.config["segment"] = {"method": "slow", "options": {}}
    project.config["run"] = {"progress_every": 1}
    project.write_config()
    return project
