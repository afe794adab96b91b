"""Where cells lie in the first frame."""

from __future__ import annotations

import numpy as np

from fovflow.simulation.contact import OVERLAP_PX, Bool, Poses, gaps, relax
from fovflow.simulation.shape import Float

_TRIES = 40


def place(
    poses: Poses,
    size: tuple[int, int],
    touching: float,
    apart_px: float,
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """Place cells at random in the view, in place.

    Single cells take the first of some random spots where they keep their distance, or else the
    spot with the most room. Groups of two to four are grown by pushing a cell, from a random
    direction, against one that lies already. At last all are relaxed.

    Parameters
    ----------
    poses : Poses
        Shapes and orientations; their `xy` is set.
    size : tuple of int
        Width and height of the view (px).
    touching : float
        Fraction of the cells in groups.
    apart_px : float
        Least distance of cells that are not in contact.
    rng : numpy.random.Generator

    Returns
    -------
    list of (int, int)
        Pairs in contact.
    """
    count = len(poses.angle)
    area = np.array(size, float)
    bonds: list[tuple[int, int]] = []
    placed = np.zeros(count, bool)
    for group in _groups(count, touching, rng):
        _settle(poses, placed, group[0], area=area, apart_px=apart_px, rng=rng)
        for k, cell in enumerate(group[1:], 1):
            mate = group[int(rng.integers(k))]
            _attach(poses, placed, cell, mate, area=area, rng=rng)
            bonds.append((mate, cell))
    tied = np.zeros((count, count), bool)
    for a, b in bonds:
        tied[a, b] = tied[b, a] = True
    for _ in range(12):
        relax(poses, placed, tied, apart_px, rounds=10)
        inside = np.clip(poses.xy, 0.0, area - 1.0)
        if np.array_equal(inside, poses.xy):
            break
        poses.xy[:] = inside
    return bonds


def _groups(count: int, touching: float, rng: np.random.Generator) -> list[list[int]]:
    """Split the cells into groups in contact and single ones."""
    together = round(touching * count)
    together = 0 if together < 2 else together
    groups, start = [], 0
    while start < together:
        size = int(rng.choice([2, 3, 4], p=[0.6, 0.28, 0.12]))
        left = together - start
        size = left if left <= size or left - size == 1 else size
        groups.append(list(range(start, start + size)))
        start += size
    return groups + [[k] for k in range(together, count)]


def _room(poses: Poses, placed: Bool, cell: int, apart_px: float, but: int = -1) -> float:
    """Return the least gap to placed cells, at most `apart_px`."""
    reach = poses.extent + poses.extent[cell] + apart_px
    near = placed & (np.hypot(*(poses.xy - poses.xy[cell]).T) < reach)
    near[[cell, but] if but >= 0 else [cell]] = False
    others = np.flatnonzero(near)
    if others.size == 0:
        return apart_px
    return float(min(gaps(poses, np.full(others.size, cell), others).min(), apart_px))


def _settle(
    poses: Poses,
    placed: Bool,
    cell: int,
    *,
    area: Float,
    apart_px: float,
    rng: np.random.Generator,
) -> None:
    best, most = rng.uniform(0, 1, 2) * area, -np.inf
    for _ in range(_TRIES):
        poses.xy[cell] = rng.uniform(0, 1, 2) * area
        room = _room(poses, placed, cell, apart_px)
        if room > most:
            best, most = poses.xy[cell].copy(), room
        if room >= apart_px:
            break
    poses.xy[cell] = best
    placed[cell] = True


def _attach(
    poses: Poses, placed: Bool, cell: int, mate: int, *, area: Float, rng: np.random.Generator
) -> None:
    """Push `cell` against `mate` from the direction with the most room among a few."""
    best, most = poses.xy[mate].copy(), -np.inf
    pair = np.array([cell]), np.array([mate])
    for turn in rng.uniform(0, 2 * np.pi, 10):
        along = np.array([np.cos(turn), np.sin(turn)])
        near, far = 0.0, float(poses.extent[cell] + poses.extent[mate])
        for _ in range(10):
            middle = 0.5 * (near + far)
            poses.xy[cell] = poses.xy[mate] + middle * along
            if gaps(poses, *pair)[0] > -OVERLAP_PX:
                far = middle
            else:
                near = middle
        inside = bool((poses.xy[cell] >= 0).all() and (poses.xy[cell] < area).all())
        room = _room(poses, placed, cell, 8.0, but=mate) - (0.0 if inside else 1e3)
        if room > most:
            best, most = poses.xy[cell].copy(), room
    poses.xy[cell] = best
    placed[cell] = True
