"""Split components of touching cells at their necks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.segmentation.objects import Mask

Distance = NDArray[np.float32]


def split_component(
    mask: Mask, *, ratio: float, min_radius: float, max_solidity: float
) -> NDArray[np.int32] | None:
    """Split one component where it narrows between two wider parts.

    With D the Euclidean distance of each pixel to the background, two parts are separate if on
    the way from one to the other D falls below `ratio` times the greatest D of either, and each
    part's greatest D is at least `min_radius`. Each pixel goes to the nearest core, a core
    being the part of a cell where D exceeds the level at which it came apart from its neighbours.

    Parameters
    ----------
    mask : numpy.ndarray
        (h, w) uint8, 0 or 1: one component in its box with one pixel of margin, except where the
        box lies at the frame's border (the cell is thought to go on there).
    ratio : float
        Neck width over cell width, 0 to 1.
    min_radius : float
        Least inscribed radius of a part (px).
    max_solidity : float
        Components whose area is more than this part of their convex hull's are left whole.

    Returns
    -------
    numpy.ndarray or None
        (h, w) int32, parts 1..n; None where the component stays whole.
    """
    if solidity(mask) > max_solidity:
        return None
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    if float(distance.max()) < 2 * min_radius * ratio:
        return None
    cores = find_cores(distance, ratio, min_radius)
    if len(cores) < 2:
        return None
    away = np.stack([_distance_to(core) for core in cores])
    return np.where(mask > 0, np.argmin(away, axis=0).astype(np.int32) + 1, 0)


def solidity(mask: Mask) -> float:
    """Return the area of a component over the area of the convex hull of its pixels' corners."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    points = np.concatenate(contours).reshape(-1, 2)
    corners = np.concatenate([points + np.array([dx, dy]) for dx in (0, 1) for dy in (0, 1)])
    return cv2.countNonZero(mask) / cv2.contourArea(cv2.convexHull(corners.astype(np.int32)))


def find_cores(distance: Distance, ratio: float, min_radius: float) -> list[Mask]:
    """Return the cores of the parts, in raster order of their first pixels.

    Levels λ = 1, 2, 3, … px are raised from below. A core's pixels with D > λ form 8-connected
    pieces; a piece counts if its greatest D is at least max(λ/ratio, min_radius). Where at least
    two pieces count they replace the core; otherwise the core stays as it is.
    """
    cores = [(distance > 0).view(np.uint8)]
    level = 1
    while level < ratio * float(distance.max()):
        least = max(level / ratio, min_radius)
        above = (distance > level).view(np.uint8)
        n, pieces = cv2.connectedComponents(above, connectivity=8)
        if n > 2:
            peaks = np.zeros(n, np.float32)
            np.maximum.at(peaks, pieces.ravel(), distance.ravel())
            cores = [part for core in cores for part in _pieces(core, pieces, peaks >= least)]
        level += 1
    return sorted(cores, key=lambda core: int(np.argmax(core)))


def _pieces(core: Mask, pieces: NDArray[np.int32], counts: NDArray[np.bool_]) -> list[Mask]:
    inside = np.unique(pieces[core > 0])
    parts = [i for i in inside if i > 0 and counts[i]]
    return [(pieces == i).view(np.uint8) for i in parts] if len(parts) > 1 else [core]


def _distance_to(core: Mask) -> Distance:
    return np.asarray(cv2.distanceTransform(1 - core, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))
