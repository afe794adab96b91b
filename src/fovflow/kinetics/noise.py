"""The noise of a sample's traces, from the residuals of a first fit."""

from __future__ import annotations

import numpy as np

from fovflow.kinetics.exponentials import Array
from fovflow.kinetics.problem import bounded

_BINS = 24
_LEAST = 400
"""Points from which on the course of the noise is estimated; it is constant below."""
_RISE = 1.25
"""Greatest variance over the least below which weights would gain nothing."""
_FLOOR = 1e-6
"""Least variance, as a share of the greatest."""


def variances(
    curves: Array, residuals: Array, counts: np.ndarray, before: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Return the relative variance of each point, and how much of a point it counts for.

    The variance is read + shot·level + gain·level², where level is the curve over its maximum in
    the cell: one course for the sample, whose height each cell's own residuals set later. It is
    constant unless the residuals say otherwise (BIC), and by more than a quarter.

    Parameters
    ----------
    curves, residuals : numpy.ndarray
        (cells, points).
    counts : numpy.ndarray
        (cells, points) bool, which points count.
    before : tuple of numpy.ndarray
        What the last round returned, ones at first; each cell's height is measured with it.

    Returns
    -------
    variances, shares : numpy.ndarray
        (cells, points). Variances have a floor; where the estimate lies below it, a residual tells
        less than a whole degree of freedom.
    """
    top = np.where(counts, curves, 1e-300).max(axis=1, keepdims=True, initial=1e-300)
    level = np.clip(curves / top, 0.0, 1.0)
    power = np.where(counts, residuals, 0.0) ** 2
    used = np.maximum((before[1] * counts).sum(axis=1, keepdims=True), 1)
    own = (power / before[0]).sum(axis=1, keepdims=True) / used
    fine = counts & (own > 0)
    if fine.sum() < _LEAST:
        return np.ones_like(curves), np.ones_like(curves)
    u, square = level[fine], (power / np.maximum(own, 1e-300))[fine]
    edges = np.quantile(u, np.linspace(0, 1, _BINS + 1)[1:-1])
    place = np.searchsorted(edges, u)
    number = np.bincount(place, minlength=_BINS).astype(float)
    full = number > 0
    mean = np.bincount(place, square, _BINS)[full] / number[full]
    middle, second = (np.bincount(place, x, _BINS)[full] / number[full] for x in (u, u**2))
    number = number[full]
    design = np.stack([np.ones_like(middle), middle, second])
    course = np.full_like(mean, float(np.average(mean, weights=number)))
    plain = _likelihood(course, mean, number)
    scale = np.array([1.0, 0.0, 0.0]) * course[0]
    for _ in range(8):
        weight = number / np.maximum(course, _FLOOR * course.max()) ** 2
        gram, right = (design * weight) @ design.T, (design * weight) @ mean
        scale = bounded(gram[None], right[None], np.zeros(3), np.full(3, np.inf))[0]
        course = np.maximum(scale @ design, _FLOOR * max((scale @ design).max(), 1e-300))
    gained = 2 * (_likelihood(course, mean, number) - plain)
    if gained < 2 * np.log(number.sum()) or course.max() < _RISE * course.min():
        return np.ones_like(curves), np.ones_like(curves)
    found = scale[0] + scale[1] * level + scale[2] * level**2
    floored = np.maximum(found, _FLOOR * scale.sum())
    return floored, np.asarray(found / floored)


def _likelihood(course: Array, mean: Array, number: Array) -> float:
    """Return the log-likelihood of mean squares of normal residuals with these variances."""
    return float(-0.5 * (number * (np.log(course) + mean / course)).sum())


def student(freedom: np.ndarray) -> Array:
    """Return the 97.5 % point of Student's t (Cornish–Fisher; exact to 1 % from 3 degrees on)."""
    z, v = 1.959963984540054, np.maximum(freedom, 1.0)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return np.asarray(z + first / v + second / v**2 + third / v**3)
