"""Pictures of what was found: outlines and ids of cells over the image."""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.atomic import atomic_open
from fovflow.errors import FovflowError

_GOLDEN = 0.618033988749895


def colour_of(label: int) -> tuple[int, int, int]:
    """Return a bright colour (blue, green, red; 0 to 255) that belongs to an id.

    Neighbouring ids get hues far apart (steps of the golden ratio around the colour circle).
    """
    hue = (label * _GOLDEN) % 1.0
    pixel = np.array([[[round(hue * 179), 220, 255]]], np.uint8)
    b, g, r = cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return b, g, r


def stretch(image: NDArray[Any], low: float = 0.3, high: float = 99.7) -> NDArray[np.uint8]:
    """Return an image as uint8, its `low` to `high` percentiles spread over 0 to 255."""
    values = np.asarray(image[::2, ::2] if image.size > 65536 else image, np.float32)
    values = values[np.isfinite(values)]
    bottom, top = np.percentile(values, [low, high]) if values.size else (0.0, 1.0)
    scale = 255.0 / max(float(top - bottom), 1e-6)
    shifted = (np.nan_to_num(np.asarray(image, np.float32)) - bottom) * scale
    grey: NDArray[np.uint8] = np.clip(shifted, 0, 255).astype(np.uint8)
    return grey


def draw_overlay(
    image: NDArray[Any], labels: NDArray[Any], *, ids: bool = True, thickness: int = 1
) -> NDArray[np.uint8]:
    """Draw the outline of each cell, and its id, over an image.

    `image`: (Y, X), any numeric type. `labels`: (Y, X) integer labels, 0 is background. `ids`:
    whether ids are written at the cells' centres. `thickness`: width of the outlines, in pixels.

    Returns
    -------
    numpy.ndarray
        (Y, X, 3) uint8, blue, green, red as OpenCV has them.
    """
    canvas: NDArray[np.uint8] = cv2.cvtColor(stretch(image), cv2.COLOR_GRAY2BGR)
    size = max(0.3, min(image.shape) / 1600)
    for label in np.unique(labels):
        if label == 0:
            continue
        mask = (labels == label).astype(np.uint8)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        colour = colour_of(int(label))
        cv2.drawContours(canvas, contours, -1, colour, thickness)
        if ids:
            x, y, w, h = cv2.boundingRect(mask)
            where = (x + w // 2 - 6, y + h // 2 + 4)
            for shade, width in (((0, 0, 0), 3), (colour, 1)):
                font = cv2.FONT_HERSHEY_SIMPLEX
                cv2.putText(canvas, str(label), where, font, size, shade, width, cv2.LINE_AA)
    return canvas


def write_png(path: str | os.PathLike[str], picture: NDArray[np.uint8]) -> None:
    """Write a picture as a PNG file, atomically."""
    fine, data = cv2.imencode(".png", picture)
    if not fine:
        raise FovflowError(f"a picture of shape {picture.shape} cannot be encoded as PNG")
    with atomic_open(path, "wb") as file:
        file.write(data.tobytes())
