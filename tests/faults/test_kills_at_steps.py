"""A run that is killed in each step, at each moment; then the same command, or the one before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from forking import snakemake

from fovflow.cli.run import read_dry_run
from fovflow.config.load import read_config
from fovflow.planning.pipeline import Pipeline
from fovflow.results import load_results
from fovflow.runs.verify import verify
from workflow_project import Project, make_project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

KILLED = """
import os, signal
import {module} as place
from fovflow.adapter.job import Job

work, write = place.{function}, Job._write_record


def kill():
    os.killpg(0, signal.SIGKILL)


def killed(job):
    if {moment!r} == "begin":
        kill()
    work(job)
    if {moment!r} == "made":
        kill()


def written(job, event):
    write(job, event)
    if job.step == {step!r} and {moment!r} == "recorded":
        kill()


place.{function}, Job._write_record = killed, written
"""

STEPS = {
    "copy": {"copy": {"crop": {"y1": 60, "x1": 60}}},
    "segment": {"segment": {"n_sigma": 6}},
    "correct": {"correct": {"method": "constant"}},
    "track": {"track": {"max_gap": 1}},
    "extract": {"extract": {"erosion_px": 1}},
    "browse": {"browse": {"pictures": 2}},
    "results": {"time_units": "s"},
    "report": {"time_units": "h"},
}
"""Steps, and a change that concerns them."""
MOMENTS = ("begin", "made", "recorded")
ALL = [(step, moment) for step in STEPS for moment in MOMENTS]


def killed_in(step: str, moment: str) -> str:
    """Return the code that kills a run with all its jobs."""
    own = step in ("results", "report")
    module = "fovflow.adapter.outcome" if own else "fovflow.processing"
    return KILLED.format(
        module=module, function=f"make_{step}" if own else step, step=step, moment=moment
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after an undisturbed run; not to be changed."""
    folder = tmp_path_factory.mktemp("done")
    size = {"seed": 0, "positions": 2, "frames": 4, "height": 64, "width": 72, "cells": 3}
    project = make_project(folder, **size)
    assert project.run().status == 0
    return project


def check(project: Project) -> None:
    """What commands say of the FOVs agrees, and so do readers of the folder."""
    project.write_config()
    dry = snakemake(project.folder, "--cores", "1", "--dry-run", "--quiet", "host")
    assert dry.status == 0, dry.text
    jobs = [job for job, _ in read_dry_run(dry.text.splitlines()) if "FOV " in job]
    os.chdir(project.folder)
    states = Pipeline(read_config("config/config.yaml")).statuses("sim")
    told = {fov: state["status"] for fov, state in states.items()}
    planned = {int(job.split("FOV ")[1].split(":")[0]) for job in jobs}
    assert {fov for fov, status in told.items() if status != "complete"} == planned
    verify(project.folder / "results")


def killed_and_run_again(done: Project, folder: Path, step: str, moment: str) -> None:
    project = done.copy_to(folder / "project")
    project.config |= STEPS[step]
    project.before = killed_in(step, moment)
    assert project.run().status != 0
    project.before = ""
    project.run("--unlock")
    check(project)
    if project.results.exists():
        found = load_results(project.results)
        assert {*found.fovs} == {0, 1}
    undone = project.copy_to(folder / "undone")
    undone.config = done.config
    check(undone)
    fresh = Project(folder / "fresh", **project.config)
    (fresh.folder / "raw").mkdir(parents=True)
    (fresh.folder / "raw/sim.nd2").hardlink_to(project.folder / "raw/sim.nd2")
    assert fresh.run().status == 0
    for each, wanted in ((undone, done), (project, fresh)):
        made = each.run()
        assert made.status == 0, made.text
        assert each.run().jobs == {}
        assert verify(each.folder / "results").findings == []
        outputs = {name: made for name, made in each.outputs().items() if ".part" not in name}
        assert outputs == wanted.outputs()
        assert {s.status for s in load_results(each.results).fovs.values()} == {"complete"}


@pytest.mark.slow_kills
@pytest.mark.parametrize(("step", "moment"), ALL)
def test_a_kill_costs_nothing_that_was_complete(done, tmp_path, monkeypatch, step, moment):
    monkeypatch.chdir(tmp_path)
    killed_and_run_again(done, tmp_path, step, moment)
