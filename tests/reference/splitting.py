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


def chamfer(outside: np.ndarray) -> np.ndarray:
    """Length of the shortest way to a pixel of ``outside``, infinite where there is none."""
    far = np.where(outside, 0.0, np.inf)
    while True:
        nearer = swept(swept(far)[::-1])[::-1]
        if np.array_equal(nearer, far):
            return far
        far = nearer


def swept(far: np.ndarray) -> np.ndarray:
    """Lengths after ways downwards and along the rows are allowed as well."""
    height, width = far.shape
    x = np.arange(width)
    rows = np.pad(far, ((2, 0), (2, 2)), constant_values=np.inf)
    for y in range(2, height + 2):
        above, second = rows[y - 1], rows[y - 2]
        row = rows[y, 2:-2]
        for dx, cost in ((-2, 2.1969), (-1, 1.4), (0, 1.0), (1, 1.4), (2, 2.1969)):
            row = np.minimum(row, above[2 + dx : 2 + dx + width] + cost)
        for dx in (-1, 1):
            row = np.minimum(row, second[2 + dx : 2 + dx + width] + 2.1969)
        row = np.minimum(row, np.minimum.accumulate(row - x) + x)
        row = np.minimum(row, (np.minimum.accumulate((row + x)[::-1])[::-1]) - x)
        rows[y, 2:-2] = np.round(row, 9)
    return rows[2:, 2:-2]


def split(
    mask: np.ndarray,
    before: np.ndarray,
    *,
    neck_ratio: float,
    kept_neck_ratio: float,
    min_radius: float,
    max_solidity: float,
    new_neck_ratio: float = 1.0,
) -> list[np.ndarray]:
    """Parts of a component in its window; ``before`` are the objects of the frame before."""
    if ndimage.label(mask, structure=FULL)[1] != 1:
        return [mask]
    if mask.sum() / hull_points(mask) > max_solidity or mask.all():
        return [mask]
    kept = max(neck_ratio, kept_neck_ratio)
    ratios = neck_ratio, kept, min(neck_ratio, new_neck_ratio)
    distance = chamfer(~mask)
    cores = [mask]
    level = 1
    while level < kept * distance.max():
        labels, n = ndimage.label(distance > level, structure=FULL)
        pieces = [labels == k for k in range(1, n + 1)]
        cores = [
            part
            for core in cores
            for part in replaced(core, pieces, distance, before, level, ratios, min_radius)
        ]
        level += 1
    nearest = np.argmin([chamfer(core) for core in cores], axis=0)
    return [mask & (nearest == k) for k in range(len(cores))]


def replaced(
    core: np.ndarray,
    pieces: list[np.ndarray],
    distance: np.ndarray,
    before: np.ndarray,
    level: int,
    ratios: tuple[float, float, float],
    min_radius: float,
) -> list[np.ndarray]:
    """Pieces within the core that count, if they are at least two, otherwise the core."""
    inside = [piece for piece in pieces if (piece & core).any()]
    deepest = [int(np.argmax(np.where(piece, distance, -1.0))) for piece in inside]
    order = sorted(range(len(inside)), key=lambda k: (-distance.flat[deepest[k]], deepest[k]))
    ground, kept, new = ratios
    known = set()
    counting = []
    for k in order:
        origin = int(before.flat[deepest[k]])
        ratio = ground if origin == 0 else new if origin in known else kept
        known.add(origin)
        if distance.flat[deepest[k]] >= max(level / ratio, min_radius):
            counting.append(inside[k])
    return counting if len(counting) > 1 else [core]
