"""Cells whose parameters are known."""

from __future__ import annotations

import numpy as np

from fovflow.kinetics import MODELS

TYPICAL = {
    "ktl": 500.0,
    "delta": 0.3,
    "beta": 0.04,
    "km": 1.28,
    "G0": 1000.0,
    "Gu0": 1000.0,
    "offset": 50.0,
}


def cells(name, count, noise, *, hours=30.0, onsets=(0.5, 8.0), relative=False, seed=1, **fixed):
    """Return times, values (cells, points) and all parameters (cells, P)."""
    rng, model = np.random.default_rng(seed), MODELS[name]
    theta = np.empty((count, len(model.names)))
    for i, parameter in enumerate(model.names):
        if parameter == "t0":
            theta[:, i] = rng.uniform(*onsets, count)
        else:
            theta[:, i] = TYPICAL[parameter] * rng.lognormal(0, 0.3, count)
        if parameter in fixed:
            theta[:, i] = fixed[parameter]
    t = np.arange(0, hours, 1 / 6)
    curves = model.evaluate(t, theta)
    spread = curves if relative else curves.max(axis=1, keepdims=True)
    return t, curves + noise * spread * rng.normal(size=curves.shape), theta
