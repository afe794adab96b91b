"""What the cells of a sample have in common: their distribution, and parameters they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fovflow.kinetics.exponentials import Array
from fovflow.kinetics.models import Model
from fovflow.kinetics.problem import Problem, Traces
from fovflow.kinetics.search import descend, search

_LEAST = 5
"""Least number of cells that make a population."""


def shrink(
    model: Model, values: Mapping[str, Array], errors: Mapping[str, Array], success: np.ndarray
) -> dict[str, dict[str, Array]]:
    """Return each parameter's distribution in the sample, and the cells drawn towards it.

    Parameters that are positive are taken as log-normal, others as normal. Mean and variance
    between cells are those of greatest likelihood, given each cell's standard error (EM); the
    shrinkage is se²/(se² + sd²): 0 where a cell's own data decide, 1 where the sample does. All is
    NaN for parameters that are fixed or that fewer than five cells tell.
    """
    found = {}
    for each in model.parameters:
        value, error = values[each.name], errors[each.name]
        positive = each.low >= 0 and not each.onset
        x = np.log(value) if positive else value
        s = error / value if positive else error
        good = success & np.isfinite(x) & np.isfinite(s)
        shrunk, share = np.full_like(value, np.nan), np.full_like(value, np.nan)
        mean = spread = np.nan
        if good.sum() >= _LEAST and s[good].any():
            mean, spread = _moments(x[good], s[good])
            share[good] = s[good] ** 2 / np.maximum(s[good] ** 2 + spread**2, 1e-300)
            shrunk[good] = x[good] + share[good] * (mean - x[good])
        found[each.name] = {
            "mean": np.asarray(np.exp(mean) if positive else mean),
            "sd": np.asarray(spread),
            "shrunk": np.exp(shrunk) if positive else shrunk,
            "shrinkage": share,
        }
    return found


def _moments(x: Array, s: Array) -> tuple[float, float]:
    """Return mean and standard deviation between cells of greatest likelihood."""
    order = np.lexsort((s, x))
    x, s = x[order], s[order]
    mean, variance = float(np.median(x)), float(np.var(x))
    for _ in range(200):
        precision = 1 / np.maximum(s**2 + variance, 1e-300)
        centre = float((precision * x).sum() / precision.sum())
        share = variance * precision
        new = float(np.mean(share**2 * (x - centre) ** 2 + variance * (1 - share)))
        done = abs(new - variance) <= 1e-8 * variance
        mean, variance = centre, new
        if done:
            break
    return mean, variance**0.5


def common(
    holding: Callable[[Mapping[str, float]], Problem],
    shared: Sequence[str],
    traces: Traces,
    chunks: Callable[[int, Callable[[np.ndarray], None]], None],
) -> tuple[Array, Array, Array, Array]:
    """Return values of greatest likelihood of parameters that all cells share, errors and ends.

    Each cell has a height of noise of its own. The ends are those of the 95 % interval in the
    parabola of the likelihood; NaN where it is none.

    `holding`: returns the problem in which some parameters are held. `chunks`: calls a function
    with the indices of the cells of each chunk.
    """
    from scipy.optimize import minimize

    free = holding({})
    places = [free.model.names.index(name) for name in shared]
    logs, low, high = free.logs[places], free.low[places], free.high[places]
    theta = np.tile(free.start, (len(traces), 1))
    rss = np.full(len(traces), np.inf)
    used = (traces.root > 0).sum(axis=1)

    def outward(u: Array) -> Array:
        return np.clip(np.where(logs, np.exp(u), u), low, high)

    def cost(u: Array | None, *, anew: bool = False) -> float:
        problem = free if u is None else holding(dict(zip(shared, outward(u), strict=True)))

        def look(rows: np.ndarray) -> None:
            own = traces.take(rows)
            if anew:
                found, _ = search(problem, own)
                theta[rows] = problem.everything(found)
            else:
                found = descend(problem, own, problem.inward(theta[rows]), 20, 1e-8)
            rss[rows] = found.rss

        chunks(len(traces), look)
        good = np.isfinite(rss)
        return float((used * np.log(np.maximum(rss, 1e-300) / used))[good].sum())

    cost(None, anew=True)
    swapped = free.model.exchanged(theta) if free.model.exchanged else []
    middles = [
        np.clip(np.nanmedian(each[:, places], axis=0), low, high) for each in (theta, *swapped)
    ]
    starts = [np.where(logs, np.log(np.maximum(each, 1e-300)), each) for each in middles]
    first = min(starts, key=lambda u: cost(u, anew=True))
    cost(first, anew=True)
    best, spread = first, np.full(len(first), 1e-3)
    for _ in range(2):  # begun anew, as its simplex may have become flat
        best = minimize(cost, best, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-4}).x
    for _ in range(3):  # differences over about one standard error
        half = _curvature(cost, best, np.nan_to_num(np.clip(spread, 1e-6, 1.0), nan=1e-3)) / 2
        sharp = bool((np.linalg.eigvalsh(half) > 0).all())
        spread = np.sqrt(np.diag(np.linalg.inv(half))) if sharp else np.full(len(best), np.nan)
    value = outward(best)
    error = spread * np.where(logs, value, 1.0)
    return value, error, outward(best - 1.96 * spread), outward(best + 1.96 * spread)


def _curvature(cost: Callable[[Array], float], u: Array, step: Array) -> Array:
    """Return the matrix of second derivatives, by differences."""
    moves = np.diag(step)
    middle = cost(u)
    ahead, behind = ([cost(u + sign * move) for move in moves] for sign in (1, -1))
    found = np.diag((np.array(ahead) + behind - 2 * middle) / step**2)
    for i in range(len(u)):
        for j in range(i):
            corner = cost(u + moves[i] + moves[j]) - ahead[i] - ahead[j] + middle
            found[i, j] = found[j, i] = corner / (step[i] * step[j])
    return found
