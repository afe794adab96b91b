"""The camera: shot noise, read noise, offset, clipping."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fovflow.simulation.params import MovieParams

_ROWS = 256


def expose(
    params: MovieParams, expected: NDArray[np.floating], rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Take a picture of an expected image.

    Counts are offset + N/g + read noise, N ~ Poisson(g · (expected - offset)), with g the
    electrons per count; so their variance is (expected - offset)/g + read_noise². They are
    rounded and clipped to the camera's range.

    Parameters
    ----------
    params : MovieParams
    expected : numpy.ndarray
        (Y, X) mean counts, offset included.
    rng : numpy.random.Generator
        Of this frame and channel.

    Returns
    -------
    numpy.ndarray
        (Y, X) uint16.
    """
    image = np.empty(expected.shape, np.uint16)
    top = float(2**params.bit_depth - 1)
    for start in range(0, expected.shape[0], _ROWS):
        counts = expected[start : start + _ROWS].astype(np.float64)
        if params.shot_noise:
            light = np.maximum(counts - params.camera_offset, 0.0) * params.electrons_per_count
            counts = rng.poisson(light) / params.electrons_per_count + params.camera_offset
        if params.read_noise > 0:
            counts += params.read_noise * rng.standard_normal(counts.shape)
        image[start : start + _ROWS] = np.clip(np.rint(counts), 0.0, top)
    return image
