"""Rounds of the engine's scheduler: one timer at a time, whatever the number of jobs."""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
from types import SimpleNamespace

import pytest
from snakemake.scheduling.job_scheduler import JobScheduler
from snakemake.settings.types import MaxJobsPerTimespan, SchedulingSettings

from fovflow.adapter.engine import patches
from fovflow.adapter.engine.patches import limit_scheduler_rounds


@pytest.fixture(autouse=True)
def _restore(monkeypatch):
    original = JobScheduler._schedule_reevalutation
    monkeypatch.setattr(JobScheduler, "_schedule_reevalutation", original)


def workflow(limit: str | None, *, local: bool) -> SimpleNamespace:
    parsed = None if limit is None else MaxJobsPerTimespan.parse_choice(limit)
    settings = SchedulingSettings(max_jobs_per_timespan=parsed)
    return SimpleNamespace(scheduling_settings=settings, local_exec=local)


@pytest.mark.parametrize(
    ("limit", "local", "left"),
    [
        ("100/1s", True, None),  # the engine's default
        ("100/1s", False, (100, 1)),
        ("10/1s", True, (10, 1)),
        (None, True, None),
    ],
)
def test_only_the_default_limit_is_taken_off_and_only_where_jobs_run_here(limit, local, left):
    flow = workflow(limit, local=local)
    limit_scheduler_rounds(flow)
    found = flow.scheduling_settings.max_jobs_per_timespan
    assert (found and (found.max_jobs, found.timespan)) == left


def test_a_hundred_jobs_that_end_begin_one_more_round(monkeypatch):
    limit_scheduler_rounds(workflow("10/1s", local=False))
    timers: list[threading.Timer] = []

    def start(timer: threading.Timer) -> None:
        timers.append(timer)

    monkeypatch.setattr(threading.Timer, "start", start)
    scheduler = SimpleNamespace(_open_jobs=threading.Semaphore(0))
    for _ in range(100):
        JobScheduler._schedule_reevalutation(scheduler, 1)
    assert [timer.interval for timer in timers] == [1]
    assert timers[0].daemon
    timers[0].function()
    assert scheduler._open_jobs.acquire(blocking=False)
    JobScheduler._schedule_reevalutation(scheduler, 1)
    assert len(timers) == 2


@pytest.mark.parametrize(("later", "touched"), [(0, False), (5, False), (-5, True)])
def test_outputs_keep_their_times_unless_a_clock_was_behind(tmp_path, monkeypatch, later, touched):
    """`later`: seconds by which the output is dated after the input."""
    importlib.import_module("snakemake.api")  # its modules import each other: this one first
    from snakemake.dag import DAG

    asked = {}

    async def check(_dag, _job, **keys):
        asked.update(keys)

    monkeypatch.setattr(DAG, "check_and_touch_output", check)
    monkeypatch.setattr(patches, "is_ours", lambda _job: True)
    patches.keep_times_of_outputs()
    for name, seconds in (("read", 1_000_000), ("made", 1_000_000 + later)):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (seconds, seconds))
    job = SimpleNamespace(input=[f"{tmp_path}/read"], output=[f"{tmp_path}/made"])
    dag = SimpleNamespace(workflow=SimpleNamespace(touch=False))
    asyncio.run(DAG.check_and_touch_output(dag, job, wait=0))
    assert asked == {"wait": 0, "no_touch": not touched}
