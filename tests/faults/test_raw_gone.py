"""Raw data that are away, or go while they are copied: what was copied stays."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from forking import snakemake

from fovflow.cli.run import read_dry_run
from fovflow.results import load_results
from fovflow.runs.state import outputs_of
from fovflow.runs.store import list_runs
from fovflow.runs.verify import verify
from fovflow.tables import read_csv
from workflow_project import Project, make_project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

GONE = """
import fovflow.processing
from fovflow.errors import FovflowError


def gone(*_):
    raise FovflowError("the raw file is gone")


fovflow.processing._open_raw = gone
"""
"""Makes the raw file go while the run is at work."""

GAPS = frozenset({(0, 2)})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A tiny project after an undisturbed run; not to be changed."""
    folder = tmp_path_factory.mktemp("done")
    movie = {"positions": 2, "frames": 4, "height": 48, "width": 56, "cells": 2, "missing": GAPS}
    project = make_project(folder, **movie)
    made = project.run()
    assert made.status == 0, made.text
    return project


@pytest.fixture
def project(done: Project, tmp_path: Path) -> Project:
    """A copy of it."""
    return done.copy_to(tmp_path / "project")


def states(project: Project) -> dict[Path, tuple[int, bytes]]:
    """Return inode and content of the stacks that were copied."""
    files = [*project.results.rglob("*_pc_ch_*.npy"), *project.results.rglob("*_fl_ch_*.npy")]
    return {p: (p.stat().st_ino, p.read_bytes()) for p in files}


@pytest.mark.parametrize("away", [True, False])
def test_another_time_between_frames_needs_no_pixels(project, tmp_path, away):
    before, raw = states(project), project.folder / "raw" / "sim.nd2"
    assert len(before) == 4
    fresh = Project(tmp_path / "fresh", **project.config)
    fresh.config["datasets"]["sim"]["interval_s"] = 60
    (fresh.folder / "raw").mkdir(parents=True)
    (fresh.folder / "raw" / "sim.nd2").write_bytes(raw.read_bytes())
    assert fresh.run().status == 0
    if away:
        raw = raw.rename(raw.with_name("away"))
    project.config["datasets"]["sim"]["interval_s"] = 60
    made = project.run()
    assert made.status == 0, made.text
    assert made.jobs["copy"] == 2
    assert states(project) == before
    times = read_csv(project.file(0, "times.csv"))
    assert times["time_s"].tolist() == [0, 60, 120, 180]
    assert times["missing"].tolist() == [False, False, True, False]
    assert project.outputs() == fresh.outputs()
    assert verify(project.folder / "results").findings == []
    if not away:  # back to the file's own times, which it tells without its pixels
        del project.config["datasets"]["sim"]["interval_s"]
        assert project.run().status == 0
        assert states(project) == before
        assert read_csv(project.file(0, "times.csv"))["time_source"].tolist()[0] == "measured"


def test_a_stack_that_is_damaged_needs_its_pixels(project):
    raw, stack = project.folder / "raw" / "sim.nd2", project.file(1, "pc_ch_0.npy")
    whole = stack.read_bytes()
    stack.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    damaged, away = states(project), raw.rename(raw.with_name("away"))
    project.config["datasets"]["sim"]["interval_s"] = 60
    made = project.run()
    assert made.status == 1
    assert "FOV 1 cannot be made again without it" in made.text
    assert states(project) == damaged
    assert {f: s.status for f, s in load_results(project.results).fovs.items()} == {
        0: "complete", 1: "outdated"
    }  # fmt: skip
    away.rename(raw)
    made = project.run()
    assert made.status == 0, made.text
    assert made.jobs["copy"] == 1
    assert stack.read_bytes() == whole


def test_other_pixels_are_refused_and_nothing_is_removed(project):
    before, raw = states(project), project.folder / "raw" / "sim.nd2"
    raw.rename(raw.with_name("away"))
    project.config["frames"] = "0-1"
    project.config["datasets"]["sim"]["interval_s"] = 60
    made = project.run()
    assert made.status == 1
    sentence = "is not there, and FOVs 0-1 cannot be made again without it"
    assert sentence in made.text
    assert states(project) == before
    dry = snakemake(project.folder, "--cores", "1", "--dry-run", "--quiet", "host")
    why = dict(read_dry_run(dry.text.splitlines()))
    assert sentence in why.pop("sim: checking the dataset")
    assert not [job for job in why if "FOV" in job]
    project.config["frames"] = "all"
    del project.config["datasets"]["sim"]["interval_s"]
    assert project.run().status == 0
    report = verify(project.folder / "results")
    assert (report.findings, report.notes) == ([], [])


def test_raw_data_that_go_while_a_run_is_at_work_cost_nothing_that_was_copied(project):
    before = states(project)
    project.config["frames"] = "0-1"
    project.before = GONE
    made = project.run()
    assert made.status == 1
    assert states(project) == before
    told = load_results(project.results).fovs
    assert {each.status for each in told.values()} == {"failed"}
    assert "the raw file is gone" in told[1].error
    project.before = ""
    made = project.run()
    assert made.status == 0, made.text
    assert np.load(project.file(0, "pc_ch_0.npy")).shape[0] == 2
    assert verify(project.folder / "results").findings == []


def test_an_input_that_is_dated_ahead_is_as_good_as_any(project, tmp_path):
    dark = project.folder / "raw" / "dark.npy"
    np.save(dark, np.full((48, 56), 10, np.float32))
    os.utime(dark, (4e9, 4e9))
    os.utime(project.file(0, "seg_ch_0.npy"), (4e9, 4e9))
    project.config["correct"] = {"dark": "raw/dark.npy"}
    made = project.run()
    assert made.status == 0, made.text
    assert made.jobs["correct"] == 2
    assert project.run().jobs == {}


def test_a_copy_by_force_reads_all_pixels(project):
    before = states(project)
    made = project.run("--forcerun", "copy")
    assert made.status == 0, made.text
    after = states(project)
    assert {path: content for path, (_, content) in after.items()} == {
        path: content for path, (_, content) in before.items()
    }
    assert all(after[path][0] != before[path][0] for path in before)


FAILS = """
import fovflow.processing
from fovflow.errors import FovflowError


def fails(job):
    raise FovflowError("it fails")


fovflow.processing.{} = fails
"""

CHANGES = {
    "copy": {"crop": {"y1": 40, "x1": 40}},
    "segment": {"method": "threshold"},
    "correct": {"method": "none"},
    "track": {"max_gap": 1},
    "extract": {"erosion_px": 1},
    "browse": {"pictures": 2},
}


@pytest.mark.parametrize(
    "step",
    [pytest.param(step, marks=() if step in ("copy", "track") else pytest.mark.slow_sequences)
     for step in CHANGES],
)  # fmt: skip
def test_a_change_that_fails_and_is_undone_costs_nothing(project, step):
    before = project.outputs()
    project.config[step], project.before = CHANGES[step], FAILS.format(step)
    made = project.run()
    assert (made.status, "it fails" in made.text) == (1, True), made.text
    told = load_results(project.results).fovs
    assert {(each.status, each.step) for each in told.values()} == {("failed", step)}
    if step != "browse":
        with pytest.warns(UserWarning, match=f"the traces are outdated, from step {step} on"):
            told[0].traces()
    assert verify(project.folder / "results").findings == []
    del project.config[step]
    project.before = ""
    raw = project.folder / "raw" / "sim.nd2"
    away = raw.rename(raw.with_name("away"))
    made = project.run()
    assert made.status == 0, made.text
    assert not {*made.jobs} - {"results", "report"}
    assert project.outputs() == before
    assert {each.status for each in load_results(project.results).fovs.values()} == {"complete"}
    first, *_, last = list_runs(project.folder / "results")
    assert {*outputs_of(last)} == {*outputs_of(first)}
    report = verify(project.folder / "results")
    assert (report.findings, report.notes) == ([], [])
    away.rename(raw)
    assert project.run().jobs == {}
