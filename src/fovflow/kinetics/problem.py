"""One batch of cells to fit: coordinates of the search, bounds, and the curve's linearisation.

Rates are searched as logarithms (`_SLOW`). Two rates that the curve does not tell apart are kept
in order, and where they are near each other they step in the mean of their logarithms and in
q = (half the log ratio)², in which the curve is smooth where they meet; an optimum at q = 0 is
then an ordinary one at a bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from fovflow.kinetics.exponentials import Array
from fovflow.kinetics.models import Model, Parameter

_MEET = 1e-4
"""Least half log ratio of a pair: 0.02 %."""
_TOUCH = _MEET * (1 + 1e-9)
_SLOW = 0.5
"""Rates are searched as log(rate + this / duration): slower ones all look alike."""
_AT_ONCE = 128
"""Cells whose curves are held at once, so that they stay in the processor's cache."""
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
        """Return some of the cells; times that all cells share are not copied."""
        y = self.y[rows]
        shared = self.t.strides[0] == 0
        t = np.broadcast_to(self.t[:1], y.shape) if shared else self.t[rows]
        return Traces(t, y, self.root[rows])

    def thinned(self, points: int) -> Traces:
        """Return traces of at most twice that many points, each the mean of its neighbours."""
        share = self.y.shape[1] // points
        if share < 2:
            return self
        n, count = len(self), self.y.shape[1] // share
        t, y, root = (x[:, : share * count].reshape(n, count, share) for x in vars(self).values())
        weight = (root**2).sum(axis=2)
        mean = (root**2 * y).sum(axis=2) / np.maximum(weight, 1e-300)
        return Traces(t.mean(axis=2), mean, np.sqrt(weight))


@dataclass
class Point:
    """Where each cell stands, and the linearisation of its fit there.

    `z`: coordinates. `theta`: nonlinear parameters; `turn`: their slopes in the steps. `rss`:
    residual sum of squares. `hessian`, `gradient`: JᵀJ and Jᵀr in (free amplitudes, steps).
    `settled`: whether the search ended there.
    """

    z: Array
    amplitudes: Array
    theta: Array
    turn: Array
    rss: Array
    hessian: Array
    gradient: Array
    settled: np.ndarray

    def take(self, rows: np.ndarray) -> Point:
        """Return that of some of the cells."""
        return Point(*(values[rows] for values in vars(self).values()))

    def put(self, rows: np.ndarray, other: Point) -> None:
        """Set that of some of the cells."""
        for values, others in zip(vars(self).values(), vars(other).values(), strict=True):
            values[rows] = others


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
        self.span, self.shift = span, _SLOW / span
        self.model, self.logarithmic = model, logarithmic
        every = [parameters[name] for name in model.names]
        self.fixed = np.array([fixed.get(each.name, np.nan) for each in every])
        held = ~np.isnan(self.fixed)
        self.low = np.where(held, self.fixed, [each.low for each in every])
        self.high = np.where(held, self.fixed, [each.high for each in every])
        self.start = np.where(held, self.fixed, [each.start for each in every])
        self.logs = np.array([each.log for each in every])
        self.linear, self.nonlinear = np.array(model.linear, int), np.array(model.nonlinear, int)
        self.free_linear, self.free = (
            self.linear[~held[self.linear]],
            self.nonlinear[~held[self.nonlinear]],
        )
        self.count = len(self.free_linear) + len(self.free)
        # What intervals are asked of: free parameters, and sum and product of exchangeable rates.
        more = ["sum", "product"] if model.exponents else []
        self.columns = [*model.names, *more]
        extra = np.arange(len(every), len(self.columns))
        self.targets = np.concatenate([np.flatnonzero(~held), extra])
        # Places of the free ones among the linear and among the nonlinear parameters.
        self._own = np.flatnonzero(~held[self.linear])
        self._moving = np.flatnonzero(~held[self.nonlinear])
        onset = [i for i, each in enumerate(every) if each.onset]
        self.onset = onset[0] if onset else -1
        self.stepped = model.step and self.onset in self.free
        self.chain = self._chain()
        # Coordinates of the chain's exponents, the greatest first.
        self._columns = np.array([self.column(i) for i in self.chain], int)
        order = [*self.free_linear, *self.free]
        finite = np.minimum(self.high[order], 1e300)
        self._floor = self.low[order] + 1e-9 * np.abs(self.low[order])
        self._ceiling = np.where(finite < self.high[order], np.inf, finite - 1e-9 * np.abs(finite))
        logs = self.logs[self.free]
        self.z_low, self.z_high = self.low[self.free].copy(), self.high[self.free].copy()
        if len(self.chain) == 3:
            self.z_low[self._columns[0]] += self.low[self.chain[2]]
            self.z_high[self._columns[0]] += self.high[self.chain[2]]
        self.z_low[logs] = np.log(self.z_low[logs] + self.shift)
        self.z_high[logs] = np.log(self.z_high[logs] + self.shift)

    def column(self, place: int) -> int:
        """Return the coordinate of a free parameter."""
        return int(np.flatnonzero(self.free == place)[0])

    def _chain(self) -> list[int]:
        """Return the indices of km (its exponent is β + km), δ and β, if they are to be in order.

        They are where δ and β are free and have the same bounds, and km is free; `alike` tells
        whether km's bounds let it take any place in the order.
        """
        names = self.model.names
        self.alike = False
        chain = [names.index(name) for name in ("km", "delta", "beta") if name in names]
        if self.model.exponents is None or not {"delta", "beta"} <= set(names):
            return []
        low, high = np.maximum(self.low[chain], 1e-300), np.maximum(self.high[chain], 1e-300)
        a, b = chain[-2:]
        apart = abs(np.log(low[-2] / low[-1])) + abs(np.log(high[-2] / high[-1]))
        if not set(chain) <= set(self.free.tolist()) or apart > 0.2:
            return []
        self.low[[a, b]], self.high[[a, b]] = low[-2:].max(), high[-2:].min()
        self.alike = len(chain) == 2 or bool(low[0] <= low[1] * 1.2 and high[0] >= high[1])
        return chain

    # Coordinates -------------------------------------------------------------------------

    def inward(self, theta: Array) -> Array:
        """Return coordinates (cells, z) of all parameters (cells, P)."""
        z = theta[:, self.free].copy()
        logs = self.logs[self.free]
        z[:, logs] = np.log(z[:, logs] + self.shift)
        if len(self.chain) == 3:
            z[:, self._columns[0]] = np.log(
                theta[:, self.chain].take([0, 2], axis=1).sum(1) + self.shift
            )
        return self._ordered(z)

    def _ordered(self, z: Array) -> Array:
        columns = self._columns if self.alike else self._columns[-2:]
        z[:, columns] = -np.sort(-z[:, columns], axis=1)
        return z

    def outward(self, z: Array) -> tuple[Array, Array]:
        """Return the nonlinear parameters (cells, k), and their slopes in the steps."""
        theta = np.tile(self.start, (len(z), 1))
        logs = self.logs[self.free]
        values = z.copy()
        values[:, logs] = np.exp(z[:, logs]) - self.shift
        theta[:, self.free] = values
        turn = np.zeros((len(z), theta.shape[1], z.shape[1]))
        turn[:, self.free, np.arange(len(self.free))] = np.where(logs, values + self.shift, 1.0)
        if self.chain:
            columns = self._columns
            scale = np.exp(z[:, columns])
            slopes = np.zeros((len(z), len(columns), len(columns)))
            slopes[:, range(len(columns)), range(len(columns))] = scale
            rows, k, half = self._meeting(z)
            for place, sign in ((k, 1.0), (k + 1, -1.0)):
                slopes[rows, place] = 0.0
                slopes[rows, place, k] = scale[rows, place]
                slopes[rows, place, k + 1] = sign * scale[rows, place] / (2 * half)
            if len(columns) == 3:
                theta[:, self.chain[0]] -= theta[:, self.chain[2]]
                slopes[:, 0] -= slopes[:, 2]
            turn[np.ix_(np.arange(len(z)), np.array(self.chain), columns)] = slopes
        if self.stepped:
            turn[:, self.onset] = 0.0
        return theta[:, self.nonlinear], turn[:, self.nonlinear]

    def _meeting(self, z: Array) -> tuple[np.ndarray, np.ndarray, Array]:
        """Return cells with two exponents near each other, the first one's place, and q's root."""
        x = z[:, self._columns]
        half = (x[:, :-1] - x[:, 1:]) / 2
        if not self.alike:
            half[:, :-1] = np.inf
        k = half.argmin(axis=1)
        least = np.maximum(half[np.arange(len(z)), k], _MEET)
        rows = np.flatnonzero(least < _NEAR)
        return rows, k[rows], least[rows]

    def moved(self, z: Array, step: Array | float = 0.0) -> Array:
        """Return coordinates after a step, within the bounds."""
        moved = z + step
        if not self.chain:
            return np.clip(moved, self.z_low, self.z_high)
        columns = self._columns
        rows, k, half = self._meeting(z)
        first, second = columns[k], columns[k + 1]
        by_mean, by_q = (moved[rows, each] - z[rows, each] for each in (first, second))
        middle = (z[rows, first] + z[rows, second]) / 2 + by_mean
        half = np.sqrt(np.maximum(half**2 + by_q, _MEET**2))
        moved[rows, first], moved[rows, second] = middle + half, middle - half
        moved = np.clip(self._ordered(moved), self.z_low, self.z_high)
        if len(columns) == 3:
            shifted = np.exp(moved[:, columns[2]])
            low, high = (np.log(bound[self.chain[0]] + shifted) for bound in (self.low, self.high))
            moved[:, columns[0]] = np.clip(moved[:, columns[0]], low, high)
        return moved

    def nowhere(self, n: int) -> Point:
        """Return where cells stand before any search: their sums of squares are infinite."""
        z, k, size = len(self.free), len(self.nonlinear), self.count
        shapes = ((z,), (len(self.linear),), (k,), (k, z), (), (size, size), (size,), ())
        point = Point(*(np.zeros((n, *shape)) for shape in shapes))
        point.rss, point.settled = point.rss + np.inf, np.zeros(n, bool)
        return point

    def everything(self, point: Point) -> Array:
        """Return all parameters (cells, P)."""
        found = np.empty((len(point.z), len(self.low)))
        found[:, self.nonlinear], found[:, self.linear] = point.theta, point.amplitudes
        return found

    def walls(self, point: Point, heading: Array) -> tuple[np.ndarray, Array]:
        """Return the cells that `heading` leads out of the bounds, and there which bounds it meets.

        The bounds are given as their normals (cells, k, unknowns), zero where one is not met.
        """
        own, moving = self._own, self._moving
        values = np.concatenate([point.amplitudes[:, own], point.theta[:, moving]], axis=1)
        below, above = values <= self._floor, values >= self._ceiling
        at = (below | above).any(axis=1)
        if self.chain:
            x = point.z[:, self._columns]
            at |= (x[:, :-1] - x[:, 1:] <= 2 * _TOUCH).any(axis=1)
        some = np.flatnonzero(at)
        count, bounds = len(own), values.shape[1]
        normals = np.zeros((len(some), bounds + 1, heading.shape[1]))
        stuck = np.zeros(normals.shape[:2], bool)
        if not some.size:
            return some, normals
        normals[:, np.arange(count), np.arange(count)] = 1.0
        normals[:, count:bounds, count:] = point.turn[np.ix_(some, moving)]
        across = np.einsum("nkx,nx->nk", normals[:, :bounds], heading[some])
        stuck[:, :bounds] = (below[some] & (across < 0)) | (above[some] & (across > 0))
        if self.chain:
            met, k, half = self._meeting(point.z[some])
            met, k = met[half <= _TOUCH], k[half <= _TOUCH]
            steps = count + self._columns[k + 1]
            normals[met, -1, steps] = 1.0
            stuck[met, -1] = heading[some[met], steps] < 0
        hit = stuck.any(axis=1)
        return some[hit], (normals * stuck[:, :, None])[hit]

    # The curve ---------------------------------------------------------------------------

    def curves(self, traces: Traces, point: Point) -> Array:
        """Return the curves (cells, points)."""
        return self.model.evaluate(traces.t, self.everything(point))

    def assess(
        self,
        traces: Traces,
        z: Array,
        amplitudes: Array | None = None,
        cells: np.ndarray | None = None,
    ) -> Point:
        """Linearise the fit; amplitudes that are not given are solved for within their bounds.

        `cells`: of which trace each row is, where they are not all in their order.
        """
        theta, whole_turn = self.outward(z)
        own, moving = self._own, self._moving
        turn = whole_turn[:, moving]
        count, size = max(len(self.linear), 1), len(own)
        solved = np.ones((len(z), count)) if amplitudes is None else amplitudes
        products = np.empty((len(z), count + 1 + len(moving), count + 1 + len(moving)))
        for begin in range(0, len(z), _AT_ONCE):
            some = slice(begin, begin + _AT_ONCE)
            own_traces = traces.take(some if cells is None else cells[some])
            given = None if amplitudes is None else amplitudes[some]
            products[some], solved[some] = self._products(own_traces, theta[some], given)
        slopes = products[:, count + 1 :]
        hessian = np.empty((len(z), size + z.shape[1], size + z.shape[1]))
        hessian[:, :size, :size] = products[:, own][:, :, own]
        hessian[:, size:, :size] = np.matmul(turn.transpose(0, 2, 1), slopes[:, :, own])
        hessian[:, :size, size:] = hessian[:, size:, :size].transpose(0, 2, 1)
        hessian[:, size:, size:] = turn.transpose(0, 2, 1) @ slopes[:, :, count + 1 :] @ turn
        gradient = np.empty(hessian.shape[:2])
        gradient[:, :size] = products[:, own, count]
        gradient[:, size:] = np.einsum("nkz,nk->nz", turn, slopes[:, :, count])
        rss = products[:, count, count]
        rss = np.where(np.isfinite(rss) & np.isfinite(hessian).all((1, 2)), rss, np.inf)
        solved = solved if len(self.linear) else solved[:, :0]
        settled = np.zeros(len(z), bool)
        return Point(z, solved, theta, whole_turn, rss, hessian, gradient, settled)

    def _products(
        self, traces: Traces, theta: Array, amplitudes: Array | None
    ) -> tuple[Array, Array]:
        """Return the inner products of basis, residual and slopes, and the amplitudes."""
        values, slopes = self.model.slopes(traces.t, theta)
        count, root, moving = len(values), traces.root, self._moving
        rows = np.empty((len(theta), count + 1 + len(moving), traces.y.shape[1]))
        for i, value in enumerate([*values, traces.y]):
            rows[:, i] = value
        weighted = bool((root != 1).any())
        if weighted:
            rows[:, : count + 1] *= root[:, None]
        residual = rows[:, count]
        if not len(self.linear):
            amplitudes = np.ones((len(theta), 1))
        elif amplitudes is None:
            some = rows[:, : count + 1]
            gram = np.matmul(some, some.transpose(0, 2, 1))
            low, high = self.low[self.linear], self.high[self.linear]
            amplitudes = bounded(gram[:, :-1, :-1], gram[:, :-1, -1], low, high)
        for i in range(count):
            residual -= amplitudes[:, [i]] * rows[:, i]
        for place, k in enumerate(moving, count + 1):
            rows[:, place] = 0.0
            for i, row in enumerate(slopes):
                part = row[k]
                if part is not None:
                    rows[:, place] += amplitudes[:, [i]] * part
        if weighted:
            rows[:, count + 1 :] *= root[:, None]
        if self.logarithmic:
            plain = np.where(root > 0, root, 1.0)
            curve = np.maximum(np.where(root > 0, traces.y - residual / plain, 1.0), 1e-12)
            rows /= curve[:, None]
            rows[:, count] = root * (np.log(np.where(root > 0, traces.y, 1.0)) - np.log(curve))
        return np.matmul(rows, rows.transpose(0, 2, 1)), amplitudes


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
        choices = [
            (0, *np.flatnonzero(np.isfinite([a, b])) + 1) if free else (1,)
            for free, a, b in zip(own, low, high, strict=True)
        ]
        for states in product(*choices):
            state = np.array(states)
            trial = np.tile(np.choose(state, [np.zeros_like(low), low, high]), (len(outside), 1))
            free = state == 0
            trial[:, free] = _minimum(g, r, free, trial)
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
