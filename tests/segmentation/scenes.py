"""Small phase-like frames with known cells, drawn by hand."""

from __future__ import annotations

import cv2
import numpy as np

PIXEL_UM = 0.65


def noise(shape=(160, 200), level=1000.0, sigma=10.0, seed=0):
    """Return a frame of background alone, float64."""
    return np.random.default_rng(seed).normal(level, sigma, shape)


def ellipses(cells, shape=(160, 200)):
    """Return the ids of ellipses (y, x, half height, half width); later ones are cut by earlier."""
    truth = np.zeros(shape, np.uint16)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for number, (y, x, a, b) in enumerate(cells, start=1):
        inside = ((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 <= 1
        truth[inside & (truth == 0)] = number
    return truth


def phase(truth, contrast=200.0, halo_px=4.0, seed=0, dtype=np.uint16):
    """Return a frame: dark textured cells with a bright halo on noisy background."""
    frame = noise(truth.shape, seed=seed)
    inside = (truth > 0).astype(np.float64)
    away = cv2.distanceTransform((truth == 0).astype(np.uint8), cv2.DIST_L2, 5)
    frame += contrast * np.exp(-away / halo_px) * (1 - inside) * (inside.max() > 0)
    texture = cv2.GaussianBlur(
        np.random.default_rng(seed + 1).normal(0, 1, truth.shape), (0, 0), 1.2
    )
    frame += inside * (-contrast + 0.8 * contrast * texture)
    frame = cv2.GaussianBlur(frame, (0, 0), 0.7)
    if dtype == np.uint8:
        return np.clip(np.rint(frame / 10), 0, 255).astype(np.uint8)
    return frame.astype(dtype) if dtype == np.float32 else np.rint(frame).astype(dtype)


def bright_discs(truth, seed=0):
    """Return a uint16 frame of a nuclear marker."""
    frame = noise(truth.shape, 200, 5, seed) + 800 * (truth > 0)
    return np.rint(cv2.GaussianBlur(frame, (0, 0), 1.0)).astype(np.uint16)
