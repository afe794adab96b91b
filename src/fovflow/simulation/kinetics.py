"""Kinetic models of the simulated fluorescence, and each cell's parameters.

Written independently of the fitted models, so that one checks the other.
"""

from __future__ import annotations

import numpy as np

from fovflow.simulation.params import MovieParams
from fovflow.simulation.shape import Float
from fovflow.simulation.streams import stream

PARAMETERS = ("t0_h", "ktl", "delta", "beta", "km")
"""Onset (h), translation (counts/h), mRNA decay, protein decay and maturation rates (1/h)."""

_MEDIAN_RATES = {"delta": 0.12, "beta": 0.05, "km": 1.3}
_RATE_SPREAD = 0.2
_NEAR = 1e-6
"""Rates closer than this (1/h) are taken as this far apart: the limit to six digits."""


def amount(
    model: str,
    time_h: Float,
    *,
    t0_h: Float,
    ktl: Float,
    delta: Float,
    beta: Float,
    km: Float,
) -> Float:
    """Total intensity of cells at given times.

    ``trivial`` solves m' = -δ m, g' = k m - β g with m(t0) = 1, g(t0) = 0; ``maturation`` adds an
    immature step u' = k m - (β + km) u, g' = km u - β g. Both are zero before t0. Written with
    divided differences of exp(-x dt), so that equal rates give their limits.

    Parameters
    ----------
    model : {"trivial", "maturation"}
    time_h, t0_h, ktl, delta, beta, km : numpy.ndarray
        Broadcast against each other; times in h, `ktl` in counts/h, rates in 1/h.

    Returns
    -------
    numpy.ndarray
        Counts.
    """
    dt = np.maximum(time_h - t0_h, 0.0)
    first = _divided(delta, beta, dt)
    if model == "trivial":
        return np.asarray(-ktl * first)
    # Second divided difference over delta, beta, beta + km: the sum of the three exponentials
    # over the products of their rates' differences, times km.
    third = beta + km
    third = np.where(np.abs(delta - third) < _NEAR, delta + _NEAR, third)
    second = (first - _divided(beta, third, dt)) / (delta - third)
    return np.asarray(ktl * km * second)


def _divided(a: Float, b: Float, dt: Float) -> Float:
    """(exp(-a dt) - exp(-b dt)) / (a - b), with its limit where a = b."""
    x = (a - b) * dt
    small = np.abs(x) < 1e-8
    ratio = np.where(small, -1.0 + x / 2, np.expm1(-x) / np.where(small, 1.0, x))
    return np.asarray(np.exp(-b * dt) * dt * ratio)


def _array(value: float) -> Float:
    return np.array(value, np.float64)


def draw_parameters(params: MovieParams, p: int, cell: int, c: int) -> dict[str, float]:
    """Draw the kinetic parameters of one founder cell in one fluorescence channel.

    `ktl` is such that the largest total intensity is log-normal about ``params.brightness``;
    it is 0 for cells that do not express.

    Returns
    -------
    dict
        With the keys of `PARAMETERS`.
    """
    rng = stream(params.seed, "kinetics", p, cell, c)
    expresses = rng.random() < params.expressing
    t0 = float(rng.uniform(*params.onset_h))
    rates = {
        name: value * float(np.exp(_RATE_SPREAD * rng.standard_normal()))
        for name, value in _MEDIAN_RATES.items()
    }
    peak = params.brightness * float(np.exp(params.brightness_spread * rng.standard_normal()))
    grid = np.linspace(0.0, 120.0, 2401)
    unit = amount(
        params.kinetics,
        grid,
        t0_h=_array(0.0),
        ktl=_array(1.0),
        **{k: _array(v) for k, v in rates.items()},
    )
    ktl = peak / float(unit.max()) if expresses else 0.0
    return {"t0_h": t0, "ktl": ktl, **rates}
