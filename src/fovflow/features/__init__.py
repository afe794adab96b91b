"""Step 5, extract: what each cell is in each frame. Pure functions on arrays."""

from __future__ import annotations

from fovflow.features.extractor import Extractor, get_extractor
from fovflow.features.protocol import Cell, Feature
from fovflow.features.registry import (
    DEFAULT_FEATURES,
    FEATURES,
    choose_features,
    find_features,
)
from fovflow.features.traces import extract_traces, measure_frames

__all__ = [
    "Cell",
    "DEFAULT_FEATURES",
    "Extractor",
    "FEATURES",
    "Feature",
    "choose_features",
    "extract_traces",
    "find_features",
    "get_extractor",
    "measure_frames",
]
