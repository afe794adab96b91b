"""Commands that a run starts: what they print, use, and how they end."""

from __future__ import annotations

import sys
import time

import pytest
from runs.ownrecords import events_of

from fovflow import Run
from fovflow.errors import ConfigError
from fovflow.runs import session
from fovflow.runs.store import RunFolder

PYTHON = [sys.executable, "-u", "-c"]


@pytest.fixture
def run(tmp_path):
    made = Run(outdir=tmp_path)
    made.config(suppress_errors=False, disable_resources_metrics=True)
    made.init("work")
    yield made
    made.close()


def messages(run):
    return [(e["message"], e.get("level")) for e in events_of(run.path, "message")]


def test_a_command_is_waited_for_and_what_it_prints_is_kept(run, tmp_path):
    code = "import os, sys; print(os.getcwd(), os.environ['A']); print('oh', file=sys.stderr)"
    assert run.add_process("solver", [*PYTHON, code], cwd=tmp_path, env={"A": "7"})
    run.close()
    assert run.status == "completed"
    out, err = events_of(run.path, "artifact")
    folder = RunFolder(run.path).path
    assert (folder / out["path"]).read_text() == f"{tmp_path} 7\n"
    assert (err["name"], err["bytes"], err["category"]) == ("solver.err", 3, "output")
    assert messages(run)[-1] == ("process solver ended with 0", None)


def test_one_that_fails_fails_the_run(run):
    run.add_process("bad", [*PYTHON, "raise SystemExit(3)"])
    run.add_alert("died", source="events", pattern="ended with [^0]")
    assert run.wait_for_process("bad") == 3
    assert run.wait_for_process("other") is None
    run.close()
    assert run.status == "failed"
    assert RunFolder(run.path).read_record()["history"][-1]["message"] == (
        "process bad ended with 3"
    )
    assert ("process bad ended with 3", "error") in messages(run)
    assert ("alert died: process bad ended with 3", "alert") in messages(run)


def test_one_that_is_killed_does_not(run, monkeypatch):
    monkeypatch.setattr(session, "PATIENCE_S", 0.2)
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1); time.sleep(600)"
    run.add_process("long", [*PYTHON, "import time; time.sleep(600)"])
    run.add_process("stubborn", [*PYTHON, stubborn])
    printed = RunFolder(run.path).path / "artifacts" / "processes" / "stubborn.out"
    until = time.monotonic() + 300
    while not printed.read_text() and time.monotonic() < until:
        time.sleep(0.01)
    assert run.wait_for_process("long", 0.01) is None
    run.kill_process("long")
    run.kill_process("stubborn")
    assert run.wait_for_process("stubborn") == -9
    run.close()
    assert run.status == "completed"
    assert ("process long was stopped", None) in messages(run)


def test_an_exception_ends_it(tmp_path):
    run = Run(outdir=tmp_path)
    with pytest.raises(RuntimeError), run:
        run.init("work")
        run.add_process("long", [*PYTHON, "import time; time.sleep(600)"])
        raise RuntimeError("no more")
    assert run.status == "failed"
    assert run.wait_for_process("long") == -15
    assert RunFolder(run.path).read_record()["history"][-1]["message"] == "RuntimeError: no more"


def test_wrong_commands_are_told(run):
    with pytest.raises(ConfigError, match="is a list"):
        run.add_process("a", "echo hi")
    with pytest.raises(ConfigError, match="holds /"):
        run.add_process("a/b", PYTHON)
    with pytest.raises(OSError, match="no such program"):
        run.add_process("a", ["no such program"])
    run.add_process("b", [*PYTHON, ""])
    with pytest.raises(ConfigError, match="taken"):
        run.add_process("b", [*PYTHON, ""])
    with pytest.raises(ConfigError, match="no process 'c'"):
        run.kill_process("c")
