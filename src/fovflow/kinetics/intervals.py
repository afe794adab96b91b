"""Profile-likelihood intervals of parameters and of functions of them, for all cells at once.

The end of an interval is where the sum of squares reaches its threshold while all else is at its
best (Raue et al. 2009). It is found directly, as Venzon & Moolgavkar (1988) do: each step goes to
the extreme of the target on the ellipsoid that the linearised curve gives.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fovflow.kinetics.exponentials import Array
from fovflow.kinetics.problem import Problem, Traces, solve_scaled
from fovflow.kinetics.search import Minimum, frozen, problem_amplitudes, without

_ITERATIONS = 40
_EXACT = 0.01
"""Share of the threshold's height, and of the interval's half-width, that ends are exact to."""


class Target(NamedTuple):
    """What an interval is asked of: the parameter `index`, or ``sum``/``product`` of exponents."""

    name: str
    index: int = -1


class Ends(NamedTuple):
    """`reached`: whether the threshold was met before a bound of the search.

    `deeper`: whether the sum of squares fell below the minimum's on the way, at coordinates `z`.
    """

    value: Array
    reached: np.ndarray
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
    if target.index in problem.free_linear:
        gradient[:, list(problem.free_linear).index(target.index)] = 1.0
        return amplitudes[:, list(problem.linear).index(target.index)].copy(), gradient
    if target.index >= 0:
        k = list(problem.nonlinear).index(target.index)
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


def ends(
    problem: Problem, traces: Traces, best: Minimum, height: Array, target: Target, side: int
) -> Ends:
    """Return one end of an interval: where the sum of squares is `height` above the minimum.

    `side`: −1 for the lower end, 1 for the upper.
    """
    n = len(traces)
    amplitudes, z = best.amplitudes.copy(), best.z.copy()
    last_amplitudes, last_z = amplitudes.copy(), z.copy()
    first = len(problem.free_linear)
    span = float(traces.t.max() - traces.t.min()) or 1.0
    most = np.where(problem.logs[problem.free], 1.0, 0.1 * span)
    center, _ = measured(problem, target, amplitudes, z)
    reached, found, lower = np.zeros(n, bool), np.zeros(n, bool), z.copy()
    least = best.rss - 1e-3 * height
    threshold = best.rss + height
    rows = np.arange(n)
    for _ in range(_ITERATIONS):
        if not rows.size:
            break
        now = traces.take(rows)
        _, rss, hessian, b = problem.assess(now, z[rows], amplitudes[rows])
        value, gradient = measured(problem, target, amplitudes[rows], z[rows])
        deeper = rss < least[rows]
        lower[rows[deeper]], least[rows[deeper]] = z[rows[deeper]], rss[deeper]
        found[rows[deeper]] = True
        step = _outward(problem, amplitudes[rows], z[rows], hessian, b, gradient, side, threshold[rows] - rss)
        step[:, first:] = np.clip(step[:, first:], -most, most)
        far = rss > threshold[rows] + 3 * height[rows]
        ahead = np.abs((gradient * step).sum(axis=1))
        close = np.abs(rss - threshold[rows]) <= 2 * _EXACT * height[rows]
        done = close & (ahead <= _EXACT * np.abs(value - center[rows]))
        new_amplitudes = problem_amplitudes(problem, amplitudes[rows], step[:, :first])
        new_z = problem.clipped(z[rows] + step[:, first:])
        back = far[:, None]
        new_z = np.where(back, (z[rows] + last_z[rows]) / 2, new_z)
        new_amplitudes = np.where(back, (amplitudes[rows] + last_amplitudes[rows]) / 2, new_amplitudes)
        stays = (np.abs(new_z - z[rows]).max(axis=1, initial=0.0) < 1e-9) & (
            np.abs(new_amplitudes - amplitudes[rows])
            <= 1e-9 * (1 + np.abs(amplitudes[rows]))
        ).all(axis=1)
        reached[rows[done]] = True
        kept = ~far & ~done
        last_amplitudes[rows[kept]], last_z[rows[kept]] = amplitudes[rows[kept]], z[rows[kept]]
        goes = ~done
        amplitudes[rows[goes]], z[rows[goes]] = new_amplitudes[goes], new_z[goes]
        rows = rows[~done & ~stays]
    value, _ = measured(problem, target, amplitudes, z)
    return Ends(value, reached, found, lower)


def _outward(
    problem: Problem,
    amplitudes: Array,
    z: Array,
    hessian: Array,
    b: Array,
    gradient: Array,
    side: int,
    room: Array,
) -> Array:
    """Return the step to the extreme of the target on the linearised contour."""
    stuck = np.zeros(b.shape, bool)
    step = np.zeros_like(b)
    for _ in range(3):
        system, right = without(hessian, b, stuck)
        aim = gradient * ~stuck
        both = solve_scaled(system, np.stack([right, aim], axis=2), ridge=1e-12)
        settle, drift = both[:, :, 0], both[:, :, 1]
        spread = np.maximum((aim * drift).sum(axis=1), 1e-300)
        left = np.maximum(room + (right * settle).sum(axis=1), 0.0)
        step = settle + (side * np.sqrt(left / spread))[:, None] * drift
        more = frozen(problem, amplitudes, z, step) & ~stuck
        if not more.any():
            break
        stuck |= more
    return np.where(stuck, 0.0, step)


def standard_errors(
    problem: Problem, traces: Traces, best: Minimum, variance: Array, wanted: list[Target]
) -> tuple[list[Array], Array]:
    """Return the standard error of each target, and the least eigenvalue of the scaled JᵀJ."""
    _, _, hessian, b = problem.assess(traces, best.z, best.amplitudes)
    hessian, _ = without(hessian, b, frozen(problem, best.amplitudes, best.z, b))
    scale = 1 / np.sqrt(np.maximum(np.einsum("nii->ni", hessian), 1e-300))
    scaled = np.nan_to_num(hessian * scale[:, :, None] * scale[:, None, :])
    weakest = np.linalg.eigvalsh(scaled)[:, 0] if scaled.shape[1] else np.ones(len(traces))
    errors = []
    for target in wanted:
        _, gradient = measured(problem, target, best.amplitudes, best.z)
        drift = solve_scaled(hessian, gradient, ridge=1e-12)
        errors.append(np.sqrt(np.maximum((gradient * drift).sum(axis=1), 0.0) * variance))
    return errors, weakest
