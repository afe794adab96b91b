"""One batch of cells to fit: coordinates of the search, bounds, and the curve's linearisation.

Rates are searched as logarithms (`_SLOW`). Two rates that the curve does not tell apart are kept in order,
and where they are near each other they step in the mean of their logarithms and in
q = (half the log ratio)², in which the curve is smooth where they meet; an optimum at q = 0 is
then an ordinary one at a bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from fovflow.kinetics.exponentials import Array
from fovflow.kinetics.models import Model, Parameter

_MEET = 1e-4
"""Least half log ratio of a pair: 0.02 %."""
_SLOW = 0.5
"""Rates are searched as log(rate + this / duration): slower ones all look alike."""
_NEAR = 0.55
"""Half log ratio below which a pair steps in its mean and q."""


@dataclass(frozen=True)
class Traces:
    """Cells with the weights of their points.

    `t`, `y`, `root`: (cells, points) times in hours, values, and square roots of the weights, 0
    where a point does not count.
    """

    t: Array
    y: Array
    root: Array

    def __len__(self) -> int:
        return len(self.t)

    def take(self, rows: np.ndarray | slice) -> Traces:
        """Return some of the cells."""
        return Traces(self.t[rows], self.y[rows], self.root[rows])


class Point(NamedTuple):
    """A fit's linearisation: residual sum of squares, JᵀJ and Jᵀr in (amplitudes, coordinates)."""

    amplitudes: Array
    rss: Array
    hessian: Array
    gradient: Array


class Problem:
    """A model with its free and fixed parameters.

    `span`: duration of the movie in hours. `logarithmic`: whether logarithms of values and curve
    are compared.
    """

    def __init__(
        self,
        model: Model,
        parameters: Mapping[str, Parameter],
        fixed: Mapping[str, float],
        *,
        span: float = 10.0,
        logarithmic: bool = False,
    ):
        self.shift = _SLOW / span
        self.model, self.logarithmic = model, logarithmic
        every = [parameters[name] for name in model.names]
        self.fixed = np.array([fixed.get(each.name, np.nan) for each in every])
        held = ~np.isnan(self.fixed)
        self.low = np.where(held, self.fixed, [each.low for each in every])
        self.high = np.where(held, self.fixed, [each.high for each in every])
        self.start = np.where(held, self.fixed, [each.start for each in every])
        self.logs = np.array([each.log for each in every])
        self.linear, self.nonlinear = np.array(model.linear, int), np.array(model.nonlinear, int)
        self.free_linear, self.free = self.linear[~held[self.linear]], self.nonlinear[
            ~held[self.nonlinear]
        ]
        self.count = len(self.free_linear) + len(self.free)
        onset = [i for i, each in enumerate(every) if each.onset]
        self.onset = onset[0] if onset else -1
        self.pair = self._pair()
        logs = self.logs[self.free]
        self.z_low, self.z_high = self.low[self.free].copy(), self.high[self.free].copy()
        self.z_low[logs], self.z_high[logs] = (
            np.log(self.z_low[logs] + self.shift),
            np.log(self.z_high[logs] + self.shift),
        )
        if self.pair and self.third >= 0:
            c = self._columns[2]
            self.z_low[c] = np.log(self.low[self.third] + self.low[self.pair[1]])
            self.z_high[c] = np.log(self.high[self.third] + self.high[self.pair[1]])

    @property
    def _columns(self) -> list[int]:
        """Coordinates of the pair, and of β + km."""
        wanted = [*(self.pair or ()), self.third]
        return [int(np.flatnonzero(self.free == i)[0]) for i in wanted if i >= 0]

    def _pair(self) -> tuple[int, int] | None:
        """Return the indices of two rates to search together: δ and β, free and of equal bounds."""
        names, self.third = self.model.names, -1
        if self.model.exponents is None or not {"delta", "beta"} <= set(names):
            return None
        pair = names.index("delta"), names.index("beta")
        if "km" in names:
            self.third = names.index("km")
        needed = [*pair, self.third] if self.third >= 0 else list(pair)
        a, b = pair
        alike = abs(np.log(self.low[a] / self.low[b])) + abs(np.log(self.high[a] / self.high[b]))
        if not set(needed) <= set(self.free.tolist()) or alike > 0.2:
            self.third = -1
            return None
        self.low[[a, b]] = max(self.low[a], self.low[b])
        self.high[[a, b]] = min(self.high[a], self.high[b])
        return pair

    # Coordinates -------------------------------------------------------------------------

    def inward(self, theta: Array) -> Array:
        """Return coordinates (cells, z) of all parameters (cells, P)."""
        z = theta[:, self.free].copy()
        logs = self.logs[self.free]
        z[:, logs] = np.log(z[:, logs] + self.shift)
        if self.pair:
            if self.third >= 0:
                z[:, self._columns[2]] = np.log(theta[:, self.third] + theta[:, self.pair[1]])
            z[:, self._columns[:2]] = -np.sort(-z[:, self._columns[:2]], axis=1)
        return z

    def outward(self, z: Array) -> tuple[Array, Array]:
        """Return the nonlinear parameters (cells, k), and their slopes in the coordinates' steps."""
        theta = np.tile(self.start, (len(z), 1))
        logs = self.logs[self.free]
        values = z.copy()
        values[:, logs] = np.exp(z[:, logs]) - self.shift
        theta[:, self.free] = values
        turn = np.zeros((len(z), theta.shape[1], z.shape[1]))
        turn[:, self.free, np.arange(len(self.free))] = np.where(
            logs, values + self.shift, 1.0
        )
        if self.pair:
            (i, j), (a, b) = self.pair, self._columns[:2]
            near, half = self._near(z)
            for k, sign in ((i, 1), (j, -1)):
                turn[near, k, a] = theta[near, k] + self.shift
                turn[near, k, b] = sign * turn[near, k, a] / (2 * half[near])
            if self.third >= 0:
                c = self._columns[2]
                total = np.exp(z[:, c])
                theta[:, self.third] = total - theta[:, j]
                turn[:, self.third] = -turn[:, j]
                turn[:, self.third, c] = total
        return theta[:, self.nonlinear], turn[:, self.nonlinear]

    def _near(self, z: Array) -> tuple[np.ndarray, Array]:
        """Return whose pair of rates are near each other, and half their difference."""
        a, b = self._columns[:2]
        half = np.maximum((z[:, a] - z[:, b]) / 2, _MEET)
        return half < _NEAR, half

    def moved(self, z: Array, step: Array | float = 0.0) -> Array:
        """Return coordinates after a step, within the bounds."""
        moved = z + step
        if self.pair:
            a, b = self._columns[:2]
            near, half = self._near(z)
            steps = (moved - z)[near]
            middle = (z[near, a] + z[near, b]) / 2 + steps[:, a]
            half = np.sqrt(np.maximum(half[near] ** 2 + steps[:, b], _MEET**2))
            moved[near, a], moved[near, b] = middle + half, middle - half
            moved[:, [a, b]] = -np.sort(-moved[:, [a, b]], axis=1)
        moved = np.clip(moved, self.z_low, self.z_high)
        if self.pair and self.third >= 0:
            c, beta = self._columns[2], np.exp(moved[:, b]) - self.shift
            low, high = self.low[self.third] + beta, self.high[self.third] + beta
            moved[:, c] = np.clip(moved[:, c], np.log(low), np.log(high))
        return moved

    def everything(self, amplitudes: Array, z: Array) -> Array:
        """Return all parameters (cells, P)."""
        theta = np.tile(self.start, (len(z), 1))
        theta[:, self.nonlinear] = self.outward(z)[0]
        theta[:, self.linear] = amplitudes
        return theta

    def walls(self, amplitudes: Array, z: Array) -> tuple[Array, np.ndarray, np.ndarray]:
        """Return the bounds' normals (cells, k, unknowns), and which are met below and above."""
        theta, turn = self.outward(z)
        own = np.isin(self.linear, self.free_linear)
        count = int(own.sum())
        normals = np.zeros((len(z), count + len(self.free) + bool(self.pair), count + z.shape[1]))
        normals[:, np.arange(count), np.arange(count)] = 1.0
        free = np.isin(self.nonlinear, self.free)
        normals[:, count : count + len(self.free), count:] = turn[:, free]
        values = [amplitudes[:, own], theta[:, free]]
        order = [*self.free_linear, *self.free]
        low, high = list(self.low[order]), list(self.high[order])
        if self.pair:
            near, half = self._near(z)
            normals[:, -1, count + self._columns[1]] = 1.0
            values.append(np.where(near, half, np.inf)[:, None])
            low, high = [*low, _MEET], [*high, np.inf]
        found = np.concatenate(values, axis=1)
        slack = 1e-9 * np.minimum(np.abs(found), 1e300)
        return normals, found <= np.array(low) + slack, (found >= np.array(high) - slack) & (found < np.inf)

    # The curve ---------------------------------------------------------------------------

    def curves(self, traces: Traces, amplitudes: Array, z: Array) -> Array:
        """Return the curves (cells, points)."""
        return self.model.evaluate(traces.t, self.everything(amplitudes, z))

    def assess(self, traces: Traces, z: Array, amplitudes: Array | None = None) -> Point:
        """Linearise the fit; amplitudes that are not given are solved for within their bounds."""
        theta, turn = self.outward(z)
        values, slopes = self.model.slopes(traces.t, theta)
        with np.errstate(over="ignore", invalid="ignore"):
            basis = np.stack([value * traces.root for value in values], axis=1)
            y = traces.y * traces.root
            if amplitudes is None:
                amplitudes = self.solve(basis, y)
            used = amplitudes if len(self.linear) else np.ones((len(z), 1))
            curve = np.einsum("nl,nlt->nt", used, basis)
            by_theta = np.zeros((len(z), theta.shape[1], traces.t.shape[1]))
            for scale, row in zip(used.T[:, :, None], slopes, strict=True):
                for k, slope in enumerate(row):
                    if slope is not None:
                        by_theta[:, k] += scale * slope
            by_theta *= traces.root[:, None]
            own = [i for i, j in enumerate(self.linear) if j in self.free_linear]
            jacobian = np.concatenate(
                [basis[:, own], np.matmul(turn.transpose(0, 2, 1), by_theta)], axis=1
            )
            residual = y - curve
            if self.logarithmic:
                root = np.where(traces.root > 0, traces.root, 1.0)
                plain = np.maximum(curve / root, 1e-12)
                residual = traces.root * (np.log(np.where(traces.root > 0, traces.y, 1.0)) - np.log(plain))
                jacobian /= plain[:, None]
            hessian = np.matmul(jacobian, jacobian.transpose(0, 2, 1))
            gradient = np.matmul(jacobian, residual[:, :, None])[:, :, 0]
            rss = np.einsum("nt,nt->n", residual, residual)
        rss = np.where(np.isfinite(rss) & np.isfinite(hessian).all((1, 2)), rss, np.inf)
        return Point(amplitudes, rss, hessian, gradient)

    def solve(self, basis: Array, y: Array) -> Array:
        """Return the amplitudes (cells, L) of least squares within their bounds.

        The few cells whose free solution leaves the bounds try every set of active bounds.
        """
        gram = np.matmul(basis, basis.transpose(0, 2, 1))
        right = np.matmul(basis, y[:, :, None])[:, :, 0]
        return bounded(gram, right, self.low[self.linear], self.high[self.linear])


def bounded(gram: Array, right: Array, low: Array, high: Array) -> Array:
    """Minimise cᵀ·gram·c − 2·right·c within low ≤ c ≤ high, for (cells, L, L) and (cells, L)."""
    count = len(low)
    found = np.tile(np.where(low == high, low, 0.0), (len(right), 1))
    if not count:
        return found
    own = low < high
    found[:, own] = _minimum(gram, right, own, found)
    outside = np.flatnonzero(~((found >= low) & (found <= high)).all(1))
    if outside.size:
        g, r = gram[outside], right[outside]
        best, least = np.clip(found[outside], low, high), np.full(len(outside), np.inf)
        for states in product(*[(0, 1, 2) if free else (1,) for free in own]):
            state = np.array(states)
            trial = np.tile(np.where(state == 2, high, low), (len(outside), 1))
            free = state == 0
            trial[:, free] = _minimum(g, r, free, np.where(free, 0.0, trial))
            value = np.einsum("ni,nij,nj->n", trial, g, trial) - 2 * (r * trial).sum(1)
            value[~((trial >= low) & (trial <= high)).all(1)] = np.inf
            best, least = np.where((value < least)[:, None], trial, best), np.minimum(value, least)
        found[outside] = best
    return found


def _minimum(gram: Array, right: Array, free: np.ndarray, held: Array) -> Array:
    """Return the free amplitudes where the others are held."""
    if not free.any():
        return np.empty((len(right), 0))
    rest = right - np.einsum("nij,nj->ni", gram, held)
    return solve_scaled(gram[:, free][:, :, free], rest[:, free])


def solve_scaled(matrix: Array, right: Array, ridge: float = 1e-14) -> Array:
    """Solve symmetric positive systems (cells, k, k) after scaling them to a unit diagonal.

    `right`: (cells, k) or (cells, k, m).
    """
    diagonal = np.einsum("nii->ni", matrix)
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = matrix * scale[:, :, None] * scale[:, None, :]
    scaled = np.where(np.isfinite(scaled), scaled, 0.0)
    scaled[:, np.arange(scale.shape[1]), np.arange(scale.shape[1])] = 1 + ridge
    columns = right[:, :, None] if right.ndim == 2 else right
    columns = np.where(np.isfinite(columns), columns, 0.0)
    found = np.linalg.solve(scaled, columns * scale[:, :, None]) * scale[:, :, None]
    return found[:, :, 0] if right.ndim == 2 else found
