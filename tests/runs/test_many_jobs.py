"""Many jobs that log at once, each killed right after its last call: nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from fovflow.runs.state import RunReader
from fovflow.runs.store import ENVIRONMENT, RunFolder

JOBS = 64
EVENTS = 1000

PROGRAM = f"""
import os, signal, sys
import fovflow
from fovflow.adapter.attempt import AttemptRecorder

children = []
for fov in range({JOBS}):
    child = os.fork()
    if child == 0:
        job = AttemptRecorder("step", {{"dataset": "d", "fov": f"{{fov:03d}}"}}, sys.argv[1])
        job.start()
        log = fovflow.Run()
        for i in range({EVENTS} - 1):
            log.log_event(f"event {{i}}")
        job.progress(fov, {JOBS}, step="step", fov=fov)
        os.kill(os.getpid(), signal.SIGKILL)
    children.append(child)
print(*(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


def test_jobs_that_log_at_once_and_are_killed_lose_nothing(tmp_path: Path):
    run = RunFolder.create(tmp_path)
    environment = {**os.environ, ENVIRONMENT: str(run.path)}
    seen: dict[tuple[str, int] | None, list[str]] = {}
    reader = RunReader(
        run, listener=lambda event, job: seen.setdefault(job, []).append(event["type"])
    )
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        while process.poll() is None:  # someone watches while they write
            reader.poll()
        assert process.stdout is not None
        assert process.stdout.read().split() == [str(-signal.SIGKILL)] * JOBS
    view = reader.poll()
    assert {job: len(kinds) for job, kinds in seen.items() if job} == {
        (f"step.d.fov_{fov:03d}", 1): 1 + EVENTS for fov in range(JOBS)
    }
    assert sorted((job.t, job.total) for job in view.running) == [(t, JOBS) for t in range(JOBS)]
    for path in run.path.glob("jobs/*/attempt-*.jsonl"):
        texts = [line for line in path.read_text().splitlines() if '"message"' in line]
        assert len(texts) == EVENTS - 1
        assert all(f'"event {i}"' in text for i, text in enumerate(texts))
