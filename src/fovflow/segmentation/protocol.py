"""What a segmenter is: one frame in, labels and the frame's statistics out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FrameStats:
    """What the segmentation of one frame found on its way.

    Attributes
    ----------
    threshold, mode, sigma : float
        Threshold, background mode and background spread in the method's own measure (log of the
        local standard deviation for ``classic`` and ``logstd``, counts for ``threshold``); NaN
        where the method has none or the frame gives none.
    foreground_fraction : float
        Share of the frame's pixels that belong to an object, 0 to 1.
    n_objects : int
        Number of objects in the labels.
    n_split : int
        How many of these objects come from splitting touching cells.
    flag : str
        Empty, or why the frame is suspect: ``missing``, ``constant``, ``nan``, ``saturated``,
        ``all foreground``, ``threshold reset``, ``no clear background``; several are joined by
        ``"; "``.
    """

    threshold: float = math.nan
    mode: float = math.nan
    sigma: float = math.nan
    foreground_fraction: float = 0.0
    n_objects: int = 0
    n_split: int = 0
    flag: str = ""


class Segmenter(Protocol):
    """A callable that is given the frames of one FOV in time order.

    It may keep state from frame to frame, but only from earlier frames. Labels are
    uint16 (Y, X), 0 is background, ids 1..n in raster order of each object's first pixel.
    """

    def __call__(
        self, image: NDArray[Any], *, missing: bool = False
    ) -> tuple[NDArray[Any], FrameStats]:
        """Return the labels of one (Y, X) frame and its statistics.

        A frame that was never acquired is announced by `missing`; its labels are empty.
        """
        ...
