"""One simulated cell and its life: how it grows, rounds up and spreads."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fovflow.simulation.shape import Float, Shape

ROUND_UP = 3
"""Frames over which a cell rounds up before it divides or dies."""
SPREAD_OUT = 4
"""Frames over which a new cell spreads."""

_FRESH = ("divided", "settled")
"""Origins of cells that are round at first."""


@dataclass
class Cell:
    """One cell and its life; frames count from 0, `last` is inclusive."""

    id: int
    parent: int
    first: int
    shape: Shape
    founder: int
    """The ancestor whose kinetics it follows."""
    share: float
    """Its share of the founder's curve."""
    origin: str
    """``start``, ``entered``, ``settled`` or ``divided``."""
    last: int = -1
    fate: str = "end"
    """``end`` of the movie, ``divided`` or ``died``."""
    size: float = 1.0
    """Radius at birth over the grown radius."""
    walk: Float = field(default_factory=lambda: np.zeros((0, 3)))

    def roundness(self, t: int) -> float:
        """Return how round the cell is in frame `t`: 0 spread, towards 1 round."""
        before = (self.last - t + 1) / ROUND_UP if self.fate != "end" else 1.0
        after = (t - self.first + 0.3) / SPREAD_OUT if self.origin in _FRESH else 1.0
        spread = min(max(min(before - 0.2, after), 0.0), 1.0)
        return 0.92 * (1.0 - spread)

    def size_at(self, t: int) -> float:
        """Return the cell's radius in frame `t` over that of its shape."""
        age = t - self.first
        breath = 1.0 + 0.03 * np.sin(self.shape.phases[0] + 0.4 * age)
        if self.origin == "divided":
            breath *= self.size + (0.92 - self.size) * (1 - np.exp(-age / 25.0))
        left = self.last - t
        if self.fate != "end" and left < ROUND_UP:
            breath *= 1.0 - (0.12 if self.fate == "divided" else 0.25) * (1 - left / ROUND_UP)
        return float(breath)
