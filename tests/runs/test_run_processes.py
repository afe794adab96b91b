"""`fovflow.Run` and the processes and threads that share it, crash or end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from runs.ownrecords import events_of

from fovflow import Run, execution
from fovflow.errors import ConfigError
from fovflow.events import Journal, read_events
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


@pytest.mark.parametrize("begin", ["before", "inside"])
def test_a_run_belongs_to_the_process_that_begins_it(tmp_path, begin):
    run = Run(outdir=tmp_path)
    if begin == "before":
        run.init()

    def work():
        with suppress(SystemExit), run:
            if begin == "inside":
                run.init()
            sys.exit(3)

    assert forked(work) == 0
    (folder,) = list_runs(tmp_path)
    assert folder.status() == {"before": "running", "inside": "failed"}[begin]
    messages = [event for event in folder.events() if event["type"] == "message"]
    assert len(messages) == (begin == "inside")
    run.close()


def test_a_child_does_not_end_an_execution(tmp_path):
    with execution(outdir=tmp_path) as exe:
        exe.output_path("Table", "a").write_text("a")
        assert forked(lambda: exe.__exit__(None, None, None)) == 0
        assert exe.run.status == "running"
    assert len(events_of(exe.folder, "artifact")) == 1


SIGNALS = """
import signal, sys, time
from fovflow import Run

run = Run(outdir=sys.argv[1])
run.config(disable_resources_metrics=True)
run.init()

def handle(*_):
    run.log_event("tick")
    run.update_metadata({"of_handler": time.time()})

signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.4, 0.4)
until = time.monotonic() + 3
while time.monotonic() < until:
    run.log_metrics({"x": 1})
    run.update_metadata({"y": 1})
signal.setitimer(signal.ITIMER_REAL, 0)
run.close()
"""


def test_handlers_of_signals_may_record(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SIGNALS, tmp_path],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder,) = list_runs(tmp_path)
    assert folder.status() == "completed"
    assert "tick" in [event["message"] for event in events_of(folder.path, "message")]


def test_an_error_at_a_prompt_is_no_end_of_the_program(tmp_path):
    code = """
        import sys
        from fovflow import Run
        run = Run(outdir=sys.argv[1])
        run.init()
        sys.ps1, sys.last_type, sys.last_value = ">>> ", NameError, NameError("a typo")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), tmp_path], check=True)
    (folder,) = list_runs(tmp_path)
    assert folder.status() == "completed"


def forked(work):
    """Do something in a child of this process, which ends when it hangs; return its status."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return status


FORKS = """
import json, os, signal, sys, threading
from fovflow import Run

run = Run(outdir=sys.argv[1])
run.config(suppress_errors=False, disable_resources_metrics=True)
run.init()
stop = threading.Event()

def spam():
    while not stop.is_set():
        run.log_metrics({"x": 1.0})
        run.update_metadata({"y": 1})

def forked(n):
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        try:
            run.log_metrics({"child": n})
            run.update_tags([f"t{n}"])
        finally:
            os._exit(0)
    return os.waitpid(pid, 0)[1]

threads = [threading.Thread(target=spam) for _ in range(4)]
for thread in threads:
    thread.start()
found = [forked(n) for n in range(15)]
stop.set()
for thread in threads:
    thread.join()
run.update_tags(["parent"])
run.close()
print(json.dumps(found))
"""


def test_children_of_a_process_whose_threads_log_do_not_hang(tmp_path):
    """In a process of its own: what measures the coverage has locks that a fork leaves locked."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-c", FORKS, tmp_path],
        env=bare, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [0] * 15
    (folder,) = list_runs(tmp_path)
    logged = [
        e["metrics"]["child"] for e in events_of(folder.path, "metrics") if "child" in e["metrics"]
    ]
    assert sorted(logged) == list(range(15))
    assert set(folder.read_record()["tags"]) == {*(f"t{n}" for n in range(15)), "parent"}


def test_what_a_parent_could_not_write_is_written_once(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "e.jsonl")
    monkeypatch.setattr(journal, "_append", lambda line: False)
    journal.write("message", message="kept")
    monkeypatch.undo()
    assert forked(lambda: journal.write("message", message="child")) == 0
    journal.close()
    assert [e["message"] for e in read_events(tmp_path / "e.jsonl")] == ["child", "kept"]


def test_odd_text_and_numbers_are_recorded(tmp_path):
    run = Run(outdir=tmp_path)
    run.config(suppress_errors=False, disable_resources_metrics=True)
    assert run.init("a\udc80", tags=["t\ud800"], metadata={"k\udc80": "v\udc80"})
    assert run.log_metrics({"x\udc80": 10**400, "y": 10**5000, "z": 1e308})
    assert run.log_event("m\udc80")
    assert run.update_metadata({"n": "\udfff"})
    for value in (10**400, 10**5000, float("inf")):
        with pytest.raises(ConfigError, match="is not finite"):
            run.update_metadata({"n": value})
    run.close()
    (found,) = events_of(run.path, "metrics")
    assert found["metrics"] == {"x?": "inf", "y": "inf", "z": 1e308}
    assert RunFolder(run.path).read_record()["metadata"] == {"k?": "v?", "n": "?"}
    for wrong in (10**400, 10**5000, float("inf"), float("nan"), 1e300, 0, -1):
        with pytest.raises(ConfigError):
            Run(outdir=tmp_path).config(resources_metrics_interval=wrong)
        with pytest.raises(ConfigError):
            run.add_alert("a", metric="x", rule="is above", threshold=1, frequency=wrong)


TOLD_TO_END = """
    import signal, sys, time
    import fovflow
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # it may be ignored where tests run
    {begin}
    run.log_event("begun")
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("form", ["with", "alone", "execution"])
def test_a_script_that_is_told_to_end_is_terminated(tmp_path, number, form):
    place = f"outdir={str(tmp_path)!r}"
    begin = {
        "with": f"with fovflow.Run({place}) as run:\n        run.init()",
        "alone": f"run = fovflow.Run({place})\n    run.init()",
        "execution": f"with fovflow.execution({place}) as exe:\n        run = exe.run",
    }[form]
    body = TOLD_TO_END.format(begin=begin)
    if form != "alone":
        head, tail = body.split("    run.log_event", 1)
        body = head + "        run.log_event" + tail.replace("\n    ", "\n        ")
    command = [sys.executable, "-c", textwrap.dedent(body)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        try:
            assert process.wait(60) == 128 + number
        finally:
            process.kill()
    (folder,) = list_runs(tmp_path)
    told = {signal.SIGTERM: "stopped by SIGTERM", signal.SIGHUP: "stopped: the terminal was closed"}
    assert folder.status() == "terminated"
    assert folder.read_record()["history"][-1]["message"] == told[number]


def test_children_and_handlers_of_others_are_left_alone(tmp_path):
    mine = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        kept = signal.getsignal(signal.SIGTERM)
        with Run(outdir=tmp_path) as run:
            run.init()
            assert signal.getsignal(signal.SIGTERM) is kept
    finally:
        signal.signal(signal.SIGTERM, mine)
    with Run(outdir=tmp_path) as run:
        run.init()
        assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, kept)
        reads, writes = os.pipe()
        if not (pid := os.fork()):
            os.write(writes, b"x")  # Python forgets signals that come in while it forks
            time.sleep(60)
            os._exit(9)
        assert os.read(reads, 1) == b"x"
        os.kill(pid, signal.SIGTERM)
        os.close(reads)
        os.close(writes)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
