"""Small movies on which the fast code and the references are compared."""

from __future__ import annotations

from functools import cache

import numpy as np

from fovflow.simulation import MovieParams, simulate
from reference.segmentation import relabel

SCENES = {
    "default": {"seed": 0, "height": 256, "width": 300, "cells": 12, "divisions": 1},
    "touching": {"seed": 1, "height": 256, "width": 256, "cells": 14, "touching": 0.6},
    "odd": {"seed": 2, "height": 97, "width": 131, "cells": 3},
    "large": {"seed": 3, "height": 520, "width": 613, "cells": 30, "pixel_um": 0.87},
    "drifting": {
        "seed": 4, "height": 256, "width": 280, "cells": 12, "divisions": 3, "births": 1,
        "deaths": 1, "drift_px": (2.0, 1.0), "drift_jitter_px": 6.0,
    },
}  # fmt: skip


@cache
def scene(name: str, frames: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Phase, fluorescence and true masks, each (T, Y, X), and the pixel size in µm."""
    params = MovieParams(frames=frames, **SCENES[name])
    movie = simulate(params)
    images = np.stack([movie.frame(0, t) for t in range(frames)])
    masks = np.stack([movie.masks(0, t) for t in range(frames)])
    stacks = images[:, 0], images[:, 1], masks
    for stack in stacks:
        stack.setflags(write=False)
    return *stacks, params.pixel_um


def per_frame(masks: np.ndarray, lost: float, seed: int) -> np.ndarray:
    """Masks numbered anew in each frame, some detections missing at random."""
    rng = np.random.default_rng(seed)
    frames = []
    for mask in masks:
        gone = [k for k in np.unique(mask[mask > 0]) if rng.random() < lost]
        frames.append(relabel(np.where(np.isin(mask, gone), 0, mask)))
    return np.stack(frames)


def blobs(seed: int, frames: int = 8, size: int = 90, cells: int = 9) -> np.ndarray:
    """A hard label movie: ellipses that jump, divide, merge, vanish, while the field drifts."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    places = list(rng.uniform(5, size - 5, (cells, 2)))
    radii = list(rng.uniform(4, 9, (cells, 2)))
    movie = []
    for _ in range(frames):
        for k in range(len(places)):
            if rng.random() < 0.05:
                radii[k] = radii[k] / np.sqrt(2)
                aside = np.array([radii[k][0], 0.0])
                places.append(places[k] + aside)
                places[k] = places[k] - aside
                radii.append(radii[k])
        if rng.random() < 0.15:
            shift = rng.integers(-25, 26, 2)
            places = [place + shift for place in places]
        labels = np.zeros((size, size), np.uint16)
        for k, ((py, px), (ry, rx)) in enumerate(zip(places, radii, strict=True), start=1):
            name = int(rng.integers(1, len(places) + 1)) if rng.random() < 0.1 else k
            if rng.random() >= 0.12:
                labels[((y - py) / ry) ** 2 + ((x - px) / rx) ** 2 <= 1] = name
        movie.append(relabel(labels))
        places = [place + rng.normal(0, 3, 2) for place in places]
    return np.stack(movie)
