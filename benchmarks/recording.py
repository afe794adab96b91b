"""Cost of recording: runs with and without it in turn, and what one event costs."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measuring import Sample
from benchmarks.project import Project
from benchmarks.rendering import Scene
from fovflow import Run


def measure_runs(scene: Scene, folder: Path, rounds: int) -> dict[str, Any]:
    """Run with and without records, in turn.

    CPU times tell more than wall times where other work goes on beside: both are given.
    """
    project = Project(folder, scene)
    if rounds > 1:
        project.run()  # files of the package are in the page cache from here on
    pairs = []
    events = 0
    for i in range(rounds):
        pair = {}
        for recorded in (True, False) if i % 2 == 0 else (False, True):
            pair[recorded] = project.run(recorded=recorded).cost
            if recorded:
                events = project.events()
        pairs.append(pair)
    project.remove()
    found: dict[str, Any] = {"frames": scene.frames, "fovs": scene.fovs, "size": scene.size,
                             "events": events}  # fmt: skip
    for name in ("cpu_s", "wall_s"):
        values = {k: [getattr(pair[k], name) for pair in pairs] for k in (True, False)}
        found[f"recorded_{name}"] = Sample.of(values[True]).times(1)
        found[f"plain_{name}"] = Sample.of(values[False]).times(1)
        found[f"share_{name}"] = min(values[True]) / min(values[False]) - 1
        ratios = [a / b - 1 for a, b in zip(values[True], values[False], strict=True)]
        found[f"share_{name}_median"] = median(ratios)
    return found


def measure_events(events: int, rounds: int) -> list[dict[str, Any]]:
    """Return milliseconds of wall time per event, beside a bare append to a file."""
    spent: dict[str, list[float]] = {name: [] for name in _KINDS}
    for _ in range(rounds):
        for name, call in _KINDS.items():
            with tempfile.TemporaryDirectory() as outdir:
                spent[name].append(call(outdir, events))
    bare = min(spent["bare append"])
    return [
        {
            "event": name,
            "ms": Sample.of(values).times(1e3 / events),
            "times_append": min(values) / bare,
        }
        for name, values in spent.items()
    ]


def _bare(outdir: str, events: int) -> float:
    line = b'{"v":1,"time":"2026-01-01T00:00:00.000000+00:00","type":"message","message":"x"}\n'
    with (Path(outdir) / "bare.jsonl").open("ab", buffering=0) as file:
        start = time.perf_counter()
        for _ in range(events):
            file.write(line)
        return time.perf_counter() - start


@contextmanager
def _tracked(outdir: str, alerts: int = 0) -> Iterator[Run]:
    with Run(outdir=outdir) as run:
        run.init()
        for number in range(alerts):
            run.add_alert(f"a{number}", metric=f"m{number}", rule="is above", threshold=1e9)
        yield run


def _metrics(outdir: str, events: int, alerts: int = 0) -> float:
    with _tracked(outdir, alerts) as run:
        start = time.perf_counter()
        for number in range(events):
            run.log_metrics({"loss": number / 7, "cells": number})
        return time.perf_counter() - start


def _messages(outdir: str, events: int) -> float:
    with _tracked(outdir) as run:
        start = time.perf_counter()
        for number in range(events):
            run.log_event(f"frame {number} is done")
        return time.perf_counter() - start


def _four_threads(outdir: str, events: int) -> float:
    with _tracked(outdir) as run:

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


def _disabled(outdir: str, events: int) -> float:
    run = Run(mode="disabled", outdir=outdir)
    start = time.perf_counter()
    for number in range(events):
        run.log_metrics({"loss": number})
    return time.perf_counter() - start


_KINDS: dict[str, Callable[[str, int], float]] = {
    "bare append": _bare,
    "log_metrics": _metrics,
    "log_metrics, 10 alerts": lambda outdir, events: _metrics(outdir, events, alerts=10),
    "log_event": _messages,
    "log_metrics, 4 threads": _four_threads,
    "disabled": _disabled,
}
