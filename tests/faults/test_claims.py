"""One run at a time, also where the file system knows no locks or has them from another machine."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fovflow.errors import FovflowError
from fovflow.events import now
from fovflow.runs.claim import CLAIM, Claim, join
from fovflow.runs.store import CURRENT, LOST_AFTER_S, RunFolder

GONE = 2**22 + 1
"""Above the largest process number of Linux."""

BUSY = "another run is at work on the output folder"

TAKE_WITHOUT_LOCKS = """
import errno, fcntl, sys
from fovflow.errors import FovflowError
from fovflow.runs.claim import Claim

def no_locks(*_):
    raise OSError(errno.ENOLCK, "No locks available")

fcntl.flock = no_locks
try:
    Claim(sys.argv[1]).take()
    print("taken", flush=True)
except FovflowError as error:
    print(error, flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without flock."""

    def refuse(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


def claim_of(outdir: Path) -> Path:
    return outdir / "runs" / CLAIM


def write_claim(outdir: Path, age_s: float = 0.0, **about: object) -> Path:
    path = claim_of(outdir)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(about))
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def a_run(outdir: Path, **keys: object) -> RunFolder:
    run = RunFolder.create(outdir, name="calm-otter")
    (run.path.parent / CURRENT).write_text(run.id)
    run.update(status="running", **keys)
    return run


def take_elsewhere(outdir: Path) -> subprocess.Popen[str]:
    """Start a process that takes the folder, says so and waits."""
    return subprocess.Popen(
        [sys.executable, "-c", TAKE_WITHOUT_LOCKS, str(outdir)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def told(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_without_locks_a_second_run_is_refused_and_the_first_ones_end_frees(no_locks, tmp_path):
    first, second = Claim(tmp_path), Claim(tmp_path)
    first.take()
    about = json.loads(claim_of(tmp_path).read_text())
    assert (about["host"], about["pid"]) == (socket.gethostname(), os.getpid())
    with pytest.raises(FovflowError, match=f"{BUSY}.*about to begin.*pid {os.getpid()}, since 20"):
        second.take()
    second.release()
    assert claim_of(tmp_path).exists()
    first.release()
    assert not claim_of(tmp_path).exists()
    second.take()
    second.release()


def test_of_processes_that_begin_at_once_without_locks_one_goes_on(tmp_path):
    processes = [take_elsewhere(tmp_path) for _ in range(4)]
    try:
        lines = [told(process) for process in processes]
        assert lines.count("taken\n") == 1, lines
        assert sum(line.startswith(BUSY) for line in lines) == 3, lines
    finally:
        for process in processes:
            end(process)
    late = take_elsewhere(tmp_path)  # after a kill nothing stands in the way
    try:
        assert told(late) == "taken\n"
    finally:
        end(late)


@pytest.mark.parametrize(
    ("about", "age_s", "free"),
    [
        ({"host": socket.gethostname(), "pid": GONE}, 0.0, True),
        ({"host": socket.gethostname(), "pid": os.getppid()}, 0.0, False),
        ({"host": socket.gethostname(), "pid": 1}, 10 * 365 * 86400.0, True),  # its number reused
        ({"host": "another", "pid": 1}, 0.0, False),
        ({"host": "another", "pid": 1}, LOST_AFTER_S + 1, True),
        ({"host": socket.gethostname(), "pid": "x"}, LOST_AFTER_S + 1, True),
        ({}, 0.0, False),
        ({}, LOST_AFTER_S + 1, True),
    ],
)
def test_a_claim_that_was_left_behind_does_not_block(no_locks, tmp_path, about, age_s, free):
    path = write_claim(tmp_path, age_s, **about)
    claim = Claim(tmp_path)
    if free:
        claim.take()
        assert json.loads(path.read_text())["pid"] == os.getpid()
        claim.release()
        assert not path.exists()
    else:
        with pytest.raises(FovflowError, match=BUSY):
            claim.take()
        assert json.loads(path.read_text()) == about


@pytest.mark.parametrize("locks", [True, False])
def test_the_heartbeat_of_a_run_on_another_machine_tells(tmp_path, monkeypatch, locks):
    if not locks:
        monkeypatch.setattr(fcntl, "flock", lambda *_: os.read(-1, 1))
    write_claim(tmp_path, LOST_AFTER_S + 1, host="another", pid=7)
    run = a_run(tmp_path, host="another", pid=7)
    with pytest.raises(FovflowError, match=r"the run calm-otter \(host another, pid 7, since 20"):
        Claim(tmp_path).take()
    silent = time.time() - LOST_AFTER_S - 1
    os.utime(run.path / "run.json", (silent, silent))
    claim = Claim(tmp_path)
    claim.take()
    claim.release()


def test_without_locks_jobs_that_outlive_a_killed_run_are_known_from_its_records(
    no_locks, tmp_path
):
    run = a_run(tmp_path, pid=GONE)
    assert join(tmp_path / "runs") is None
    _, path = run.new_attempt("copy.a.fov_000")
    start = {"v": 1, "time": now(), "type": "job_started", "job": "copy.a.fov_000", "attempt": 1}
    start |= {"rule": "copy", "wildcards": {}, "host": socket.gethostname(), "params": {}}
    job = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        path.write_text(json.dumps(start | {"pid": job.pid, "threads": 1}) + "\n")
        with pytest.raises(FovflowError, match=f"calm-otter was killed.*processes {job.pid};"):
            Claim(tmp_path).take()
        assert not claim_of(tmp_path).exists()
        early = start | {"time": "2001-01-01T00:00:00.000+00:00", "pid": job.pid, "threads": 1}
        path.write_text(json.dumps(early) + "\n")  # the number is another process's now
        claim = Claim(tmp_path)
        claim.take()
        claim.release()
    finally:
        job.kill()
        job.communicate()
    path.write_text(json.dumps(start | {"pid": job.pid, "threads": 1}) + "\n")
    Claim(tmp_path).take()
