"""Flat-field estimated from the background itself, over frames and fields of view."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.background.preparation import tile_pixels
from fovflow.background.surfacefit import SurfaceFit
from fovflow.background.tilegrid import SplineSurface
from fovflow.background.tiles import TilesCorrection
from fovflow.config.methods import TilesCorrect
from fovflow.errors import FovflowError
from fovflow.parallel import one_blas_thread

_LOWEST = 0.05
_SMOOTHINGS = 3


def estimate_flat_field(
    frames: Iterable[NDArray[Any]],
    labels: Iterable[NDArray[Any] | None] | None = None,
    *,
    dark: float | NDArray[Any] = 0.0,
    pixel_um: float | None = None,
    dilation_um: float | None = None,
    tile_px: int = TilesCorrect.tile_px,
    tile_um: float | None = None,
    max_frames: int = 256,
) -> NDArray[np.float32]:
    """Estimate the illumination pattern of a channel from the background of many frames.

    Each frame's background surface (method ``tiles``) is divided by its mean; the flat-field is the
    median of these shapes, weighted with the level, made smooth once more. Memory stays at one
    frame and `max_frames` small tables; of a longer series every 2nd, 4th, … frame is used, spread
    evenly, and the others are not looked at.

    Parameters
    ----------
    frames : iterable of numpy.ndarray
        (Y, X) frames of one channel in camera counts, from any number of FOVs; all of one shape.
    labels : iterable of numpy.ndarray or None, optional
        (Y, X) labels of each frame; None means that there are no cells.
    dark : float or numpy.ndarray
        Dark level in counts. Without it the camera's offset is taken for light and the flat-field
        comes out too flat.
    pixel_um, dilation_um, tile_px, tile_um
        As for the method ``tiles``.
    max_frames : int
        Largest number of shapes that are kept, at least 2.

    Returns
    -------
    numpy.ndarray
        (Y, X) float32, mean 1.

    Raises
    ------
    FovflowError
        If no frame shows enough background above the dark level.

    Notes
    -----
    Valid where the background is light that the same optics spread as the cells' light (medium,
    autofluorescence); stray light from elsewhere has another pattern.
    """
    shapes: list[NDArray[np.float64]] = []
    levels: list[float] = []
    corrector: TilesCorrection | None = None
    size = (0, 0)
    stride = 1
    pairs = zip(frames, repeat(None) if labels is None else labels, strict=labels is not None)
    for index, (frame, mask) in enumerate(pairs):
        if index % stride:
            continue
        if corrector is None:
            size = (frame.shape[0], frame.shape[1])
            settings = TilesCorrect(dilation_um=dilation_um, tile_px=tile_px, tile_um=tile_um)
            corrector = TilesCorrection(settings, shape=size, pixel_um=pixel_um, dark=dark)
        _, stats = corrector(frame, mask)
        values = corrector.tile_values
        level = float(values.mean())
        if stats.flag or level <= 0:
            continue
        shapes.append(values / level)
        levels.append(level)
        if len(shapes) >= max_frames:
            shapes, levels, stride = shapes[::2], levels[::2], 2 * stride
    if not shapes:
        raise FovflowError(
            "no frame shows enough background for a flat-field",
            found="only frames without light above the dark level, or crowded, covered, saturated "
            "or incomplete ones",
            remedy="check correct.dark, give a flat-field file, or set correct.flat_field: null",
        )
    pattern = _weighted_median(np.array(shapes), np.array(levels))
    return _smooth(pattern, size, tile_pixels(tile_px, tile_um, pixel_um))


def _weighted_median(tables: NDArray[np.float64], weights: NDArray[np.float64]) -> Any:
    """Return the lower weighted median over the first axis."""
    order = np.argsort(tables, axis=0, kind="stable")
    ranked = np.take_along_axis(tables, order, axis=0)
    reached = np.cumsum(weights[order], axis=0) >= weights.sum() / 2
    middle = np.argmax(reached, axis=0)[None]
    return np.take_along_axis(ranked, middle, axis=0)[0]


@one_blas_thread
def _smooth(
    pattern: NDArray[np.float64], shape: tuple[int, int], tile_px: int
) -> NDArray[np.float32]:
    fit = SurfaceFit(shape, tile_px)
    coefficients = np.zeros(fit.coefficients)
    for _ in range(_SMOOTHINGS):  # again on what the smoothness penalty left over
        coefficients += fit.fit_means(pattern - fit.tile_means(coefficients))
    surface = SplineSurface(fit.y.basis, fit.x.basis)(coefficients)
    flat: NDArray[np.float32] = surface / np.float32(surface.mean(dtype=np.float64))
    lowest = float(flat.min())
    if lowest < _LOWEST:
        raise FovflowError(
            "the estimated flat-field falls to almost nothing",
            found=f"{lowest:.3f} of its mean",
            remedy="check correct.dark (it must not exceed the background), or give a file",
        )
    return flat
