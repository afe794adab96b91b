"""Whole runs on a real SLURM cluster: the same bytes, one job for a field of view, its records."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fovflow.runs.state import cluster_costs, read_run
from fovflow.runs.store import list_runs
from slurm.cluster import Cluster
from slurm.conftest import ClusterRun
from workflow_project import Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

Start = Callable[..., ClusterRun]


def of_fovs(outputs: dict[str, bytes], number: int) -> dict[str, bytes]:
    """Return the files of the first fields of view."""
    folders = tuple(f"fov_{fov:03d}/" for fov in range(number))
    return {name: content for name, content in outputs.items() if name.startswith(folders)}


def command(project: Project, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fovflow", *words], cwd=project.folder, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_a_whole_run_makes_the_same_bytes_with_one_job_for_each_fov(
    cluster: Cluster, start: Start, movie: Project, local: dict[str, bytes], tmp_path: Path
):
    project = movie.copy_to(tmp_path / "whole")
    project.config["run"]["alerts"] = [
        {"name": "cells", "metric": "n_objects", "rule": "is above", "threshold": 0,
         "frequency_s": 0.1}
    ]  # fmt: skip
    project.config["fovs"] = "0-1"
    before = set(cluster.jobs())
    run = start(project)
    run.wait_until(lambda: list((project.folder / "results").glob("runs/*/run.json")), "record")
    watch = command(project, "watch", "results")
    assert run.wait() == 0, run.text
    seen, _ = watch.communicate(timeout=300)
    assert watch.returncode == 0, seen
    assert "alert cells" in seen
    made = project.outputs()
    assert of_fovs(made, 2) == of_fovs(local, 2)
    assert not [name for name in made if ".part" in name]

    jobs = {ident: job for ident, job in cluster.jobs().items() if ident not in before}
    assert len(jobs) == 2
    fovs = {job["comment"].split("_fov_")[1][:3] for job in jobs.values()}
    assert fovs == {f"{fov:03d}" for fov in range(2)}
    assert {job["state"] for job in jobs.values()} == {"COMPLETED"}
    assert {job["cpus"] for job in jobs.values()} == {"1"}

    (record,) = list_runs(project.folder / "results")
    content, view = record.read_record(), read_run(record)
    assert content["status"] == "completed"
    assert content["counts"]["completed"] == content["counts"]["total"] == 2 * 8 + 3
    assert {job["name"] for job in jobs.values()} == {content["cluster"]["name"]}
    assert view.alerts
    progress = record.job_file("segment.sim.fov_001.ch_0", 1).read_text()
    assert progress.count('"progress"') == 4

    costs = cluster_costs(view)
    assert {cost["id"] for cost in costs} == set(jobs)
    for cost in costs:
        job = jobs[cost["id"]]
        assert cost["status"] == "completed"
        assert cost["node"] == job["node"]
        assert cost["cpus"] == 1
        assert f"{cost['memory_mb']}M" == job["memory"]
        assert cost["what"] == f"sim, FOV {int(job['comment'].split('_fov_')[1][:3])}"
        assert len(cost["jobs"]) == 8
        assert 0 < cost["cpu_s"] < cost["seconds"] < 60
    shown, _ = command(project, "runs", "show", "--json").communicate(timeout=300)
    assert json.loads(shown)["cluster_jobs"] == costs
    shown, _ = command(project, "runs", "show").communicate(timeout=300)
    assert "jobs of the cluster: 2, " in shown
    assert "MB asked for" in shown

    assert start(project).wait() == 0
    assert len(list_runs(project.folder / "results")) == 1, "there was nothing to do"


def test_a_killed_head_leaves_orphans_that_the_next_run_refuses_to_join(
    cluster: Cluster, start: Start, movie: Project, local: dict[str, bytes], tmp_path: Path
):
    project = movie.copy_to(tmp_path / "orphans")
    (project.folder / "trouble" / "0").write_text("slow 20")
    project.config["fovs"] = "0"
    run = start(project)
    run.wait_until(lambda: run.at_step(0), "step")
    run.kill()
    (killed,) = list_runs(project.folder / "results")
    assert killed.status() == "lost"
    orphan = run.slurm_job(0)
    assert cluster.jobs()[orphan]["state"] == "RUNNING"

    second = start(project)
    assert second.wait(120) == 1
    name = killed.read_record()["cluster"]["name"]
    assert f"scancel --name {name}" in second.text
    assert f"SLURM jobs {orphan};" in second.text
    assert "Traceback" not in second.text
    assert cluster.jobs()[orphan]["state"] == "RUNNING"

    cluster.command("scancel", "--name", name)
    cluster.wait_for(lambda: cluster.idle() == cluster.nodes, "idle nodes")
    (project.folder / "trouble" / "0").unlink()
    unlock = start(project, "--unlock")
    assert unlock.wait(120) == 0, unlock.text
    third = start(project)
    assert third.wait() == 0, third.text
    assert of_fovs(project.outputs(), 1) == of_fovs(local, 1)


def test_a_run_that_is_stopped_cancels_its_jobs_and_goes_on_later(
    cluster: Cluster, start: Start, movie: Project, local: dict[str, bytes], tmp_path: Path
):
    project = movie.copy_to(tmp_path / "stopped")
    trouble = project.folder / "trouble" / "0"
    trouble.write_text("slow 100")
    project.config["fovs"] = "0"

    def stopped(run: ClusterRun, job: str) -> None:
        assert run.wait(180) != 0
        assert "Traceback" not in run.text
        assert list_runs(project.folder / "results")[-1].read_record()["status"] == "terminated"
        states = {"CANCELLED", "FAILED"}
        cluster.wait_for(lambda: cluster.jobs()[job]["state"] in states, "the job's end")

    by_key = start(project)
    by_key.wait_until(lambda: by_key.at_step(0), "step")
    job = by_key.slurm_job(0)
    os.killpg(by_key.process.pid, signal.SIGINT)
    stopped(by_key, job)

    project.config["run"]["alerts"] = [
        {"name": "cells", "metric": "n_objects", "rule": "is above", "threshold": 0,
         "frequency_s": 0.1, "on_alert": "stop_run"}
    ]  # fmt: skip
    by_alert = start(project)
    by_alert.wait_until(lambda: by_alert.slurm_job(0) not in ("", job), "job")
    stopped(by_alert, by_alert.slurm_job(0))
    assert "fovflow: the run is stopped: alert cells" in by_alert.text
    assert len(list_runs(project.folder / "results")) == 2

    trouble.unlink()
    del project.config["run"]["alerts"]
    again = start(project)
    assert again.wait() == 0, again.text
    assert of_fovs(project.outputs(), 1) == of_fovs(local, 1)
