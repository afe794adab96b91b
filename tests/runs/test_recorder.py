"""The recorder on its own: what it writes, and that its failures are nobody else's."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fovflow.adapter.interrupts import Interruptions
from fovflow.events import EventFile, now
from fovflow.runs.recorder import Recorder
from fovflow.runs.screen import Announcer
from fovflow.runs.store import CURRENT, ENVIRONMENT, list_runs
from fovflow.runs.verify import verify
from snakemake_logger_plugin_fovflow import LogHandler, LogHandlerSettings

WILDCARDS = {"dataset": "sim", "fov": "001"}


def make(outdir: Path, said: list[str] | None = None) -> Recorder:
    told: list[str] = [] if said is None else said
    jobs = {"segment": 2, "all": 1}
    return Recorder(outdir, Announcer(told.append), jobs=jobs, slow=lambda: {"slow": True})


def do_jobs(recorder: Recorder, failed: tuple[int, ...] = ()) -> None:
    for ident, (rule, wildcards) in enumerate(
        [("segment", {"fov": "0"}), ("segment", {"fov": "1"}), ("all", {})]
    ):
        recorder.job_started(ident, rule, wildcards, f"{ident}.log")
        recorder.job_ended(ident, failed=ident in failed)


def test_a_run_without_jobs_of_its_own_is_told_by_the_engine(tmp_path):
    said: list[str] = []
    recorder = make(tmp_path, said)
    recorder.start()
    run = recorder.run
    assert run is not None
    assert os.environ[ENVIRONMENT] == str(run.path)
    assert (tmp_path / "runs" / CURRENT).read_text() == f"{run.id}\n"
    do_jobs(recorder)
    recorder.finish()
    recorder.finish()
    assert ENVIRONMENT not in os.environ
    record = run.read_record()
    assert record["status"] == "completed"
    assert record["slow"] is True
    assert record["jobs"] == {"segment": 2, "all": 1}
    kinds = [event["type"] for event in run.events()]
    assert kinds == ["job_started", "job_finished"] * 3
    assert len(said) == 1
    folder = min(os.path.relpath(run.path), str(run.path), key=len)
    assert said[0].endswith(f"\n  records: {folder}")


def test_a_retry_is_another_attempt_and_counts_once(tmp_path):
    recorder = make(tmp_path)
    recorder.start()
    assert recorder.run is not None
    recorder.job_started(0, "segment", {"fov": "0"}, "0.log")
    recorder.job_ended(0, failed=True)
    do_jobs(recorder)
    recorder.finish()
    record = recorder.run.read_record()
    assert record["status"] == "completed"
    assert record["counts"]["completed"] == 3
    failed = [event for event in recorder.run.events() if event["type"] == "job_failed"]
    assert [(event["job"], event["attempt"]) for event in failed] == [("segment.fov_0", 1)]


@pytest.mark.parametrize(
    ("failed", "interrupted", "jobs", "status"),
    [
        ((1,), False, True, "failed"),
        ((), True, False, "terminated"),
        ((), False, False, "failed"),
        ((), True, True, "completed"),
    ],
)
def test_the_status_is_true(tmp_path, failed, interrupted, jobs, status):
    recorder = make(tmp_path)
    recorder.start()
    assert recorder.run is not None
    if interrupted:
        recorder.interrupt("stopped by SIGTERM")
    if jobs:
        do_jobs(recorder, failed)
    recorder.finish()
    assert recorder.run.status() == status


def test_jobs_under_way_at_the_end_are_recorded_as_stopped(tmp_path):
    recorder = make(tmp_path)
    recorder.start()
    assert recorder.run is not None
    recorder.job_started(0, "segment", {"fov": "0"}, "0.log")
    recorder.job_started(1, "segment", {"fov": "1"}, "1.log")
    recorder.interrupt("stopped by the user (Ctrl-C)")
    recorder.job_ended(1, failed=True)  # before it could say a word
    recorder.finish()
    events = [event for event in recorder.run.events() if event["type"] == "job_failed"]
    assert [(event["exit"], event["error"]) for event in events] == (
        [(130, "stopped with the run")] * 2
    )
    assert recorder.run.read_record()["counts"] == {
        "total": 3, "completed": 0, "failed": 0, "terminated": 2, "not_done": 1
    }  # fmt: skip


@pytest.mark.parametrize("last", ["job_failed", "job_finished"])
def test_a_job_that_hears_ctrl_c_before_its_run_does_is_no_failure(tmp_path, last):
    recorder = make(tmp_path)
    recorder.start()
    assert recorder.run is not None
    about = {"job": "segment.fov_0", "rule": "segment", "wildcards": {"fov": "0"}, "attempt": 1}
    recorder.job_started(0, "segment", {"fov": "0"}, "0.log")
    own = EventFile(recorder.run.job_file("segment.fov_0", 1))
    own.write("job_started", **about)
    if last == "job_failed":
        own.write(last, **about, status="terminated", error="stopped", exit=130)
    else:  # the engine removes what it has made
        own.write(last, **about, status="completed", seconds=1.0)
    own.close()
    recorder.job_ended(0, failed=True)
    time.sleep(0.3)
    recorder.interrupt("stopped by the user (Ctrl-C)")
    recorder.finish()
    counts = recorder.run.read_record()["counts"]
    assert (counts["failed"], counts["terminated"]) == (0, 1)


def test_the_heart_beats_while_the_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("fovflow.runs.recorder.BEAT_S", 0.01)
    recorder = make(tmp_path)
    recorder.start()
    assert recorder.run is not None
    heart = recorder.run.path / "heartbeat"
    first = heart.stat().st_mtime_ns
    for _ in range(10_000):
        if heart.stat().st_mtime_ns > first:
            break
        time.sleep(0.01)
    assert heart.stat().st_mtime_ns > first
    recorder.finish()


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path, capsys):
    (tmp_path / "runs").write_text("a file")
    recorder = make(tmp_path)
    recorder.start()
    assert os.environ[ENVIRONMENT] == "", "jobs must not take an earlier run for theirs"
    do_jobs(recorder)
    recorder.finish()
    text = capsys.readouterr().err
    assert text.count("the run is not recorded further, and goes on:") == 1
    assert list_runs(tmp_path) == []
    assert recorder.state.count("completed") == 3, "the display goes on"


def test_a_full_disk_is_said_once_and_the_run_goes_on(tmp_path, monkeypatch, capsys):
    recorder = make(tmp_path)
    recorder.start()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(EventFile, "write", full)
    do_jobs(recorder)
    recorder.finish()
    text = capsys.readouterr().err
    assert text.count("is not recorded further, and goes on: No space left on device") == 1
    [run] = list_runs(tmp_path)
    assert run.read_record()["recording_failed"] == "No space left on device"
    assert recorder.state.count("completed") == 3


def test_a_run_that_was_never_recorded_further_misses_no_events(tmp_path, monkeypatch, capsys):
    recorder = make(tmp_path)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("fovflow.runs.recorder.EventFile", full)
    recorder.start()
    do_jobs(recorder)
    recorder.finish()
    assert "is not recorded further" in capsys.readouterr().err
    [run] = list_runs(tmp_path)
    assert not (run.path / "events.jsonl").exists()
    assert [finding.problem for finding in verify(tmp_path).findings] == []


def test_a_record_that_raises_neither_disturbs_nor_silences_logging(tmp_path, capsys):
    class Loud(logging.Handler):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[str] = []

        def emit(self, record: logging.LogRecord) -> None:
            self.seen.append(record.getMessage())

    def broken(_: logging.LogRecord) -> None:
        raise RuntimeError("boom")

    ended: list[str] = []
    logger = logging.Logger("engine")
    handler = LogHandler(SimpleNamespace(), LogHandlerSettings())
    loud = Loud()
    logger.addHandler(handler)
    logger.addHandler(loud)
    logger.info("nobody is connected yet")
    handler.connect(broken, lambda: ended.append("end"))
    logger.info("one")
    logger.info("two")
    handler.close()
    handler.close()
    assert loud.seen == ["nobody is connected yet", "one", "two"]
    assert capsys.readouterr().err.count("boom") == 1
    assert ended == ["end"]


# ---- in the job


# ---- signals


def test_signals_are_noted_and_passed_on(monkeypatch):
    import signal

    noted: list[str] = []
    passed = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: passed.set())
    try:
        interruptions = Interruptions(noted.append)
        interruptions.install()
        os.kill(os.getpid(), signal.SIGTERM)
        assert passed.wait(10)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
        interruptions.remove()
        assert noted == ["stopped by SIGTERM", "stopped by the user (Ctrl-C)"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_events_of_another_process_are_never_ended_here(tmp_path):
    recorder = make(tmp_path)
    recorder.start()
    recorder._owner = -1  # as after a fork
    recorder.finish()
    assert recorder.run is not None
    assert recorder.run.read_record()["status"] == "running"
    recorder._owner = os.getpid()
    recorder.finish()
    assert json.loads((recorder.run.path / "run.json").read_text())["status"] == "failed"
    assert now()[-6:] == "+00:00"
