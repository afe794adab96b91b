"""How far cells move from frame to frame, and how their motion goes on."""

from __future__ import annotations

from collections import deque

import numpy as np

from fovflow.labels import FloatArray, IntArray

MEMORY = 5
"""Frames whose links tell how far cells move."""
STEPS = 4.0
"""Reach in typical steps; the steps of a random walk exceed it in one of ten thousand cases."""


class Reach:
    """The largest distance of a link without enough overlap, steadied over time.

    It lies between `least_px` and `most_px`; if the former is greater, the latter holds.
    """

    def __init__(self, least_px: float, most_px: float):
        self._least, self._most = least_px, most_px
        self._steps: deque[FloatArray] = deque(maxlen=MEMORY)

    @property
    def typical(self) -> float:
        """Median of the steps taken in (px); 0 where there are none."""
        known = np.concatenate([np.zeros(0), *self._steps])
        return float(np.median(known)) if known.size else 0.0

    @property
    def limit(self) -> float:
        """The largest distance (px)."""
        return min(self._most, max(self._least, STEPS * self.typical))

    def update(self, steps: FloatArray) -> float:
        """Take a frame's steps, and return the new limit.

        `steps`: (k,) distances of cells that were seen in the frame before, in pixels.
        """
        self._steps.append(steps)
        return self.limit


FAST = 0.25
"""Step from which a cell is fast, in its diameters: slower ones lie on their own mask."""
LEAST_PAIRS = 10
"""Pairs of successive steps of fast cells that tell whether motion goes on."""


class Motion:
    """How much of a fast cell's step the next one keeps, learned from the movie itself.

    The share is the regression of steps of linked cells on the steps before them, among fast ones:
    about 0 where cells jump at random, or where masks that break or merge move the centroids.
    """

    def __init__(self) -> None:
        self._products, self._squares, self._pairs = 0.0, 0.0, 0

    def update(self, before: FloatArray, after: FloatArray, diameter: FloatArray) -> None:
        """Take (2, n) successive steps of cells, NaN where unknown, and their diameters."""
        fast = np.hypot(*before) >= FAST * diameter
        self._pairs += int(np.count_nonzero(fast))
        self._products += float((before * after)[:, fast].sum())
        self._squares += float((before**2)[:, fast].sum())

    @property
    def kept(self) -> float:
        """Share of a step that the next one keeps (0 to 1)."""
        if self._pairs < LEAST_PAIRS:
            return 0.0
        return min(1.0, max(0.0, self._products / self._squares))

    def ahead(self, velocity: FloatArray, diameter: FloatArray, missed: int) -> IntArray:
        """Return (2, n) whole pixels by which cells are expected to have moved.

        `missed`: frames in which they were not seen since. Slow cells stay where they are.
        """
        share = sum(self.kept ** (k + 1) for k in range(missed + 1))
        expected = share * np.where(np.hypot(*velocity) >= FAST * diameter, velocity, 0.0)
        return np.rint(expected).astype(np.int64)
