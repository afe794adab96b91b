"""Correctors by name, and the correction of whole stacks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.background.corrector import Corrector
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
    return CORRECTORS.make(method, params, shape=shape, pixel_um=pixel_um)


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
    for t, frame in enumerate(stack):
        corrector(frame, None if seg is None else seg[t], out=corrected[t])
    return corrected
