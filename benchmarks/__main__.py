"""Measure, print the tables, write the figures.

    python -m benchmarks [--quick] [--json FILE]

Everything is measured on this machine within one run, and whatever is compared is measured in
turn: ratios hold where times do not, while other work goes on beside.
"""

from __future__ import annotations

import os

for _pool in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_pool] = "1"

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from benchmarks import end_to_end, recording, steps, tables
from benchmarks.machine import describe
from benchmarks.plan import PLANS, Plan

PARTS = ("arrays", "jobs", "run", "recording", "events", "growth")


def measure(plan: Plan, parts: list[str], folder: Path, kept: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a plan: those of `parts` measured, others as they were kept."""
    found: dict[str, Any] = kept | {"plan": plan.name, "machine": describe()}
    found["loads"] = dict(kept.get("loads", {}))
    works: dict[str, Callable[[], Any]] = {
        "arrays": lambda: steps.measure_arrays(plan.arrays, folder, plan.rounds),
        "jobs": lambda: steps.measure_jobs(plan.few, plan.many, folder, plan.rounds),
        "run": lambda: end_to_end.measure(plan.whole, folder, plan.rounds),
        "recording": lambda: recording.measure_runs(plan.recorded, folder, plan.rounds),
        "events": lambda: recording.measure_events(plan.events, plan.rounds),
        "growth": lambda: {
            what: end_to_end.grow(scenes, folder) for what, scenes in plan.growth.items()
        },
    }
    found["scenes"] = {
        name: {"size": s.size, "cells": s.cells, "frames": s.frames, "fovs": s.fovs}
        for name in ("arrays", "few", "many", "whole", "recorded")
        for s in [getattr(plan, name)]
    }
    for part in parts:
        found["loads"][part] = round(os.getloadavg()[1], 1)
        start = time.perf_counter()
        found[part] = works[part]()
        print(f"{part}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return found


def main() -> int:
    """Run from the command line."""
    name = os.environ.get("FOVFLOW_BENCH_COMMAND", "python -m benchmarks")
    parser = argparse.ArgumentParser(prog=name, description=(__doc__ or "").splitlines()[0])
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--quick", dest="plan", action="store_const", const="quick",
                        help="a selection, in about two minutes")  # fmt: skip
    chosen.add_argument("--plan", choices=PLANS, help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART",
                        help=f"only some of: {', '.join(PARTS)}; FILE keeps others")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--folder", type=Path, help="where movies and results are put meanwhile")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    kept: dict[str, Any] = {}
    plan = PLANS[given.plan or "full"]
    if given.json and given.json.exists() and len(given.only) < len(PARTS):
        kept = json.loads(given.json.read_text(encoding="utf-8"))
        if kept.get("plan") != plan.name:
            parser.error(f"{given.json} holds figures of the plan {kept.get('plan')}")
    with tempfile.TemporaryDirectory(prefix="fovflow-bench-", dir=given.folder) as folder:
        found = measure(plan, given.only, Path(folder), kept)
    print(tables.everything(found))
    if given.json:
        text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
        given.json.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
