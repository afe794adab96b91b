"""How fast kinetic fits are, and how far they may be believed.

    python benchmarks/fits.py [--quick] [--only speed truth trap traces]

Everything is measured in one run: the time of all cells at once beside SciPy's cell by cell, and
errors, intervals and verdicts on simulated cells whose parameters are known. The published traces
are left out where the folder of the tests' example files is absent.
"""

from __future__ import annotations

import os

for _pool in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_pool, "1")

import argparse
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import DATA
from fovflow.kinetics import MODELS, Fits, fit_cells
from fovflow.kinetics.problem import Problem, Traces
from fovflow.kinetics.search import search, starts

Array = NDArray[np.float64]

TYPICAL = {
    "ktl": (500.0, 0.4),
    "delta": (0.3, 0.3),
    "beta": (0.04, 0.3),
    "km": (1.28, 0.2),
    "G0": (1000.0, 0.4),
    "Gu0": (1000.0, 0.4),
    "offset": (50.0, 0.3),
}
"""Median and spread of the logarithm between cells."""
SETTINGS: tuple[tuple[str, dict[str, float]], ...] = (
    ("trivial", {}),
    ("trivial", {"beta": 0.04}),
    ("maturation", {"beta": 0.04, "km": 1.28}),
    ("maturation_blocked", {}),
)
FREE = {"t0": (0.0, 30.0)}
LOW, HIGH = (
    np.array([getattr(each, end) for each in MODELS["trivial"].parameters])
    for end in ("low", "high")
)


def simulate(
    name: str,
    count: int,
    noise: float,
    hours: float,
    *,
    fixed: dict[str, float],
    relative: bool = False,
) -> tuple[Array, Array, Array]:
    """Return times, values and all parameters; noise is a share of the peak, or of each value."""
    rng, model = np.random.default_rng(11), MODELS[name]
    theta = np.empty((count, len(model.names)))
    for i, parameter in enumerate(model.names):
        if parameter == "t0":
            theta[:, i] = rng.uniform(0, 8, count)
        elif parameter in fixed:
            theta[:, i] = fixed[parameter]
        else:
            middle, spread = TYPICAL[parameter]
            theta[:, i] = middle * rng.lognormal(0, spread, count)
    t = np.arange(0, hours, 1 / 6)
    curves = model.evaluate(t, theta)
    spread_of = curves if relative else curves.max(axis=1, keepdims=True)
    return t, curves + noise * spread_of * rng.normal(size=curves.shape), theta


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    made = call()
    return made, time.perf_counter() - wall, time.process_time() - cpu


def speed(count: int) -> Iterator[str]:
    t, y, _ = simulate("trivial", count, 0.02, 30.0, fixed={})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fits, wall, whole = timed(lambda: fit_cells(t, y, threads=2))
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    model = MODELS["trivial"]
    problem = Problem(model, model.changed({}, {}), {}, span=float(np.ptp(t)))
    blocks = [y[i : i + 1024] for i in range(0, count, 1024)]
    with np.errstate(all="ignore"):
        _, _, values = timed(lambda: [search(problem, alike(t, block)) for block in blocks])
        own = y[:: max(count // 50, 1)]
        grid = starts(problem, alike(t, own))
        points = [problem.assess(alike(t, own), z) for z in grid]
    many = np.stack([problem.everything(point) for point in points], axis=1)
    right = np.square(own - fits.curve[:: max(count // 50, 1)]).sum(axis=1)
    yield f"{count} cells × {len(t)} points: {wall:.1f} s wall time, {memory:.0f} MiB"
    yield ""
    yield "| SciPy | CPU (s) | values alone | all of it | cells at the least sum of squares |"
    yield "| --- | --- | --- | --- | --- |"
    (_, one), _, single = timed(lambda: scipy_only(t, own, many[:, -1:]))
    (best, left), _, several = timed(lambda: scipy_only(t, own, many))
    _, _, ends = timed(lambda: scipy_ends(t, own[::5], best[::5]))
    for name, cpu, rss in (
        ("one start", single, one),
        (f"the same {many.shape[1]} starts", several, left),
        ("and ends of three intervals", several + 5 * ends, left),
    ):
        scaled, found = cpu * count / len(own), np.mean(rss <= right * (1 + 1e-4))
        yield (
            f"| {name} | {scaled:.0f} | {scaled / values:.0f} × | {scaled / whole:.0f} × |"
            f" {found:.0%} |"
        )
    yield ""
    yield f"CPU of fovflow: {values:.1f} s for values alone, {whole:.1f} s for all of it"


def alike(t: Array, y: Array) -> Traces:
    return Traces(np.broadcast_to(t, y.shape), y, np.ones_like(y))


def residual(x: Array, t: Array, row: Array) -> Array:
    _, ktl, delta, beta, offset = x
    dt = np.maximum(t - x[0], 0)
    apart = delta - beta
    curve = ktl / apart * (1 - np.exp(-apart * dt)) * np.exp(-beta * dt)
    return np.asarray(offset + np.where(t < x[0], 0, curve) - row)


def scipy_only(t: Array, y: Array, given: Array) -> tuple[Array, Array]:
    """Fit cell by cell from starts (cells, starts, P); return the best and their squares' sums."""
    from scipy.optimize import least_squares

    found = []
    for row, several in zip(y, np.clip(given, LOW + 1e-9, HIGH - 1e-9), strict=True):
        ends = [least_squares(residual, x, bounds=(LOW, HIGH), args=(t, row)) for x in several]
        found.append(min(ends, key=lambda end: end.cost))
    return np.array([end.x for end in found]), np.array([2 * end.cost for end in found])


def scipy_ends(t: Array, y: Array, best: Array) -> None:
    """Find the ends of the profile likelihoods of t0, ktl and offset by root search over fits."""
    from scipy.optimize import brentq

    for row, x in zip(y, best, strict=True):
        threshold = np.square(residual(x, t, row)).sum() * (1 + 3.9 / (len(t) - 5))
        for i in (0, 1, 4):
            over = partial(above, i, x, t, row, threshold=threshold)
            for side in (-1, 1):
                far = x[i] + side * 0.05 * abs(x[i])
                while LOW[i] < far < HIGH[i] and over(far) < 0:
                    far += far - x[i]
                if LOW[i] < far < HIGH[i]:
                    brentq(over, x[i], far, xtol=abs(far - x[i]) / 50)


def above(i: int, x: Array, t: Array, row: Array, value: float, *, threshold: float) -> float:
    """Return how far the best fit with one parameter held is above the threshold."""
    from scipy.optimize import least_squares

    rest = [j for j in range(len(x)) if j != i]
    whole = x.copy()
    whole[i] = value

    def left(others: Array) -> Array:
        whole[rest] = others
        return residual(whole, t, row)

    end = least_squares(left, x[rest], bounds=(LOW[rest], HIGH[rest]))
    return float(2 * end.cost - threshold)


def judged(fits: Fits, theta: Array, fixed: dict[str, float]) -> tuple[str, str, str, str]:
    """Return median errors, coverage, the share wrong without a verdict, and the share ok."""
    model = fits.model
    truth = {name: theta[:, i] for i, name in enumerate(model.names) if name not in fixed}
    if model.exponents:
        rates = model.exponents(theta[:, model.nonlinear])
        truth |= {"sum": rates.sum(axis=1), "product": rates.prod(axis=1)}
    ok = np.array([verdict == "ok" for verdict in fits.verdict])
    errors, inside, told, wrong = [], 0, 0, np.zeros(len(ok), bool)
    for name, right in truth.items():
        value = fits.value[name]
        good = fits.success & np.isfinite(value)
        within = (fits.low[name] <= right) & (right <= fits.high[name])
        inside, told = inside + within[good].sum(), told + good.sum()
        if name in ("offset", "t0") or not good.any():
            continue
        error = np.abs(value - right) / right
        errors.append(f"{name} {100 * np.median(error[good]):.1f}")
        wrong |= ok & (np.nan_to_num(error) > 0.2)
    share = f"{100 * inside / told:.1f}" if told else "–"
    return ", ".join(errors), share, f"{100 * wrong.mean():.1f}", f"{100 * ok.mean():.0f}"


def truth(count: int) -> Iterator[str]:
    yield "| model | noise | movie (h) | median error (%) | held (%) | wrong, ok (%) | ok (%) |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, fixed in SETTINGS:
        for hours in (30.0, 6.0):
            for noise, relative in ((0.02, False), (0.05, False), (0.1, False), (0.05, True)):
                t, y, theta = simulate(name, count, noise, hours, fixed=fixed, relative=relative)
                fits = fit_cells(t, y, name, fixed=fixed, bounds=FREE)
                kind = "of each value" if relative else "of the peak"
                held = ", ".join(fixed)
                cells = [
                    f"{name}{' (' + held + ' known)' if held else ''}",
                    f"{noise:.0%} {kind}",
                    f"{hours:g}",
                    *judged(fits, theta, fixed),
                ]
                yield f"| {' | '.join(cells)} |"


def trap(count: int) -> Iterator[str]:
    """The classic bound t0 ≤ 1 h where onsets lie later."""
    yield "| model | cells | flagged | success | R² > 0.9 |"
    yield "| --- | --- | --- | --- | --- |"
    for name in ("trivial", "maturation", "maturation_blocked"):
        rng = np.random.default_rng(3)
        t, y, theta = simulate(name, count, 0.0, 30.0, fixed={})
        theta[:, 0] = rng.uniform(1, 6, count)
        y = MODELS[name].evaluate(t, theta)
        y += 0.02 * y.max(axis=1, keepdims=True) * rng.normal(size=y.shape)
        bounds = {"t0": (0.0, 1.0)}
        fits = fit_cells(t, y, name, settings="classic", bounds=bounds, start={"t0": 0.0})
        flagged = sum(verdict != "ok" for verdict in fits.verdict)
        seen = (fits.r_squared > 0.9).sum()
        yield f"| {name} | {count} | {flagged} | {fits.success.sum()} | {seen} |"


def traces(_: int) -> Iterator[str]:
    path = DATA / "traces" / "20160513_mean_eGFP.xlsx"
    if not path.exists():
        yield "(the published traces are absent)"
        return
    import pandas as pd

    sheet = pd.read_excel(path, header=None).to_numpy()
    t, y = sheet[:, 0] / 3600, sheet[:, 1:].T
    mean = np.exp(np.log(y).mean(axis=0))
    fits = fit_cells(t, mean, scale="log")
    left = np.square(np.log(mean) - np.log(fits.curve[0])).sum()
    low, high = fits.low["sum"][0], fits.high["sum"][0]
    yield f"mean of the logarithms: residual {left:.3f}; δ + γ = {fits.value['sum'][0]:.4f}/h"
    yield f"({low:.4f} to {high:.4f}); {fits.verdict[0]}"
    single = fit_cells(t, y)
    held = np.mean(
        [np.isfinite(single.low[n]) & np.isfinite(single.high[n]) for n in ("t0", "ktl", "sum")]
    )
    reasons = Counter(reason.split(":")[0] for v in single.verdict for reason in v.split(";"))
    yield f"{len(y)} cells: intervals in {held:.1%}; {dict(reasons.most_common(5))}"


PARTS: dict[str, Callable[[int], Iterator[str]]] = {
    "speed": speed,
    "truth": truth,
    "trap": trap,
    "traces": traces,
}
CELLS = {"speed": (10_000, 1_000), "truth": (300, 40), "trap": (300, 10), "traces": (0, 0)}


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer cells, in a minute or two")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    given = parser.parse_args()
    for name in given.only:
        print(f"\n{name}\n", flush=True)
        for line in PARTS[name](CELLS[name][given.quick]):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
