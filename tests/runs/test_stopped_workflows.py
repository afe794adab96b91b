"""The status of a run is true however the run ends, and the next one goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from fovflow.runs.state import read_run
from fovflow.runs.store import list_runs
from paths import ROOT
from workflow_project import Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


class Started:
    """A pipeline at work, ended by its own id."""

    def __init__(self, project: Project, *options: str):
        self.project = project
        self.process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"),
             "--cores", "2", "--nocolor", *options],
            cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip

    def wait_until(self, holds: Callable[[], bool]) -> None:
        for _ in range(12_000):
            if holds():
                return
            assert self.process.poll() is None, self.process.communicate()[0]
            time.sleep(0.05)
        pytest.fail("it did not happen within ten minutes")

    def segmenting(self) -> bool:
        """Tell whether a segmentation is under way."""
        jobs = (self.project.folder / "results" / "runs").glob("*/jobs/segment*/attempt-1.jsonl")
        return any('"progress"' in path.read_text() for path in jobs)

    def end(self) -> tuple[int, str]:
        text, _ = self.process.communicate(timeout=600)
        return self.process.returncode, text


@pytest.fixture
def start(slow: Project) -> Iterator[Callable[..., Started]]:
    started: list[Started] = []

    def make(*options: str) -> Started:
        started.append(Started(slow, *options))
        return started[-1]

    yield make
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


def test_ctrl_c_terminates_the_run(start, slow: Project):
    running = start()
    running.wait_until(running.segmenting)
    os.killpg(running.process.pid, signal.SIGINT)
    status, text = running.end()
    assert status == 1
    record = slow.only_run().read_record()
    assert record["status"] == "terminated", text
    assert record["history"][-1]["message"].startswith("stopped by the user (Ctrl-C)")
    assert record["counts"]["failed"] == 0
    assert record["counts"]["terminated"] >= 1
    assert "segment stopped" in text
    assert not list(slow.results.rglob("*.part"))
    assert "unexpected" not in text


def test_sigterm_lets_jobs_finish_and_terminates_the_run(start, slow: Project):
    running = start()
    running.wait_until(running.segmenting)
    running.process.terminate()
    status, text = running.end()
    assert status == 1
    record = slow.only_run().read_record()
    assert record["status"] == "terminated", text
    assert record["history"][-1]["message"].startswith("stopped by SIGTERM")
    assert record["counts"]["terminated"] == 0
    assert record["counts"]["not_done"] > 0


def test_a_killed_run_is_lost_and_the_next_one_goes_on(start, slow: Project):
    running = start()
    running.wait_until(running.segmenting)
    os.killpg(running.process.pid, signal.SIGKILL)
    running.end()
    run = slow.only_run()
    assert run.read_record()["status"] == "running"
    assert run.status() == "lost"
    assert (run.path.parent / ".current").read_text().strip() == run.id
    slow.run("--unlock")
    done = slow.run()
    assert done.status == 0, done.text
    first, second = list_runs(slow.folder / "results")
    assert (first.status(), second.status()) == ("lost", "completed")


def test_a_job_that_is_killed_is_told_of_by_the_engine(start, slow: Project):
    running = start()
    running.wait_until(running.segmenting)
    run = slow.only_run()
    job = next(iter(read_run(run).running))
    os.kill(job.pid, signal.SIGKILL)
    status, _ = running.end()
    assert status == 1
    (failure,) = run.read_record()["failures"]
    assert failure["job"] == job.job
    assert failure["error"].startswith("it ended without a word: killed")
    (event,) = [event for event in run.events() if event["type"] == "job_failed"]
    assert event["job"] == job.job


def test_an_alert_stops_the_run_cleanly(slow: Project):
    slow.config["run"]["alerts"] = [
        {
            "name": "few cells", "metric": "n_objects", "rule": "is below", "threshold": 5,
            "frequency_s": 0.1, "on_alert": "stop_run",
        }
    ]  # fmt: skip
    done = slow.run()
    assert done.status == 1
    run = slow.only_run()
    record = run.read_record()
    assert record["status"] == "terminated", done.text
    assert record["history"][-1]["message"].startswith("alert few cells")
    alerts = read_run(run).alerts
    assert alerts[0]["name"] == "few cells"
    assert alerts[0]["action"] == "stop_run"
    assert record["counts"]["not_done"] > 0
    assert "the run is stopped: alert few cells" in done.text
    assert not list(slow.results.rglob("*.part"))


def test_an_alert_stops_one_job(slow: Project):
    slow.config["run"]["alerts"] = [
        {
            "name": "few cells", "metric": "n_objects", "rule": "is below", "threshold": 5,
            "frequency_s": 0.1, "on_alert": "stop_job",
        }
    ]  # fmt: skip
    slow.config["fovs"] = "0"
    slow.config["segment"]["options"] = {"seconds": 2.0}
    done = slow.run()
    assert done.status == 1
    record = slow.only_run().read_record()
    assert record["status"] == "failed"
    (failure,) = record["failures"]
    assert failure["error"] == "stopped: alert few cells"
    assert record["counts"]["terminated"] == 1
