"""The real pipeline records its runs, and the status is true however a run ends."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import sysconfig
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fovflow.runs.reader import read_run
from fovflow.runs.store import RunFolder, list_runs
from paths import ROOT
from workflow_project import Project, make_project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

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


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after one good run."""
    project = make_project(tmp_path_factory.mktemp("recorded"), positions=2, frames=4)
    done = project.run()
    assert done.status == 0, done.text
    return project


@pytest.fixture
def slow(recorded: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose segmentation takes a second, by a plug-in."""
    plugin = tmp_path / "plugin"
    info = plugin / "slow-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fovflow.segmenters]\nslow = slow_segmenter:Slow\n")
    (plugin / "slow_segmenter.py").write_text(SLOW_STEP)
    monkeypatch.setenv("PYTHONPATH", str(plugin))
    project = recorded.copy_to(tmp_path / "slow")
    shutil.rmtree(project.folder / "results" / "runs")
    project.config["segment"] = {"method": "slow", "options": {}}
    project.config["run"] = {"progress_every": 1}
    project.write_config()
    return project


def job_events(run: RunFolder, job: str, attempt: int = 1) -> list[dict[str, Any]]:
    text = run.job_file(job, attempt).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


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
        for _ in range(1200):
            if holds():
                return
            assert self.process.poll() is None, self.process.communicate()[0]
            time.sleep(0.05)
        pytest.fail("it did not happen within a minute")

    def segmenting(self) -> bool:
        """Tell whether a segmentation is under way."""
        jobs = (self.project.folder / "results" / "runs").glob("*/jobs/segment*/attempt-1.jsonl")
        return any('"progress"' in path.read_text() for path in jobs)

    def end(self) -> tuple[int, str]:
        text, _ = self.process.communicate(timeout=60)
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


def test_a_good_run_is_recorded(recorded: Project):
    run = recorded.only_run()
    record = run.read_record()
    assert [entry["status"] for entry in record["history"]] == ["created", "running", "completed"]
    assert run.status() == "completed"
    assert record["started"] <= record["ended"]
    assert record["jobs"]["segment"] == 2
    total = sum(record["jobs"].values())
    assert record["counts"] == {
        "total": total, "completed": total, "failed": 0, "terminated": 0, "not_done": 0
    }  # fmt: skip
    assert record["failures"] == []
    assert "--cores 2" in record["command"]
    assert record["config"]["datasets"]["sim"]["path"] == "raw/sim.nd2"
    assert len(record["config_sha256"]) == 64
    (given,) = record["inputs"]
    plan = json.loads((recorded.results / "dataset.json").read_text())
    assert given["fingerprint"] == plan["fingerprint"]
    assert given["fovs"] == [0, 1]
    assert record["workflow"]["files"]["Snakefile"]
    assert record["environment"]["packages"]["numpy"]
    assert (run.path / "heartbeat").exists()
    assert not (run.path.parent / ".current").exists()


def test_each_job_tells_its_progress_numbers_and_outputs(recorded: Project):
    run = recorded.only_run()
    view = read_run(run)
    assert view.count("completed") == view.total == sum(view.planned.values())
    events = job_events(run, "segment.sim.fov_001.ch_0")
    kinds = [event["type"] for event in events]
    assert kinds == ["job_started", "progress", "metrics", "job_finished"]
    assert events[0]["params"]["arguments"]["method"] == "logstd"
    assert (events[1]["t"], events[1]["T"], events[1]["fov"]) == (4, 4, 1)
    assert events[2]["metrics"]["n_objects"] > 0
    stack = recorded.file(1, "seg_ch_0.npy")
    made = events[-1]["outputs"]["fov_001/sim_fov_001_seg_ch_0.npy"]
    assert made == {
        "bytes": stack.stat().st_size,
        "sha256": hashlib.sha256(stack.read_bytes()).hexdigest(),
    }
    record = json.loads((recorded.results / "logs" / "fov_001" / "segment_ch_0.json").read_text())
    assert record["outputs"] == events[-1]["outputs"]
    assert events[-1]["cpu_s"] > 0
    metrics = {
        name
        for job in view.last()
        for name in job.metrics
    }  # fmt: skip
    assert {"n_objects", "threshold", "background_level", "n_cells", "n_good_cells"} <= metrics


def test_the_engine_speaks_only_for_jobs_that_do_not_speak_themselves(recorded: Project):
    run = recorded.only_run()
    own = [event for event in run.events() if event["type"].startswith("job_")]
    assert {event["rule"] for event in own} == {"all"}
    assert [event["type"] for event in own] == ["job_started", "job_finished"]


def test_nothing_to_do_dry_runs_lint_and_unlock_leave_no_run(recorded: Project):
    before = {run.id for run in list_runs(recorded.folder / "results")}
    again = recorded.run()
    assert again.jobs == {}
    recorded.run("--dry-run", "--forceall")
    recorded.run("--unlock")
    recorded.run("--touch", "--forceall")
    recorded.run("--lint")
    assert {run.id for run in list_runs(recorded.folder / "results")} == before


def test_a_broken_fov_makes_the_run_failed_and_tells_why(recorded: Project, tmp_path: Path):
    project = recorded.copy_to(tmp_path / "broken")
    shutil.rmtree(project.folder / "results" / "runs")
    stack = project.file(1, "pc_ch_0.npy")
    stack.write_bytes(stack.read_bytes()[:-100])
    for fov in range(2):
        project.file(fov, "seg_ch_0.npy").unlink()
    done = project.run("--retries", "1")
    assert done.status == 1
    assert "sim, FOV 1, channel 0: segment failed:" in done.text
    run = project.only_run()
    record = run.read_record()
    assert record["status"] == "failed"
    assert record["history"][-1]["message"].startswith("of ")
    (failure,) = record["failures"]
    assert failure["wildcards"] == {"dataset": "sim", "fov": "001", "channel": "0"}
    assert "does not hold what its header announces" in failure["error"]
    assert failure["attempt"] == 2
    assert (project.folder / failure["log"]).exists()
    assert [attempt for job, attempt, _ in run.attempts() if job == failure["job"]] == [1, 2]
    assert not [event for event in run.events() if event["type"] == "job_failed"]
    assert record["counts"]["failed"] == 1


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


def test_runs_that_cannot_be_recorded_go_on(recorded: Project, tmp_path: Path):
    project = recorded.copy_to(tmp_path / "closed")
    shutil.rmtree(project.folder / "results" / "runs")
    (project.folder / "results" / "runs").write_text("a file where the folder should be")
    project.file(1, "traces.csv").unlink()
    done = project.run()
    assert done.status == 0, done.text
    assert done.text.count("is not recorded further") == 1
    assert project.file(1, "traces.csv").exists()


def test_the_plugin_can_be_named_and_configured(recorded: Project, tmp_path: Path):
    project = recorded.copy_to(tmp_path / "named")
    shutil.rmtree(project.folder / "results" / "runs")
    project.file(1, "traces.csv").unlink()
    done = project.run("--logger", "fovflow", "--logger-fovflow-display", "plain")
    assert done.status == 0, done.text
    run = project.only_run()
    assert run.status() == "completed"
    assert read_run(run).count("completed") == read_run(run).total
    assert done.jobs["extract"] == 1


def test_a_clone_without_the_installed_package_records_too(recorded: Project, tmp_path: Path):
    project = recorded.copy_to(tmp_path / "bare")
    shutil.rmtree(project.folder / "results" / "runs")
    project.file(1, "traces.csv").unlink()
    project.write_config()
    code = (  # no .pth files are read: an editable installation is not seen
        "import importlib.util, sys\n"
        f"sys.path.append({sysconfig.get_paths()['purelib']!r})\n"
        "assert importlib.util.find_spec('snakemake_logger_plugin_fovflow') is None\n"
        "from snakemake.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"],
        cwd=project.folder, capture_output=True, text=True, check=False,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = project.only_run()
    assert run.status() == "completed"
    assert run.job_file("extract.sim.fov_001", 1).exists()


def on_a_terminal(project: Project, *options: str) -> tuple[int, str]:
    """Run the pipeline on a terminal of 100 columns; return its exit status and its screen."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    project.write_config()
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"),
         "--cores", "1", *options],
        cwd=project.folder, stdin=slave, stdout=slave, stderr=slave,
        env={**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    os.close(slave)
    parts = []
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    os.close(master)
    return process.wait(60), b"".join(parts).decode("utf-8", "replace")


def test_a_terminal_shows_the_run_live_and_one_sentence_per_error(slow: Project):
    stack = slow.file(1, "pc_ch_0.npy")
    stack.write_bytes(stack.read_bytes()[:-100])
    status, text = on_a_terminal(slow)
    assert status == 1
    assert "\x1b[J" in text
    assert re.search(r"segment sim, FOV 0, channel 0 .* frame [1-4] of 4", text)
    name = slow.only_run().read_record()["name"]
    assert f"{name} ░" in text
    assert text.count("sim, FOV 1, channel 0: segment failed:") == 1
    for chatter in ("Select jobs to execute", "Error in rule", "RuleException", "Finished jobid"):
        assert chatter not in text
    after = text[text.rindex("\x1b[J") :]
    assert f"{name}: " in after
    assert "records: results/runs/" in after
    assert "sim: 1 of 2 FOVs complete" in text


def test_a_person_may_ask_for_plain_lines(slow: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FOVFLOW_DISPLAY", "plain")
    slow.config["fovs"] = "0"
    status, text = on_a_terminal(slow)
    assert status == 0
    assert "\x1b[J" not in text
    assert "Select jobs to execute" in text
