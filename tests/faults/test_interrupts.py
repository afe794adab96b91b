"""Ctrl-C at moments when nothing is ready for it: in planning, and while jobs still import."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from faults.killing import Running, locked

from fovflow.cli import main
from workflow_project import Project

SEED = 31

IMPORTS_S = 0.4
"""Longest delay, in seconds, after the start of a job; its imports take about as long."""

PLANNING_S = 0.5

STOPPED = "stopped by the user (Ctrl-C) before the first job"

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def scripts(project: Project) -> set[str]:
    """Return the scripts that the engine has handed to Python and not yet removed."""
    return {path.name for path in (project.folder / ".snakemake" / "scripts").glob("*.py")}


def interrupt_imports(project: Project, number: int, delay: float) -> tuple[Running, str]:
    """Press Ctrl-C a moment after the start of a job; return the run and the screen."""
    running, seen = Running(project), set[str]()

    def begun() -> bool:
        seen.update(scripts(project))
        return len(seen) >= number

    try:
        assert running.wait_until(begun)
        time.sleep(delay)
        running.kill_group(signal.SIGINT)
        status, text = running.end()
    finally:
        running.clear()
    assert status == 1, text
    return running, text


def test_ctrl_c_while_jobs_import_shows_no_traceback_and_costs_nothing(quiet, fresh):
    rng = random.Random(SEED)
    for number in (1, 2, 4, 3):
        delay = rng.uniform(0, IMPORTS_S)
        running, text = interrupt_imports(fresh, number, delay)
        where = f"seed {SEED}, job {number}, {delay:.3f} s\n{text}"
        assert "Traceback" not in text, where
        assert "KeyboardInterrupt" not in text, where
        assert "Exception ignored" not in text, where
        assert running.run is not None, where
        assert running.run.read_record()["status"] == "terminated", where
        assert not running.jobs, where
        assert not locked(fresh), where
        failed = [path.read_text() for path in fresh.results.rglob("logs/**/*.json")]
        assert not [record for record in failed if '"failed"' in record], where
    again = fresh.run()
    assert again.status == 0, again.text
    assert fresh.outputs() == quiet.outputs()


def test_ctrl_c_in_planning_is_one_sentence(fresh: Project):
    fresh.write_config()
    rng = random.Random(SEED)
    for number in range(2):
        delay = rng.uniform(0, PLANNING_S)
        running = Running(fresh, "--config", f"outdir=results{number}")
        running.outdir = fresh.folder / f"results{number}"
        try:
            assert running.wait_until(running.outdir.exists)
            time.sleep(delay)
            running.kill_group(signal.SIGINT)
            _, text = running.end()
        finally:
            running.clear()
        assert "Traceback" not in text, text
        assert running.run is not None or STOPPED in text, text
        assert not locked(fresh)


def test_fovflow_run_holds_ctrl_c_back_until_snakemake_can_hear_it(fresh: Project):
    fresh.write_config()
    command = [sys.executable, "-m", "fovflow", "run", "--cores", "2"]
    process = subprocess.Popen(
        command, cwd=fresh.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True, text=True,
    )  # fmt: skip
    try:
        while not snakemake_of(process.pid):
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        text, _ = process.communicate()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 1
    assert text.splitlines()[-1] == STOPPED
    assert "Traceback" not in text
    assert not (fresh.folder / "results").exists()


def test_ctrl_c_that_a_thread_of_a_library_gets_does_not_end_fovflow_run(monkeypatch):
    started, ended = subprocess.Popen, threading.Event()
    library = threading.Thread(target=ended.wait)
    library.start()

    def start(*_, **options):
        os.kill(os.getpid(), signal.SIGINT)  # blocked here, but not in that thread
        time.sleep(0.05)
        return started([sys.executable, "-c", "raise SystemExit(3)"], **options)

    monkeypatch.setattr(subprocess, "Popen", start)
    try:
        assert main(["run", "--version"]) == 1
    finally:
        ended.set()
        library.join()


def snakemake_of(pid: int) -> bool:
    """Tell whether a process has started Snakemake."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return any(b"snakemake" in Path(f"/proc/{c}/cmdline").read_bytes() for c in children)
