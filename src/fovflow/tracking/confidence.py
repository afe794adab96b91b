"""How likely a link is right, from its margin in the assignment."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fovflow.labels import FloatArray

Kind = Literal["overlap", "near", "distance"]
"""How a link was found: by overlap; in a movie of fast cells; by distance, of what was left."""

TABLES: dict[Kind, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "overlap": (
        (0.0077, 0.0608, 0.1704, 0.2914, 0.4227, 0.5474, 0.6653, 0.7699, 0.861, 0.9307),
        (0.8415, 0.8746, 0.8925, 0.9431, 0.9754, 0.9904, 0.996, 0.9988, 0.9991, 0.9994),
    ),
    "near": (
        (0.0304, 0.0619, 0.0876, 0.137, 0.2285, 0.3297, 0.465, 0.6817),
        (0.4512, 0.7439, 0.8086, 0.8913, 0.9486, 0.9805, 0.9941, 0.9997),
    ),
    "distance": (
        (0.0914, 0.2222, 0.3971),
        (0.622, 0.9146, 0.9628),
    ),
}
"""Margins, and the share of right links at each: isotonic fits by `benchmarks/calibrate.py`."""


def probability(margin: FloatArray, kind: Kind) -> FloatArray:
    """Return how likely links of this kind are right, given their margins (0 to 1)."""
    return np.interp(margin, *TABLES[kind])
