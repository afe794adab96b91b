"""Outlines of cells: star-shaped, bent, slowly changing.

In its own frame (u along the long axis) a cell is the set of points with gauge ρ ≤ 1, where
ρ = |(u, w)| / r(θ), w = v - κ (u² - u0²), θ = atan2(w, u). The radius r is an ellipse times
(1 + bulges + processes), scaled to the cell's area; the shear κ bends the cell and keeps its area.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fovflow.simulation.params import MovieParams
from fovflow.simulation.streams import stream

Float = NDArray[np.float64]

ANGLES = 128
"""Samples of r(θ) over the full circle."""
POINTS = 64
"""Vertices of the polygon that stands for an outline."""
_THETA = np.arange(ANGLES) * (2 * np.pi / ANGLES)
_MODES = np.array([2, 3, 4, 5])
_PROCESSES = 3


@dataclass(frozen=True)
class Shape:
    """What stays the same about a cell's shape and looks."""

    radius: float
    """Radius of the circle of its area when fully grown (px)."""
    aspect: float
    """Long over short axis."""
    bend: float
    """Curvature κ times the radius."""
    bulges: Float
    """(4,) amplitudes of the modes 2 to 5."""
    phases: Float
    """(4,) their phases."""
    rates: Float
    """(4,) their angular frequencies (1/h)."""
    processes: Float
    """(3, 3) angle, amplitude and sharpness of processes."""
    height: float
    """Optical thickness (rad)."""
    lean: Float
    """(2,) direction of its thick side, and how thin it is on the other (0 to 1)."""
    texture: Float
    """(2,) offset of the cell in the texture tile (px)."""
    nucleus: Float
    """(5,) u, v of the nucleus and its semi-axes, in radii; its share of the light."""
    granules: Float
    """(G, 4) polar gauge, angle, radius (px) and strength of granules."""


def draw_shape(params: MovieParams, p: int, cell: int) -> Shape:
    """Draw the shape of one cell."""
    rng = stream(params.seed, "shape", p, cell)
    radius = params.cell_radius_px * np.exp(
        np.clip(params.size_spread * rng.standard_normal(), -0.5, 0.5)
    )
    aspect = (
        params.elongation * np.exp(0.22 * rng.standard_normal()) if params.elongation > 1 else 1
    )
    aspect = float(np.clip(aspect, 1.0, 3.2))
    rough = params.roughness
    bulges = rough * rng.standard_normal(4) * np.array([0.6, 0.8, 0.5, 0.35])
    processes = np.stack(
        [
            rng.uniform(0, 2 * np.pi, _PROCESSES),
            rough * 3.5 * rng.random(_PROCESSES) ** 2,
            rng.uniform(12, 30, _PROCESSES),
        ],
        axis=1,
    )
    count = int(rng.integers(8, 26) * (params.cell_radius_px / 14.6) ** 2) + 1
    scale = params.cell_radius_px / 14.6
    granules = np.stack(
        [
            np.clip(np.abs(rng.normal(0.35, 0.2, count)), 0.05, 0.8),
            rng.uniform(0, 2 * np.pi, count),
            scale * rng.uniform(0.7, 1.5, count),
            np.where(rng.random(count) < 0.06, -1.2, 1.0) * rng.uniform(0.08, 0.36, count),
        ],
        axis=1,
    )
    return Shape(
        radius=float(radius),
        aspect=aspect,
        bend=float(np.clip(rough * 1.6 * rng.standard_normal(), -0.3, 0.3)) / aspect,
        bulges=bulges,
        phases=rng.uniform(0, 2 * np.pi, 4),
        rates=rng.uniform(-1.2, 1.2, 4),
        processes=processes,
        height=float(0.25 * np.exp(0.35 * rng.standard_normal())),
        lean=np.array([rng.uniform(0, 2 * np.pi), rng.beta(2, 2)]),
        texture=rng.uniform(0, 256, 2),
        nucleus=np.array(
            [
                *rng.uniform(-0.2, 0.2, 2),
                rng.uniform(0.38, 0.5) * aspect**0.25,
                rng.uniform(0.34, 0.42) * aspect**-0.25,
                rng.uniform(0.7, 1.25),
            ]
        ),
        granules=granules,
    )


def radii(shape: Shape, time_h: float, size: float, roundness: float) -> Float:
    """Sample r(θ) of a cell.

    Parameters
    ----------
    shape : Shape
    time_h : float
        Time (h), by which bulges wander.
    size : float
        Current radius over the grown radius.
    roundness : float
        0 for the spread cell, 1 for a rounded one.

    Returns
    -------
    numpy.ndarray
        (ANGLES,) radii in px; ½ ∫ r² dθ is π (size · radius)².
    """
    spread = 1.0 - roundness
    a = shape.aspect ** (0.5 * spread)
    ellipse = 1.0 / np.hypot(np.cos(_THETA) / a, np.sin(_THETA) * a)
    turn = shape.phases + shape.rates * time_h
    bulge = shape.bulges @ np.cos(_MODES[:, None] * _THETA + turn[:, None])
    angle, height, sharp = shape.processes.T[:, :, None]
    wander = angle + 0.25 * np.sin(turn[:_PROCESSES, None])
    process = np.sum(height * np.exp(sharp * (np.cos(_THETA - wander) - 1.0)), axis=0)
    r = ellipse * np.maximum(1.0 + spread * (bulge + process), 0.4)
    return np.asarray(r * (size * shape.radius / np.sqrt(np.mean(r * r))))


def bend(shape: Shape, size: float, roundness: float) -> tuple[float, float]:
    """Return κ (1/px) and u0² (px²) of a cell."""
    radius = size * shape.radius
    kappa = shape.bend * (1.0 - roundness) / radius
    return kappa, 0.25 * radius * radius * shape.aspect ** (1.0 - roundness)


def gauge(u: Float, v: Float, table: Float, kappa: Float, u0: Float) -> tuple[Float, Float]:
    """Return ρ and r(θ) at points of cells' own frames.

    Parameters
    ----------
    u, v : numpy.ndarray
        (K, M) points (px).
    table : numpy.ndarray
        (K, ANGLES) radii.
    kappa, u0 : numpy.ndarray
        (K, 1) bends.
    """
    w = v - kappa * (u * u - u0)
    step = np.arctan2(w, u) * (ANGLES / (2 * np.pi))
    low = np.floor(step)
    part = step - low
    index = low.astype(np.intp) % ANGLES
    after = (index + 1) % ANGLES
    r = np.take_along_axis(table, index, 1) * (1 - part)
    r += np.take_along_axis(table, after, 1) * part
    return np.hypot(u, w) / r, r


def polygons(table: Float, kappa: Float, u0: Float, angle: Float) -> Float:
    """Return outlines relative to the centres.

    Parameters
    ----------
    table : numpy.ndarray
        (N, ANGLES) radii.
    kappa, u0, angle : numpy.ndarray
        (N,) bends and orientations.

    Returns
    -------
    numpy.ndarray
        (N, POINTS, 2) x and y (px).
    """
    every = ANGLES // POINTS
    r = table[:, ::every]
    u = r * np.cos(_THETA[::every])
    v = r * np.sin(_THETA[::every]) + kappa[:, None] * (u * u - u0[:, None])
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return np.stack([u * cos - v * sin, u * sin + v * cos], axis=2)
