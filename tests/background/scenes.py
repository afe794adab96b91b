"""Shaded frames with a known background."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def shading(shape: tuple[int, int], level: float = 600, depth: float = 0.25) -> NDArray[np.float64]:
    """Quadratic shading about a centre off the middle; `depth` is the loss at unit distance."""
    y = (np.arange(shape[0]) + 0.5) / shape[0] * 2 - 1
    x = (np.arange(shape[1]) + 0.5) / shape[1] * 2 - 1
    return level * (1 - depth * ((y[:, None] - 0.1) ** 2 + (x[None, :] + 0.1) ** 2))


def cells(
    shape: tuple[int, int], count: int, radius: int = 12, seed: int = 0
) -> NDArray[np.uint16]:
    """Discs with ids 1 to `count` at random places."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint16)
    for label in range(1, count + 1):
        centre = (int(rng.integers(shape[1])), int(rng.integers(shape[0])))
        cv2.circle(labels, centre, radius, label, -1)
    return labels


def photograph(
    background: NDArray[np.float64],
    light: NDArray[np.float64] | float,
    seed: int = 0,
    sigma: float = 8,
) -> NDArray[np.uint16]:
    """Add light and normal noise, round to counts."""
    noise = np.random.default_rng(seed).normal(0, sigma, background.shape)
    return np.clip(np.rint(background + light + noise), 0, 65535).astype(np.uint16)


def rms_inside_and_at_border(error: NDArray[np.floating]) -> tuple[float, float]:
    """Return the root mean square in the middle and in a frame of 1/16 of the shorter edge."""
    width = max(1, min(error.shape) // 16)
    border = np.ones(error.shape, bool)
    border[width:-width, width:-width] = False
    inside = float(np.sqrt((error[~border] ** 2).mean()))
    return inside, float(np.sqrt((error[border] ** 2).mean()))
