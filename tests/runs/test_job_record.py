"""The record of a job: made from its events, the same with and without a run, and read back."""

from __future__ import annotations

import json
import logging
import os
import signal
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fovflow import Run
from fovflow.adapter.job import job
from fovflow.atomic import write_text
from fovflow.cli import main
from fovflow.errors import FovflowError
from fovflow.events import check_event, read_events
from fovflow.jobrecord import JobKey, JobRecord, job_record, read_record, read_records
from fovflow.runs.state import read_attempts
from fovflow.runs.store import ENVIRONMENT, JOB_EVENTS, RunFolder
from fovflow.runs.verify import verify

WILDCARDS = {"dataset": "plate", "fov": "003", "channel": "0"}
OUTPUT = "fov_003/plate_fov_003_seg_ch_0.npy"


@pytest.fixture(autouse=True)
def _as_a_process_of_its_own():
    """A job sets up logging and signals of its process."""
    root, stop = logging.getLogger(), signal.getsignal(signal.SIGTERM)
    handlers, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(capture=False)
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = True
    signal.signal(signal.SIGTERM, stop)


def script(folder: Path) -> Any:
    """Return what Snakemake gives to the script of a job."""
    place = folder / "results" / "plate"
    return SimpleNamespace(
        rule="segment",
        wildcards=WILDCARDS,
        params={"options": {"method": "otsu", "window": (1, 2)}},
        threads=1,
        input=[str(place / "fov_003" / "plate_fov_003_pc_ch_0.npy")],
        output=[str(place / OUTPUT)],
        log=[str(place / "logs" / "fov_003" / "segment_ch_0.log")],
        config={},
    )


def work(folder: Path, error: BaseException | None = None) -> tuple[Path, dict[str, Any]]:
    """Do a job; return its record's file and content."""
    snakemake = script(folder)
    with suppress(SystemExit), job(snakemake) as this:
        this.frame = 7
        if error is not None:
            raise error
        write_text(snakemake.output[0], "made")
    file = Path(snakemake.log[0]).with_suffix(".json")
    return file, json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


@pytest.fixture
def run(tmp_path, monkeypatch):
    folder = RunFolder.create(tmp_path / "results")
    monkeypatch.setenv(ENVIRONMENT, str(folder.path))
    return folder


def test_the_record_is_the_last_event_with_what_the_first_tells(tmp_path, run):
    file, content = work(tmp_path)
    started, finished = read_events(run.job_file("segment.plate.fov_003.ch_0", 1))
    assert content == job_record(started, finished)
    assert not {"metrics", "units"} & content.keys()
    check_event(content)
    assert (content["type"], content["status"]) == ("job_finished", "completed")
    assert content["run"] == run.id
    assert content["started"] == started["time"] < content["time"] == finished["time"]
    assert content["options"] == {"method": "otsu", "window": [1, 2]}
    assert content["inputs"] == ["fov_003/plate_fov_003_pc_ch_0.npy"]
    assert content["outputs"][OUTPUT]["bytes"] == 4
    (attempt,), record = read_attempts(run), read_record(file, tmp_path / "results" / "plate")
    assert record is not None
    assert record.file == "logs/fov_003/segment_ch_0.json"
    record.file = ""
    assert record == attempt
    assert record.key == JobKey("segment", "003", "0")
    assert (record.key.name, record.key.words) == (
        "segment.fov_003.ch_0",
        "segment, FOV 3, channel 0",
    )
    assert record.where == "plate, FOV 3, channel 0"


@pytest.mark.parametrize("error", [None, FovflowError("no light")])
def test_what_a_run_inside_logged_last_stands_in_the_record(tmp_path, run, capsys, error):
    snakemake = script(tmp_path)
    with suppress(SystemExit), job(snakemake) as this:
        this.measure(cpu=3.0)
        tracked = Run(outdir=tmp_path / "other")
        for loss in (2.5, float("inf")):
            tracked.log_metrics({"loss": loss, "mean area": 12}, units={"mean area": "µm²"})
        tracked.log_metrics({"left": 1})
        with Path(os.environ[JOB_EVENTS]).open("a") as file:  # a line of other values than it has
            file.write('{"v":2,"time":"2026-03-01","type":"metrics","metrics":7,"step":0,')
            file.write('"elapsed_s":1,"units":[]}\n')
        if error is not None:
            raise error
        write_text(snakemake.output[0], "made")
    file = Path(snakemake.log[0]).with_suffix(".json")
    content = json.loads(file.read_text(encoding="utf-8"))
    assert content["metrics"] == {"loss": "inf", "mean area": 12, "left": 1}
    assert content["units"] == {"mean area": "µm²"}
    assert read_record(file).logged == content["metrics"]
    begun, *_, ended = read_events(run.job_file("segment.plate.fov_003.ch_0", 1))
    assert content == job_record(begun, ended)
    check_event(content)
    assert main(["runs", "show", str(run.path)]) == 0
    shown = capsys.readouterr().out
    assert "mean area (µm²)  ▁▁  last 12, least 12" in shown
    assert "cpu" not in shown


@pytest.mark.parametrize(
    ("error", "transient"), [(FovflowError("no light"), False), (MemoryError(), True)]
)
def test_a_failure_is_recorded_with_all_facts(tmp_path, run, error, transient):
    file, content = work(tmp_path, error)
    started, failed = read_events(run.job_file("segment.plate.fov_003.ch_0", 1))
    assert content == job_record(started, failed)
    check_event(content)
    assert (content["type"], content["status"], content["exit"]) == ("job_failed", "failed", 1)
    assert (content["kind"], content["frame"]) == (type(error).__name__, 7)
    assert content["options"]["method"] == "otsu"
    record = read_record(file)
    assert record is not None
    assert (record.status, record.frame, record.transient) == ("failed", 7, transient)
    assert record.outputs == {}
    assert record.log.endswith("segment_ch_0.log")


def test_a_job_that_was_stopped_leaves_events_and_no_record(tmp_path, run):
    file, content = work(tmp_path, KeyboardInterrupt())
    assert content == {}
    assert not file.exists()
    (stopped,) = read_attempts(run)
    assert (stopped.status, stopped.error) == ("terminated", "stopped")
    assert stopped.options["method"] == "otsu"


def test_the_last_complete_record_is_kept_whatever_comes_after(tmp_path, run):
    file, complete = work(tmp_path)
    for error in (MemoryError(), KeyboardInterrupt(), FovflowError("no light")):
        _, content = work(tmp_path, error)
        assert content["status"] in ("failed", "terminated")
        assert content["before"] == complete
        assert verify(tmp_path / "results").findings == []
    record = read_record(file)
    assert record is not None
    assert record.complete is record.before
    assert (record.complete.status, list(record.complete.outputs)) == ("completed", [OUTPUT])
    file.write_text(json.dumps(content | {"run": "another"}))
    _, again = work(tmp_path)
    assert (again["status"], "before" in again) == ("completed", False)


def test_without_a_run_the_record_is_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, "")
    file, content = work(tmp_path)
    check_event(content)
    assert (content["run"], content["attempt"]) == ("", 1)
    assert content["host"]
    assert content["cpu_s"] > 0
    record = read_record(file)
    assert record is not None
    assert (record.run, record.status, record.started) == ("", "completed", content["started"])


def test_a_job_whose_record_cannot_be_written_fails(tmp_path, run, monkeypatch, capsys):
    def full(path: str | os.PathLike[str], text: str) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("fovflow.adapter.job.write_text", full)
    file, _ = work(tmp_path)
    assert not file.exists()
    assert read_events(run.job_file("segment.plate.fov_003.ch_0", 1))[-1]["status"] == "failed"
    assert "segment failed at frame 7: No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{", '{"status": 3}', '{"status": "fine"}', '{"v": 2, "status": "completed"}',
        '{"v": 2, "type": "message", "status": "completed"}',
        '{"v": 2, "type": "job_finished", "status": "completed", "wildcards": 3}',
    ],
)  # fmt: skip
def test_what_is_no_record_is_left_out(tmp_path, text):
    file = tmp_path / "logs" / "fov_000" / "copy.json"
    write_text(file, text)
    assert read_record(file) is None
    assert read_records(tmp_path) == []
    assert read_record(tmp_path / "absent.json") is None


def test_an_event_of_other_values_changes_nothing(tmp_path):
    run = RunFolder.create(tmp_path)
    _, path = run.new_attempt("copy")
    about = '"job": "copy", "rule": "copy", "attempt": 1, "wildcards": {}'
    time = '"time": "2026-01-01T00:00:00+00:00"'
    lines = [
        f'{{"v": 2, {time}, "type": "job_started", {about}}}',
        f'{{"v": 2, {time}, "type": "progress", "step": "copy", "fov": 0, "t": {{}}, "T": 3}}',
        f'{{"v": 2, {time}, "type": "metrics", "metrics": 3, "step": 0}}',
        '{"v": 2, "time": "today", "type": "job_finished"}',
        f'{{"v": 2, {time}, "type": "job_finished", {about}}}',
        f'{{"v": 9, {time}, "type": "job_finished", {about}, "status": "completed"}}',
    ]
    path.write_text("\n".join([*lines, ""]))
    (job,) = read_attempts(run)
    assert job == JobRecord(
        "copy", 1, "copy", {}, "copy", run.id, "running", "2026-01-01T00:00:00+00:00"
    )


def test_jobs_of_samples_are_told_apart() -> None:
    def key(step: str, **wildcards: str) -> JobKey:
        return JobRecord(job="x", step=step, wildcards=wildcards).key

    keys = [
        key("merge", sample="a"),
        key("merge", sample="b"),
        key("fit", sample="a", feature="area", channel="0"),
        key("fit", sample="a", feature="area", channel="1"),
        key("fit", sample="a", feature="intensity_total", channel="1"),
    ]
    assert len({*keys}) == len({each.name for each in keys}) == 5
    assert keys[2].name == "fit.a.area.ch_0"
    assert keys[0].words == "merge, of a"
