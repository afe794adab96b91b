"""Fluorescence background: correctors for frames, flat-fields, bleaching."""

from __future__ import annotations

from fovflow.background.bleach import BleachFit, bleaching_factors, fit_bleaching
from fovflow.background.corrector import BackgroundStats, Corrector
from fovflow.background.flatfield import estimate_flat_field
from fovflow.background.stack import (
    background_levels,
    correct_frames,
    correct_stack,
    get_corrector,
)

__all__ = [
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
