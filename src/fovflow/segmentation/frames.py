"""A frame before segmentation: types that are allowed, pixels that are not finite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError

_DTYPES = ("uint8", "uint16", "float32")


@dataclass(frozen=True, slots=True)
class Frame:
    """A checked frame.

    Attributes
    ----------
    image : numpy.ndarray
        (Y, X), uint8, uint16 or float32, all values finite, C-contiguous.
    invalid : numpy.ndarray or None
        (Y, X) uint8, 1 where the pixel was not finite; None where all were.
    low, high : float
        Least and greatest finite value.
    flags : tuple of str
        Findings so far: ``nan``, ``constant``, ``saturated``.
    """

    image: NDArray[Any]
    invalid: NDArray[np.uint8] | None
    low: float
    high: float
    flags: tuple[str, ...]

    @property
    def constant(self) -> bool:
        """Whether there is no contrast at all."""
        return "constant" in self.flags


SATURATED_SHARE = 0.05
"""Share of pixels at the dtype's greatest value from which a frame is flagged as saturated."""


def check_frame(image: NDArray[Any]) -> Frame:
    """Check a frame and replace what is not finite by the median of the finite pixels.

    Parameters
    ----------
    image : numpy.ndarray
        (Y, X), uint8, uint16 or float32.

    Raises
    ------
    FovflowError
        For other dtypes, other dimensions, and frames without pixels.
    """
    if image.ndim != 2 or image.size == 0 or image.dtype.name not in _DTYPES:
        raise FovflowError(
            "a frame to segment must be a (Y, X) array of uint8, uint16 or float32",
            found=f"shape {image.shape}, dtype {image.dtype}",
            remedy="convert the stack, or choose another channel",
        )
    image = np.ascontiguousarray(image)
    invalid: NDArray[np.uint8] | None = None
    flags: list[str] = []
    if image.dtype == np.float32:
        finite = np.isfinite(image)
        if not finite.all():
            flags.append("nan")
            invalid = np.logical_not(finite).view(np.uint8)
            filler = np.median(image[finite]) if finite.any() else np.float32(0)
            image = np.where(finite, image, np.float32(filler))
    low, high = float(image.min()), float(image.max())
    if low == high:
        flags.append("constant")
    elif image.dtype != np.float32 and high == np.iinfo(image.dtype).max:
        share = np.count_nonzero(image == np.iinfo(image.dtype).max) / image.size
        if share >= SATURATED_SHARE:
            flags.append("saturated")
    return Frame(image, invalid, low, high, tuple(flags))
