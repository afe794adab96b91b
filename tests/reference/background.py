"""Reference background correction: fluorescence minus what is there without cells."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage
from scipy.interpolate import RectBivariateSpline

from reference.background_tiles import TilesReference


def pixels(length_um: float | None, pixel_um: float | None, default: int) -> int:
    """Turn a length into pixels, halves upwards."""
    return default if length_um is None else math.floor(length_um / pixel_um + 0.5)


def working_frame(image: np.ndarray, dark: object = 0, flat_field: object = None) -> np.ndarray:
    """Take off the dark frame, divide by the flat-field that has a mean of 1."""
    frame = np.asarray(image, dtype=np.float64) - np.asarray(dark, dtype=np.float64)
    if flat_field is None:
        return frame
    field = np.asarray(flat_field, dtype=np.float64)
    return frame / (field / field.mean())


def free_pixels(frame: np.ndarray, labels: np.ndarray, dilation_px: int = 10) -> np.ndarray:
    """Finite pixels outside the mask dilated by a square of 2 d + 1 pixels."""
    square = np.ones((2 * dilation_px + 1, 2 * dilation_px + 1), dtype=bool)
    return ~ndimage.binary_dilation(labels > 0, structure=square) & np.isfinite(frame)


def classic_edges(n: int, tile_px: int = 256) -> np.ndarray:
    """Edges between half tiles along an axis of n pixels; tile i spans edge i to edge i + 2."""
    div = max(math.ceil(n / tile_px) + 1, 2)
    return np.rint(np.linspace(0, n, 2 * div - 1)).astype(int)


def classic_background(frame: np.ndarray, free: np.ndarray, tile_px: int = 256) -> np.ndarray:
    """Cubic tensor spline through half-overlapping tile medians, float64 (Y, X)."""
    rows, columns = (classic_edges(n, tile_px) for n in frame.shape)
    if min(len(rows), len(columns)) - 2 < 4:
        raise ValueError(f"too few tiles for a cubic spline in a frame of {frame.shape}")
    if not free.any():
        return np.full(frame.shape, np.nan)
    everywhere = np.median(frame[free])
    values = np.empty((len(rows) - 2, len(columns) - 2))
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            tile = np.s_[rows[i] : rows[i + 2], columns[j] : columns[j + 2]]
            inside = frame[tile][free[tile]]
            values[i, j] = np.median(inside) if inside.size else everywhere
    spline = RectBivariateSpline(
        (rows[:-2] + rows[2:]) / 2, (columns[:-2] + columns[2:]) / 2, values, kx=3, ky=3, s=0
    )
    return spline(np.arange(frame.shape[0]), np.arange(frame.shape[1]))


def background_stack(
    stack: np.ndarray,
    seg: np.ndarray,
    *,
    method: str = "tiles",
    pixel_um: float | None = None,
    dilation_px: int = 10,
    dilation_um: float | None = None,
    tile_px: int = 256,
    tile_um: float | None = None,
    dark: object = 0,
    flat_field: object = None,
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Working frames and surfaces, both float64 (T, Y, X), and each frame's flags."""
    dilation = pixels(dilation_um, pixel_um, dilation_px)
    tile = max(pixels(tile_um, pixel_um, tile_px), 8)
    integer = np.issubdtype(stack.dtype, np.integer)
    tiles = TilesReference(stack.shape[1:], tile, unit=1.0 if integer else None)
    frames, surfaces, flags = [], [], []
    for image, labels in zip(stack, seg, strict=True):
        frame = working_frame(image, dark, flat_field)
        free = free_pixels(frame, labels, dilation)
        if method == "tiles":
            surface, flag = tiles(frame, free)
        else:
            surface = classic_background(frame, free, tile)
            flag = "" if free.any() else "all covered"
        frames.append(frame)
        surfaces.append(surface)
        flags.append(flag)
    return np.stack(frames), np.stack(surfaces), flags


def correct_stack(stack: np.ndarray, seg: np.ndarray, **params: object) -> np.ndarray:
    """Corrected (T, Y, X) float32, with the signature of the fast function."""
    frames, surfaces, _ = background_stack(stack, seg, **params)
    return (frames - surfaces).astype(np.float32)


def correct_classic(stack: np.ndarray, seg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corrected (T, Y, X) float32 and the background (T, Y, X) float64 that was taken off."""
    frames, surfaces, _ = background_stack(stack, seg, method="classic")
    return (frames - surfaces).astype(np.float32), surfaces
