"""`fovflow.Run` and the processes and threads that share it, crash or end."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from datetime import UTC, datetime, timedelta

import pytest
from runs.ownrecords import events_of

from fovflow import Run
from fovflow.errors import ConfigError
from fovflow.runs.store import RunFolder, list_runs


def test_another_process_is_measured(run, tmp_path):
    free = Run(outdir=tmp_path)
    free.config(suppress_errors=False, resources_metrics_interval=0.01)
    free.init()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    free.set_pid(child.pid)
    for wrong in (-1, 0, "x", 2**22 + 1, True):
        with pytest.raises(ConfigError):
            free.set_pid(wrong)
    deadline = datetime.now(UTC) + timedelta(seconds=10)
    while datetime.now(UTC) < deadline:
        if any(event["pid"] == child.pid for event in events_of(free.path, "resources")):
            break
    child.communicate(b"\n")
    free.close()
    assert {event["pid"] for event in events_of(free.path, "resources")} == {os.getpid(), child.pid}


def test_a_crash_right_after_a_call_keeps_it(tmp_path):
    code = f"""
        import os
        from fovflow import Run
        run = Run(outdir={str(tmp_path)!r})
        run.init()
        for number in range(100):
            run.log_metrics({{"n": number}})
        run.log_event("last words")
        os._exit(9)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == 9
    (folder,) = list_runs(tmp_path)
    found = folder.events()
    assert [e["metrics"]["n"] for e in found if e["type"] == "metrics"] == list(range(100))
    assert found[-1]["message"] == "last words"
    assert folder.status() == "lost"


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("", "completed"),
        ("raise ValueError(3)", "failed"),
        ("raise KeyboardInterrupt", "terminated"),
    ],
)
def test_a_run_that_nobody_closes_is_closed_at_the_end(tmp_path, ending, status):
    code = f"from fovflow import Run\nrun = Run(outdir={str(tmp_path)!r})\nrun.init()\n{ending}\n"
    subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    (folder,) = list_runs(tmp_path)
    assert folder.read_record()["status"] == status
    assert folder.read_record()["history"][-1]["message"]


def test_threads_share_a_run(run):
    run.init()

    def work(number):
        for i in range(200):
            run.log_metrics({"value": number * 1000 + i})
            run.update_metadata({str(number): i}) if i % 100 == 0 else None

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = events_of(run.path, "metrics")
    assert {event["metrics"]["value"] for event in found} == {
        number * 1000 + i for number in range(8) for i in range(200)
    }
    assert sorted(event["step"] for event in found) == list(range(1600))
    assert RunFolder(run.path).read_record()["metadata"] == {
        str(number): 100 for number in range(8)
    }


def test_a_fork_does_not_end_its_parents_run(run):
    run.init()
    pid = os.fork()
    if pid == 0:
        run.close("failed")
        os._exit(0)
    os.waitpid(pid, 0)
    assert run.status == "running"
