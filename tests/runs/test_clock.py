"""A clock that is set during a run damages nothing: what is recorded stays in order."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

import fovflow
from fovflow import events
from fovflow.adapter.attempt import AttemptRecorder
from fovflow.events import Clock, moment, seconds_of
from fovflow.runs import datasets, store
from fovflow.runs import recorder as recorder_module
from fovflow.runs.recorder import Recorder
from fovflow.runs.screen import Announcer
from fovflow.runs.state import read_attempts
from fovflow.runs.store import RunFolder, find_run, list_runs
from fovflow.runs.verify import verify

AHEAD, BEHIND = 3600.0, -7200.0


@pytest.fixture
def clock(monkeypatch):
    """The system's clock, which is off by `off` seconds."""
    told = SimpleNamespace(off=0.0)

    class Shifted(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(seconds=told.off)

    monkeypatch.setattr(events, "datetime", Shifted)
    monkeypatch.setattr(store, "datetime", Shifted)
    monkeypatch.setattr(recorder_module, "now", Clock().now)
    return told


def test_time_goes_on_where_the_clock_is_set_back(clock):
    mine = Clock()
    first = mine.now()
    clock.off = BEHIND
    second, third = mine.now(), mine.now()
    assert first <= second <= third
    assert seconds_of(third) - seconds_of(first) < 60
    clock.off = AHEAD
    fourth = mine.now()
    assert seconds_of(fourth) - seconds_of(third) > AHEAD - 60
    clock.off = 0.0
    assert Clock().now(fourth, None, "no time", "9999-12-31T23:59:59.999999") == fourth
    assert abs(datetime.now(UTC) - moment(Clock().now())) < timedelta(minutes=1)


@pytest.mark.parametrize("offs", [(0, BEHIND, 0), (0, AHEAD, 0), (AHEAD, 0, BEHIND)])
def test_an_execution_stays_in_order_also_where_it_is_resumed(tmp_path, clock, offs):
    with fovflow.execution(outdir=tmp_path, name="one") as exe:
        exe.output_path("Table", "a.csv").write_text("a")
        for clock.off in offs:
            exe.run.log_metrics({"a": 1})
            exe.run.update_tags([str(clock.off)])
    clock.off = BEHIND
    with fovflow.resume("one", tmp_path) as exe:
        exe.output_path("Table", "b.csv").write_text("b")
    assert verify(tmp_path).findings == []
    (found,) = fovflow.runs(tmp_path)
    assert seconds_of(found.record["ended"]) >= seconds_of(found.record["created"])


@pytest.mark.parametrize("offs", [(0, BEHIND, 0), (0, AHEAD, 0), (AHEAD, BEHIND, 0)])
def test_a_run_and_its_jobs_stay_in_order(tmp_path, clock, offs):
    told = Recorder(tmp_path, Announcer(lambda _: None), jobs={"segment": 3, "all": 1})
    told.start()
    for fov, off in enumerate(offs):
        clock.off = off
        wildcards = {"dataset": "sim", "fov": str(fov)}
        told.job_started(fov, "segment", wildcards, "log")
        job = AttemptRecorder("segment", wildcards, tmp_path)
        job.start()
        clock.off = off - 60
        job.end(job.ending("completed", outputs={}))
        told.job_ended(fov, failed=False)
    told.job_started(9, "all", {}, "log")
    clock.off = BEHIND
    told.job_ended(9, failed=False)
    told.finish()
    (run,) = list_runs(tmp_path)
    assert run.status() == "completed"
    assert len(read_attempts(run)) == 4
    assert verify(tmp_path).findings == []


@pytest.mark.parametrize("offs", [(0, BEHIND, AHEAD, BEHIND, 0), (AHEAD, 0, BEHIND, 0)])
def test_the_last_run_is_the_one_that_was_made_last(tmp_path, clock, offs):
    made = []
    for number, clock.off in enumerate(offs):
        made.append(RunFolder.create(tmp_path, name=f"{'zyxwv'[number]}-run"))
        assert find_run(tmp_path).id == made[-1].id
        told = seconds_of(made[-1].read_record()["created"])
        assert abs(told - datetime.now(UTC).timestamp() - clock.off) < 60, "the clock as it is"
    assert [run.id for run in list_runs(tmp_path)] == [run.id for run in made]
    shutil.rmtree(made[1].path)
    last = RunFolder.create(tmp_path, name="a")
    assert find_run(tmp_path).id == last.id


def test_the_newest_dataset_is_the_one_that_was_made_last(tmp_path, clock):
    for version, clock.off in (("1", AHEAD), ("2", 0), ("3", BEHIND)):
        with fovflow.execution(outdir=tmp_path, name="same") as exe:
            path = exe.output_path("Table", "a.csv")
            path.write_text(version)
            made = exe.create_dataset([path], name="d", version=version)
        assert datasets.find_dataset(tmp_path, "d").samefile(made)
    assert verify(tmp_path).findings == []
