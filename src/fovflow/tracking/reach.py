"""How far from its last place a cell is looked for, learnt from how far cells move."""

from __future__ import annotations

from collections import deque

import numpy as np

from fovflow.tracking.runs import FloatArray

MEMORY = 5
"""Frames whose links tell how far cells move."""
STEPS = 4.0
"""Reach in typical steps; the steps of a random walk exceed it in one of ten thousand cases."""


class Reach:
    """The largest distance of a link without enough overlap, steadied over time.

    Parameters
    ----------
    least_px, most_px : float
        Bounds of the reach in pixels; `most_px` wins.
    """

    def __init__(self, least_px: float, most_px: float):
        self._least, self._most = least_px, most_px
        self._steps: deque[FloatArray] = deque(maxlen=MEMORY)

    def update(self, steps: FloatArray) -> float:
        """Take the distances of a frame's links by overlap; return the reach in pixels.

        Parameters
        ----------
        steps : numpy.ndarray
            (k,) distances of the centroids of cells that were seen in the frame before, in pixels.
        """
        self._steps.append(steps)
        known = np.concatenate(self._steps)
        typical = float(np.median(known)) if known.size else 0.0
        return min(self._most, max(self._least, STEPS * typical))
