"""Step 5, extract: what each cell is in each frame. Pure functions on arrays."""

from __future__ import annotations

from fovflow.config.features import (
    DEFAULT_FEATURES,
    FEATURES,
    Feature,
    choose_features,
    find_features,
)
from fovflow.features.extractor import (
    Extractor,
    extract_traces,
    get_extractor,
    measure_frames,
)
from fovflow.features.tracks import cell_table
from fovflow.features.views import Cell

__all__ = [
    "Cell",
    "DEFAULT_FEATURES",
    "Extractor",
    "FEATURES",
    "Feature",
    "cell_table",
    "choose_features",
    "extract_traces",
    "find_features",
    "get_extractor",
    "measure_frames",
]
