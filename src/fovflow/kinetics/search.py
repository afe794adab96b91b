"""The search for the least sum of squares: a grid seen by all cells, then Levenberg–Marquardt.

Amplitudes are eliminated (variable projection: Golub & Pereyra 1973, with Kaufman's Jacobian).
"""

from __future__ import annotations

from contextlib import suppress
from itertools import product

import numpy as np

from fovflow.kinetics.exponentials import Array
from fovflow.kinetics.models import ModelError
from fovflow.kinetics.problem import Point, Problem, Traces, solve_scaled

_STARTS = 3
"""Minima of the grid that are followed for each cell."""
_ITERATIONS = 80
_RATES = {1: 14, 2: 8, 3: 6}
"""Grid points of each rate by the number of rates."""
_ONSETS = 30
_HOPEFUL = 100.0
"""χ² above the deepest minimum up to which a start is followed beyond its first steps."""
_SAME = 0.1
"""Difference of log rates (and a frame of onsets) within which minima are the same."""
_ROUGH = 60
"""Least number of points at which the first steps look."""
_AT_ONCE = 256
"""Cells whose grid of sums of squares is held in memory."""


def descend(
    problem: Problem,
    traces: Traces,
    z: Array,
    iterations: int = _ITERATIONS,
    tolerance: float = 1e-11,
) -> Point:
    """Follow Levenberg–Marquardt from `z` for all cells at once; those that settled drop out.

    `tolerance`: relative gain of the sum of squares below which a cell has settled.
    """
    point = problem.assess(traces, problem.moved(z))
    if problem.logarithmic:
        point = problem.assess(traces, point.z, _positive(problem, traces, point.amplitudes))
    damping = np.full(len(z), 1e-3)
    rows = np.flatnonzero(np.isfinite(point.rss))
    first = len(problem.free_linear)
    # Steps of at most e⁻² to e² in rates, and a tenth of the movie in times.
    most = np.where(problem.logs[problem.free], 2.0, 0.1 * problem.span)
    exact = 1e-24 * np.square(traces.y * traces.root).sum(axis=1)
    if not len(problem.free) and not problem.logarithmic:
        point.settled = np.isfinite(point.rss)
        return point
    for _ in range(iterations):
        if not rows.size:
            break
        now = point.take(rows)
        step = _step(problem, now, damping[rows])
        trial = problem.moved(now.z, np.clip(step[:, first:], -most, most))
        given = None
        if problem.logarithmic:
            given = problem_amplitudes(problem, now.amplitudes, step[:, :first])
        found = problem.assess(traces, trial, given, rows)
        gain = now.rss - found.rss
        better = gain > 0
        small = np.abs(trial - now.z).max(axis=1, initial=0.0) < 1e-7
        done = np.where(
            better,
            (gain < tolerance * now.rss) | (found.rss <= exact[rows]),
            (damping[rows] > 1e6) | small,
        )
        point.put(rows[better], found.take(better))
        damping[rows] = np.where(better, np.maximum(damping[rows] / 8, 1e-12), damping[rows] * 6)
        point.settled[rows[done]] = True
        rows = rows[~done]
    return point


def problem_amplitudes(problem: Problem, amplitudes: Array, step: Array) -> Array:
    """Return amplitudes after a step of the free ones, within their bounds."""
    found = amplitudes.copy()
    where = np.isin(problem.linear, problem.free_linear)
    found[:, where] += step
    return np.clip(found, problem.low[problem.linear], problem.high[problem.linear])


def _positive(problem: Problem, traces: Traces, amplitudes: Array) -> Array:
    """Return amplitudes for logarithms: an offset below the least value would have none."""
    found = amplitudes.copy()
    for i, j in enumerate(problem.linear):
        if problem.model.names[j] == "offset" and j in problem.free_linear:
            least = np.where(traces.root > 0, traces.y, np.inf).min(axis=1)
            found[:, i] = np.maximum(found[:, i], least)
    return np.clip(found, problem.low[problem.linear], problem.high[problem.linear])


def held(
    problem: Problem, point: Point, hessian: Array, heading: Array
) -> tuple[Array, np.ndarray]:
    """Return JᵀJ in which bounds that `heading` would cross are walls, and the cells that meet one.

    A wall is a stiffness of 1e8 across the bound; with a bound of one coordinate that holds it.
    """
    hit, walls = problem.walls(point, heading)
    if hit.size:
        scale = np.sqrt(np.maximum(np.einsum("nii->ni", hessian[hit]), 1e-300))
        stiff = walls / scale[:, None]
        stiff /= np.maximum(np.linalg.norm(stiff, axis=2, keepdims=True), 1e-300)
        stiff *= 1e4 * scale[:, None]
        hessian = hessian.copy()
        hessian[hit] += np.einsum("nki,nkj->nij", stiff, stiff)
    return hessian, hit


def _step(problem: Problem, point: Point, damping: Array) -> Array:
    hessian = point.hessian.copy()
    first = 0 if problem.logarithmic else len(problem.free_linear)
    index = np.arange(first, hessian.shape[1])
    diagonal = hessian[:, index, index]
    floor = 1e-12 * diagonal.max(axis=1, keepdims=True, initial=0.0)
    hessian[:, index, index] += damping[:, None] * np.maximum(diagonal, floor)
    step = solve_scaled(hessian, point.gradient)
    for _ in range(2):
        hessian, hit = held(problem, point, hessian, step)
        if not hit.size:
            break
        step[hit] = solve_scaled(hessian[hit], point.gradient[hit])
    return step


def starts(problem: Problem, traces: Traces) -> list[Array]:
    """Return coordinates to start from: the best minima of a grid for each cell, and the start."""
    own = problem.inward(np.tile(problem.start, (len(traces), 1)))
    if not len(problem.free):
        return [own]
    chosen = [np.empty_like(own) for _ in range(_STARTS)]
    reach = np.where(problem.logs[problem.free], 1, 3)
    shared = traces.t.strides[0] == 0
    times, group = np.unique(traces.t[: 1 if shared else None], axis=0, return_inverse=True)
    for number, t in enumerate(times):
        grid, place, z = _grid(problem, t)
        values = [
            value[:1] if value.strides[0] == 0 else value for value in _basis_on(problem, t, grid)
        ]
        near = (np.abs(place[:, None] - place[None]) <= reach).all(axis=2)
        rows = np.arange(len(traces)) if shared else np.flatnonzero(group.ravel() == number)
        for some in np.split(rows, range(_AT_ONCE, len(rows), _AT_ONCE)):
            rss = _on_grid(problem, traces.take(some), values)
            for kept in chosen:
                best = rss.argmin(axis=1)
                kept[some] = z[best]
                rss[near[best]] = np.inf
    return [*chosen, own]


def _grid(problem: Problem, t: Array) -> tuple[Array, np.ndarray, Array]:
    """Return all parameters (G, P) on a grid, their places (G, z) and coordinates (G, z)."""
    first, last = float(t.min()), float(t.max())
    span = (last - first) or 1.0
    apart = span / max(t.size - 1, 1)
    rates = _RATES.get(int(problem.logs[problem.free].sum()), 4)
    axes = []
    for i in problem.free:
        low, high = problem.low[i], problem.high[i]
        if problem.logs[i]:
            inner = np.clip([0.1 / span, 2 / apart], low, high)
            low, high = inner if inner[0] < inner[1] else (low, high)
            axes.append(np.geomspace(low, high, rates))
            continue
        before = 0.2 * span if i == problem.onset else 0.5 * span
        inner = np.clip([first - before, last], low, high)
        low, high = inner if inner[0] < inner[1] else (low, high)
        axes.append(low + (np.arange(_ONSETS) + 0.5) * (high - low) / _ONSETS)
    places = np.array(list(product(*(range(len(axis)) for axis in axes))), np.int8)
    grid = np.tile(problem.start, (len(places), 1))
    for k, (i, axis) in enumerate(zip(problem.free, axes, strict=True)):
        grid[:, i] = axis[places[:, k]]
    if problem.chain:
        keep = grid[:, problem.chain[-2]] >= grid[:, problem.chain[-1]]
        grid, places = grid[keep], places[keep]
    return grid, places, problem.moved(problem.inward(grid))


def _basis_on(problem: Problem, t: Array, grid: Array) -> list[Array]:
    times = np.broadcast_to(t, (len(grid), len(t)))
    theta = grid[:, problem.nonlinear]
    try:
        return problem.model.functions(times, theta)[0]
    except ModelError:  # one point of the grid after the other
        values: list[Array] = []
        for k in range(len(grid)):
            with suppress(ModelError):
                row, _ = problem.model.functions(times[k : k + 1], theta[k : k + 1])
                values = values or [np.full(times.shape, np.nan) for _ in row]
                for value, own in zip(values, row, strict=True):
                    value[k] = own[0]
        if not values:
            raise
        return values


def _on_grid(problem: Problem, traces: Traces, values: list[Array]) -> Array:
    """Return sums of squares (cells, G): the normal equations of all pairs are matrix products."""
    weights = traces.root**2
    if problem.logarithmic:
        weights = weights / np.maximum(traces.y, 1e-12) ** 2
    seen = weights[:1] if (weights == weights[0]).all() else weights
    count = len(values)
    gram = {(i, j): seen @ (values[i] * values[j]).T for i in range(count) for j in range(i + 1)}
    right = [(weights * traces.y) @ value.T for value in values]
    low, high = problem.low[problem.linear], problem.high[problem.linear]
    amplitudes = _eliminated(gram, right) if len(low) else [np.ones_like(right[0])]
    if len(low):
        amplitudes = [np.clip(c, low[i], high[i]) for i, c in enumerate(amplitudes)]
    rss = (weights * traces.y**2).sum(axis=1)[:, None] - 2 * sum(
        c * r for c, r in zip(amplitudes, right, strict=True)
    )
    for (i, j), inner in gram.items():
        rss += (1 if i == j else 2) * amplitudes[i] * amplitudes[j] * inner
    return np.where(np.isfinite(rss), rss, 1e300)


def _eliminated(gram: dict[tuple[int, int], Array], right: list[Array]) -> list[Array]:
    """Solve the normal equations of all cells and grid points by elimination."""
    count = len(right)
    rows = [[gram[max(i, j), min(i, j)] for j in range(count)] for i in range(count)]
    b = list(right)
    for i in range(count):
        floor = 1e-10 * gram[i, i] + 1e-300
        rows[i][i] = np.maximum(rows[i][i], floor)
        for k in range(i + 1, count):
            factor = rows[k][i] / rows[i][i]
            rows[k] = [rows[k][j] - factor * rows[i][j] for j in range(count)]
            b[k] = b[k] - factor * b[i]
    found: list[Array] = [np.zeros(())] * count
    for i in reversed(range(count)):
        rest = sum((rows[i][j] * found[j] for j in range(i + 1, count)), np.zeros(()))
        found[i] = (b[i] - rest) / rows[i][i]
    return found


def _refined(problem: Problem, traces: Traces, best: Point) -> Point:
    """Return the deepest points at onsets near the present ones.

    The sum of squares has a kink wherever the onset passes a frame, and so small minima between
    frames; one of a step has a flat floor between them.
    """
    column, t, found = problem.column(problem.onset), traces.t, best
    apart = (t[:, -1] - t[:, 0]) / max(t.shape[1] - 1, 1)
    for offset in range(-6, 7) if problem.stepped else (-1, -0.5, 0.5, 1):
        trial = best.z.copy()
        if problem.stepped:
            before, after = frame(t, best.z[:, column], int(offset))
            trial[:, column] = (before + after) / 2
        else:
            trial[:, column] += offset * apart
        # Where logarithms are compared, the amplitudes have to follow first.
        steps = 8 if problem.logarithmic else 0
        found = merge(found, descend(problem, traces, trial, steps, 1e-5))
    return found


def frame(t: Array, onset: Array, offset: int) -> tuple[Array, Array]:
    """Return the times of the points before and after the onset, `offset` points later."""
    after = (t < onset[:, None]).sum(axis=1) + offset
    cells, last = np.arange(len(t)), t.shape[1] - 1
    before = t[cells, np.clip(after - 1, 0, last)]
    return before, np.where(after < 1, before, t[cells, np.clip(after, 0, last)])


def merge(best: Point, other: Point, rows: np.ndarray | slice = slice(None)) -> Point:
    """Return the deeper minimum of each cell; `rows`: the cells of `other`."""
    better = other.rss <= best.rss[rows]
    index = np.arange(len(best.rss))[rows][better]
    merged = best.take(np.arange(len(best.rss)))
    merged.put(index, other.take(better))
    return merged


def search(problem: Problem, traces: Traces) -> tuple[Point, list[Point]]:
    """Return the deepest minimum of each cell, and those of all starts.

    A start that has come to the deepest minimum is followed no further; its sum of squares is then
    infinite.
    """
    rough = traces if problem.stepped else traces.thinned(_ROUGH)
    near = np.where(problem.logs[problem.free], _SAME, 0.5 * problem.span / traces.y.shape[1])
    found = [descend(problem, rough, z, 4, 1e-5) for z in starts(problem, traces)]
    best = found[0]
    for other in found[1:]:
        best = merge(best, other)
    hopeful = best.rss * (1 + _HOPEFUL / rough.y.shape[1])
    best = descend(problem, traces, best.z, 12, 1e-5)
    for other in found:
        apart = (np.abs(other.z - best.z) > near).any(axis=1)
        rows = np.flatnonzero(apart & (other.rss < hopeful))
        other.rss[:] = np.inf
        other.put(rows, descend(problem, traces.take(rows), other.z[rows], 12, 1e-5))
        best = merge(best, other)
    for _ in range(2 if problem.onset in problem.free else 0):
        near_by = _refined(problem, traces, best)
        rows = np.flatnonzero(near_by.rss < best.rss * (1 - 1e-9))
        best = merge(best, descend(problem, traces.take(rows), near_by.z[rows], 12, 1e-5), rows)
    best = merge(best, descend(problem, traces, best.z))
    for other in found:
        other.rss[(np.abs(other.z - best.z) <= near).all(axis=1)] = np.inf
    return best, found
