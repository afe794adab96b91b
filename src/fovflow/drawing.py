"""Outlines of cells over images."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.labels import contours

_GOLDEN = 0.618033988749895


def colour_of(label: int) -> tuple[int, int, int]:
    """Return a bright colour (blue, green, red; 0 to 255) that belongs to an id.

    Neighbouring ids get hues far apart (steps of the golden ratio around the colour circle).
    """
    hue = (label * _GOLDEN) % 1.0
    pixel = np.array([[[round(hue * 179), 220, 255]]], np.uint8)
    b, g, r = cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return b, g, r


def stretch(
    image: NDArray[Any],
    low: float = 0.3,
    high: float = 99.7,
    *,
    limits: tuple[float, float] | None = None,
) -> NDArray[np.uint8]:
    """Return an image as uint8, percentiles `low` to `high`, or `limits`, spread over 0 to 255."""
    bottom, top = limits or contrast(image, low, high)
    scale = 255.0 / max(float(top - bottom), 1e-6)
    shifted = (np.nan_to_num(np.asarray(image, np.float32)) - bottom) * scale
    grey: NDArray[np.uint8] = np.clip(shifted, 0, 255).astype(np.uint8)
    return grey


def contrast(image: NDArray[Any], low: float = 0.3, high: float = 99.7) -> tuple[float, float]:
    """Return the percentiles `low` and `high` of an image's finite values."""
    sampled = image[..., ::2, ::2] if image.size > 65536 else image
    values = np.asarray(sampled, np.float32)
    values = values[np.isfinite(values)]
    bottom, top = np.percentile(values, [low, high]) if values.size else (0.0, 1.0)
    return bottom, top


def draw_overlay(
    image: NDArray[Any],
    labels: NDArray[Any],
    *,
    thickness: int = 1,
    limits: tuple[float, float] | None = None,
) -> NDArray[np.uint8]:
    """Draw the outline of each cell over an image.

    `image`: (Y, X), any numeric type. `labels`: (Y, X) integer labels, 0 is background.
    `thickness`: width of the outlines, in pixels. `limits`: values that are black and white.

    Returns
    -------
    numpy.ndarray
        (Y, X, 3) uint8, blue, green, red as OpenCV has them.
    """
    canvas: NDArray[np.uint8] = cv2.cvtColor(stretch(image, limits=limits), cv2.COLOR_GRAY2BGR)
    for label, outlines in contours(labels):
        cv2.drawContours(canvas, outlines, -1, colour_of(label), thickness)
    return canvas
