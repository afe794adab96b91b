"""The real pipeline records its runs, and the status is true however a run ends."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
import termios
from pathlib import Path

import pytest

from fovflow.events import read_events
from fovflow.runs.state import read_run
from fovflow.runs.store import list_runs
from paths import ROOT
from workflow_project import Project, damage_in_secret

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def test_a_good_run_is_recorded(finished_project: Project):
    run = finished_project.only_run()
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
    plan = json.loads((finished_project.results / "dataset.json").read_text())
    assert given["fingerprint"] == plan["fingerprint"]
    assert given["fovs"] == [0, 1]
    assert record["workflow"]["files"]["Snakefile"]
    assert record["environment"]["packages"]["numpy"]
    assert (run.path / "heartbeat").exists()
    assert not (run.path.parent / ".current").exists()


def test_each_job_tells_its_progress_numbers_and_outputs(finished_project: Project):
    run = finished_project.only_run()
    view = read_run(run)
    assert view.count("completed") == view.total == sum(view.planned.values())
    events = read_events(run.job_file("segment.sim.fov_001.ch_0", 1))
    kinds = [event["type"] for event in events]
    assert kinds == ["job_started", "progress", "metrics", "job_finished"]
    assert events[0]["options"]["arguments"]["method"] == "logstd"
    assert (events[1]["t"], events[1]["T"], events[1]["fov"]) == (4, 4, 1)
    assert events[2]["metrics"]["n_objects"] > 0
    stack = finished_project.file(1, "seg_ch_0.npy")
    made = events[-1]["outputs"]["fov_001/sim_fov_001_seg_ch_0.npy"]
    assert made == {
        "bytes": stack.stat().st_size,
        "sha256": hashlib.sha256(stack.read_bytes()).hexdigest(),
    }
    record = json.loads(
        (finished_project.results / "logs" / "fov_001" / "segment_ch_0.json").read_text()
    )
    assert record["outputs"] == events[-1]["outputs"]
    assert events[-1]["cpu_s"] > 0
    metrics = {
        name
        for job in view.last()
        for name in job.metrics
    }  # fmt: skip
    assert {"n_objects", "threshold", "background_level", "n_cells", "n_good_cells"} <= metrics


def test_the_engine_speaks_only_for_jobs_that_do_not_speak_themselves(finished_project: Project):
    run = finished_project.only_run()
    own = [event for event in run.events() if event["type"].startswith("job_")]
    assert {event["rule"] for event in own} == {"all"}
    assert [event["type"] for event in own] == ["job_started", "job_finished"]


def test_nothing_to_do_dry_runs_lint_and_unlock_leave_no_run(
    finished_project: Project, tmp_path: Path
):
    finished_project = finished_project.copy_to(tmp_path / "copy")
    before = {run.id for run in list_runs(finished_project.folder / "results")}
    again = finished_project.run()
    assert again.jobs == {}
    finished_project.run("--dry-run", "--forceall")
    finished_project.run("--unlock")
    finished_project.run("--touch", "--forceall")
    finished_project.run("--lint")
    assert {run.id for run in list_runs(finished_project.folder / "results")} == before


def test_a_broken_fov_makes_the_run_failed_and_tells_why(finished_project: Project, tmp_path: Path):
    project = finished_project.copy_to(tmp_path / "broken")
    shutil.rmtree(project.folder / "results" / "runs")
    stack = project.file(1, "pc_ch_0.npy")
    damage_in_secret(stack)
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
    assert run.attempts_of(failure["job"]) == [1, 2]
    assert not [event for event in run.events() if event["type"] == "job_failed"]
    assert record["counts"]["failed"] == 1


def test_runs_that_cannot_be_recorded_go_on(finished_project: Project, tmp_path: Path):
    project = finished_project.copy_to(tmp_path / "closed")
    shutil.rmtree(project.folder / "results" / "runs")
    (project.folder / "results" / "runs").write_text("a file where the folder should be")
    project.file(1, "traces.csv").unlink()
    done = project.run()
    assert done.status == 0, done.text
    assert done.text.count("is not recorded further") == 1
    assert project.file(1, "traces.csv").exists()


def test_the_plugin_can_be_named_and_configured(finished_project: Project, tmp_path: Path):
    project = finished_project.copy_to(tmp_path / "named")
    shutil.rmtree(project.folder / "results" / "runs")
    project.file(1, "traces.csv").unlink()
    done = project.run("--logger", "fovflow", "--logger-fovflow-display", "plain")
    assert done.status == 0, done.text
    run = project.only_run()
    assert run.status() == "completed"
    assert read_run(run).count("completed") == read_run(run).total
    assert done.jobs["extract"] == 1


def test_a_clone_without_the_installed_package_records_too(
    finished_project: Project, tmp_path: Path
):
    project = finished_project.copy_to(tmp_path / "bare")
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
    return process.wait(600), b"".join(parts).decode("utf-8", "replace")


def test_a_terminal_shows_the_run_live_and_one_sentence_per_error(slow: Project):
    stack = slow.file(1, "pc_ch_0.npy")
    damage_in_secret(stack)
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


def test_without_a_terminal_fovflow_run_prints_a_line_for_each_job(
    finished_project: Project, tmp_path
):
    project = finished_project.copy_to(tmp_path / "copy")
    project.file(1, "traces.csv").unlink()
    command = [sys.executable, "-m", "fovflow", "run", "--cores", "2"]

    def lines() -> list[str]:
        done = subprocess.run(
            command, cwd=project.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return [line for line in done.stderr.splitlines() if line]

    printed = lines()
    told = [line for line in printed if re.match(r"\d+ of 5: ", line)]
    assert told[0] == "1 of 5: sim, FOV 001: extract traces"
    assert told[-1] == "5 of 5: all datasets: everything is there"
    assert any(line.startswith("sim: 2 of 2 FOVs complete; ") for line in printed)
    assert "to look at: results/report.html" in printed
    assert len(printed) < 20
    assert not {"Building DAG of jobs...", "Select jobs to execute..."} & {*printed}
    assert any("Nothing to be done" in line for line in lines())
