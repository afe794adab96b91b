"""The profile for other schedulers, with a "cluster" that runs jobs in the background."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fovflow.runs.state import cluster_costs, read_run
from paths import ROOT
from workflow_project import Project, make_project

pytest.importorskip("snakemake_executor_plugin_cluster_generic")
pytestmark = [pytest.mark.workflow, pytest.mark.slow]

SUBMIT = """#!/bin/sh
setsid sh "$1" >"$1.log" 2>&1 </dev/null &
echo $! | tee -a jobs.txt
"""
CANCEL = """#!/bin/sh
for job in "$@"; do kill -KILL -- "-$job"; done
"""


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of two fields of view, and its scheduler."""
    project = make_project(tmp_path_factory.mktemp("movie"), positions=2, frames=4)
    for name, text in (("submit", SUBMIT), ("cancel", CANCEL)):
        file = project.folder / name
        file.write_text(text)
        file.chmod(0o755)
    return project


class Running:
    """Snakemake at work with the profile, ended by its own id."""

    def __init__(self, project: Project):
        self.project = project
        project.write_config()
        self.log = project.folder / "snakemake.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"),
                 "--workflow-profile", str(ROOT / "profiles" / "cluster-generic"), "--nocolor",
                 "--cluster-generic-submit-cmd", "./submit", "--cluster-generic-cancel-cmd",
                 "./cancel", "--max-status-checks-per-second", "10", "--latency-wait", "10"],
                cwd=project.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    @property
    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def jobs(self) -> list[int]:
        """Process groups of all jobs that were handed in."""
        file = self.project.folder / "jobs.txt"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def wait_until(self, holds: Callable[[], object]) -> None:
        for _ in range(9000):
            if holds():
                return
            assert self.process.poll() is None, self.text
            time.sleep(0.1)
        pytest.fail(f"it did not happen within a quarter of an hour\n{self.text}")

    def end(self) -> None:
        for group in (self.process.pid, *self.jobs):
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self.process.wait(20)


@pytest.fixture
def start() -> Iterator[Callable[[Project], Running]]:
    running: list[Running] = []

    def make(project: Project) -> Running:
        running.append(Running(project))
        return running[-1]

    yield make
    for one in running:
        one.end()


def test_one_job_for_each_fov_and_the_same_bytes_as_locally(
    start: Callable[[Project], Running], movie: Project, tmp_path: Path
):
    local, project = movie.copy_to(tmp_path / "local"), movie.copy_to(tmp_path / "cluster")
    done = local.run_program()
    assert done.status == 0, done.text
    running = start(project)
    assert running.process.wait(200) == 0, running.text
    assert project.outputs() == local.outputs()
    assert len(running.jobs) == 2
    costs = cluster_costs(read_run(project.only_run()))
    assert sorted(cost["id"] for cost in costs) == sorted(map(str, running.jobs))
    assert sorted(cost["what"] for cost in costs) == ["sim, FOV 0", "sim, FOV 1"]
    assert {cost["status"] for cost in costs} == {"completed"}
    assert {len(cost["jobs"]) for cost in costs} == {7}


def test_a_job_that_the_cluster_loses_is_told_of_and_not_waited_for_in_silence(
    start: Callable[[Project], Running], movie: Project, tmp_path: Path
):
    project = movie.copy_to(tmp_path / "lost")
    project.config["fovs"] = "0"
    project.config["run"] = {"silent_after_min": 0.05}
    running = start(project)
    running.wait_until(lambda: running.jobs)
    (job,) = running.jobs
    os.killpg(job, signal.SIGKILL)
    told = f"fovflow: the cluster's job {job} (sim, FOV 0) has shown no sign of life for "
    running.wait_until(lambda: running.text.count(told) >= 2)
    run = project.only_run()
    messages = [event["message"] for event in run.events() if event["type"] == "message"]
    assert messages[0].startswith(told.removeprefix("fovflow: "))
    assert "run the same command again" in messages[0]
    os.killpg(running.process.pid, signal.SIGINT)
    assert running.process.wait(60) == 1
    assert run.read_record()["status"] == "terminated"
    project.config["run"] = {}
    again = start(project)
    assert again.process.wait(200) == 0, again.text
