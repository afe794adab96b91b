"""Fit a model to many traces at once, with intervals and a verdict for each cell."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from fovflow.errors import ConfigError, FovflowError
from fovflow.kinetics import verdicts
from fovflow.kinetics.exponentials import Array
from fovflow.kinetics.intervals import (
    intervals,
    measured,
    over_frames,
    standard_errors,
)
from fovflow.kinetics.models import Model, ModelError, get_model
from fovflow.kinetics.noise import student, variances
from fovflow.kinetics.population import common, shrink
from fovflow.kinetics.problem import Point, Problem, Traces
from fovflow.kinetics.search import descend, merge, search

_ROUNDS = 4
"""Times that noise and fit are estimated in turn."""
_CHUNK = 1024
"""Most cells fitted together; about 100 MB."""
Settings = Literal["default", "classic"]
Loss = Literal["linear", "soft_l1"]
Noise = Literal["estimated", "constant"]
Scale = Literal["linear", "log"]


@dataclass
class Fits:
    """What came out, one row per cell.

    `value`, `se`, `low`, `high`: by name of the parameter (and ``sum`` and ``product`` of rates
    that can be exchanged), (cells,) each; `low` and `high` hold 95 %. `verdict`: ``ok``, or reasons
    joined by ``;``. `curve`: (cells, points). `population`: by name, ``mean``, ``sd``, ``shrunk``
    (cells,) and ``shrinkage`` (cells,).
    """

    model: Model
    value: dict[str, Array]
    se: dict[str, Array]
    low: dict[str, Array]
    high: dict[str, Array]
    r_squared: Array
    aic: Array
    bic: Array
    n_points: np.ndarray
    success: np.ndarray
    verdict: list[str]
    curve: Array
    population: dict[str, dict[str, Array]] = field(default_factory=dict)


@np.errstate(all="ignore")  # steps that go too far are taken back
def fit_cells(
    times_h: ArrayLike,
    values: ArrayLike,
    model: str | Model = "trivial",
    *,
    start: Mapping[str, float] | None = None,
    bounds: Mapping[str, Sequence[float]] | None = None,
    fixed: Mapping[str, float] | None = None,
    shared: Sequence[str] = (),
    loss: Loss = "linear",
    settings: Settings = "default",
    noise: Noise = "estimated",
    scale: Scale = "linear",
    population: bool = False,
    threads: int | None = None,
) -> Fits:
    """Fit one model to all cells.

    Parameters
    ----------
    times_h : array_like
        (points,) or (cells, points) ascending times in hours.
    values : array_like
        (cells, points); points that are not finite do not count.
    model : str or Model
    start, bounds, fixed : mapping of str to float or pair, optional
        By name of the parameter. Fixed ones are held at their values.
    shared : sequence of str
        Parameters that have one value in all cells, which is estimated from all of them.
    loss : {"linear", "soft_l1"}
        ``soft_l1`` gives outliers less weight: 2·(√(1 + (r/σ)²) − 1), σ from each cell's residuals.
    settings : {"default", "classic"}
        ``classic``: one start, `scipy.optimize.least_squares` cell by cell, equal weights.
    noise : {"estimated", "constant"}
        Whether the variance may rise with the signal; see `fovflow.kinetics.noise.variances`.
    scale : {"linear", "log"}
        ``log`` compares logarithms: relative errors. Values of zero or less do not count.
    population : bool
        Whether each cell is also drawn towards its sample (empirical Bayes).
    threads : int, optional
        As many as there are cores unless given.

    Raises
    ------
    ConfigError
        For unknown models, parameters and settings, bounds in the wrong order, starts outside the
        bounds, and parameters that are held at no number, or held and shared.
    FovflowError
        If the times do not ascend, or do not belong to the values.
    """
    for name, given, known in (
        ("loss", loss, Loss), ("settings", settings, Settings), ("noise", noise, Noise),
        ("scale", scale, Scale),
    ):  # fmt: skip
        if given not in get_args(known):
            remedy = f"use {' or '.join(get_args(known))}"
            raise ConfigError(f"fits: there is no {name} {given!r}", remedy=remedy)
    chosen = get_model(model)
    fixed = dict(fixed or {})
    parameters = chosen.changed(start or {}, bounds or {}, fixed, shared)
    y = np.atleast_2d(np.asarray(values, float))
    t = _times(times_h, y)
    span = (float(np.ptp(t)) if t.size else 0.0) or 1.0

    def holding(more: Mapping[str, float]) -> Problem:
        held = {**fixed, **more}
        return Problem(chosen, parameters, held, span=span, logarithmic=scale == "log")

    problem = holding({})
    counts = np.isfinite(y) & ((y > 0) | (not problem.logarithmic))
    y = np.where(counts, y, 0.0)
    reasons = verdicts.before(problem, y, counts)
    # In an order of their own, so that sums over cells do not depend on the one given.
    order = sorted(
        range(len(y)), key=lambda i: (y[i].tobytes(), t[i].tobytes(), counts[i].tobytes())
    )
    fit = np.array([i for i in order if reasons[i].success], int)
    traces = Traces(t, y, counts.astype(float)).take(fit)
    work = _Work(problem, traces, loss, settings, threads or os.cpu_count() or 1)
    together: tuple[Array, ...] = ()
    if shared and len(fit):
        together = common(holding, shared, traces, work.chunks)
        work.problem = problem = holding(dict(zip(shared, together[0].tolist(), strict=True)))
    work.first(traces)
    if noise == "estimated" and settings == "default" and not problem.logarithmic:
        traces = work.weighted(traces)
    table, likelihood, curve = work.finish(traces, fit, reasons, y.shape)
    if not np.isfinite(together).all():
        for i in fit:
            reasons[i].add(verdicts.Reasons(["interval not found"]))
    for j, name in enumerate(shared if together else ()):
        place = chosen.names.index(name)
        table[1:, fit, place] = [[numbers[j]] for numbers in together[1:]]
    table[:, np.isnan(curve).all(axis=1)] = np.nan
    value, se, low, high = (dict(zip(problem.columns, part.T, strict=True)) for part in table)
    used, k = counts.sum(axis=1), problem.count + 1
    fits = Fits(
        chosen,
        value,
        se,
        low,
        high,
        _explained(problem, y, counts, curve),
        likelihood + 2 * k,
        likelihood + k * np.log(np.maximum(used, 1)),
        used,
        np.array([each.success for each in reasons]),
        [";".join(each.said) or "ok" for each in reasons],
        curve,
    )
    if population:
        fits.population = shrink(chosen, fits.value, fits.se, fits.success)
    return fits


def _explained(problem: Problem, y: Array, counts: np.ndarray, curve: Array) -> Array:
    """Return R²."""
    shown = np.where(counts, np.log(y) if problem.logarithmic else y, np.nan)
    fitted = np.log(curve) if problem.logarithmic else curve
    mean = np.nansum(shown, axis=1, keepdims=True) / counts.sum(axis=1, keepdims=True)
    left = np.where(counts, (shown - fitted) ** 2, 0.0).sum(axis=1)
    r_squared = 1 - left / np.nansum((shown - mean) ** 2, axis=1)
    return np.where(np.isfinite(r_squared), r_squared, np.nan)


def _times(times_h: ArrayLike, y: Array) -> Array:
    t = np.asarray(times_h, float)
    if t.shape[-1:] != y.shape[-1:] or t.ndim > 2 or (t.ndim == 2 and len(t) not in (1, len(y))):
        raise FovflowError(
            "times and values do not belong together",
            found=f"times of shape {t.shape}, values of shape {y.shape}",
            remedy="give one time for each column of the values, in hours",
        )
    t = np.atleast_2d(t)
    found = "" if np.isfinite(t).all() else "a time that is no number"
    for row, column in np.argwhere(np.diff(t, axis=1) <= 0)[:1]:
        found = found or f"{t[row, column + 1]:g} h after {t[row, column]:g} h"
    if found:
        raise FovflowError(
            "the times do not ascend",
            found=found,
            remedy="sort the points by time, and keep one point for each time",
        )
    return np.broadcast_to(t[:1] if (t == t[:1]).all() else t, y.shape)


class _Work:
    """The stages of a fit, chunk by chunk in threads; one that fails is cut to its bad cells."""

    best: Point
    others: list[Point]

    def __init__(
        self, problem: Problem, traces: Traces, loss: Loss, settings: Settings, threads: int
    ):
        self.problem, self.loss, self.settings, self.threads = problem, loss, settings, threads
        self.failed = np.zeros(len(traces), bool)
        self.counted = (traces.root > 0).sum(axis=1).astype(float)

    def chunks(self, n: int, work: Callable[[np.ndarray], None]) -> None:
        """Call `work` with the indices of cells; those that raise alone are marked failed."""

        def guarded(rows: np.ndarray) -> None:
            try:
                with np.errstate(all="ignore"):  # which counts for each thread
                    work(rows)
            except ModelError:
                if len(rows) == 1:
                    self.failed[rows] = True
                    return
                for half in np.array_split(rows, 2):
                    guarded(half)

        size = min(_CHUNK, max(-(-n // self.threads), 64))
        chunks = [np.arange(i, min(i + size, n)) for i in range(0, n, size)]
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(guarded, chunks))

    def first(self, traces: Traces) -> None:
        """Search the minima of all cells, with equal weights."""
        n, problem = len(traces), self.problem
        self.best, *self.others = (problem.nowhere(n) for _ in range(5))

        def work(rows: np.ndarray) -> None:
            own = traces.take(rows)
            best, others = search(problem, own)
            if self.settings == "classic":
                others = [best, *others]
                best = classic(problem, own, self.loss)
            self.best.put(rows, best)
            for kept, other in zip(self.others, others, strict=False):
                kept.put(rows, other)

        self.chunks(n, work)

    def weighted(self, plain: Traces) -> Traces:
        """Return the traces with weights from the noise, and fit again from the minima."""
        good = np.flatnonzero(~self.failed & np.isfinite(self.best.rss))
        counts, traces = plain.root > 0, plain
        relative, share = np.ones_like(plain.y), np.ones_like(plain.y)
        for _ in range(_ROUNDS):
            curves = np.zeros_like(traces.y)
            curves[good] = self.problem.curves(traces.take(good), self.best.take(good))
            residual = traces.y[good] - curves[good]
            relative[good], share[good] = variances(
                curves[good], residual, counts[good], (relative[good], share[good])
            )
            if (relative == 1).all():
                return traces
            weight = counts / relative
            sums = np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
            weight *= counts.sum(axis=1, keepdims=True) / sums
            traces = Traces(traces.t, traces.y, np.sqrt(weight))
            self.counted = (share * counts).sum(axis=1)
            self.chunks(len(traces), partial(self._again, traces, [self.best]))
        self.chunks(len(traces), partial(self._again, traces, self.others))
        return traces

    def _again(self, traces: Traces, minima: list[Point], rows: np.ndarray) -> None:
        for each in minima:
            some = rows[np.isfinite(each.rss[rows])]
            each.put(some, descend(self.problem, traces.take(some), each.z[some], 15, 1e-7))

    def finish(
        self,
        traces: Traces,
        fit: np.ndarray,
        reasons: list[verdicts.Reasons],
        shape: tuple[int, ...],
    ) -> tuple[Array, Array, Array]:
        """Return table (value, error, low, high; cells; columns), likelihood and curves.

        `fit`: which of the cells the traces are; the rest is NaN. Columns are all parameters, and
        sum and product where rates can be exchanged.
        """
        problem = self.problem
        table = np.full((4, shape[0], len(problem.columns)), np.nan)
        table[:, :, : len(problem.fixed)] = problem.fixed
        table[1] *= 0
        likelihood, curve = np.full(shape[0], np.nan), np.full(shape, np.nan)

        def work(rows: np.ndarray) -> None:
            rows = rows[~self.failed[rows]]
            own, said, best, some = self._finished(traces.take(rows), rows)
            cells, weight = fit[rows], own.root**2
            table[np.ix_(np.arange(4), cells, problem.targets)] = some
            used = (weight > 0).sum(axis=1)
            likelihood[cells] = used * (np.log(2 * np.pi * best.rss / used) + 1)
            likelihood[cells] -= np.log(np.where(weight > 0, weight, 1.0)).sum(axis=1)
            curve[cells] = problem.curves(own, best)
            for i, each in zip(cells, said, strict=True):
                reasons[i].add(each)

        self.chunks(len(traces), work)
        for i in fit[self.failed]:
            reasons[i].add(verdicts.Reasons(["model failed"], success=False))
        return table, likelihood, curve

    def _finished(
        self, own: Traces, rows: np.ndarray
    ) -> tuple[Traces, list[verdicts.Reasons], Point, Array]:
        """Return the cells with their last weights, reasons, minima and table of the targets."""
        problem = self.problem
        best = self.best.take(rows)
        others = [each.take(rows) for each in self.others]
        if self.loss == "soft_l1" and self.settings == "default":
            own, best = robust(problem, own, best)
        counts = own.root > 0
        used = counts.sum(axis=1)
        freedom = np.maximum(self.counted[rows] - problem.count, 1)
        for attempt in range(2):
            curve = problem.curves(own, best)
            residual = (own.y - curve) * own.root
            if problem.logarithmic:
                residual = np.where(counts, np.log(own.y / np.maximum(curve, 1e-12)), 0.0)
            lag = autocorrelation(residual, counts)
            exact = best.rss <= 1e-12 * np.square(own.y * own.root).sum(axis=1)
            correlated = (lag * np.sqrt(used) > verdicts.CORRELATED) & ~exact
            inflation = np.where(correlated, (1 + lag) / np.maximum(1 - lag, 0.05), 1.0)
            variance = best.rss / freedom * inflation
            height = np.maximum(variance, 1e-24 * (own.y**2).mean(axis=1)) * student(freedom) ** 2
            theta = problem.everything(best)
            alike = verdicts.exchangeable(problem, theta)
            if problem.stepped:
                ends = over_frames(problem, own, best, height)
                break
            ends = intervals(problem, own, best, height, verdicts.shown(problem, alike))
            better = np.flatnonzero(ends.deeper)
            if attempt or not better.size or self.settings == "classic":
                break
            best = merge(best, descend(problem, own.take(better), ends.z[better]), better)
        errors, weakest = standard_errors(problem, best, variance)
        if problem.stepped:
            onset = problem.targets == problem.onset
            errors[:, onset] = (ends.high - ends.low)[:, onset] / 12**0.5
        table = np.stack([measured(problem, best)[0], errors, *ends[:2]])
        cases = verdicts.Cases(
            problem, own, best, others, height, theta, alike, weakest, correlated
        )
        return own, verdicts.after(cases, table), best, table


def autocorrelation(residual: Array, counts: np.ndarray) -> Array:
    """Return each cell's correlation of neighbouring residuals."""
    both = counts[:, 1:] & counts[:, :-1]
    power = np.maximum((residual**2).sum(axis=1), 1e-300)
    return np.asarray((residual[:, 1:] * residual[:, :-1] * both).sum(axis=1) / power)


def robust(problem: Problem, traces: Traces, best: Point) -> tuple[Traces, Point]:
    """Return traces in which outliers weigh less, and the fit to them (soft L1)."""
    plain = traces.root
    for _ in range(6):
        curve = problem.curves(traces, best)
        residual = np.where(plain > 0, (traces.y - curve) * plain, np.nan)
        sigma = 1.4826 * np.nanmedian(np.abs(residual), axis=1, keepdims=True)
        relative = np.nan_to_num(residual / np.maximum(sigma, 1e-300))
        traces = Traces(traces.t, traces.y, plain * (1 + relative**2) ** -0.25)
        best = descend(problem, traces, best.z, 12, 1e-9)
    return traces, best


def classic(problem: Problem, traces: Traces, loss: Loss) -> Point:
    """Fit cell by cell with SciPy's trust region from the start alone."""
    from scipy.optimize import least_squares

    free = np.sort(np.concatenate([problem.free_linear, problem.free])).astype(int)
    linear, nonlinear = problem.linear, problem.nonlinear
    theta = np.tile(problem.start, (len(traces), 1))
    settled = np.zeros(len(traces), bool)
    for i, row in enumerate(theta):
        on = traces.root[i] > 0
        t, y = traces.t[i, on], traces.y[i, on]

        def residual(x: Array, t: Array = t, y: Array = y, row: Array = row) -> Array:
            row[free] = x
            return np.asarray(problem.model.evaluate(t, row)[0] - y)

        def jacobian(x: Array, t: Array = t, row: Array = row) -> Array:
            row[free] = x
            values, slopes = problem.model.slopes(t[None], row[None, nonlinear])
            found = np.zeros((len(row), len(t)))
            for k, (value, own) in enumerate(zip(values, slopes, strict=True)):
                if len(linear):
                    found[linear[k]] = value[0]
                for place, slope in zip(nonlinear, own, strict=True):
                    if slope is not None:
                        found[place] += (row[linear[k]] if len(linear) else 1.0) * slope[0]
            return np.asarray(found[free].T)

        bounds = problem.low[free], problem.high[free]
        done = least_squares(residual, problem.start[free], jacobian, bounds, loss=loss)
        row[free], settled[i] = done.x, done.success
    point = problem.assess(traces, problem.inward(theta), theta[:, problem.linear])
    point.settled = settled
    return point
