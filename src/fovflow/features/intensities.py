"""Features of a fluorescence channel."""

from __future__ import annotations

import numpy as np

from fovflow.features.cells import FloatArray, IntArray
from fovflow.features.views import FluorescenceCells


def intensity_total(view: FluorescenceCells) -> FloatArray:
    """Return the sum of the intensities."""
    return view.total


def intensity_mean(view: FluorescenceCells) -> FloatArray:
    """Return the mean intensity."""
    return view.mean


def intensity_median(view: FluorescenceCells) -> FloatArray:
    """Return the median intensity."""
    return view.groups.median(view.values)


def intensity_min(view: FluorescenceCells) -> FloatArray:
    """Return the least intensity."""
    return view.groups.min(view.values)


def intensity_max(view: FluorescenceCells) -> FloatArray:
    """Return the greatest intensity."""
    return view.groups.max(view.values)


def intensity_std(view: FluorescenceCells) -> FloatArray:
    """Return the standard deviation of the intensities, ddof = 0."""
    return view.groups.std(view.values, view.mean)


def raw_total(view: FluorescenceCells) -> FloatArray:
    """Return the sum of the raw counts."""
    return view.raw_total


def raw_mean(view: FluorescenceCells) -> FloatArray:
    """Return the mean of the raw counts."""
    return view.raw_total / view.groups.size


def background_mean(view: FluorescenceCells) -> FloatArray:
    """Return the mean of the background under the cell; NaN without a corrected frame."""
    return (view.raw_total - view.corrected_total) / view.groups.size


def saturated_fraction(view: FluorescenceCells) -> FloatArray:
    """Return the share of pixels at or above the saturation level; NaN where it is unknown."""
    if np.isnan(view.saturation):
        return np.full(len(view.cells), np.nan)
    hit = view.raw >= view.saturation
    count = view.groups.count(hit) if hit.any() else 0 * view.groups.size
    return count / view.groups.size


def invalid_fraction(view: FluorescenceCells) -> FloatArray:
    """Return the share of the region's pixels that are not finite."""
    return 1 - view.groups.size / view.region.groups.size


def intensity_px(view: FluorescenceCells) -> IntArray:
    """Return the number of pixels that count."""
    return view.groups.size
