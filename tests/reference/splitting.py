"""Reference of splitting a component into cells at its necks."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from reference.morphology import FULL


def hull_points(mask: np.ndarray) -> int:
    """Lattice points in the convex hull of the pixel centres, by Pick's theorem."""
    points = sorted(zip(*(c.tolist() for c in np.nonzero(mask)), strict=True))
    hull = half_hull(points)[:-1] + half_hull(points[::-1])[:-1] or points
    twice_area = boundary = 0
    for (y0, x0), (y1, x1) in zip(hull, hull[1:] + hull[:1], strict=True):
        twice_area += x0 * y1 - x1 * y0
        boundary += math.gcd(abs(x1 - x0), abs(y1 - y0))
    return (abs(twice_area) + boundary) // 2 + 1


def half_hull(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """One half of the hull of sorted points."""
    chain: list[tuple[int, int]] = []
    for y, x in points:
        while len(chain) > 1:
            (y0, x0), (y1, x1) = chain[-2:]
            if (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) > 0:
                break
            chain.pop()
        chain.append((y, x))
    return chain


def split(
    mask: np.ndarray, *, neck_ratio: float, min_radius: float, max_solidity: float
) -> list[np.ndarray]:
    """Parts of a component in its window, in order of their cores' first pixels."""
    if ndimage.label(mask, structure=FULL)[1] != 1:
        return [mask]
    if mask.sum() / hull_points(mask) > max_solidity or mask.all():
        return [mask]
    distance = ndimage.distance_transform_edt(mask)
    cores = [mask]
    level = 1
    while level < neck_ratio * distance.max():
        labels, n = ndimage.label(distance > level, structure=FULL)
        needed = max(level / neck_ratio, min_radius)
        pieces = [labels == k for k in range(1, n + 1)]
        pieces = [piece for piece in pieces if distance[piece].max() >= needed]
        cores = [part for core in cores for part in replaced(core, pieces)]
        level += 1
    cores.sort(key=lambda core: int(np.flatnonzero(core)[0]))
    far = [np.rint(ndimage.distance_transform_edt(~core) ** 2) for core in cores]
    nearest = np.argmin(far, axis=0)
    return [mask & (nearest == k) for k in range(len(cores))]


def replaced(core: np.ndarray, pieces: list[np.ndarray]) -> list[np.ndarray]:
    """Pieces within the core if they are at least two, otherwise the core."""
    inside = [piece for piece in pieces if (piece & core).any()]
    return inside if len(inside) > 1 else [core]
