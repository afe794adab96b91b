"""False positives and power of the comparison of conditions, beside the naive test over cells.

    fovflow bench statistics [--comparisons 1000]

Simulated comparisons with day and FOV effects: first without any difference of the conditions,
then with a stated one. Days are shared by the conditions, or each has days of its own. The naive
test takes each cell for an independent observation (Welch's t-test over cells).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from fovflow.analysis.statistics import (
    Group,
    Settings,
    bootstrap_medians,
    difference_of,
    mean_of,
)

LEVEL = 0.05
EFFECT = 1.0
"""Difference of the conditions at which power is told, in standard deviations of the cells."""


class Design(NamedTuple):
    """Spreads are in standard deviations of the cells."""

    replicates: int = 3
    shared: bool = True
    fovs: int = 4
    cells: int = 25
    day: float = 0.5
    fov: float = 0.3
    together: float = 0.6
    """How far one shared day differs between conditions, over the spread of days."""


DESIGNS = tuple(Design(n, shared) for n in (3, 4, 6) for shared in (True, False))


def simulated(design: Design, effect: float, rng: np.random.Generator) -> np.ndarray:
    """Return values, (2 conditions, replicates, FOVs, cells)."""
    _, shared, fovs, cells, day, fov, together = design
    days = rng.normal(0, day, (1 if shared else 2, design.replicates, 1, 1))
    days = days + shared * rng.normal(0, together * day, (2, design.replicates, 1, 1))
    fields = rng.normal(0, fov, (2, design.replicates, fovs, 1))
    value = days + fields + rng.standard_normal((2, design.replicates, fovs, cells))
    value[1] += effect
    return value


def groups(value: np.ndarray, shared: bool, draws: int, rng: np.random.Generator) -> list[Group]:
    """Return both conditions; with 0 draws without a bootstrap."""
    fov = np.repeat(np.arange(value.shape[2]), value.shape[3])
    found = []
    for side, own in enumerate(value):
        flat = own.reshape(len(own), -1)
        centres = np.median(flat, axis=1)
        drawn = [bootstrap_medians(row, fov, draws, rng) for row in flat] if draws else None
        spread = np.tile(centres, (100, 1)) if drawn is None else np.stack(drawn, axis=1)
        names = tuple(f"{'' if shared else side}day{i}" for i in range(len(own)))
        found.append(Group(names, centres, spread, flat.size))
    return found


def rates(design: Design, effect: float, count: int, seed: int) -> dict[str, float]:
    """Return which part of comparisons have p < 0.05, by replicates and by cells."""
    rng, settings = np.random.default_rng(seed), Settings(draws=100)
    p, cells = [], []
    for _ in range(count):
        value = simulated(design, effect, rng)
        b, a = groups(value, design.shared, 0, rng)
        p.append(difference_of(a, b, settings).p)
        cells.append(value.reshape(2, -1))
    flat = np.stack(cells, axis=1)
    naive = stats.ttest_ind(flat[1], flat[0], axis=1, equal_var=False).pvalue
    return {
        "replicates": float(np.mean(np.array(p) < LEVEL)),
        "cells": float(np.mean(naive < LEVEL)),
    }


def coverage(design: Design, count: int, seed: int) -> dict[str, float]:
    """Return which part of the 95 % intervals hold the truth."""
    rng, settings = np.random.default_rng(seed), Settings(draws=400)
    held = np.zeros(2)
    for _ in range(count):
        b, a = groups(simulated(design, EFFECT, rng), design.shared, settings.draws, rng)
        apart, own = difference_of(a, b, settings).estimate, mean_of(b, settings)
        held += [apart.low <= EFFECT <= apart.high, own.low <= 0 <= own.high]
    return {"difference": held[0] / count, "condition": held[1] / count}


def measure(count: int = 1000) -> dict[str, Any]:
    """Return all figures by design; intervals are made for fewer, since each is a bootstrap."""
    found: dict[str, Any] = {"comparisons": count, "effect": EFFECT, "designs": []}
    for seed, design in enumerate(DESIGNS):
        found["designs"].append(
            design._asdict()
            | {
                "false_positives": rates(design, 0.0, count, seed),
                "power": rates(design, EFFECT, count, 100 + seed),
                "coverage": coverage(design, max(20, count * 3 // 20), 200 + seed),
            }
        )
    return found


def table(found: dict[str, Any]) -> str:
    """Return the figures as text."""
    lines = [
        f"{found['comparisons']} simulated comparisons a line; p < 0.05 counts as positive",
        f"{'replicates':>10} {'days':>6} | {'false positives':>15} {'naive, over cells':>18} | "
        f"{'power':>6} | {'95 % intervals that hold the truth':>34}",
    ]
    for row in found["designs"]:
        days = "shared" if row["shared"] else "own"
        false, held = row["false_positives"], row["coverage"]
        lines.append(
            f"{row['replicates']:>10} {days:>6} | {false['replicates']:>15.1%} "
            f"{false['cells']:>18.1%} | {row['power']['replicates']:>6.1%} | "
            f"{held['difference']:>18.1%} {held['condition']:>15.1%}"
        )
    first = found["designs"][0]
    means = [
        np.mean([row["false_positives"][test] for row in found["designs"]])
        for test in ("replicates", "cells")
    ]
    lines += [
        f"{'all':>17} | {means[0]:>15.1%} {means[1]:>18.1%} |",
        f"spreads in standard deviations of the cells: days {first['day']}, FOVs {first['fov']}; "
        f"{first['fovs']} FOVs of {first['cells']} cells in each replicate; "
        f"a shared day differs by {first['together']} of its spread between conditions",
        f"power: at a difference of {found['effect']}; intervals: of the difference, and of one "
        "condition",
    ]
    return "\n".join(lines)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="fovflow bench statistics", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--comparisons", type=int, default=1000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    given = parser.parse_args()
    if given.comparisons < 1:
        parser.error("--comparisons: at least 1")
    start = time.perf_counter()
    found = measure(given.comparisons)
    print(table(found))
    print(f"in {time.perf_counter() - start:.0f} s")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
