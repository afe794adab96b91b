"""Distances between outlines, and moving cells until they keep them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fovflow.simulation.shape import Float, gauge, polygons

Bool = NDArray[np.bool_]
Index = NDArray[np.intp]

OVERLAP_PX = 2.5
"""Depth to which the outlines of cells in contact interpenetrate before they are cut apart."""


@dataclass
class Poses:
    """Cells of one frame: everything that sets where an outline runs.

    Attributes
    ----------
    xy : numpy.ndarray
        (N, 2) centres (px, world).
    angle, kappa, u0 : numpy.ndarray
        (N,) orientation (rad) and bend.
    table : numpy.ndarray
        (N, ANGLES) radii (px).
    """

    xy: Float
    angle: Float
    table: Float
    kappa: Float
    u0: Float

    def __post_init__(self) -> None:
        """Precompute the outlines."""
        self.outline = polygons(self.table, self.kappa, self.u0, self.angle)
        self.extent = np.sqrt((self.outline**2).sum(2).max(1, initial=0.0))


def gaps(poses: Poses, i: Index, j: Index) -> Float:
    """Return the signed distance of the outlines of pairs of cells.

    The distance is measured along the ray from the one cell's centre to the closest vertex of
    the other's outline, the smaller of both directions; it is negative where they overlap.

    Parameters
    ----------
    poses : Poses
    i, j : numpy.ndarray
        (K,) cells of each pair.

    Returns
    -------
    numpy.ndarray
        (K,) px.
    """
    return np.minimum(_one_way(poses, i, j), _one_way(poses, j, i))


def _one_way(poses: Poses, i: Index, j: Index) -> Float:
    points = poses.outline[j] + (poses.xy[j] - poses.xy[i])[:, None]
    cos, sin = np.cos(poses.angle[i])[:, None], np.sin(poses.angle[i])[:, None]
    u = points[..., 0] * cos + points[..., 1] * sin
    v = points[..., 1] * cos - points[..., 0] * sin
    rho, r = gauge(u, v, poses.table[i], poses.kappa[i][:, None], poses.u0[i][:, None])
    return np.asarray(((rho - 1.0) * r).min(1))


def relax(
    poses: Poses, free: Bool, bonds: Bool, apart_px: float, *, rounds: int = 8, pull: float = 1.0
) -> None:
    """Move cells, in place, until unbonded pairs are apart and bonded ones in contact.

    Parameters
    ----------
    poses : Poses
        Their `xy` is changed.
    free : numpy.ndarray
        (N,) which cells take part.
    bonds : numpy.ndarray
        (N, N) symmetric: which pairs are in contact.
    apart_px : float
        Least distance of unbonded pairs; negative allows overlaps.
    rounds : int
        Most rounds; ends when all is well.
    pull : float
        Share of a missing contact that is closed in one round.
    """
    members = np.flatnonzero(free)
    if members.size < 2:
        return
    first, second = np.triu_indices(members.size, 1)
    reach = poses.extent[members]
    for _ in range(rounds):
        xy = poses.xy[members]
        away = xy[first] - xy[second]
        distance = np.hypot(away[:, 0], away[:, 1])
        bonded = bonds[members[first], members[second]]
        near = bonded | (distance < reach[first] + reach[second] + max(apart_px, 0.0))
        a, b = members[first[near]], members[second[near]]
        if a.size == 0:
            return
        gap, tied = gaps(poses, a, b), bonded[near]
        target = np.where(tied, -OVERLAP_PX, apart_px)
        lack = target - gap
        wrong = np.where(tied, np.abs(lack) > 0.75, lack > 0.05)
        if not wrong.any():
            return
        a, b, lack = a[wrong], b[wrong], lack[wrong]
        lack = np.where(lack < 0, pull * lack, lack + 0.1)
        unit = away[near][wrong] / np.maximum(distance[near][wrong], 1e-6)[:, None]
        push = 0.5 * np.clip(lack, -12.0, 12.0)[:, None] * unit
        moves = np.zeros_like(poses.xy)
        np.add.at(moves, a, push)
        np.add.at(moves, b, -push)
        poses.xy += moves
