"""Profile-likelihood intervals of parameters and of functions of them, for all cells at once.

The end of an interval is where the sum of squares reaches its threshold while all else is at its
best (Raue et al. 2009). It is found directly, as Venzon & Moolgavkar (1988) do: each step goes to
the extreme of the target on the ellipsoid that the linearised curve gives.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fovflow.kinetics.exponentials import Array
from fovflow.kinetics.problem import Point, Problem, Traces, solve_scaled
from fovflow.kinetics.search import descend, frame, held, problem_amplitudes

_ITERATIONS = 40
_FRAMES = 3
"""Frames on either side of a step that its onset is looked for in."""
_PATIENCE = 10
_ASTRAY = 0.5
"""Share of the threshold's height within which the outermost point ends an unfinished search."""
_LEVEL = 0.3
_LAST = 0.15
"""Distance from the threshold, and from the end as a share of the half-width, from which one
more step is the last; it is taken without looking at the curve again."""


class Interval(NamedTuple):
    """The ends of intervals, (cells, targets); NaN where none was asked for or none was found.

    `deeper`: (cells,) whether the sum of squares fell below the minimum's on the way, at
    coordinates `z`.
    """

    low: Array
    high: Array
    deeper: np.ndarray
    z: Array


def measured(problem: Problem, point: Point) -> tuple[Array, Array]:
    """Return the targets' values, and their gradients in (free amplitudes, steps)."""
    theta, turn = point.theta, point.turn
    n, first = len(theta), len(problem.free_linear)
    values = problem.everything(point)
    slopes = np.zeros((n, len(problem.low), first + turn.shape[2]))
    slopes[:, problem.free_linear, np.arange(first)] = 1.0
    slopes[:, problem.nonlinear, first:] = turn
    places = problem.targets[problem.targets < len(problem.low)]
    values, slopes = values[:, places], slopes[:, places]
    if problem.model.exponents is None:
        return values, slopes
    rates = problem.model.exponents(theta)
    by_theta = problem.model.exponents(np.eye(theta.shape[1]))
    by_z = np.einsum("km,nkz->nmz", by_theta, turn)
    product = rates.prod(axis=1, keepdims=True)
    more = np.zeros((n, 2, slopes.shape[2]))
    more[:, 0, first:] = by_z.sum(axis=1)
    more[:, 1, first:] = (by_z * (product / rates)[:, :, None]).sum(axis=1)
    return (
        np.concatenate([values, rates.sum(axis=1, keepdims=True), product], axis=1),
        np.concatenate([slopes, more], axis=1),
    )


def intervals(
    problem: Problem,
    traces: Traces,
    best: Point,
    height: Array,
    asked: np.ndarray,
) -> Interval:
    """Return where the sum of squares is `height` above the minimum; `asked`: (cells, targets)."""
    n = len(traces)
    found = Interval(
        np.full(asked.shape, np.nan),
        np.full(asked.shape, np.nan),
        np.zeros(n, bool),
        np.full_like(best.z, np.nan),
    )
    linear = np.isin(problem.targets, problem.free_linear)
    for group in (True, False):
        cells, which = np.nonzero(asked & (linear == group))
        half = len(cells)
        cells, which = np.tile(cells, 2), np.tile(which, 2)
        value, deeper, z = _ends(
            problem,
            traces,
            best,
            height,
            ends=(cells, which, np.repeat([-1.0, 1.0], half)),
            # Amplitudes follow the coordinates exactly, unless one of them is the target.
            joint=group or problem.logarithmic,
        )
        found.low[cells[:half], which[:half]] = value[:half]
        found.high[cells[half:], which[half:]] = value[half:]
        found.deeper[cells[deeper]], found.z[cells[deeper]] = True, z[deeper]
    return found


def over_frames(problem: Problem, traces: Traces, best: Point, height: Array) -> Interval:
    """Return the intervals of a curve that jumps at its onset.

    Between two frames the onset changes nothing but the amplitudes. The intervals are those at
    both ends (2.5 % inside) of every frame whose sum of squares stays below the threshold.
    """
    column = problem.column(problem.onset)
    onset = problem.targets == problem.onset
    low = np.full((len(traces), len(onset)), np.nan)
    high = low.copy()
    for offset in range(-_FRAMES, _FRAMES + 1):
        before, after = frame(traces.t, best.z[:, column], offset)
        for share in (0.025, 0.975):
            z = best.z.copy()
            z[:, column] = before + share * (after - before)
            some = np.flatnonzero(after > before)
            there = descend(problem, traces.take(some), z[some], 20, 1e-7)
            room = height[some] - (there.rss - best.rss[some])
            rows, inside = some[room > 0], there.take(np.flatnonzero(room > 0))
            own = traces.take(rows)
            asked = np.tile(~onset, (len(rows), 1))
            ends = intervals(problem, own, inside, room[room > 0], asked)
            ends.low[:, onset] = ends.high[:, onset] = inside.z[:, [column]]
            low[rows], high[rows] = np.fmin(low[rows], ends.low), np.fmax(high[rows], ends.high)
    return Interval(low, high, np.zeros(len(traces), bool), best.z)


def _ends(
    problem: Problem,
    traces: Traces,
    best: Point,
    height: Array,
    *,
    ends: tuple[np.ndarray, np.ndarray, Array],
    joint: bool,
) -> tuple[Array, np.ndarray, Array]:
    """Return one end for each of `ends` (cell, target, side), and where a deeper point was met."""
    cells, which, side = ends
    n, height = len(cells), height[cells]
    now = best.take(cells)
    first, count = len(problem.free_linear), now.amplitudes.shape[1]
    x = np.concatenate([now.amplitudes, now.z], axis=1)
    most = np.where(problem.logs[problem.free], 1.0, 0.1 * problem.span)
    center = measured(problem, best)[0][cells, which]
    outer = np.full(n, np.nan)
    before, lower, reach = x.copy(), now.z.copy(), np.ones(n)
    low, high = (np.append(each, [np.nan] * 2) for each in (problem.low, problem.high))
    bound = np.where(side < 0, low[problem.targets[which]], high[problem.targets[which]])
    little = now.rss - 1e-3 * height
    least = little.copy()
    threshold = best.rss[cells] + height
    rows = np.arange(n)
    for turn in range(_ITERATIONS):
        if not rows.size:
            break
        if turn:
            given = x[rows, :count] if joint else None
            now = problem.assess(traces, x[rows, count:], given, cells[rows])
        rss, x[rows, :count] = now.rss, now.amplitudes
        index = np.arange(len(rows)), which[rows]
        value, gradient = (part[index] for part in measured(problem, now))
        deeper = rss < least[rows]
        lower[rows[deeper]], least[rows[deeper]] = now.z[deeper], rss[deeper]
        step = _outward(
            problem, now, gradient=gradient, side=side[rows], room=threshold[rows] - rss
        )
        ahead = np.abs((gradient * step).sum(axis=1))
        longest = (np.abs(step[:, first:]) / most).max(axis=1, initial=0.0)
        step /= np.maximum(longest / reach[rows], 1.0)[:, None]
        over = (rss - threshold[rows]) / height[rows]
        far = over > 1
        reach[rows] = np.where(far, reach[rows] / 4, np.minimum(reach[rows] * 2, 1.0))
        fair = np.abs(over) < _ASTRAY
        outer[rows[fair]] = np.fmax(outer[rows[fair]], (side[rows] * value)[fair])
        # An onset that passes a frame meets a kink, at which steps may go to and fro.
        patience = 1 if turn < _PATIENCE else 5
        done = (np.abs(over) <= _LEVEL) & (ahead <= patience * _LAST * np.abs(value - center[rows]))
        done |= (np.abs(value - bound[rows]) <= 1e-9 * np.abs(bound[rows])) & (over <= 0)
        further = problem_amplitudes(problem, now.amplitudes, step[:, :first])
        new = np.concatenate([further, problem.moved(now.z, step[:, first:])], axis=1)
        new = np.where(far[:, None], before[rows], new)
        stays = (np.abs(new - x[rows]) <= 1e-9 * (1 + np.abs(x[rows]))).all(axis=1)
        before[rows[~far]] = x[rows[~far]]
        x[rows] = new
        rows = rows[~done & ~stays]
    last = best.take(cells)
    last.amplitudes, (last.theta, last.turn) = x[:, :count], problem.outward(x[:, count:])
    value = measured(problem, last)[0][np.arange(n), which]
    value[rows] = side[rows] * outer[rows]
    return value, least < little, lower


def _outward(problem: Problem, point: Point, *, gradient: Array, side: Array, room: Array) -> Array:
    """Return the step to the extreme of the target on the linearised contour."""
    step, hessian = np.empty_like(gradient), point.hessian
    rows = np.arange(len(step))
    for _ in range(3):
        b, g = point.gradient[rows], gradient[rows]
        both = solve_scaled(hessian[rows], np.stack([b, g], axis=2), ridge=1e-12)
        settle, drift = both[:, :, 0], both[:, :, 1]
        spread = np.maximum((g * drift).sum(axis=1), 1e-300)
        left = np.maximum(room[rows] + (b * settle).sum(axis=1), 0.0)
        step[rows] = settle + (side[rows] * np.sqrt(left / spread))[:, None] * drift
        hessian, rows = held(problem, point, hessian, step)
        if not rows.size:
            break
    return step


def standard_errors(problem: Problem, best: Point, variance: Array) -> tuple[Array, Array]:
    """Return the targets' standard errors, and the least eigenvalue of the scaled JᵀJ."""
    hessian, _ = held(problem, best, best.hessian, best.gradient)
    scale = 1 / np.sqrt(np.maximum(np.einsum("nii->ni", hessian), 1e-300))
    scaled = np.nan_to_num(hessian * scale[:, :, None] * scale[:, None, :])
    scaled[:, range(scaled.shape[1]), range(scaled.shape[1])] = 1.0
    weakest = np.linalg.eigvalsh(scaled)[:, 0] if scaled.shape[1] else np.ones(len(scaled))
    gradients = measured(problem, best)[1].transpose(0, 2, 1)
    drift = solve_scaled(hessian, gradients, ridge=1e-12)
    spread = np.maximum((gradients * drift).sum(axis=1), 0.0)
    return np.sqrt(spread * variance[:, None]), weakest
