"""The cells of one position over time, and the kinetics of their fluorescence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fovflow.simulation.cells import (
    ANGLES,
    OVERLAP_PX,
    ROUND_UP,
    SPREAD_OUT,
    Bool,
    Cell,
    Float,
    Poses,
    Shape,
    bend,
    bond_matrix,
    draw_shape,
    place,
    radii,
    relax,
)
from fovflow.simulation.params import MovieParams, stream

_MOTHER_BOND = 3
"""Frames in which daughters stay in contact."""
_TURN = 0.05
"""Standard deviation of a cell's turning per frame (rad)."""


@dataclass(frozen=True)
class Path:
    """Where the living cells of one frame are: all that is kept of a frame."""

    ids: list[int]
    xy: Float
    """(N, 2) centres (px, on the dish)."""
    angle: Float
    """(N,) orientations (rad)."""
    bonds: frozenset[tuple[int, int]]
    """Pairs of ids in contact."""


@dataclass(frozen=True)
class Snapshot:
    """The living cells of one frame."""

    ids: list[int]
    shapes: list[Shape]
    poses: Poses
    roundness: Float
    size: Float
    bonds: frozenset[tuple[int, int]]
    """Pairs of ids in contact."""


class Population:
    """The cells of one position; the whole history is worked out at construction."""

    def __init__(self, params: MovieParams, p: int, view: Float):
        self.params, self.p, self.view = params, p, view
        self.cells: dict[int, Cell] = {}
        self.paths: list[Path] = []
        self._bonds: dict[tuple[int, int], int] = {}
        self._xy: dict[int, Float] = {}
        self._velocity: dict[int, Float] = {}
        self._angle: dict[int, float] = {}
        self._rng = stream(params.seed, "events", p)
        self._apart_px = params.gap_um / params.pixel_um
        self._rms_px = params.speed_um_h / params.pixel_um * params.interval_s / 3600.0
        self._events = self._schedule()
        for t in range(params.frames):
            self._step(t)

    def _schedule(self) -> dict[int, list[str]]:
        """Draw in which frames cells are born, divide and die."""
        q, last = self.params, self.params.frames - 1
        events: dict[int, list[str]] = {}
        for kind, count in (("died", q.deaths), ("divided", q.divisions)):
            lead = min(ROUND_UP, last - 1)
            for t in np.sort(self._rng.integers(1 + lead, last + 1, count)) if count else ():
                events.setdefault(int(t) - 1 - lead, []).append(f"{kind} {t}")
        for t in np.sort(self._rng.integers(1, last + 1, q.births)) if q.births else ():
            events.setdefault(int(t), []).append("born")
        return events

    def _step(self, t: int) -> None:
        if t == 0:
            self._seed()
        else:
            self._move(t)
            self._divide(t)
        for event in self._events.get(t, ()):
            kind, _, when = event.partition(" ")
            if kind == "born":
                self._bear(t)
            else:
                self._doom(t, kind, int(when) - 1)
        alive = self._alive(t)
        poses = self._poses(alive, t)
        relax(poses, self._bond_matrix(alive, t), self._apart_px)
        for k, i in enumerate(alive):
            self._xy[i] = poses.xy[k].copy()
        bonds = frozenset(pair for pair, end in self._bonds.items() if t <= end)
        self.paths.append(Path(alive, poses.xy, poses.angle, bonds))

    def snapshot(self, t: int) -> Snapshot:
        """Return the living cells of frame `t`."""
        path = self.paths[t]
        cells = [self.cells[i] for i in path.ids]
        return Snapshot(
            path.ids,
            [cell.shape for cell in cells],
            self._shaped(path.ids, t, path.xy, path.angle),
            np.array([cell.roundness(t) for cell in cells]),
            np.array([cell.size_at(t) for cell in cells]),
            path.bonds,
        )

    # Life ---------------------------------------------------------------------------------

    def _add(self, t: int, xy: Float, angle: float, **facts: object) -> Cell:
        q, i = self.params, len(self.cells) + 1
        values = {"parent": 0, "founder": i, "share": 1.0, **facts}
        shape = draw_shape(q, self.p, i)
        cell = Cell(id=i, first=t, last=q.frames - 1, shape=shape, **values)  # type: ignore[arg-type]
        rng = stream(q.seed, "walk", self.p, i)
        cell.walk = rng.standard_normal((q.frames - t, 3))
        self.cells[i] = cell
        self._xy[i], self._angle[i] = np.asarray(xy, float), angle
        self._velocity[i] = self._rms_px * cell.walk[0, :2] / np.sqrt(2)
        return cell

    def _seed(self) -> None:
        q = self.params
        rng = stream(q.seed, "placement", self.p)
        for angle in rng.uniform(0, 2 * np.pi, q.cells):
            self._add(0, np.zeros(2), float(angle), origin="start")
        ids = list(self.cells)
        poses = self._poses(ids, 0)
        view = q.width, q.height
        bonds = place(poses, view, q.touching, self._apart_px, rng, colonies=q.colonies)
        for k, i in enumerate(ids):
            self._xy[i] = poses.xy[k].copy()
        self._bonds = {(ids[a], ids[b]): q.frames for a, b in bonds}

    def _bear(self, t: int) -> None:
        """Let a cell enter from outside or settle within the view."""
        q, rng = self.params, self._rng
        size = np.array([q.width, q.height], float)
        others = self._alive(t)
        cell = self._add(t, np.zeros(2), float(rng.uniform(0, 2 * np.pi)), origin="settled")
        inside = rng.random() < 0.5
        taken = np.array([self._xy[i] for i in others]).reshape(-1, 2)
        best, room = np.zeros(2), -np.inf
        for _ in range(60):
            xy = rng.uniform(0.05, 0.95, 2) * size
            if not inside:
                side = int(rng.integers(4))
                beyond = 0.4 * q.cell_radius_px
                xy[side % 2] = -beyond if side < 2 else size[side % 2] + beyond
            xy = xy + self.view[t]
            clear = float(np.min(np.hypot(*(taken - xy).T), initial=np.inf))
            if clear > room:
                best, room = xy, clear
            if room > 4.5 * q.cell_radius_px:
                break
        self._xy[cell.id] = best
        if not inside:
            cell.origin = "entered"
            inward = self.view[t] + size / 2 - best
            pace = max(self._rms_px, 0.12 * q.cell_radius_px)
            self._velocity[cell.id] = 2 * pace * inward / np.hypot(*inward)

    def _doom(self, t: int, kind: str, last: int) -> None:
        """Choose the cell that divides or dies after frame `last`."""
        q = self.params
        size = np.array([q.width, q.height], float)
        alive = [i for i in self._alive(t) if self.cells[i].fate == "end"]
        margin = 1.5 * q.cell_radius_px
        seen = {i: self._xy[i] - self.view[t] for i in alive}
        choices = [i for i in alive if (seen[i] > margin).all() and (seen[i] < size - margin).all()]
        choices = choices or [i for i in alive if (seen[i] > 0).all() and (seen[i] < size).all()]
        choices = [i for i in choices if self.cells[i].parent == 0] or choices
        if choices:
            cell = self.cells[choices[int(self._rng.integers(len(choices)))]]
            cell.last, cell.fate = last, kind

    def _divide(self, t: int) -> None:
        q = self.params
        for i in [c.id for c in self.cells.values() if c.last == t - 1 and c.fate == "divided"]:
            mother = self.cells[i]
            rng = stream(q.seed, "division", self.p, i)
            share = float(np.clip(rng.normal(0.5, 0.03), 0.4, 0.6))
            axis = self._angle[i] + float(rng.normal(0, 0.2))
            along = np.array([np.cos(axis), np.sin(axis)])
            born = []
            for part, sign in ((share, 1.0), (1.0 - share, -1.0)):
                radius = mother.shape.radius * np.sqrt(part) * ((1.0 - q.rounding) / 0.88)
                cell = self._add(
                    t,
                    self._xy[i] + sign * along * (radius - 0.5 * OVERLAP_PX),
                    axis + np.pi / 2,
                    parent=i,
                    origin="divided",
                    founder=mother.founder,
                    share=mother.share * part,
                )
                cell.size = radius / cell.shape.radius
                born.append(cell.id)
            self._bonds[born[0], born[1]] = t + _MOTHER_BOND - 1

    # State --------------------------------------------------------------------------------

    def _alive(self, t: int) -> list[int]:
        return [c.id for c in self.cells.values() if c.first <= t <= c.last]

    def _poses(self, ids: list[int], t: int) -> Poses:
        xy = np.array([self._xy[i] for i in ids], float).reshape(-1, 2)
        return self._shaped(ids, t, xy, np.array([self._angle[i] for i in ids], float))

    def _shaped(self, ids: list[int], t: int, xy: Float, angle: Float) -> Poses:
        hours = t * self.params.interval_s / 3600.0
        table, kappa, u0 = np.ones((len(ids), ANGLES)), np.zeros(len(ids)), np.zeros(len(ids))
        for k, i in enumerate(ids):
            cell = self.cells[i]
            state = cell.size_at(t), cell.roundness(t)
            table[k] = radii(cell.shape, hours, *state)
            kappa[k], u0[k] = bend(cell.shape, *state)
        return Poses(xy, angle, table, kappa, u0)

    def _bond_matrix(self, ids: list[int], t: int) -> Bool:
        row = {i: k for k, i in enumerate(ids)}
        held = [pair for pair, end in self._bonds.items() if t <= end and row.keys() >= {*pair}]
        return bond_matrix(len(ids), ((row[a], row[b]) for a, b in held))

    def _move(self, t: int) -> None:
        """Walk at random with persistence; cells in contact share most of their velocity."""
        keep = self.params.persistence
        fresh = np.sqrt((1 - keep * keep) / 2) * self._rms_px
        alive = [i for i in self._alive(t) if self.cells[i].first < t]
        for i in alive:
            cell = self.cells[i]
            draw = cell.walk[t - cell.first]
            if cell.origin == "entered" and t - cell.first < 2 * SPREAD_OUT:
                self._velocity[i] = 0.9 * self._velocity[i] + 0.3 * fresh * draw[:2]
            else:
                self._velocity[i] = keep * self._velocity[i] + fresh * draw[:2]
            self._angle[i] += _TURN * float(draw[2])
        for (a, b), end in self._bonds.items():
            if t <= end and a in self._velocity and b in self._velocity:
                mean = 0.5 * (self._velocity[a] + self._velocity[b])
                self._velocity[a] = 0.3 * self._velocity[a] + 0.7 * mean
                self._velocity[b] = 0.3 * self._velocity[b] + 0.7 * mean
        for i in alive:
            still = 0.25 if self.cells[i].roundness(t) > 0.3 else 1.0
            self._xy[i] = self._xy[i] + still * self._velocity[i]


Number = float | Float

_MEDIAN_RATES = {"delta": 0.12, "beta": 0.05, "km": 1.3}
_RATE_SPREAD = 0.2
_NEAR = 1e-6
"""Rates closer than this (1/h) are taken as this far apart: the limit to six digits."""


def amount(
    model: str,
    time_h: Number,
    *,
    t0_h: Number,
    ktl: Number,
    delta: Number,
    beta: Number,
    km: Number,
) -> Float:
    """Return the total intensity of cells at given times (counts).

    ``trivial`` solves m' = -δ m, g' = k m - β g with m(t0) = 1, g(t0) = 0; ``maturation`` adds an
    immature step u' = k m - (β + km) u, g' = km u - β g. Both are zero before t0. Written with
    divided differences of exp(-x dt), so that equal rates give their limits.

    `model` {"trivial", "maturation"}. `time_h`, `t0_h`, `ktl`, `delta`, `beta`, `km`: broadcast
    against each other; times in h, `ktl` in counts/h, rates in 1/h.
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


def _divided(a: Number, b: Number, dt: Number) -> Float:
    """(exp(-a dt) - exp(-b dt)) / (a - b), with its limit where a = b."""
    x = (a - b) * dt
    small = np.abs(x) < 1e-8
    ratio = np.where(small, -1.0 + x / 2, np.expm1(-x) / np.where(small, 1.0, x))
    return np.asarray(np.exp(-b * dt) * dt * ratio)


def draw_parameters(params: MovieParams, p: int, cell: int, c: int) -> dict[str, float]:
    """Draw the kinetic parameters of one founder cell in one fluorescence channel.

    `ktl` is such that the largest total intensity is log-normal about ``params.brightness``;
    it is 0 for cells that do not express. Then come the factors of condition, day and position.
    The keys are `PARAMETERS`.
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
    unit = amount(params.kinetics, grid, t0_h=0.0, ktl=1.0, **rates)
    ktl = peak / float(unit.max()) if expresses else 0.0
    drawn = {"t0_h": t0, "ktl": ktl, **rates}
    return {name: drawn[name] * factor for name, factor in params.factors(p).items()}
