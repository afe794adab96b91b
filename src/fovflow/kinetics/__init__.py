"""Kinetic models fitted to single-cell traces, with intervals and a verdict for each cell."""

from __future__ import annotations

from fovflow.kinetics.fitting import Fits, fit_cells
from fovflow.kinetics.models import MODELS, Model, ModelError, Parameter, get_model
from fovflow.kinetics.table import fit_traces

__all__ = [
    "Fits",
    "MODELS",
    "Model",
    "ModelError",
    "Parameter",
    "fit_cells",
    "fit_traces",
    "get_model",
]
