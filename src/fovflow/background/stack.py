"""Correctors by name, and the correction of whole stacks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.background.corrector import BackgroundStats, Corrector, Surface
from fovflow.background.preparation import Image
from fovflow.config.methods import CORRECTORS
from fovflow.errors import FovflowError


def get_corrector(
    method: str,
    *,
    shape: tuple[int, int],
    pixel_um: float | None = None,
    **params: Any,
) -> Corrector:
    """Return a corrector for the frames of one FOV and channel.

    Parameters
    ----------
    method : str
        ``tiles``, ``classic``, ``constant``, ``none``, or the name of a plug-in.
    shape : tuple of int
        (Y, X) of every frame.
    pixel_um : float or None
        Edge length of a pixel in µm; needed only if a parameter is in µm.
    **params
        Parameters of the method: `dark`, `flat_field`, `dilation_um`; `tile_px`, `tile_um`.

    Returns
    -------
    Corrector
        Call it with each frame and its labels, in frame order.

    Raises
    ------
    ConfigError
        For an unknown method or parameter, or a value out of bounds.
    FovflowError
        If the method cannot work on this shape.
    """
    corrector: Corrector = CORRECTORS.make(method, params, shape=shape, pixel_um=pixel_um)
    return corrector


def correct_stack(
    stack: NDArray[Any],
    seg: NDArray[Any] | None,
    *,
    method: str = "tiles",
    pixel_um: float | None = None,
    **params: Any,
) -> NDArray[np.float32]:
    """Subtract the background from every frame of a fluorescence stack.

    Parameters
    ----------
    stack : numpy.ndarray
        (T, Y, X) frames in camera counts.
    seg : numpy.ndarray or None
        (T, Y, X) labels, 0 = background; None means that there are no cells.
    method, pixel_um, **params
        See `get_corrector`.

    Returns
    -------
    numpy.ndarray
        (T, Y, X) float32, in counts.

    Raises
    ------
    FovflowError
        If the arrays do not fit each other or the method.

    Examples
    --------
    >>> import numpy as np
    >>> frames = np.full((2, 40, 60), 100, np.uint16)
    >>> frames[:, 20:24, 30:34] = 500
    >>> corrected = correct_stack(frames, frames > 200)
    >>> float(np.round(corrected[1, 20:24, 30:34].sum()))
    6400.0
    """
    if stack.ndim != 3 or (seg is not None and seg.shape != stack.shape):
        raise FovflowError(
            "the stack and its labels must both be (T, Y, X)",
            found=f"{stack.shape} and {None if seg is None else seg.shape}",
        )
    corrector = get_corrector(
        method, shape=(stack.shape[1], stack.shape[2]), pixel_um=pixel_um, **params
    )
    corrected = np.empty(stack.shape, np.float32)
    labels, n = [None] * len(stack) if seg is None else seg, len(stack)
    frames = correct_frames(corrector, stack, labels, [False] * n, [1.0] * n)
    for t, (frame, _) in enumerate(frames):
        corrected[t] = frame
    return corrected


def background_levels(
    corrector: Corrector,
    images: Iterable[Image],
    labels: Iterable[Image],
    missing: Iterable[bool],
) -> NDArray[np.float64]:
    """Return the background level of each frame, (T,) in counts; NaN for missing frames.

    Parameters are those of `correct_frames`.
    """
    absent = list(missing)
    ones = [1.0] * len(absent)
    frames = correct_frames(corrector, images, labels, absent, ones, whole=False)
    levels = [math.nan if stats is None else stats.background_level for _, stats in frames]
    return np.array(levels)


def correct_frames(
    corrector: Corrector,
    images: Iterable[Image],
    labels: Iterable[Image | None],
    missing: Iterable[bool],
    factors: Iterable[float],
    *,
    whole: bool = True,
) -> Iterator[tuple[Surface, BackgroundStats | None]]:
    """Subtract the background of frames one by one.

    Parameters
    ----------
    corrector : Corrector
    images : iterable of numpy.ndarray
        (Y, X) frames of one FOV and channel, in their order.
    labels : iterable of numpy.ndarray or None
        (Y, X) labels of each, 0 = background.
    missing : iterable of bool
        Whether each was never acquired.
    factors : iterable of float
        Factor that each corrected frame is multiplied by; see `bleaching_factors`.
    whole : bool
        Whether the corrected frames are wanted. Where only the statistics and the corrector's
        `model` are, a corrector that has `measure` makes none: they are empty.

    Yields
    ------
    corrected : numpy.ndarray
        (Y, X) float32, overwritten by the next frame; zeros for a missing one.
    stats : BackgroundStats or None
        None for a missing frame.
    """
    frame: Surface | None = None
    measure = None if whole else getattr(corrector, "measure", None)
    for image, cells, absent, factor in zip(images, labels, missing, factors, strict=True):
        if absent:
            yield np.zeros(image.shape, np.float32), None
        elif measure is not None:
            yield _NO_FRAME, measure(image, cells)
        else:
            frame, stats = corrector(image, cells, out=frame)
            yield scaled(frame, factor), stats


_NO_FRAME: Surface = np.zeros((0, 0), np.float32)


def scaled(corrected: Surface, factor: float) -> Surface:
    """Multiply corrected counts in place by the factor of their frame."""
    if factor != 1:
        corrected *= np.float32(factor)
    return corrected
