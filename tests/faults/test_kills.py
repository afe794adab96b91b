"""Kills at random moments: the same command goes on, and the outputs are those of a quiet run."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from faults.killing import HANGS_S, Killer, Running, locked

from fovflow.runs.verify import verify
from workflow_project import Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def page(project: Project) -> bytes:
    return (project.folder / "results" / "report.html").read_bytes()


def check_like(project: Project, quiet: Project, told: str) -> None:
    """Everything is there, byte for byte, and the records hold."""
    assert project.outputs() == quiet.outputs(), told
    assert page(project) == page(quiet), told
    report = verify(project.folder / "results")
    assert not report.findings, f"{told}\n{report.findings}"


def kill_often(killer: Killer, plan: list[tuple[str, int]], quiet: Project) -> None:
    """Go through a plan of (what is killed, number of kills) and finish in peace each time."""
    left = dict(plan)
    while any(left.values()):
        how = killer.random.choice([key for key, number in left.items() if number > 0])
        before = killer.kills[how]
        status = killer.round(how, most=min(7, left[how]))
        left[how] -= killer.kills[how] - before
        killer.unlock()
        if status == 0:
            assert killer.project.outputs() == quiet.outputs(), killer.told()
        if killer.has_all_traces() and any(left.values()):
            killer.lose_something()
    done = killer.project.run()
    assert done.status == 0, f"{killer.told()}\n{done.text}"
    check_like(killer.project, quiet, killer.told())
    print(f"kills {dict(killer.kills)}, at work {dict(killer.steps)}")


def test_twenty_random_kills_leave_the_outputs_of_an_undisturbed_run(quiet, fresh):
    killer = Killer(fresh, seed=20, real_unlocks=1)
    kill_often(killer, [("group", 4), ("engine", 1), ("job", 15)], quiet)
    assert killer.kills.total() >= 20


@pytest.mark.slow_kills
def test_two_hundred_random_kills_leave_the_outputs_of_an_undisturbed_run(quiet, fresh):
    killer = Killer(fresh, seed=200, real_unlocks=5)
    kill_often(killer, [("group", 60), ("engine", 10), ("job", 130)], quiet)
    assert killer.kills.total() >= 200


def begun(running: Running, jobs: int) -> bool:
    return running.started() >= jobs


def test_a_run_that_is_asked_to_stop_leaves_no_lock_and_goes_on(quiet, fresh):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        running = Running(fresh)
        try:
            assert running.wait_until(partial(begun, running, 2))
            running.kill_group(number)
            status, _ = running.end()
        finally:
            running.clear()
        assert status != 0, number
        assert not locked(fresh), number
        record = running.run.read_record()
        assert record["status"] == "terminated", number
    again = fresh.run()
    assert again.status == 0, again.text
    check_like(fresh, quiet, again.text)


def test_a_second_run_and_jobs_that_outlive_a_killed_one_are_told_of(quiet, fresh):
    running = Running(fresh)
    try:
        assert running.wait_until(lambda: len(running.jobs) > 0)
        job = running.jobs[0]
        os.kill(job.pid, signal.SIGSTOP)
        name = running.run.read_record()["name"]
        second = fresh.run()
        assert second.status == 1
        who = f"the run {name} (host {socket.gethostname()}, pid {running.process.pid}, since 20"
        assert "another run is at work on the output folder results; found: " + who in second.text
        assert "Traceback" not in second.text
        assert who in fresh.run("--quiet").text
        assert running.process.poll() is None
        running.process.kill()
        running.end()
        wait_for(lambda: not [j for j in running.jobs if j.pid != job.pid and alive(j.pid)])
        refused = fresh.run()
        assert refused.status == 1
        assert f"the run {name} was killed, but jobs of it are still at work on results" in (
            refused.text
        )
        assert f"kill {job.pid}" in refused.text
        assert "Traceback" not in refused.text
    finally:
        running.clear()
        os.kill(job.pid, signal.SIGCONT)
    wait_for(lambda: not alive(job.pid))
    assert fresh.run("--unlock").status == 0
    again = fresh.run()
    assert again.status == 0, again.text
    check_like(fresh, quiet, again.text)


def wait_for(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + HANGS_S
    while not holds() and time.monotonic() < until:
        time.sleep(0.02)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
