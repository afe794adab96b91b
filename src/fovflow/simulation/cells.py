"""Simulated cells: their outlines, how they grow, touch, and where they lie in the first frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fovflow.simulation.params import MovieParams, stream

Float = NDArray[np.float64]

ANGLES = 128
"""Samples of r(θ) over the full circle."""
POINTS = 64
"""Vertices of the polygon that stands for an outline."""
_THETA = np.arange(ANGLES) * (2 * np.pi / ANGLES)
_MODES = np.array([2, 3, 4, 5])
_PROCESSES = 3
_ROUNDED = 0.5
"""Radius of a cell that never spreads over that of others."""


@dataclass(frozen=True)
class Shape:
    """What stays the same about a cell's shape and looks."""

    radius: float
    """Radius of the circle of its area when fully grown (px)."""
    aspect: float
    """Long over short axis."""
    bend: float
    """Curvature κ times the radius."""
    bulges: Float
    """(4,) amplitudes of the modes 2 to 5."""
    phases: Float
    """(4,) their phases."""
    rates: Float
    """(4,) their angular frequencies (1/h)."""
    processes: Float
    """(N, 3) angle, amplitude and sharpness of processes."""
    height: float
    """Optical thickness (rad)."""
    lean: Float
    """(2,) direction of its thick side, and how thin it is on the other (0 to 1)."""
    texture: Float
    """(2,) offset of the cell in the texture tile (px)."""
    nucleus: Float
    """(5,) u, v of the nucleus and its semi-axes, in radii; its share of the light."""
    granules: Float
    """(G, 4) polar gauge, angle, radius (px) and strength of granules."""
    rounded: bool
    """Whether it never spreads."""
    rounding: float
    """Part of its radius that it loses before it divides."""


def draw_shape(params: MovieParams, p: int, cell: int) -> Shape:
    """Draw the shape of one cell."""
    rng = stream(params.seed, "shape", p, cell)
    spread = np.clip(params.size_spread * rng.standard_normal(), -0.5, 0.5)
    longer = np.exp(0.22 * rng.standard_normal()) if params.elongation > 1 else 1
    aspect = float(np.clip(params.elongation * longer, 1.0, 3.2))
    rough = params.roughness
    bulges = rough * rng.standard_normal(4) * np.array([0.6, 0.8, 0.5, 0.35])
    processes = np.stack(
        [
            rng.uniform(0, 2 * np.pi, _PROCESSES),
            rough * 3.5 * rng.random(_PROCESSES) ** 2,
            rng.uniform(12, 30, _PROCESSES),
        ],
        axis=1,
    )
    kind = stream(params.seed, "kind", p, cell).random(2)
    rounded = bool(kind[0] < params.rounded)
    flat = bool(kind[1] < params.flat) and not rounded
    if params.processes > 0:
        processes = np.concatenate([processes, _long_processes(params, p, cell)])
    scale = params.cell_radius_px / 14.6
    count = int(rng.integers(8, 26) * scale**2) + 1
    granules = np.stack(
        [
            np.clip(np.abs(rng.normal(0.35, 0.2, count)), 0.05, 0.8),
            rng.uniform(0, 2 * np.pi, count),
            scale * rng.uniform(0.7, 1.5, count),
            np.where(rng.random(count) < 0.06, -1.2, 1.0) * rng.uniform(0.08, 0.36, count),
        ],
        axis=1,
    )
    granules[:, 3] *= 0.35 if flat else 1.0
    return Shape(
        radius=float(params.cell_radius_px * np.exp(spread))
        * (_ROUNDED if rounded else 1.2 if flat else 1.0),
        aspect=aspect,
        bend=float(np.clip(rough * 1.6 * rng.standard_normal(), -0.3, 0.3)) / aspect,
        bulges=bulges,
        phases=rng.uniform(0, 2 * np.pi, 4),
        rates=rng.uniform(-1.2, 1.2, 4),
        processes=processes,
        height=float(params.thickness * np.exp(0.35 * rng.standard_normal()))
        * (0.4 if flat else 1.0),
        lean=np.array([rng.uniform(0, 2 * np.pi), rng.beta(2, 2)]),
        texture=rng.uniform(0, 256, 2),
        nucleus=np.array(
            [
                *rng.uniform(-0.2, 0.2, 2),
                rng.uniform(0.38, 0.5) * aspect**0.25,
                rng.uniform(0.34, 0.42) * aspect**-0.25,
                rng.uniform(0.7, 1.25),
            ]
        ),
        granules=granules,
        rounded=rounded,
        rounding=params.rounding,
    )


def _long_processes(params: MovieParams, p: int, cell: int) -> Float:
    """Draw up to three long processes, most of them along the cell's long axis; see `Shape`."""
    rng = stream(params.seed, "processes", p, cell)
    count = int(rng.integers(0, 4))
    ends = np.pi * np.arange(count)
    return np.stack(
        [
            ends + rng.normal(0, 0.35, count),
            params.processes * rng.uniform(0.3, 1.2, count),
            rng.uniform(60, 200, count),
        ],
        axis=1,
    )


def radii(shape: Shape, time_h: float, size: float, roundness: float) -> Float:
    """Sample r(θ) of a cell, (ANGLES,) px; ½ ∫ r² dθ is π (size · radius)².

    Bulges wander with `time_h`. `size`: current radius over the grown radius. `roundness`: 0 for
    the spread cell, 1 for a rounded one.
    """
    spread = 1.0 - roundness
    a = shape.aspect ** (0.5 * spread)
    ellipse = 1.0 / np.hypot(np.cos(_THETA) / a, np.sin(_THETA) * a)
    turn = shape.phases + shape.rates * time_h
    bulge = shape.bulges @ np.cos(_MODES[:, None] * _THETA + turn[:, None])
    angle, height, sharp = shape.processes.T[:, :, None]
    wander = angle + 0.25 * np.sin(turn[np.arange(len(angle)) % len(turn), None])
    process = np.sum(height * np.exp(sharp * (np.cos(_THETA - wander) - 1.0)), axis=0)
    r = ellipse * np.maximum(1.0 + spread * (bulge + process), 0.4)
    return np.asarray(r * (size * shape.radius / np.sqrt(np.mean(r * r))))


def bend(shape: Shape, size: float, roundness: float) -> tuple[float, float]:
    """Return κ (1/px) and u0² (px²) of a cell."""
    radius = size * shape.radius
    kappa = shape.bend * (1.0 - roundness) / radius
    return kappa, 0.25 * radius * radius * shape.aspect ** (1.0 - roundness)


def gauge(u: Float, v: Float, table: Float, kappa: Float, u0: Float) -> tuple[Float, Float]:
    """Return ρ and r(θ) at points of cells' own frames.

    `u`, `v`: (K, M) points (px). `table`: (K, ANGLES) radii. `kappa`, `u0`: (K, 1) bends.
    """
    w = v - kappa * (u * u - u0)
    step = np.arctan2(w, u) * (ANGLES / (2 * np.pi))
    low = np.floor(step)
    part = step - low
    index = low.astype(np.intp) % ANGLES
    after = (index + 1) % ANGLES
    r = np.take_along_axis(table, index, 1) * (1 - part)
    r += np.take_along_axis(table, after, 1) * part
    return np.hypot(u, w) / r, r


def polygons(table: Float, kappa: Float, u0: Float, angle: Float) -> Float:
    """Return outlines relative to the centres, (N, POINTS, 2) x and y (px).

    `table`: (N, ANGLES) radii. `kappa`, `u0`, `angle`: (N,) bends and orientations.
    """
    every = ANGLES // POINTS
    r = table[:, ::every]
    u = r * np.cos(_THETA[::every])
    v = r * np.sin(_THETA[::every]) + kappa[:, None] * (u * u - u0[:, None])
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return np.stack([u * cos - v * sin, u * sin + v * cos], axis=2)


ROUND_UP = 3
"""Frames over which a cell rounds up before it divides or dies."""
SPREAD_OUT = 4
"""Frames over which a new cell spreads."""

_FRESH = ("divided", "settled")
"""Origins of cells that are round at first."""


@dataclass
class Cell:
    """One cell and its life; frames count from 0, `last` is inclusive."""

    id: int
    parent: int
    first: int
    shape: Shape
    founder: int
    """The ancestor whose kinetics it follows."""
    share: float
    """Its share of the founder's curve."""
    origin: str
    """``start``, ``entered``, ``settled`` or ``divided``."""
    last: int = -1
    fate: str = "end"
    """``end`` of the movie, ``divided`` or ``died``."""
    size: float = 1.0
    """Radius at birth over the grown radius."""
    walk: Float = field(default_factory=lambda: np.zeros((0, 3)))

    def roundness(self, t: int) -> float:
        """Return how round the cell is in frame `t`: 0 spread, towards 1 round."""
        if self.shape.rounded:
            return 0.92
        before = (self.last - t + 1) / ROUND_UP if self.fate != "end" else 1.0
        after = (t - self.first + 0.3) / SPREAD_OUT if self.origin in _FRESH else 1.0
        spread = min(max(min(before - 0.2, after), 0.0), 1.0)
        return 0.92 * (1.0 - spread)

    def size_at(self, t: int) -> float:
        """Return the cell's radius in frame `t` over that of its shape."""
        age = t - self.first
        breath = 1.0 + 0.03 * np.sin(self.shape.phases[0] + 0.4 * age)
        if self.origin == "divided":
            breath *= self.size + (0.92 - self.size) * (1 - np.exp(-age / 25.0))
        left = self.last - t
        if self.fate != "end" and left < ROUND_UP:
            lost = self.shape.rounding if self.fate == "divided" else 0.25
            breath *= 1.0 - lost * (1 - left / ROUND_UP)
        return float(breath)


Bool = NDArray[np.bool_]
Index = NDArray[np.intp]

OVERLAP_PX = 2.5
"""Depth to which the outlines of cells in contact interpenetrate before they are cut apart."""


@dataclass
class Poses:
    """Cells of one frame: everything that sets where an outline runs."""

    xy: Float
    """(N, 2) centres (px, world)."""
    angle: Float
    """(N,) orientations (rad)."""
    table: Float
    """(N, ANGLES) radii (px)."""
    kappa: Float
    """(N,) bends (1/px), as `u0` (px²)."""
    u0: Float

    def __post_init__(self) -> None:
        """Precompute the outlines."""
        self.outline = polygons(self.table, self.kappa, self.u0, self.angle)
        self.extent = np.sqrt((self.outline**2).sum(2).max(1, initial=0.0))


def gaps(poses: Poses, i: Index, j: Index) -> Float:
    """Return the signed distance of the outlines of the pairs `i`, `j` of cells, (K,) px.

    The distance is measured along the ray from the one cell's centre to the closest vertex of
    the other's outline, the smaller of both directions; it is negative where they overlap.
    """
    return np.minimum(_one_way(poses, i, j), _one_way(poses, j, i))


def _one_way(poses: Poses, i: Index, j: Index) -> Float:
    points = poses.outline[j] + (poses.xy[j] - poses.xy[i])[:, None]
    cos, sin = np.cos(poses.angle[i])[:, None], np.sin(poses.angle[i])[:, None]
    u = points[..., 0] * cos + points[..., 1] * sin
    v = points[..., 1] * cos - points[..., 0] * sin
    rho, r = gauge(u, v, poses.table[i], poses.kappa[i][:, None], poses.u0[i][:, None])
    return np.asarray(((rho - 1.0) * r).min(1))


def relax(poses: Poses, bonds: Bool, apart_px: float, rounds: int = 8) -> None:
    """Move cells, in place, until unbonded pairs are apart and bonded ones in contact.

    `bonds`: (N, N) symmetric, which pairs are in contact. `apart_px`: least distance of unbonded
    pairs. It ends after `rounds`, or when all is well.
    """
    first, second = np.triu_indices(len(poses.xy), 1)
    bonded = bonds[first, second]
    reach = poses.extent[first] + poses.extent[second] + max(apart_px, 0.0)
    for _ in range(rounds):
        away = poses.xy[first] - poses.xy[second]
        distance = np.hypot(away[:, 0], away[:, 1])
        near = bonded | (distance < reach)
        a, b, tied = first[near], second[near], bonded[near]
        lack = np.where(tied, -OVERLAP_PX, apart_px) - gaps(poses, a, b)
        wrong = np.where(tied, np.abs(lack) > 0.75, lack > 0.05)
        if not wrong.any():
            return
        a, b, lack = a[wrong], b[wrong], lack[wrong]
        lack = np.where(lack < 0, lack, lack + 0.1)
        unit = away[near][wrong] / np.maximum(distance[near][wrong], 1e-6)[:, None]
        push = 0.5 * np.clip(lack, -12.0, 12.0)[:, None] * unit
        moves = np.zeros_like(poses.xy)
        np.add.at(moves, a, push)
        np.add.at(moves, b, -push)
        poses.xy += moves


def bond_matrix(count: int, pairs: Iterable[tuple[int, int]]) -> Bool:
    """Return which of `count` cells are in contact, (N, N), symmetric."""
    matrix = np.zeros((count, count), bool)
    for a, b in pairs:
        matrix[a, b] = matrix[b, a] = True
    return matrix


_TRIES = 40


def place(
    poses: Poses,
    size: tuple[int, int],
    touching: float,
    apart_px: float,
    rng: np.random.Generator,
    *,
    colonies: int = 0,
) -> list[tuple[int, int]]:
    """Place cells at random in the view, in place.

    Single cells take the first of some random spots where they keep their distance, or else the
    spot with the most room. Groups are grown by pushing a cell, from a random
    direction, against one that lies already. At last all are relaxed. Returns the pairs in contact.

    `size`: width and height of the view (px). `touching`: fraction of the cells in groups.
    `apart_px`: least distance of cells that are not in contact. `colonies`: mean size of the groups
    beyond two, or 0 for groups of two to four.
    """
    count = len(poses.angle)
    area = np.array(size, float)
    placing = _Placing(poses, area, apart_px, rng)
    bonds: list[tuple[int, int]] = []
    for group in _groups(count, touching, rng, colonies):
        placing.settle(group[0])
        for k, cell in enumerate(group[1:], 1):
            mate = group[int(rng.integers(k))]
            placing.attach(cell, mate)
            bonds.append((mate, cell))
    tied = bond_matrix(count, bonds)
    for _ in range(12):
        relax(poses, tied, apart_px, rounds=10)
        inside = np.clip(poses.xy, 0.0, area - 1.0)
        if np.array_equal(inside, poses.xy):
            break
        poses.xy[:] = inside
    return bonds


def _groups(
    count: int, touching: float, rng: np.random.Generator, colonies: int
) -> list[list[int]]:
    """Split the cells into groups in contact and single ones."""
    together = round(touching * count)
    together = 0 if together < 2 else together
    groups, start = [], 0
    while start < together:
        few = int(rng.choice([2, 3, 4], p=[0.6, 0.28, 0.12]))
        size = 2 + int(rng.poisson(colonies)) if colonies else few
        left = together - start
        size = left if left <= size or left - size == 1 else size
        groups.append(list(range(start, start + size)))
        start += size
    return groups + [[k] for k in range(together, count)]


class _Placing:
    """Cells that are placed one after another; arguments as those of `place`."""

    def __init__(self, poses: Poses, area: Float, apart_px: float, rng: np.random.Generator):
        self.poses, self.area, self.apart_px, self.rng = poses, area, apart_px, rng
        self.placed = np.zeros(len(poses.angle), bool)

    def settle(self, cell: int) -> None:
        """Put a cell on the first random spot with enough room, or on that with the most."""
        xy, rng = self.poses.xy, self.rng
        best, most = rng.uniform(0, 1, 2) * self.area, -np.inf
        for _ in range(_TRIES):
            xy[cell] = rng.uniform(0, 1, 2) * self.area
            room = self._room(cell, self.apart_px)
            if room > most:
                best, most = xy[cell].copy(), room
            if room >= self.apart_px:
                break
        xy[cell] = best
        self.placed[cell] = True

    def attach(self, cell: int, mate: int) -> None:
        """Push `cell` against `mate` from the direction with the most room among a few."""
        xy, extent = self.poses.xy, self.poses.extent
        best, most = xy[mate].copy(), -np.inf
        for turn in self.rng.uniform(0, 2 * np.pi, 10):
            along = np.array([np.cos(turn), np.sin(turn)])
            near, far = 0.0, float(extent[cell] + extent[mate])
            for _ in range(10):
                middle = 0.5 * (near + far)
                xy[cell] = xy[mate] + middle * along
                if gaps(self.poses, np.array([cell]), np.array([mate]))[0] > -OVERLAP_PX:
                    far = middle
                else:
                    near = middle
            inside = bool((xy[cell] >= 0).all() and (xy[cell] < self.area).all())
            room = self._room(cell, 8.0, but=mate) - (0.0 if inside else 1e3)
            if room > most:
                best, most = xy[cell].copy(), room
        xy[cell] = best
        self.placed[cell] = True

    def _room(self, cell: int, apart_px: float, but: int | None = None) -> float:
        """Return the least gap to placed cells, at most `apart_px`."""
        poses = self.poses
        reach = poses.extent + poses.extent[cell] + apart_px
        near = self.placed & (np.hypot(*(poses.xy - poses.xy[cell]).T) < reach)
        near[[cell, cell if but is None else but]] = False
        others = np.flatnonzero(near)
        return float(gaps(poses, np.full(others.size, cell), others).min(initial=apart_px))
