"""Split components of touching cells at their necks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.segmentation.objects import Mask

Distance = NDArray[np.float32]


def split_component(
    mask: Mask,
    contour: NDArray[np.int32],
    *,
    ratio: float,
    min_radius: float,
    max_solidity: float,
) -> list[Mask] | None:
    """Split one component where it narrows between two wider parts.

    With D the Euclidean distance of each pixel to the background, two parts are separate if on
    the way from one to the other D falls below `ratio` times the greatest D of either, and each
    part's greatest D is at least `min_radius`. Each pixel goes to the nearest core, a core
    being the part of a cell where D exceeds the level at which it came apart from its neighbours.

    Parameters
    ----------
    mask : numpy.ndarray
        (h, w) uint8, 0 or 1: one component in its box with a margin of background, except where
        the box lies at the frame's border (the cell is thought to go on there).
    contour : numpy.ndarray
        (n, 1, 2) int32, the x and y of the component's outermost pixels.
    ratio : float
        Neck width over cell width, 0 to 1.
    min_radius : float
        Least inscribed radius of a part (px).
    max_solidity : float
        Components whose area is more than this part of their convex hull's are left whole.

    Returns
    -------
    list of numpy.ndarray or None
        Masks (h, w) of the parts; None where the component stays whole.
    """
    if solidity(mask, contour) > max_solidity:
        return None
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    cores = find_cores(distance, ratio, min_radius)
    if len(cores) < 2:
        return None
    nearest = nearest_core(cores)
    return [(nearest == i).view(np.uint8) & mask for i in range(len(cores))]


def solidity(mask: Mask, contour: NDArray[np.int32]) -> float:
    """Return the number of pixels over the number of lattice points in their convex hull.

    The hull is that of the pixels' centres; it has area A and b lattice points on its edge, and by
    Pick's theorem holds A + b/2 + 1 of them.
    """
    hull = cv2.convexHull(contour)[:, 0, :]
    steps = np.abs(np.diff(hull, axis=0, append=hull[:1]))
    edge = int(np.gcd(steps[:, 0], steps[:, 1]).sum())
    return cv2.countNonZero(mask) / (cv2.contourArea(hull) + edge / 2 + 1)


def find_cores(distance: Distance, ratio: float, min_radius: float) -> list[Mask]:
    """Return the cores of the parts, in raster order of their first pixels.

    Levels λ = 1, 2, 3, … px are raised from below. A core's pixels with D > λ form 8-connected
    pieces; a piece counts if its greatest D is at least max(λ/ratio, min_radius). Where at least
    two pieces count they replace the core; otherwise the core stays as it is.
    """
    cores = [distance > 0]
    level = 1
    while level < ratio * float(distance.max()):
        n, pieces = cv2.connectedComponents((distance > level).view(np.uint8), connectivity=8)
        if n > 2:
            high = distance >= np.float32(max(level / ratio, min_radius))
            counts = np.bincount(pieces[high], minlength=n) > 0
            counts[0] = False
            cores = [part for core in cores for part in _pieces(core, pieces, counts)]
        level += 1
    return sorted((core.view(np.uint8) for core in cores), key=lambda core: int(core.argmax()))


def _pieces(
    core: NDArray[np.bool_], pieces: NDArray[np.int32], counts: NDArray[np.bool_]
) -> list[NDArray[np.bool_]]:
    inside = np.bincount(pieces[core], minlength=counts.size) > 0
    parts = np.flatnonzero(inside & counts).tolist()
    return [pieces == part for part in parts] if len(parts) > 1 else [core]


def nearest_core(cores: list[Mask]) -> NDArray[np.uint16]:
    """Return for each pixel the index of the nearest core, the first of equally near ones."""
    nearest = np.zeros(cores[0].shape, np.uint16)
    least = _distance_to(cores[0])
    for index, core in enumerate(cores[1:], start=1):
        away = _distance_to(core)
        np.copyto(nearest, index, where=away < least)
        np.minimum(least, away, out=least)
    return nearest


def _distance_to(core: Mask) -> Distance:
    return np.asarray(cv2.distanceTransform(1 - core, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))
