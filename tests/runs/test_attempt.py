"""What a job writes about itself into its run."""

from __future__ import annotations

import os
import time

import pytest

from fovflow.adapter.attempt import AttemptRecorder, run_of_job
from fovflow.events import read_events
from fovflow.runs.store import CURRENT, ENVIRONMENT, JOB_EVENTS, RunFolder

WILDCARDS = {"dataset": "sim", "fov": "001"}


def test_a_job_writes_into_the_run_of_its_environment(tmp_path, monkeypatch):
    run = RunFolder.create(tmp_path)
    monkeypatch.setenv(ENVIRONMENT, str(run.path))
    job = AttemptRecorder("segment", WILDCARDS, tmp_path)
    path = run.job_file("segment.sim.fov_001", 1)
    assert os.environ[JOB_EVENTS] == str(path)
    job.start(options={"method": "logstd"}, threads=1)
    for t in range(4):
        job.measure({"n_objects": t, "threshold": float("nan")})
    job.progress(4, 9, step="segment", fov=1)
    job.end(job.ending("failed", error="no light", frame=4, exit=1, log="a.log"))
    job.end(job.ending("failed", error="twice", frame=4, exit=1, log="a.log"))
    events = read_events(path)
    assert [event["type"] for event in events] == [
        "job_started", "progress", "metrics", "job_failed"
    ]  # fmt: skip
    assert events[2]["metrics"] == {"n_objects": 1.5}
    assert events[2]["step"] == 3
    assert (events[3]["error"], events[3]["frame"]) == ("no light", 4)
    again = AttemptRecorder("segment", WILDCARDS, tmp_path)
    again.end(again.ending("completed", outputs={}))
    assert read_events(run.job_file("segment.sim.fov_001", 2))[-1]["attempt"] == 2


def test_a_job_that_is_asked_to_stop_stops_at_its_next_progress(tmp_path, monkeypatch):
    run = RunFolder.create(tmp_path)
    monkeypatch.setenv(ENVIRONMENT, str(run.path))
    job = AttemptRecorder("segment", WILDCARDS, tmp_path)
    job.progress(1, 9, step="segment", fov=1)
    run.ask_to_stop("segment.sim.fov_001", 1, "alert dark")
    with pytest.raises(KeyboardInterrupt):
        job.progress(2, 9, step="segment", fov=1)
    assert job.stop_reason() == "alert dark"
    job.end(job.ending("terminated", error="stopped", frame=1, exit=130, log=""))


def test_jobs_find_the_run_at_work_and_no_other(tmp_path, monkeypatch):
    run = RunFolder.create(tmp_path)
    (tmp_path / "runs" / CURRENT).write_text(run.id)
    found = run_of_job(tmp_path)
    assert found is not None
    assert found.id == run.id
    monkeypatch.setenv(ENVIRONMENT, "")
    assert run_of_job(tmp_path) is None, "the engine says that there is no run"
    monkeypatch.delenv(ENVIRONMENT)
    run.set_status("completed")
    assert run_of_job(tmp_path) is None


def test_a_job_whose_events_cannot_be_written_goes_on(tmp_path, monkeypatch, capsys):
    run = RunFolder.create(tmp_path)
    monkeypatch.setenv(ENVIRONMENT, str(run.path))
    (run.path / "jobs").write_text("a file")
    job = AttemptRecorder("segment", WILDCARDS, tmp_path)
    job.start()
    job.progress(1, 2, step="segment", fov=1)
    job.end(job.ending("completed", outputs={}))
    assert capsys.readouterr().err.count("this job is not recorded further") == 1
    assert not os.environ.get(JOB_EVENTS)


def test_a_long_job_measures_what_it_uses(tmp_path, monkeypatch):
    monkeypatch.setattr("fovflow.adapter.attempt.RESOURCES_AFTER_S", 0.01)
    run = RunFolder.create(tmp_path)
    monkeypatch.setenv(ENVIRONMENT, str(run.path))
    job = AttemptRecorder("segment", WILDCARDS, tmp_path, resources_every_s=0.01)
    job.start()
    path = run.job_file("segment.sim.fov_001", 1)
    for _ in range(10_000):
        if "resources" in path.read_text():
            break
        time.sleep(0.01)
    job.end(job.ending("completed", outputs={}))
    events = read_events(path)
    assert events[-1]["type"] == "job_finished"
    assert [event["rss_mib"] > 1 for event in events if event["type"] == "resources"]
