"""Kinetic models: their parameters, and their curves as sums of basis functions.

A curve is ``Σ amplitude · basis(t; rates, times)``. The amplitudes (`Parameter.linear`) enter
linearly and are solved for; the others are searched. Times are hours, rates 1/h.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import ConfigError, FovflowError, did_you_mean
from fovflow.kinetics.exponentials import Array, three_rates, two_rates
from fovflow.plugins import find

Bounds = tuple[float, float]
Basis = tuple[list[Array], list[list[Array | None]] | None]
"""The basis functions, (cells, points) each, and for each its slope in every nonlinear parameter
(None: zero); no slopes where a model leaves them to differences."""


class ModelError(FovflowError):
    """A model's own function raised."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a model.

    `unit`: h, 1/h, or made of the values' unit (a.u.). `linear`: whether the curve is proportional
    to it. `log`: whether it is searched on a logarithmic scale; its bounds are then above zero.
    `onset`: whether the curve is flat before this time.
    """

    name: str
    unit: str
    start: float
    low: float
    high: float
    linear: bool = False
    log: bool = False
    onset: bool = False


@dataclass(frozen=True)
class Model:
    """A kinetic model: its name, and its formula with dt = t − t0; the curve is flat before t0.

    Attributes
    ----------
    parameters : tuple of Parameter
    basis : callable
        ``basis(t, theta)`` returns `Basis` for times (cells, points) and nonlinear parameters
        (cells, k) in the order of `parameters`; one function per linear parameter, in their order.
        A model without linear parameters returns one, its curve.
    step : bool
        Whether the curve jumps at the onset, which the data then tell to one frame only.
    exponents : callable, optional
        The rates (cells, m) of ``theta`` that can be exchanged without any change of the curve.
    exchanged : callable, optional
        All parameters (cells, P) → list of other (cells, P) that give exactly the same curve.
    """

    name: str
    formula: str
    parameters: tuple[Parameter, ...]
    basis: Callable[[Array, Array], Basis]
    step: bool = False
    exponents: Callable[[Array], Array] | None = None
    exchanged: Callable[[Array], list[Array]] | None = None

    @property
    def names(self) -> list[str]:
        """Names of all parameters."""
        return [each.name for each in self.parameters]

    @property
    def linear(self) -> list[int]:
        """Indices of the linear parameters."""
        return [i for i, each in enumerate(self.parameters) if each.linear]

    @property
    def nonlinear(self) -> list[int]:
        """Indices of the others."""
        return [i for i, each in enumerate(self.parameters) if not each.linear]

    def functions(self, t: Array, theta: Array) -> Basis:
        """Return `basis`; whatever it raises becomes a `ModelError`."""
        try:
            return self.basis(t, theta)
        except Exception as error:
            raise ModelError(
                f"the model {self.name} raises",
                found=f"{type(error).__name__}: {error}",
                remedy="correct the model, or narrow the bounds of its parameters",
            ) from error

    def slopes(self, t: Array, theta: Array) -> tuple[list[Array], list[list[Array | None]]]:
        """Return the basis and its slopes, by central differences where the model gives none."""
        values, slopes = self.functions(t, theta)
        if slopes is not None:
            return values, slopes
        columns = []
        for k in range(theta.shape[1]):
            step = np.zeros_like(theta)
            step[:, k] = 1e-6 * np.maximum(np.abs(theta[:, k]), 1e-3)
            above, below = self.functions(t, theta + step)[0], self.functions(t, theta - step)[0]
            width = 2 * step[:, k, None]
            columns.append([(u - v) / width for u, v in zip(above, below, strict=True)])
        return values, [list(each) for each in zip(*columns, strict=True)] or [[] for _ in values]

    def evaluate(self, t: Array, theta: Array) -> Array:
        """Return the curves, (cells, points).

        `t`: (points,) or (cells, points) times in hours. `theta`: (cells, P) all parameters in
        their order, or (P,) for one cell.
        """
        theta = np.atleast_2d(np.asarray(theta, float))
        times = np.broadcast_to(np.asarray(t, float), (len(theta), np.shape(t)[-1]))
        values, _ = self.functions(times, theta[:, self.nonlinear])
        amplitudes = theta[:, self.linear] if self.linear else np.ones((len(theta), 1))
        return np.asarray(sum(amplitudes[:, [i]] * value for i, value in enumerate(values)))

    def changed(
        self,
        start: Mapping[str, float],
        bounds: Mapping[str, Sequence[float]],
        fixed: Mapping[str, float] | None = None,
        shared: Sequence[str] = (),
    ) -> dict[str, Parameter]:
        """Return the parameters with other starts and bounds; all errors are `ConfigError`.

        Where only bounds are given and the start lies outside of them, it moves to the nearer one.
        `fixed` and `shared` are checked.
        """
        fixed = fixed or {}
        self._known([*start, *bounds, *fixed, *shared])
        for name, value in fixed.items():
            if name in shared or not np.isfinite(value):
                raise ConfigError(
                    f"{name} is held and shared"
                    if name in shared
                    else f"{name} is held at {value}",
                    remedy="hold a parameter at a number, or let the cells share it",
                )
        found = {}
        for each in self.parameters:
            low, high = (float(bound) for bound in bounds.get(each.name, (each.low, each.high)))
            if not low < high:
                raise ConfigError(
                    f"bounds of {each.name}: the lower one must be below the upper one",
                    found=f"{low:g} and {high:g}",
                    remedy="write the lower bound first; fix the parameter to hold it at a value",
                )
            if each.log and low <= 0:
                raise ConfigError(
                    f"bounds of {each.name}: a rate must stay above zero",
                    found=f"{low:g} and {high:g}",
                    remedy="give a small lower bound, such as 1e-5",
                )
            first = float(start.get(each.name, min(max(each.start, low), high)))
            if not low <= first <= high:
                raise ConfigError(
                    f"the start of {each.name} lies outside its bounds",
                    found=f"{first:g}, bounds {low:g} to {high:g}",
                    remedy="choose a start within the bounds, or other bounds",
                )
            found[each.name] = replace(each, start=first, low=low, high=high)
        return found

    def _known(self, names: Sequence[str]) -> None:
        """Raise ConfigError if there is no parameter of one of these names."""
        for name in names:
            if name not in self.names:
                raise ConfigError(
                    f"the model {self.name} has no parameter {name!r}"
                    f"{did_you_mean(name, self.names)}",
                    found=", ".join(self.names),
                    remedy="name one of these",
                )


def _since(t: Array, onset: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return the time since the onset, 0 before it, and where it has passed."""
    elapsed = t - onset
    return np.maximum(elapsed, 0.0), elapsed >= 0


def _flat(t: Array) -> Array:
    return np.broadcast_to(1.0, t.shape)


def _trivial(t: Array, theta: Array) -> Basis:
    dt = np.maximum(t - theta[:, :1], 0.0)
    value, a, b, slope = two_rates(dt, theta[:, 1:2], theta[:, 2:3])
    slope *= dt > 0
    return [value, _flat(t)], [[-slope, a, b], [None] * 3]


def _maturation(t: Array, theta: Array) -> Basis:
    dt, _ = _since(t, theta[:, :1])
    km = theta[:, 1:2]
    value, (d, b, c), slope = three_rates(dt, _maturation_rates(theta))
    slopes: list[Array | None] = [-km * slope, value + km * c, km * d, km * (b + c)]
    return [km * value, _flat(t)], [slopes, [None] * 4]


def _maturation_rates(theta: Array) -> Array:
    """Return δ, β and β + km of (t0, km, δ, β)."""
    km, delta, beta = theta[:, 1], theta[:, 2], theta[:, 3]
    return np.stack([delta, beta, beta + km], axis=1)


def _blocked(t: Array, theta: Array) -> Basis:
    dt, on = _since(t, theta[:, :1])
    km, beta = theta[:, 1:2], theta[:, 2:3]
    old = np.where(on, np.exp(-beta * dt), 0.0)
    ripe, _, c, slope = two_rates(dt, beta, beta + km)
    fall = -dt * old
    fresh = km * ripe
    of_fresh: list[Array | None] = [-km * slope * on, ripe + km * c, -dt * fresh]
    return [old, fresh, _flat(t)], [[beta * old, None, fall], of_fresh, [None] * 3]


def _expression(t: Array, theta: Array) -> Basis:
    dt, on = _since(t, theta[:, :1])
    beta = theta[:, 1:2]
    value, _, b, slope = two_rates(dt, np.zeros_like(beta), beta)
    return [value, _flat(t)], [[-slope * on, b], [None] * 2]


def _decay(t: Array, theta: Array) -> Basis:
    value = np.exp(-theta * t)
    return [value, _flat(t)], [[-t * value], [None]]


def _exponential(t: Array, theta: Array) -> Basis:
    value = np.exp(np.minimum(theta * t, 600.0))
    return [value, _flat(t)], [[t * value], [None]]


def _logistic(t: Array, theta: Array) -> Basis:
    rate, half = theta[:, :1], theta[:, 1:2]
    value = 1 / (1 + np.exp(np.clip(-rate * (t - half), -600, 600)))
    steep = value * (1 - value)
    return [value, _flat(t)], [[(t - half) * steep, -rate * steep], [None] * 2]


def _swapped(theta: Array) -> list[Array]:
    """Return (t0, ktl, δ, β, offset) with δ and β exchanged."""
    return [theta[:, [0, 1, 3, 2, 4]]]


def _permuted(theta: Array) -> list[Array]:
    """Return (t0, ktl, km, δ, β, offset) with the exponents δ, β, β + km in other roles."""
    _, ktl, km, delta, beta, _ = theta.T
    rates = np.stack([delta, beta, beta + km], axis=1)
    others = []
    for i in (1, 2):
        rest = np.sort(np.delete(rates, i, axis=1), axis=1)
        swapped = theta.copy()
        swapped[:, 2] = rest[:, 1] - rest[:, 0]
        swapped[:, 3], swapped[:, 4] = rates[:, i], rest[:, 0]
        with np.errstate(divide="ignore"):
            swapped[:, 1] = ktl * km / swapped[:, 2]
        others.append(swapped)
    return others


def _onset(start: float, high: float) -> Parameter:
    return Parameter("t0", "h", start, 0.0, high, onset=True)


def _rate(name: str, start: float, high: float) -> Parameter:
    return Parameter(name, "1/h", start, 1e-5, high, log=True)


def _amplitude(name: str, unit: str, start: float, low: float, high: float) -> Parameter:
    return Parameter(name, unit, start, low, high, linear=True)


_OFFSET = _amplitude("offset", "a.u.", 0.0, -1e6, 1e6)
_BETA = 5.22e-3

MODELS: dict[str, Model] = {
    each.name: each
    for each in (
        Model(
            "trivial",
            "offset + ktl/(δ−β)·(1 − exp(−(δ−β)·dt))·exp(−β·dt)",
            (
                _onset(2.0, 30.0),
                _amplitude("ktl", "a.u./h", 20.0, 1.0, 1e6),
                _rate("delta", 0.07, 10.1),
                _rate("beta", 0.0436275356035, 10.0),
                _OFFSET,
            ),
            _trivial,
            exponents=lambda theta: theta[:, 1:],
            exchanged=_swapped,
        ),
        Model(
            "maturation",
            "offset + ktl·(exp(−(β+km)·dt)/(β−δ+km) − exp(−β·dt)/(β−δ)"
            " + km·exp(−δ·dt)/((β−δ)·(β−δ+km)))",
            (
                _onset(0.0, 1.0),
                _amplitude("ktl", "a.u./h", 1e3, 1.0, 5e8),
                _rate("km", 1.28, 30.0),
                _rate("delta", 0.01, 11.0),
                _rate("beta", _BETA, 10.0),
                _OFFSET,
            ),
            _maturation,
            exponents=_maturation_rates,
            exchanged=_permuted,
        ),
        Model(
            "maturation_blocked",
            "offset + G0·exp(−β·dt) + Gu0·(exp(−β·dt) − exp(−(β+km)·dt))",
            (
                _onset(0.0, 1.0),
                _amplitude("G0", "a.u.", 100.0, 0.0, 1e6),
                _amplitude("Gu0", "a.u.", 100.0, 0.0, 1e6),
                _rate("km", 1.28, 30.0),
                _rate("beta", _BETA, 10.0),
                _OFFSET,
            ),
            _blocked,
            step=True,
        ),
        Model(
            "expression_delay",
            "offset + ktl/β·(1 − exp(−β·dt))",
            (
                _onset(2.0, 30.0),
                _amplitude("ktl", "a.u./h", 20.0, 0.0, 1e8),
                _rate("beta", 0.0436275356035, 10.0),
                _OFFSET,
            ),
            _expression,
        ),
        Model(
            "exponential",
            "offset + G0·exp(mu·t)",
            (
                _amplitude("G0", "a.u.", 100.0, 0.0, 1e8),
                _rate("mu", 0.03, 10.0),
                _OFFSET,
            ),
            _exponential,
        ),
        Model(
            "logistic",
            "offset + capacity/(1 + exp(−mu·(t − t_half)))",
            (
                _amplitude("capacity", "a.u.", 100.0, 0.0, 1e8),
                _rate("mu", 0.3, 10.0),
                Parameter("t_half", "h", 10.0, -100.0, 1000.0),
                _OFFSET,
            ),
            _logistic,
        ),
        Model(
            "decay",
            "offset + G0·exp(−β·t)",
            (
                _amplitude("G0", "a.u.", 100.0, 0.0, 1e8),
                _rate("beta", 0.07, 10.0),
                _OFFSET,
            ),
            _decay,
        ),
    )
}


def get_model(model: str | Model) -> Model:
    """Return a model by name, built-in or of a plug-in in the group ``fovflow.models``.

    Raises ConfigError if there is none of that name, or the plug-in brings no `Model` of it.
    """
    if isinstance(model, Model):
        return model
    found: Any = find("models", model, MODELS)
    if not isinstance(found, Model) or found.name != model:
        raise ConfigError(
            f"the plug-in {model!r} brings no model of that name",
            found=repr(found),
            remedy=f"let its entry point be a fovflow.kinetics.Model(name={model!r}, …)",
        )
    return found
