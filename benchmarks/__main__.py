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
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2

from benchmarks import end_to_end, recording, steps, tables
from benchmarks.machine import describe
from benchmarks.plan import GROWTH, PLANS, Plan
from fovflow.atomic import write_text

PARTS = ("arrays", "jobs", "run", "recording", "events", *GROWTH)


def measure(plan: Plan, parts: list[str], folder: Path, found: dict[str, Any]) -> Iterator[str]:
    """Measure parts of a plan one after another, and yield the name of each that is done."""
    found |= {"plan": plan.name, "machine": describe()}
    found["scenes"] = {
        name: asdict(getattr(plan, name)) for name in ("arrays", "few", "many", "whole", "recorded")
    }
    works: dict[str, Callable[[], Any]] = {
        "arrays": lambda: steps.measure_arrays(plan.arrays, folder, plan.rounds),
        "jobs": lambda: steps.measure_jobs(plan.few, plan.many, folder, plan.rounds),
        "run": lambda: end_to_end.measure(plan.whole, folder, plan.rounds),
        "recording": lambda: recording.measure_runs(plan.recorded, folder, 2 * plan.rounds + 1),
        "events": lambda: recording.measure_events(plan.events, plan.rounds),
    }
    for part in parts:
        found.setdefault("loads", {})[part] = round(os.getloadavg()[1], 1)
        if part in works:
            found[part] = works[part]()
        elif part in plan.growth:
            grown = end_to_end.grow(plan.growth[part], folder)
            found.setdefault("growth", {})[part] = grown
        yield part


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
    found: dict[str, Any] = {}
    plan = PLANS[given.plan or "full"]
    if given.json and given.json.exists() and len(given.only) < len(PARTS):
        found = json.loads(given.json.read_text(encoding="utf-8"))
        if found.get("plan") != plan.name:
            parser.error(f"{given.json} holds figures of the plan {found.get('plan')}")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="fovflow-bench-", dir=given.folder) as folder:
        for part in measure(plan, given.only, Path(folder), found):
            print(f"{part}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
            if given.json:
                text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
                write_text(given.json, text)
    print(tables.everything(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
