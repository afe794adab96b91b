"""Reference background correction: fluorescence minus what is there without cells."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage
from scipy.interpolate import RectBivariateSpline


def classic_edges(n: int) -> np.ndarray:
    """Edges between half tiles along an axis of n pixels; tile i spans edge i to edge i + 2."""
    div = max(math.ceil(n / 256) + 1, 2)
    return np.rint(np.linspace(0, n, 2 * div - 1)).astype(int)


def classic_background(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Cubic tensor spline through half-overlapping tile medians, float64 (Y, X)."""
    raw = np.asarray(image, dtype=np.float64)
    if min(len(classic_edges(n)) - 2 for n in raw.shape) < 4:
        raise ValueError(f"too few tiles for a cubic spline in a frame of {raw.shape}")
    covered = ndimage.binary_dilation(labels > 0, structure=np.ones((21, 21), dtype=bool))
    if covered.all():
        return np.full(raw.shape, np.nan)
    everywhere = np.median(raw[~covered])
    rows, columns = classic_edges(raw.shape[0]), classic_edges(raw.shape[1])
    values = np.empty((len(rows) - 2, len(columns) - 2))
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            tile = np.s_[rows[i] : rows[i + 2], columns[j] : columns[j + 2]]
            free = raw[tile][~covered[tile]]
            values[i, j] = np.median(free) if free.size else everywhere
    spline = RectBivariateSpline(
        (rows[:-2] + rows[2:]) / 2, (columns[:-2] + columns[2:]) / 2, values, kx=3, ky=3, s=0
    )
    return spline(np.arange(raw.shape[0]), np.arange(raw.shape[1]))


def correct_classic(stack: np.ndarray, seg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corrected (T, Y, X) float32 and the background (T, Y, X) float64 that was taken off."""
    background = np.stack(
        [classic_background(image, labels) for image, labels in zip(stack, seg, strict=True)]
    )
    return (np.asarray(stack, dtype=np.float64) - background).astype(np.float32), background
