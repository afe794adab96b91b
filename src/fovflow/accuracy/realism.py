"""What frames in phase contrast look like, in a few numbers: real ones beside simulated ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.labels import boxes

Image = NDArray[Any]

_RIM_UM = 2.0
"""Width of the edge of a cell that is left out of its inside (µm)."""
_HALO_UM = 6.0
"""Width of the ring around a cell in which its halo lies (µm)."""
_CLEAR_UM = 12.0
"""Least distance of background from cells (µm)."""
_BROAD_UM = 80.0
"""Width of the Gaussian that the local background is averaged with (µm)."""
_LAPLACE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def looks(images: Iterable[Image], labels: Iterable[Image], pixel_um: float) -> dict[str, float]:
    """Measure frames; each figure is relative to the local background.

    Parameters
    ----------
    images, labels : iterable of numpy.ndarray
        (Y, X) frames in phase contrast, and the cells in them; 0 is background.
    pixel_um : float
        Edge length of a pixel (µm).

    Returns
    -------
    dict
        Medians over cells: ``inside`` (mean brightness inside), ``texture`` (standard deviation
        inside), ``halo`` (95th percentile in a ring of 6 µm). Medians over frames: ``background
        SD`` (away from cells), ``unevenness`` (standard deviation of the local background over
        its mean), ``noise`` (of single pixels, after Immerkær 1996,
        doi:10.1006/cviu.1996.0060).
    """
    inside, texture, halo = list[float](), list[float](), list[float]()
    frames, border = list[tuple[float, float, float]](), int(_HALO_UM / pixel_um) + 1
    for image, cells in zip(images, labels, strict=True):
        grey = np.asarray(image, np.float32)
        masks = np.asarray(cells, np.int32)
        away = _beyond(masks == 0, _CLEAR_UM / pixel_um)
        if not away.any():
            continue
        local = _smooth(grey, away, _BROAD_UM / pixel_um)
        flat = grey / np.maximum(local, 1e-6)
        edge = cv2.distanceTransform((masks > 0).astype(np.uint8), cv2.DIST_L2, 5)
        core = np.where(edge > _RIM_UM / pixel_um, masks, 0)
        for cell, inner in boxes(masks):
            box = tuple(slice(max(0, side.start - border), side.stop + border) for side in inner)
            mine, other = core[box] == cell, (masks[box] != cell).astype(np.uint8)
            away_from = cv2.distanceTransform(other, cv2.DIST_L2, 5)
            ring = (masks[box] == 0) & (away_from <= _HALO_UM / pixel_um)
            if mine.sum() > 20 and ring.sum() > 20:
                inside.append(float(flat[box][mine].mean()))
                texture.append(float(flat[box][mine].std()))
                halo.append(float(np.percentile(flat[box][ring], 95)))
        uneven = float(local.std() / local.mean())
        frames.append((float(flat[away].std()), uneven, pixel_noise(flat, away)))
    of_frames = np.array(frames).reshape(-1, 3).T
    names = ("inside", "texture", "halo", "background SD", "unevenness", "noise")
    return {
        name: float(np.median(values)) if len(values) else float("nan")
        for name, values in zip(names, (inside, texture, halo, *of_frames), strict=True)
    }


def pixel_noise(image: Image, used: NDArray[np.bool_]) -> float:
    """Return the standard deviation of single pixels about a smooth (Y, X) image."""
    rough = np.abs(cv2.filter2D(np.asarray(image, np.float32), -1, _LAPLACE))[used]
    return float(np.median(rough)) / 0.6745 / 6


def _beyond(clear: NDArray[np.bool_], distance: float) -> NDArray[np.bool_]:
    """Return which clear pixels are farther than `distance` (px) from all others."""
    far = cv2.distanceTransform(
        np.pad(clear, 1, constant_values=True).astype(np.uint8), cv2.DIST_L2, 5
    )
    return np.asarray(far[1:-1, 1:-1] > distance)


def _smooth(grey: Image, used: NDArray[np.bool_], sigma: float) -> NDArray[np.float32]:
    """Return the Gaussian mean of the pixels that are used."""
    weight = used.astype(np.float32)
    step = max(1, int(sigma // 4))
    size = (-(-grey.shape[1] // step), -(-grey.shape[0] // step))
    small = [cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (grey * weight, weight)]
    light, count = (cv2.GaussianBlur(x, (0, 0), sigma / step) for x in small)
    mean = light / np.maximum(count, 1e-6)
    return np.asarray(
        cv2.resize(mean, grey.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32
    )
