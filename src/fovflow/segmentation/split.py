"""Split components of touching cells at their necks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.segmentation.masks import Components, Labels, Mask

Distance = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Necks:
    """When a narrowing separates two cells."""

    ratio: float
    """Neck width over cell width from which on a neck is none, 0 to 1."""
    kept_ratio: float
    """The same, at least as great, for parts that were different objects in the frame before."""
    min_radius: float
    """Least inscribed radius of a part (px)."""
    max_solidity: float
    """Components whose area is more than this part of their convex hull's are left whole."""
    new_ratio: float = 1.0
    """The ratio, if less, for parts that were one object with a deeper part in the frame before."""


def split_component(
    mask: Mask, hull: float, before: Labels | None, necks: Necks
) -> list[Mask] | None:
    """Return the parts of a component, in raster order; None where it stays whole.

    It is split where it narrows between two wider parts.

    With D the distance of each pixel to the background, two parts are separate if on
    the way from one to the other D falls below `necks.ratio` times the greatest D of either, and
    each part's greatest D is at least `necks.min_radius`. Each pixel goes to the nearest core, a
    core being the part of a cell where D exceeds the level at which it came apart from its
    neighbours. Distances are those of the 5 × 5 chamfer (Borgefors 1986), within 2 % of
    Euclid's.

    `mask`: (h, w) uint8, 0 or 1: one component in its box with a margin of background, except
    where the box lies at the frame's border (the cell is thought to go on there). `hull`: pixels in
    its convex hull, see `hull_pixels`. `before`: (h, w), the objects of the frame before in the
    same window.
    """
    area = cv2.countNonZero(mask)
    if area / hull > necks.max_solidity or area == mask.size:
        return None
    distance = np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_5), np.float32)
    n, cores = find_cores(distance, before, necks)
    if n < 2:
        return None
    nearest = nearest_core(cores)
    parts = [(nearest == i).view(np.uint8) & mask for i in range(1, n + 1)]
    return sorted(parts, key=lambda part: int(part.argmax()))


def hull_pixels(contours: Sequence[NDArray[np.int32]]) -> NDArray[np.float64]:
    """Return the number of lattice points in the convex hull of each outer contour.

    The hull is that of the pixels' centres; it has area A and b lattice points on its edge, and by
    Pick's theorem holds A + b/2 + 1 of them.

    `contours`: (n, 1, 2) int32 each, the x and y of the outermost pixels.
    """
    if not contours:
        return np.zeros(0)
    hulls = [cv2.convexHull(contour)[:, 0, :] for contour in contours]
    area = np.array([cv2.contourArea(hull) for hull in hulls])
    begin = np.cumsum([0, *(len(hull) for hull in hulls)])
    corners = np.concatenate(hulls)
    following = np.roll(corners, -1, axis=0)
    following[begin[1:] - 1] = corners[begin[:-1]]
    steps = np.abs(following - corners)
    edge = np.add.reduceat(np.gcd(steps[:, 0], steps[:, 1]), begin[:-1])
    return np.asarray(area + edge / 2 + 1)


def find_cores(distance: Distance, before: Labels | None, necks: Necks) -> tuple[int, Components]:
    """Return the number of cores, and the cores as labels 1..n in no special order.

    Levels λ = 1, 2, 3, … px are raised from below. A core's pixels with D > λ form 8-connected
    pieces; a piece counts if its greatest D is at least `necks.min_radius` and λ/r, r being
    `necks.kept_ratio` for a piece that goes on from an object of the frame before, at most
    `necks.new_ratio` for others from the same object, and `necks.ratio` where there was none.
    Where at least two pieces count they replace the core; otherwise the core stays as it is.
    """
    cores = np.zeros(distance.shape, np.int32)
    origin = np.zeros(distance.shape, np.uint16) if before is None else before
    todo = [(distance, origin, cores, 1)]
    n = 0
    while todo:
        core, earlier, target, level = todo.pop()
        level, pieces, parts = _fall_apart(core, earlier, level, necks)
        if not parts:
            n += 1
            target[core > 0] = n
        for part in parts:
            inside = (pieces == part).view(np.uint8)
            x, y, width, height = cv2.boundingRect(inside)
            box = slice(y, y + height), slice(x, x + width)
            todo.append((core[box] * inside[box], earlier[box], target[box], level + 1))
    return n, cores


def _fall_apart(
    core: Distance, earlier: Labels, level: int, necks: Necks
) -> tuple[int, Components, list[int]]:
    """Return the first level from which on a core is two parts or more, its pieces, the parts."""
    peaks = _peaks(core, necks.min_radius)
    depth, origin = core.ravel()[peaks], earlier.ravel()[peaks]
    deepest = float(depth[0]) if peaks.size > 1 else 0.0
    while level < necks.kept_ratio * deepest:
        n, found = cv2.connectedComponents((core > level).view(np.uint8), connectivity=8)
        pieces = np.asarray(found, np.int32)
        if n > 2:
            piece = pieces.ravel()[peaks]
            top = np.full(n, peaks.size)
            top[piece[::-1]] = np.arange(peaks.size)[::-1]  # each piece's deepest peak
            order = np.sort(top[1:][top[1:] < peaks.size])
            ratio = _ratios(origin[order], necks)
            parts = piece[order[depth[order] >= (level / ratio).astype(np.float32)]].tolist()
            if len(parts) > 1:
                return level, pieces, parts
        level += 1
    return level, np.zeros(core.shape, np.int32), []


def _peaks(core: Distance, least: float) -> NDArray[np.int64]:
    """Return the flat places of the local maxima of at least `least`, deepest first."""
    highest = cv2.dilate(core, np.ones((3, 3), np.uint8))
    places = np.flatnonzero((core == highest) & (core >= max(least, 1.0)))
    return places[np.argsort(-core.ravel()[places], kind="stable")]


def _ratios(origin: NDArray[np.uint16], necks: Necks) -> NDArray[np.float64]:
    """Return the ratio for each piece, deepest first; origin 0 is no object of the frame before."""
    values = origin.tolist()
    new = min(necks.ratio, necks.new_ratio)
    return np.array(
        [
            necks.ratio if value == 0 else new if value in values[:k] else necks.kept_ratio
            for k, value in enumerate(values)
        ]
    )


def nearest_core(cores: Components) -> Components:
    """Return for each pixel the number of the nearest core."""
    free = (cores == 0).view(np.uint8)
    _, regions = cv2.distanceTransformWithLabels(
        free, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_CCOMP
    )
    inside = free == 0
    table = np.zeros(int(regions.max()) + 1, np.int32)
    table[regions[inside]] = cores[inside]
    return table[regions]
