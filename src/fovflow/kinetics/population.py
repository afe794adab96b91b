"""The second stage: each cell drawn towards its sample (empirical Bayes)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fovflow.kinetics.exponentials import Array
from fovflow.kinetics.models import Model

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
