"""Why a fit may be wrong: the reasons that a cell's verdict gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fovflow.kinetics.exponentials import Array
from fovflow.kinetics.intervals import measured
from fovflow.kinetics.problem import Point, Problem, Traces

CORRELATED = 3.3
"""Lag-1 autocorrelation of residuals, in its standard errors, from which it is told."""
_SPARE = 5
"""Least number of points beyond the number of free parameters."""
_WIDE = 10.0
_IMPRECISE = 0.16
_WEAK = 1e-9
"""Least eigenvalue of the scaled JᵀJ."""
_AFTER = 4
"""Least number of points after the onset."""
_SMALLEST, _GREATEST = 1e-70, 1e70
"""Greatest absolute value of a trace that sums of fourth powers can be made of."""
_SIGNAL = 12.0
"""F of the fit against a constant below which there is no signal."""


@dataclass
class Reasons:
    """The reasons of one cell; `success`: whether its values may be used, with them in mind."""

    said: list[str] = field(default_factory=list)
    success: bool = True

    def add(self, other: Reasons) -> None:
        """Add the reasons of a later stage."""
        self.said += other.said
        self.success &= other.success


class Cases(NamedTuple):
    """What is known of the cells of a chunk when they are judged."""

    problem: Problem
    traces: Traces
    best: Point
    others: list[Point]
    height: Array
    theta: Array
    alike: np.ndarray
    weakest: Array
    correlated: np.ndarray


def before(problem: Problem, y: Array, counts: np.ndarray) -> list[Reasons]:
    """Judge which traces can be fitted; `y` is 0 where a point does not count."""
    used, top = counts.sum(axis=1), np.abs(y).max(axis=1, initial=0.0)
    least, most = (np.where(counts, y, end) for end in (np.inf, -np.inf))
    range_ = most.max(axis=1, initial=-np.inf) - least.min(axis=1, initial=np.inf)
    found = [Reasons() for _ in used]
    for said, where, success in (
        ("no valid values", used == 0, False),
        ("too few points", used < problem.count + _SPARE, False),
        ("values out of range", (top > 0) & ~((top > _SMALLEST) & (top < _GREATEST)), False),
        ("constant values", range_ <= 1e-12 * top, False),
        ("negative values", y.sum(axis=1) < 0, True),
    ):
        for i in np.flatnonzero(where):
            if not found[i].said:
                found[i] = Reasons([said], success)
    return found


def after(cases: Cases, table: Array) -> list[Reasons]:
    """Judge fitted cells; rates that the data do not tell apart become NaN in `table`.

    `table`: (value, error, low, high; cells; targets).
    """
    problem, n = cases.problem, len(cases.traces)
    reasons = [Reasons() for _ in range(n)]

    def say(where: np.ndarray, text: str, *, spoils: bool = False) -> None:
        for i in np.flatnonzero(where):
            reasons[i].add(Reasons([text], not spoils))

    say(~cases.best.settled, "not converged", spoils=True)
    hit = _at_bounds(cases)
    for i in np.flatnonzero(hit.any(axis=1)):
        names = [name for name, at in zip(problem.model.names, hit[i], strict=True) if at]
        reasons[i].add(Reasons([f"bound hit: {' '.join(names)}"], success=False))
    say(_unseen(cases), "onset not seen" if problem.onset >= 0 else "no signal", spoils=True)
    say(cases.weakest < _WEAK, "ill-conditioned", spoils=True)
    swapped, second, deeper = _other_minima(cases, table[2], table[3])
    alike = cases.alike | swapped
    say(alike.any(axis=1), "rates exchangeable")
    say(deeper, "deeper minimum elsewhere", spoils=True)
    say(second & ~alike.any(axis=1), "two minima of equal depth")
    table[:, ~shown(problem, alike)] = np.nan
    say(cases.correlated, "residuals autocorrelated")
    value, _, low, high = table
    lost = (np.isfinite(value) & ~np.isfinite(low + high)).any(axis=1)
    scaled = [problem.columns[i] not in ("offset", "t0", "t_half") for i in problem.targets]
    wide = (high > _WIDE * np.maximum(low, 0))[:, scaled].any(axis=1)
    farthest = np.maximum(high - value, value - low)
    imprecise = (farthest > _IMPRECISE * np.abs(value))[:, scaled].any(axis=1)
    say(lost, "interval not found")
    say(wide, "interval wider than a factor of 10")
    say(imprecise & ~wide, "imprecise")
    return reasons


def _at_bounds(cases: Cases) -> np.ndarray:
    """Return (cells, P) which free parameters stand at a bound."""
    problem, theta = cases.problem, cases.theta
    low, high = problem.low, problem.high
    size = np.abs(cases.traces.y).max(axis=1, keepdims=True)
    apart = np.diff(cases.traces.t, axis=1).mean(axis=1)[:, None]
    slack = np.where(problem.logs, 0.01 * np.abs(low), np.minimum(1e-3 * (high - low), 0.1 * apart))
    amplitude = np.isin(np.arange(len(low)), problem.linear)
    below = np.where(amplitude, 1e-3 * np.abs(low) + 1e-9 * size, slack)
    above = np.where(amplitude | problem.logs, 1e-2 * np.abs(high), slack)
    free = np.isnan(problem.fixed)
    return np.asarray(free & ((theta <= low + below) | (theta >= high - above)))


def _unseen(cases: Cases) -> np.ndarray:
    """Return which cells show no onset: no signal, or too few points on either side of it."""
    problem, traces = cases.problem, cases.traces
    weight = traces.root**2
    counts, used = weight > 0, (weight > 0).sum(axis=1)
    shown = np.log(np.where(counts, traces.y, 1.0)) if problem.logarithmic else traces.y
    mean = (weight * shown).sum(axis=1) / weight.sum(axis=1)
    flat = (weight * (shown - mean[:, None]) ** 2).sum(axis=1)
    freedom = np.maximum(used - problem.count, 1)
    signal = (flat - cases.best.rss) / max(problem.count - 1, 1) / (cases.best.rss / freedom)
    unseen = signal < _SIGNAL
    if problem.onset in problem.free:
        onset = cases.theta[:, [problem.onset]]
        unseen |= (counts & (traces.t > onset)).sum(axis=1) < _AFTER
        unseen |= (counts & (traces.t <= onset)).sum(axis=1) < 1
    return np.asarray(unseen)


def exchangeable(problem: Problem, theta: Array) -> np.ndarray:
    """Return (cells, P) which parameters another point within the bounds exchanges exactly."""
    alike = np.zeros(theta.shape, bool)
    if problem.model.exchanged is None:
        return alike
    slack = 1e-9 * np.maximum(np.abs(problem.low), np.abs(problem.high))
    for other in problem.model.exchanged(theta):
        inside = (other >= problem.low - slack) & (other <= problem.high + slack)
        held = np.isnan(problem.fixed) | (np.abs(other - problem.fixed) <= 1e-9 * np.abs(other))
        possible = (inside & held).all(axis=1)
        alike |= possible[:, None] & (np.abs(other - theta) > 0)
    return alike


def shown(problem: Problem, alike: np.ndarray) -> np.ndarray:
    """Return (cells, targets) which are given where parameters `alike` can be exchanged."""
    both = alike.any(axis=1, keepdims=True)
    return np.concatenate([~alike, both, both], axis=1)[:, problem.targets]


def _other_minima(
    cases: Cases, low: Array, high: Array
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Look at other minima that are as deep, and widen the intervals to take them in.

    Returns (cells, P) which rates such a minimum swaps, and (cells,) whether there is one outside
    the intervals, and whether one is deeper.
    """
    problem, theta, best = cases.problem, cases.theta, cases.best
    swapped = np.zeros(theta.shape, bool)
    second, deeper = np.zeros(len(theta), bool), np.zeros(len(theta), bool)
    names = problem.model.names
    for other in cases.others:
        deeper |= other.rss < best.rss - cases.height
        equal = other.rss < best.rss + 0.9 * cases.height
        value, _ = measured(problem, other)
        margin = 0.05 * (high - low)
        out = equal[:, None] & ((value < low - margin) | (value > high + margin))
        low[out], high[out] = np.minimum(low, value)[out], np.maximum(high, value)[out]
        apart = out.any(axis=1)
        second |= apart
        if {"delta", "beta"} <= set(names):
            pair = [names.index("delta"), names.index("beta")]
            there = problem.everything(other)
            ratio = np.abs(np.log(there[:, pair] / theta[:, pair[::-1]])).max(axis=1)
            turned = apart & (ratio < 0.3) & np.isnan(problem.fixed[pair]).all()
            swapped[:, pair] |= turned[:, None]
    return swapped, second & ~deeper, deeper
