"""What every background corrector takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[Any]
Surface = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class BackgroundStats:
    """Numbers about the background of one frame, for quality control.

    Attributes
    ----------
    background_level : float
        Median of the background surface, in counts.
    gradient : float
        Largest minus smallest tile value, in counts; 0 for methods without tiles.
    noise_sigma : float
        1.4826 × median absolute deviation of the corrected free pixels, in counts; NaN where no
        pixel is free.
    excluded_fraction : float
        Share of the pixels (0 to 1) that are a cell's, near a cell, or not finite.
    n_empty_tiles : int
        Tiles without a value of their own.
    flag : str
        Empty for a good frame, else some of ``all covered``, ``crowded``, ``nan``, ``saturated``,
        joined by commas.
    """

    background_level: float
    gradient: float
    noise_sigma: float
    excluded_fraction: float
    n_empty_tiles: int
    flag: str


class Corrector(Protocol):
    """A background corrector for the frames of one FOV and channel, called in frame order.

    A plug-in registers a factory ``factory(*, shape, pixel_um, **params) -> Corrector`` under the
    entry point group ``fovflow.correctors``.
    """

    def __call__(
        self, image: Image, labels: Image | None = None, *, out: Surface | None = None
    ) -> tuple[Surface, BackgroundStats]:
        """Return the corrected frame, (Y, X) float32, and its statistics.

        Parameters
        ----------
        image : numpy.ndarray
            (Y, X) frame in camera counts, of an integer or floating dtype; it is not altered.
        labels : numpy.ndarray, optional
            (Y, X) integer or bool, 0 = background; None means that there are no cells.
        out : numpy.ndarray, optional
            (Y, X) float32 array to fill and return; a new array is made where it is left out.
            Reusing one saves the cost of fresh memory for every frame.
        """
        ...

    @property
    def background(self) -> Surface:
        """Background surface of the last frame, (Y, X) float32, read-only.

        It is valid until the next frame is corrected; copy it to keep it.
        """
        ...
