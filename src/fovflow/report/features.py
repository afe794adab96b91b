"""Which column of the traces is plotted, and its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fovflow.features.registry import DEFAULT_FEATURES, FEATURES
from fovflow.report.sample import TraceSample
from fovflow.report.summary import TracePlot

_NO_INTENSITY = frozenset(
    {"background_mean", "saturated_fraction", "invalid_fraction", "intensity_px"}
)
_TITLES = {"intensity_total": "total intensity", "intensity_mean": "mean intensity"}


def plots_of(content: Mapping[str, Any]) -> list[TracePlot]:
    """Return one plot per fluorescence channel; without any, that of the cells' area.

    Parameters
    ----------
    content : mapping
        A dataset's ``processing_results.yaml``.
    """
    channels = content.get("channels") or {}
    names = content.get("channel_names") or {}
    chosen = _chosen(content)
    plots = []
    for channel in channels.get("fl") or ():
        feature = _intensity(chosen.get("fl") or DEFAULT_FEATURES["fl"])
        if feature is not None:
            name = names.get(channel, f"channel {channel}")
            plots.append(_plot(f"{feature}_ch_{channel}", feature, str(name)))
    if not plots and "area" in (chosen.get("pc") or DEFAULT_FEATURES["pc"]):
        if content.get("pixel_um"):
            plots.append(TracePlot("area_um2", "Area of cells", "area (µm²)", TraceSample()))
        elif channels.get("pc") is not None:
            plots.append(_plot(f"area_ch_{channels['pc']}", "area", "cells"))
    return plots


def _chosen(content: Mapping[str, Any]) -> Mapping[str, Any]:
    extract = (content.get("params") or {}).get("extract") or {}
    return (extract.get("arguments") or {}).get("features") or {}


def _intensity(features: Sequence[str]) -> str | None:
    """Return the feature to plot: the total intensity, else the first that is an intensity."""
    if "intensity_total" in features:
        return "intensity_total"
    return next((name for name in features if name not in _NO_INTENSITY), None)


def _plot(column: str, feature: str, name: str) -> TracePlot:
    words = _TITLES.get(feature, feature.replace("_", " "))
    unit = FEATURES[feature].unit if feature in FEATURES else "1"
    axis = words if unit == "1" else f"{words} ({unit})"
    return TracePlot(column, f"{name}: {words}", axis, TraceSample())
