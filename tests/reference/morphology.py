"""Reference morphology: what lies beyond the frame is left out of every neighbourhood."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

CROSS = ndimage.generate_binary_structure(2, 1)
FULL = np.ones((3, 3), dtype=bool)


def disc(radius: float) -> np.ndarray:
    """Offsets no farther than the radius."""
    r = int(np.floor(radius))
    y, x = np.mgrid[-r : r + 1, -r : r + 1]
    return x * x + y * y <= radius * radius


def erode(mask: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Pixels whose neighbourhood inside the frame is all foreground."""
    return ndimage.binary_erosion(mask, structure=shape, border_value=1)


def dilate(mask: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Pixels with foreground in their neighbourhood."""
    return ndimage.binary_dilation(mask, structure=shape)


def opened(mask: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Erosion, then dilation."""
    return dilate(erode(mask, shape), shape)


def closed(mask: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Dilation, then erosion."""
    return erode(dilate(mask, shape), shape)


def fill_small_holes(mask: np.ndarray, limit: float) -> np.ndarray:
    """Fill holes whose outline encloses at most ``limit`` pixels, with all that lies in them."""
    regions, _ = ndimage.label(~mask, structure=CROSS)
    border = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    open_regions = set(border.tolist())
    result = mask.copy()
    for region, box in enumerate(ndimage.find_objects(regions), start=1):
        if region in open_regions:
            continue
        enclosed = ndimage.binary_fill_holes(regions[box] == region, structure=FULL)
        if enclosed.sum() <= limit:
            result[box] |= enclosed
    return result


def grow(mask: np.ndarray, within: np.ndarray, steps: int) -> np.ndarray:
    """Add 4-neighbours that lie within, step by step; own pixels stay."""
    for _ in range(steps):
        mask = mask | (dilate(mask, CROSS) & within)
    return mask
