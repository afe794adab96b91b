"""Lengths and areas in µm, turned into what the image operations take."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.errors import ConfigError

CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
"""A pixel and its four neighbours."""


def check_pixel_um(pixel_um: float | None, method: str) -> float:
    """Return the pixel size, which `method` cannot do without.

    Raises
    ------
    ConfigError
        If it is absent or not above 0.
    """
    if pixel_um is None or not 0 < pixel_um < float("inf"):
        raise ConfigError(
            f"segment: method {method} needs the pixel size, since its lengths are in µm",
            found="none" if pixel_um is None else f"{pixel_um}",
            remedy="give pixel_um of the dataset, or choose method classic",
        )
    return float(pixel_um)


def disc(radius: float) -> NDArray[np.uint8]:
    """Return all offsets with dx² + dy² ≤ radius² (px) as a structuring element.

    Examples
    --------
    >>> disc(1.0).tolist()
    [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    """
    reach = int(radius)
    steps = np.arange(-reach, reach + 1)
    return (steps[:, None] ** 2 + steps[None, :] ** 2 <= radius * radius).astype(np.uint8)


def odd_side(length: float) -> int:
    """Return the odd window side nearest to a length (px), at least 1."""
    return 2 * round(length / 2) + 1 if length > 1 else 1


def open_mask(mask: NDArray[np.uint8], element: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Open a mask; what lies beyond the frame neither erodes nor grows it."""
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, element)) if element.size > 1 else mask


def close_mask(mask: NDArray[np.uint8], element: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Close a mask; what lies beyond the frame neither erodes nor grows it."""
    return (
        np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, element)) if element.size > 1 else mask
    )


def grow_within(
    mask: NDArray[np.uint8], allowed: NDArray[np.uint8], steps: int
) -> NDArray[np.uint8]:
    """Grow a mask by its 4-neighbours inside `allowed`, so many times."""
    grown, wide = mask.copy(), np.empty_like(mask)
    for _ in range(steps):
        cv2.dilate(grown, CROSS, dst=wide)
        cv2.bitwise_and(wide, allowed, dst=grown)
    return grown
