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
from fovflow.kinetics.search import Minimum, descend, frame, held, problem_amplitudes

_ITERATIONS = 40
_FRAMES = 3
"""Frames on either side of a step that its onset is looked for in."""
_PATIENCE = 10
_ASTRAY = 0.5
"""Share of the threshold's height within which the outermost point ends an unfinished search."""
_EXACT = 0.015
"""Share of the threshold's height, and of the interval's half-width, that ends are exact to."""


class Target(NamedTuple):
    """What an interval is asked of: a parameter, or ``sum`` or ``product`` of rates."""

    name: str
    place: int = -1


class Interval(NamedTuple):
    """The ends of an interval; NaN for cells that were left out or where none was found.

    `deeper`: whether the sum of squares fell below the minimum's on the way, at coordinates `z`.
    """

    low: Array
    high: Array
    deeper: np.ndarray
    z: Array


def targets(problem: Problem) -> list[Target]:
    """Return the free parameters, and sum and product where rates can be exchanged."""
    names = problem.model.names
    free = [*problem.free_linear, *problem.free]
    found = [Target(names[i], int(i)) for i in sorted(free)]
    return [*found, Target("sum"), Target("product")] if problem.model.exponents else found


def measured(problem: Problem, target: Target, amplitudes: Array, z: Array) -> tuple[Array, Array]:
    """Return a target's value and its gradient in (free amplitudes, coordinates)."""
    theta, turn = problem.outward(z)
    count = len(problem.free_linear)
    gradient = np.zeros((len(z), count + z.shape[1]))
    if target.place in problem.free_linear:
        gradient[:, list(problem.free_linear).index(target.place)] = 1.0
        return amplitudes[:, list(problem.linear).index(target.place)].copy(), gradient
    if target.place >= 0:
        k = list(problem.nonlinear).index(target.place)
        gradient[:, count:] = turn[:, k]
        return theta[:, k], gradient
    if problem.model.exponents is None:
        raise ValueError(target.name)
    rates = problem.model.exponents(theta)
    by_theta = problem.model.exponents(np.eye(theta.shape[1]))
    slopes = np.einsum("km,nkz->nmz", by_theta, turn)
    if target.name == "sum":
        gradient[:, count:] = slopes.sum(axis=1)
        return rates.sum(axis=1), gradient
    whole = rates.prod(axis=1)
    gradient[:, count:] = (slopes * (whole[:, None] / rates)[:, :, None]).sum(axis=1)
    return whole, gradient


def interval(
    problem: Problem,
    traces: Traces,
    best: Minimum,
    height: Array,
    target: Target,
    *,
    cells: np.ndarray,
) -> Interval:
    """Return where the sum of squares is `height` above the minimum, for some of the cells."""
    n, half = len(traces), len(cells)
    found = Interval(
        np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, bool), np.full_like(best.z, np.nan)
    )
    if not half:
        return found
    both = np.concatenate([cells, cells])
    side = np.repeat([-1.0, 1.0], half)
    fit = Minimum(*(values[both] for values in best))
    value, deeper, z = _ends(
        problem, traces.take(both), fit, height[both], target=target, side=side
    )
    found.low[cells], found.high[cells] = value[:half], value[half:]
    for some in (slice(half, None), slice(0, half)):
        there = cells[deeper[some]]
        found.deeper[there], found.z[there] = True, z[some][deeper[some]]
    return found


def over_frames(
    problem: Problem, traces: Traces, best: Minimum, height: Array, wanted: list[Target]
) -> dict[str, Interval]:
    """Return the intervals of a curve that jumps at its onset.

    Between two frames the onset changes nothing but the amplitudes. The intervals are those at
    both ends (2.5 % inside) of every frame whose sum of squares stays below the threshold.
    """
    n, column = len(traces), int(np.flatnonzero(problem.free == problem.onset)[0])
    nothing = np.full(n, np.nan)
    found = {
        each.name: Interval(nothing.copy(), nothing.copy(), np.zeros(n, bool), best.z.copy())
        for each in wanted
    }
    for offset in range(-_FRAMES, _FRAMES + 1):
        before, after = frame(traces.t, best.z[:, column], offset)
        for share in (0.025, 0.975):
            z = best.z.copy()
            z[:, column] = before + share * (after - before)
            some = np.flatnonzero(after > before)
            own = traces.take(some)
            there = descend(problem, own, z[some], 20, 1e-7)
            room = height[some] - (there.rss - best.rss[some])
            inside = np.flatnonzero(room > 0)
            for each in wanted:
                if each.place == problem.onset:
                    low = high = there.z[inside, column]
                else:
                    ends = interval(problem, own, there, room, each, cells=inside)
                    low, high = ends.low[inside], ends.high[inside]
                rows, kept = some[inside], found[each.name]
                kept.low[rows] = np.fmin(kept.low[rows], low)
                kept.high[rows] = np.fmax(kept.high[rows], high)
    return found


def _ends(
    problem: Problem, traces: Traces, best: Minimum, height: Array, *, target: Target, side: Array
) -> tuple[Array, np.ndarray, Array]:
    """Return one end for each row, whether a deeper point was met, and where."""
    n = len(traces)
    amplitudes, z = best.amplitudes.copy(), best.z.copy()
    last_amplitudes, last_z = amplitudes.copy(), z.copy()
    # Amplitudes follow the coordinates exactly, unless one of them is the target.
    joint = problem.logarithmic or target.place in problem.free_linear
    first = len(problem.free_linear)
    span = float(traces.t.max() - traces.t.min()) or 1.0
    most = np.where(problem.logs[problem.free], 1.0, 0.1 * span)
    center, _ = measured(problem, target, amplitudes, z)
    outer = np.full(n, np.nan)
    found, lower, reach = np.zeros(n, bool), z.copy(), np.ones(n)
    least = best.rss - 1e-3 * height
    threshold = best.rss + height
    rows = np.arange(n)
    for turn in range(_ITERATIONS):
        if not rows.size:
            break
        now = traces.take(rows)
        given = amplitudes[rows] if joint else None
        point = problem.assess(now, z[rows], given)
        rss, amplitudes[rows] = point.rss, point.amplitudes
        value, gradient = measured(problem, target, amplitudes[rows], z[rows])
        deeper = rss < least[rows]
        lower[rows[deeper]], least[rows[deeper]] = z[rows[deeper]], rss[deeper]
        found[rows[deeper]] = True
        step = _outward(
            problem,
            amplitudes[rows],
            z[rows],
            point,
            gradient=gradient,
            side=side[rows],
            room=threshold[rows] - rss,
        )
        ahead = np.abs((gradient * step).sum(axis=1))
        longest = (np.abs(step[:, first:]) / most).max(axis=1, initial=0.0)
        step /= np.maximum(longest / reach[rows], 1.0)[:, None]
        far = rss > threshold[rows] + height[rows]
        reach[rows] = np.where(far, reach[rows] / 4, np.minimum(reach[rows] * 2, 1.0))
        fair = np.abs(rss - threshold[rows]) < _ASTRAY * height[rows]
        outer[rows[fair]] = np.fmax(outer[rows[fair]], (side[rows] * value)[fair])
        close = np.abs(rss - threshold[rows]) <= 2 * _EXACT * height[rows]
        # An onset that passes a frame meets a kink, at which steps may go to and fro.
        patience = 1 if turn < _PATIENCE else 10
        done = close & (ahead <= patience * _EXACT * np.abs(value - center[rows]))
        new_amplitudes = problem_amplitudes(problem, amplitudes[rows], step[:, :first])
        new_z = problem.moved(z[rows], step[:, first:])
        back = far[:, None]
        new_z = np.where(back, last_z[rows], new_z)
        new_amplitudes = np.where(back, last_amplitudes[rows], new_amplitudes)
        stays = (np.abs(new_z - z[rows]).max(axis=1, initial=0.0) < 1e-9) & (
            np.abs(new_amplitudes - amplitudes[rows]) <= 1e-9 * (1 + np.abs(amplitudes[rows]))
        ).all(axis=1)
        kept = ~far & ~done
        last_amplitudes[rows[kept]], last_z[rows[kept]] = amplitudes[rows[kept]], z[rows[kept]]
        goes = ~done
        amplitudes[rows[goes]], z[rows[goes]] = new_amplitudes[goes], new_z[goes]
        rows = rows[~done & ~stays]
    value, _ = measured(problem, target, amplitudes, z)
    value[rows] = side[rows] * outer[rows]
    return value, found, lower


def _outward(
    problem: Problem,
    amplitudes: Array,
    z: Array,
    point: Point,
    *,
    gradient: Array,
    side: Array,
    room: Array,
) -> Array:
    """Return the step to the extreme of the target on the linearised contour."""
    hessian, b = point.hessian, point.gradient
    step = np.zeros_like(b)
    for _ in range(3):
        both = solve_scaled(hessian, np.stack([b, gradient], axis=2), ridge=1e-12)
        settle, drift = both[:, :, 0], both[:, :, 1]
        spread = np.maximum((gradient * drift).sum(axis=1), 1e-300)
        left = np.maximum(room + (b * settle).sum(axis=1), 0.0)
        step = settle + (side * np.sqrt(left / spread))[:, None] * drift
        hessian, hit = held(problem, amplitudes, z, hessian, step)
        if not hit.any():
            break
    return step


def standard_errors(
    problem: Problem, traces: Traces, best: Minimum, variance: Array, wanted: list[Target]
) -> tuple[list[Array], Array]:
    """Return the standard error of each target, and the least eigenvalue of the scaled JᵀJ."""
    _, _, hessian, b = problem.assess(traces, best.z, best.amplitudes)
    hessian, _ = held(problem, best.amplitudes, best.z, hessian, b)
    scale = 1 / np.sqrt(np.maximum(np.einsum("nii->ni", hessian), 1e-300))
    scaled = np.nan_to_num(hessian * scale[:, :, None] * scale[:, None, :])
    scaled[:, range(scaled.shape[1]), range(scaled.shape[1])] = 1.0
    weakest = np.linalg.eigvalsh(scaled)[:, 0] if scaled.shape[1] else np.ones(len(traces))
    errors = []
    for target in wanted:
        _, gradient = measured(problem, target, best.amplitudes, best.z)
        drift = solve_scaled(hessian, gradient, ridge=1e-12)
        errors.append(np.sqrt(np.maximum((gradient * drift).sum(axis=1), 0.0) * variance))
    return errors, weakest
