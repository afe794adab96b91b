"""`fovflow.Run` inside a job writes into the job's file."""

from __future__ import annotations

import json

import pytest

from fovflow import Run
from fovflow.events import check_event, read_events
from fovflow.runs.store import ENVIRONMENT, JOB_EVENTS, RunFolder


@pytest.fixture
def job(tmp_path, monkeypatch):
    folder = RunFolder.create(tmp_path / "results")
    _, path = folder.new_attempt("segment.a")
    monkeypatch.setenv(JOB_EVENTS, str(path))
    monkeypatch.setenv(ENVIRONMENT, str(folder.path))
    return path


def test_inside_a_job_everything_goes_to_the_jobs_file(job, tmp_path):
    with Run(outdir=tmp_path / "other") as run:
        assert run.init("mine", metadata={"a": 1}, tags=["t"])
        run.log_metrics({"cells": 7})
        run.log_event("hello")
        run.update_tags(["u"])
        run.set_status("failed")
        run.save({"a": 1}, "output", name="table")
        run.set_folder_details("f", description="d")
    assert not (tmp_path / "other").exists()
    found = read_events(job)
    for event in found:
        check_event(event)
    assert [event["type"] for event in found] == [
        "metadata", "tags", "metrics", "message", "tags", "message", "artifact", "metadata",
    ]  # fmt: skip
    assert found[4]["tags"] == ["t", "u"]
    folder = RunFolder(job.parents[2])
    assert folder.read_record()["status"] == "created"  # the run's status is not the job's matter
    path = folder.path / found[6]["path"]
    assert json.loads(path.read_text()) == {"a": 1}
    assert [*folder.path.glob("jobs/*/attempt-*.jsonl")] == [job]
    assert folder.attempts_of("segment.a") == [1]


def test_inside_a_job_init_is_not_needed(job):
    assert Run().log_event("hello") is True
    assert [event["message"] for event in read_events(job)] == ["hello"]


def test_inside_a_job_without_a_record_nothing_happens(tmp_path, monkeypatch, capfd):
    for variable in (JOB_EVENTS, ENVIRONMENT):
        monkeypatch.setenv(variable, "")
        run = Run(outdir=tmp_path)
        assert run.init("x") is False
        assert run.log_event("x") is False
        monkeypatch.delenv(variable)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""


def test_beside_the_jobs_of_a_run_there_is_a_file_of_its_own(job, tmp_path, monkeypatch):
    monkeypatch.delenv(JOB_EVENTS)
    RunFolder(job.parents[2]).set_status("running")
    for _ in range(2):
        with Run(outdir=tmp_path / "other") as run:
            run.init()
            run.log_event("hello")
    attempts = [*job.parents[2].glob("jobs/script*/attempt-*.jsonl")]
    assert len(attempts) == 2
    assert [len(read_events(path)) for path in attempts] == [1, 1]
    RunFolder(job.parents[2]).set_status("completed")
    assert Run(outdir=tmp_path / "other").init() is False
    assert not (tmp_path / "other").exists()
