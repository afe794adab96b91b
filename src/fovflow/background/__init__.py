"""Fluorescence background: correctors for frames, flat-fields, bleaching."""

from __future__ import annotations

from fovflow.background.bleach import BleachFit, bleaching_factors, fit_bleaching
from fovflow.background.flatfield import estimate_flat_field
from fovflow.background.protocol import BackgroundStats, Corrector
from fovflow.background.registry import (
    ALGORITHM_REVISION,
    BUILTIN,
    background_levels,
    correct_frames,
    correct_stack,
    get_corrector,
)

__all__ = [
    "ALGORITHM_REVISION",
    "BUILTIN",
    "BackgroundStats",
    "BleachFit",
    "Corrector",
    "background_levels",
    "bleaching_factors",
    "correct_frames",
    "correct_stack",
    "estimate_flat_field",
    "fit_bleaching",
    "get_corrector",
]
