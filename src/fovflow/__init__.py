"""fovflow: live-cell time-lapse microscopy to single-cell traces.

The names below are loaded when first used, so that importing the package stays cheap.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "FovflowError": "fovflow.errors",
    "ConfigError": "fovflow.errors",
    "open_raw": "fovflow.readers",
    "segment_stack": "fovflow.segmentation",
    "correct_stack": "fovflow.background",
    "track_stack": "fovflow.tracking",
    "extract_traces": "fovflow.features",
    "fit_traces": "fovflow.kinetics",
    "load_results": "fovflow.results",
    "read_analysis": "fovflow.analysis.reading",
    "map_fovs": "fovflow.mapping",
    "Run": "fovflow.runs.run",
    "execution": "fovflow.runs.execution",
    "resume": "fovflow.runs.execution",
    "run": "fovflow.driver",
}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604  (strings all)


def __getattr__(name: str) -> Any:
    if name == "runs":  # a package that can be called
        return importlib.import_module("fovflow.runs")
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'fovflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
