"""From cells to noise-free images in counts: phase contrast, fluorescence, backgrounds."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.simulation.params import MovieParams
from fovflow.simulation.scene import Image, Scene
from fovflow.simulation.streams import stream

Float = NDArray[np.float64]

_HALO = ((0.62, 0.22), (0.34, 0.6))
"""Weights of the low-passed parts that the phase ring shifts too, and the widths of the passes
in mean cell radii."""
_PHASES = (-0.4, 2.0)
"""Range of ψ, beyond which the picture of a thin object makes no sense (rad)."""


def coordinates(params: MovieParams) -> tuple[Float, Float]:
    """Return x (1, X) and y (Y, 1), from -1 to 1 across the view."""
    x = np.linspace(-1, 1, params.width) if params.width > 1 else np.zeros(1)
    y = np.linspace(-1, 1, params.height) if params.height > 1 else np.zeros(1)
    return x[None, :], y[:, None]


def defocus(params: MovieParams, p: int, t: int) -> float:
    """Return the additional blur of a frame (px)."""
    if params.defocus_px == 0:
        return 0.0
    phase = stream(params.seed, "focus", p).uniform(0, 2 * np.pi)
    return float(params.defocus_px * np.sin(phase + 0.13 * t) ** 2)


def illumination(params: MovieParams, c: int) -> Float:
    """Return the multiplicative illumination profile of a channel, (Y, X) float64.

    Phase: 1 in the middle, falling with the square of the distance by `vignetting` to the
    corners. Fluorescence: a profile of the same kind whose brightest point lies off the middle,
    falling by `shading` to the farthest corner.
    """
    x, y = coordinates(params)
    if c == 0:
        return np.asarray(1.0 - params.vignetting * (x * x + y * y) / 2.0)
    cx, cy = stream(params.seed, "shading", c).uniform(-0.35, 0.35, 2)
    far = (1 + abs(cx)) ** 2 + (1 + abs(cy)) ** 2
    return np.asarray(1.0 - params.shading * ((x - cx) ** 2 + (y - cy) ** 2) / far)


def background(params: MovieParams, p: int, t: int, c: int) -> Float:
    """Return what the camera would show without cells, noise-free, (Y, X) float64 counts.

    Fluorescence: offset + illumination · level · (1 + drift(t)) · (1 + gradient · g), where g is
    a tilted, slightly curved plane within about ±1 whose direction turns slowly. Phase:
    offset + illumination · phase_level.
    """
    light = illumination(params, c)
    if c == 0:
        return np.asarray(params.camera_offset + params.phase_level * light)
    rng = stream(params.seed, "background", p, c)
    turn, slow, phase = rng.uniform(0, 2 * np.pi), rng.uniform(0.015, 0.05), rng.uniform(0, 6.2832)
    wave = np.sin(phase + slow * t) - np.sin(phase)
    x, y = coordinates(params)
    turn = turn + params.background_drift * wave
    tilt = (x * np.cos(turn) + y * np.sin(turn)) / np.sqrt(2)
    bow = (x * np.sin(turn) - y * np.cos(turn)) / np.sqrt(2)
    g = 0.8 * tilt + 0.4 * (bow * bow - 1 / 3)
    level = params.background_level * (1.0 + 0.5 * params.background_drift * wave)
    return np.asarray(params.camera_offset + light * level * (1.0 + params.background_gradient * g))


def fluorescence(params: MovieParams, p: int, t: int, scene: Scene, amounts: Float) -> Image:
    """Return the cells' light in the view before shading and bleaching, (Y, X) float32 counts.

    Parameters
    ----------
    amounts : numpy.ndarray
        Total intensity by cell id (index 0 is the background's, 0).
    """
    light = scene.share * amounts.astype(np.float32)[scene.labels]
    sigma = float(np.hypot(params.psf_px, defocus(params, p, t)))
    if sigma > 0:
        light = cv2.GaussianBlur(light, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(scene.view(light), np.float32)


def phase_contrast(
    params: MovieParams, p: int, t: int, scene: Scene, origin: NDArray[np.float64]
) -> Image:
    """Return the phase image of the view relative to its background, (Y, X) float32.

    Zernike's phase contrast: the phase ring shifts the direct light by a quarter wave, and,
    being of finite width, also the low spatial frequencies of the phase φ. With
    ψ = φ - low-passed φ the image is |exp(iψ) - 1 + i|² / |i|² = 3 - 2 cos ψ - 2 sin ψ, which is
    1 - 2ψ for thin objects; the low-passed part makes halos and shade-off, and thick, rounded
    cells turn bright.
    """
    phi = scene.thickness
    canvas = (phi.shape[0], phi.shape[1])
    corner = (int(origin[0]) - scene.margin, int(origin[1]) - scene.margin)
    debris = _debris(params, p, canvas, corner)
    if debris is not None:
        phi = phi + debris
    psi = phi.copy()
    for weight, width in _HALO:
        psi -= weight * _blur(phi, width * params.cell_radius_px)
    psi = cv2.GaussianBlur(psi, (0, 0), float(np.hypot(0.7, defocus(params, p, t))))
    view = scene.view(psi) * np.float32(params.phase_contrast)
    view = np.clip(view, *_PHASES)
    image = 3.0 - 2.0 * np.cos(view) - 2.0 * np.sin(view)
    if params.grain > 0:
        image += np.float32(params.grain) * _dish(params, p, origin)
    return np.asarray(np.maximum(image, 0.02), np.float32)


def _blur(image: Image, sigma: float) -> Image:
    """Gaussian blur; wide ones on a reduced image."""
    if sigma < 6:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
    step = int(sigma // 2.5)
    small = cv2.resize(
        image, (-(-image.shape[1] // step), -(-image.shape[0] // step)),
        interpolation=cv2.INTER_AREA,
    )  # fmt: skip
    soft = cv2.GaussianBlur(small, (0, 0), sigma / step)
    return np.asarray(
        cv2.resize(soft, image.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32
    )


_PLOT = 128
"""Edge of the squares of the dish that have debris of their own (px)."""


@lru_cache(maxsize=4096)
def _specks(seed: int, p: int, column: int, row: int, density: float) -> Float:
    """Return x, y, sizes along and across, angle and strength of one plot's debris, (N, 6)."""
    rng = stream(seed, "debris", p, column + 100_000, row + 100_000)
    count = int(rng.poisson(density))
    return np.stack(
        [
            column * _PLOT + rng.uniform(0, _PLOT, count),
            row * _PLOT + rng.uniform(0, _PLOT, count),
            rng.uniform(0.8, 2.6, count),
            rng.uniform(0.6, 1.1, count),
            rng.uniform(0, np.pi, count),
            rng.choice([0.25, 0.5, -0.25], count, p=[0.6, 0.25, 0.15])
            * rng.uniform(0.4, 1.3, count),
        ],
        axis=1,
    )


def _debris(
    params: MovieParams, p: int, canvas: tuple[int, int], corner: tuple[int, int]
) -> Image | None:
    """Return the optical thickness of debris on the canvas; it stays put on the dish."""
    if params.debris == 0:
        return None
    density = params.debris * (_PLOT * params.pixel_um / 100.0) ** 2
    columns = range(corner[0] // _PLOT, (corner[0] + canvas[1]) // _PLOT + 1)
    rows = range(corner[1] // _PLOT, (corner[1] + canvas[0]) // _PLOT + 1)
    image = np.zeros(canvas, np.float32)
    for column in columns:
        for row in rows:
            for speck in _specks(params.seed, p, column, row, density):
                _add_speck(image, speck, corner)
    return image


def _add_speck(image: Image, speck: Float, corner: tuple[int, int]) -> None:
    x, y, along, across, angle, strength = speck
    x, y = x - corner[0], y - corner[1]
    half = int(3 * along) + 1
    x0, y0 = max(0, int(x) - half), max(0, int(y) - half)
    x1, y1 = min(image.shape[1], int(x) + half + 1), min(image.shape[0], int(y) + half + 1)
    if x0 >= x1 or y0 >= y1:
        return
    dx, dy = np.arange(x0, x1)[None, :] - x, np.arange(y0, y1)[:, None] - y
    u = (dx * np.cos(angle) + dy * np.sin(angle)) / along
    v = (dy * np.cos(angle) - dx * np.sin(angle)) / across
    image[y0:y1, x0:x1] += (strength * np.exp(-0.5 * (u * u + v * v))).astype(np.float32)


@lru_cache(maxsize=2)
def _dish_tile(seed: int, p: int) -> Image:
    rng = stream(seed, "dish", p)
    pad, edge = 96, 512
    noise = rng.standard_normal((edge, edge), dtype=np.float32)
    wide = np.pad(noise, pad, mode="wrap")
    tile = np.zeros_like(noise)
    for sigma, weight in ((0.8, 0.8), (2.5, 0.5), (18.0, 0.9)):
        soft = cv2.GaussianBlur(wide, (0, 0), sigma)[pad:-pad, pad:-pad]
        tile += weight * soft / soft.std()
    return np.asarray(tile, np.float32)


def _dish(params: MovieParams, p: int, origin: NDArray[np.float64]) -> Image:
    """Return the dish's unevenness in the view; it stays put on the dish."""
    tile = _dish_tile(params.seed, p)
    rows = (np.arange(params.height) + int(origin[1])) % tile.shape[0]
    cols = (np.arange(params.width) + int(origin[0])) % tile.shape[1]
    return np.asarray(tile[rows[:, None], cols[None, :]], np.float32)
