"""Cost of recording, per event: `fovflow.Run` against a bare append to a file.

    python benchmarks/bench_records.py [--json FILE] [--events 20000] [--rounds 5]

All figures come from one run on one machine: wall-clock milliseconds per event, the least of all
rounds. The reach is below 5 ms per event.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fovflow import Run
from fovflow.runs.alerts import AlertWatcher
from fovflow.runs.resources import ResourceSampler
from fovflow.runs.store import EventFile, RunFolder

REACH_MS = 5.0


@contextmanager
def tracked(outdir: str, *, alerts: int = 0) -> Iterator[Run]:
    with Run(outdir=outdir) as run:
        run.init()
        for number in range(alerts):
            run.add_alert(f"a{number}", metric=f"m{number}", rule="is above", threshold=1e9)
        yield run


def bare(outdir: str, events: int) -> float:
    line = b'{"v":1,"time":"2026-01-01T00:00:00.000000+00:00","type":"message","message":"x"}\n'
    with (Path(outdir) / "bare.jsonl").open("ab", buffering=0) as file:
        start = time.perf_counter()
        for _ in range(events):
            file.write(line)
        return time.perf_counter() - start


def metrics(outdir: str, events: int, alerts: int = 0) -> float:
    with tracked(outdir, alerts=alerts) as run:
        start = time.perf_counter()
        for number in range(events):
            run.log_metrics({"loss": number / 7, "cells": number})
        return time.perf_counter() - start


def messages(outdir: str, events: int) -> float:
    with tracked(outdir) as run:
        start = time.perf_counter()
        for number in range(events):
            run.log_event(f"frame {number} is done")
        return time.perf_counter() - start


def four_threads(outdir: str, events: int) -> float:
    with tracked(outdir) as run:

        def work() -> None:
            for number in range(events // 4):
                run.log_metrics({"loss": number})

        threads = [threading.Thread(target=work) for _ in range(4)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - start


def disabled(outdir: str, events: int) -> float:
    run = Run(mode="disabled", outdir=outdir)
    start = time.perf_counter()
    for number in range(events):
        run.log_metrics({"loss": number})
    return time.perf_counter() - start


def sample(outdir: str, rounds: int) -> float:
    """Return seconds per measurement of this process."""
    sampler = ResourceSampler()
    start = time.perf_counter()
    for _ in range(rounds):
        sampler.sample()
    return (time.perf_counter() - start) / rounds


def poll(outdir: str, jobs: int) -> float:
    """Return seconds per look at a run whose `jobs` jobs have ended, eight still at work."""
    folder = RunFolder.create(outdir)
    past = time.time() - 3600
    for number in range(jobs):
        _, path = folder.new_attempt(f"segment.{number}")
        file = EventFile(path)
        file.write("metrics", metrics={"cells": number}, step=0)
        if number >= 8:
            file.write("job_finished", job="x", rule="x", wildcards={}, attempt=1)
        file.close()
        os.utime(path.parent, (past, past))
    alert = {"name": "a", "metric": "cells", "rule": "is below", "threshold": 0}
    watcher = AlertWatcher(folder, [alert])
    watcher.poll()
    start = time.perf_counter()
    for _ in range(5):
        watcher.poll()
    seconds = (time.perf_counter() - start) / 5
    watcher.finish()
    return seconds


def least(measure: Callable[[str, int], float], events: int, rounds: int) -> float:
    """Return milliseconds per event, the least of all rounds."""
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as outdir:
            found.append(measure(outdir, events))
    return 1000 * min(found) / events


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2000)
    given = parser.parse_args()
    found = {
        "bare append": least(bare, given.events, given.rounds),
        "log_metrics": least(metrics, given.events, given.rounds),
        "log_metrics, 10 alerts": least(
            lambda outdir, n: metrics(outdir, n, alerts=10), given.events, given.rounds
        ),
        "log_event": least(messages, given.events, given.rounds),
        "log_metrics, 4 threads": least(four_threads, given.events, given.rounds),
        "disabled": least(disabled, given.events, given.rounds),
    }
    for name, value in found.items():
        print(f"{name:24s} {value:8.4f} ms per event  {value / found['bare append']:6.1f} x append")
    worst = max(found.values())
    print(f"worst {worst:.4f} ms, reach {REACH_MS} ms: {'held' if worst < REACH_MS else 'MISSED'}")
    with tempfile.TemporaryDirectory() as outdir:
        found["resources, one measurement"] = 1000 * sample(outdir, 20)
        found[f"alerts, one look at {given.jobs} jobs"] = 1000 * poll(outdir, given.jobs)
    for name in list(found)[-2:]:
        print(f"{name:24s} {found[name]:8.2f} ms")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
