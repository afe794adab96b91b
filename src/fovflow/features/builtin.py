"""The built-in features: shapes and the phase signal in a cell, intensities of a channel."""

from __future__ import annotations

from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from fovflow.features.cells import Cells, Groups
from fovflow.features.tracks import edge_distance as distance_to_edge
from fovflow.features.views import FluorescenceCells, PhaseCells, eroded
from fovflow.labels import FloatArray

_PIXEL = 1 / 12  # second moment of a unit square
_BINS = 32


area = attrgetter("cells.area")
"""Returns the number of pixels."""


def perimeter(view: PhaseCells) -> FloatArray:
    """Return the Crofton estimate of the perimeter from four directions."""
    right, below, falling, rising = view.cells.outline
    return np.asarray(np.pi / 4 * (right + below + (falling + rising) / np.sqrt(2)))


def circularity(view: PhaseCells) -> FloatArray:
    """Return 4π·area / perimeter², at most 1."""
    return np.minimum(1.0, 4 * np.pi * view.cells.area / perimeter(view) ** 2)


def _axes(cells: Cells) -> tuple[FloatArray, FloatArray]:
    """Return the greater and the smaller principal second moment."""
    total, difference, mixed = cells.moments
    total = total + 2 * _PIXEL
    spread = np.sqrt(difference**2 + 4 * mixed**2)
    return (total + spread) / 2, (total - spread) / 2


def aspect_ratio(view: PhaseCells) -> FloatArray:
    """Return the ratio of the axes of the ellipse of equal second moments."""
    greater, smaller = _axes(view.cells)
    return np.sqrt(greater / smaller)


def eccentricity(view: PhaseCells) -> FloatArray:
    """Return the eccentricity of the ellipse of equal second moments."""
    _, difference, mixed = view.cells.moments
    greater, _ = _axes(view.cells)
    return np.sqrt(np.sqrt(difference**2 + 4 * mixed**2) / greater)


def orientation(view: PhaseCells) -> FloatArray:
    """Return the angle of the major axis to the x axis in degrees, (−90, 90]."""
    _, difference, mixed = view.cells.moments
    # −0.0 would turn +90 into −90.
    return np.asarray(np.degrees(np.arctan2(2 * mixed + 0.0, difference)) / 2)


def major_axis(view: PhaseCells) -> FloatArray:
    """Return the full major axis of the ellipse of equal second moments."""
    return 4 * np.sqrt(_axes(view.cells)[0])


def minor_axis(view: PhaseCells) -> FloatArray:
    """Return the full minor axis of the ellipse of equal second moments."""
    return 4 * np.sqrt(_axes(view.cells)[1])


def equivalent_diameter(view: PhaseCells) -> FloatArray:
    """Return the diameter of the disk of equal area."""
    return np.asarray(np.sqrt(4 / np.pi * view.cells.area))


def extent(view: PhaseCells) -> FloatArray:
    """Return the share of the bounding box that the cell fills."""
    x0, y0, x1, y1 = view.cells.box
    return view.cells.area / ((x1 - x0) * (y1 - y0))


convex_area = attrgetter("cells.hull")
"""Returns the area of the convex hull of all pixels' corners."""


def solidity(view: PhaseCells) -> FloatArray:
    """Return area / convex area."""
    return view.cells.area / view.cells.hull


phase_mean = attrgetter("mean")
"""Returns the mean of the phase frame over the cell."""


def phase_std(view: PhaseCells) -> FloatArray:
    """Return the standard deviation of the phase frame over the cell, ddof = 0."""
    return view.groups.std(view.values, view.mean)


def sharpness(view: PhaseCells) -> FloatArray:
    """Return the mean squared difference of neighbouring pixels over the squared mean."""
    pixels = view.cells.pixels
    squares, pairs = np.zeros(len(view.cells)), np.zeros(len(view.cells), np.int64)
    for step in (view.steps_right(), view.steps_down()):
        square = np.multiply(step, step, out=step)
        total = pixels.sum(square)
        if np.isfinite(total).all():
            pairs += pixels.size
        else:  # beyond the frame, or not finite
            valid = np.isfinite(square)
            pairs += pixels.count(valid)
            square[~valid] = 0
            total = pixels.sum(square)
        squares += total
    mean = np.where(view.mean == 0, np.nan, view.mean)
    return np.asarray(squares / np.where(pairs > 0, pairs, np.nan) / mean**2)


def edge_distance(view: PhaseCells) -> NDArray[np.int64]:
    """Return the pixels between the bounding box and the nearest edge of the frame."""
    return distance_to_edge(view.cells.box, view.cells.shape)


def phase_gradient(view: PhaseCells) -> FloatArray:
    """Return the mean length of the gradient, of differences to the right and below."""
    if np.isnan(view.counts).all():
        return np.full(len(view.cells), np.nan)
    square = np.zeros(view.counts.size)
    for step in (view.steps_right(), view.steps_down()):
        square += np.where(np.isfinite(step), step, 0.0) ** 2
    total = view.cells.pixels.sum(np.sqrt(square))
    return total / np.where(view.groups.size > 0, view.groups.size, np.nan)


def phase_entropy(view: PhaseCells) -> FloatArray:
    """Return the entropy of the phase counts of each cell in bits."""
    if np.isnan(view.counts).all():
        return np.full(len(view.cells), np.nan)
    return _entropy(view.values, view.groups)


def _entropy(values: FloatArray, groups: Groups) -> FloatArray:
    """Return the entropy of each group's histogram of 32 bins from its least to greatest value."""
    low, high = groups.spread(groups.min(values)), groups.spread(groups.max(values))
    width = np.where(high > low, high - low, 1.0)
    step = np.minimum((values - low) / width * _BINS, _BINS - 1).astype(np.int64)
    cell = groups.spread(np.arange(groups.size.size))
    count = np.bincount(cell * _BINS + step, minlength=groups.size.size * _BINS)
    share = count.reshape(-1, _BINS) / np.where(groups.size > 0, groups.size, np.nan)[:, None]
    return np.asarray(-(share * np.log2(np.where(share == 0, 1.0, share))).sum(axis=1) + 0.0)


intensity_total, intensity_mean = attrgetter("total"), attrgetter("mean")
"""Return sum and mean of the intensities."""


def intensity_median(view: FluorescenceCells) -> FloatArray:
    """Return the median intensity."""
    return view.groups.median(view.short_values)


def intensity_min(view: FluorescenceCells) -> FloatArray:
    """Return the least intensity."""
    return view.groups.min(view.values)


def intensity_max(view: FluorescenceCells) -> FloatArray:
    """Return the greatest intensity."""
    return view.groups.max(view.values)


def intensity_std(view: FluorescenceCells) -> FloatArray:
    """Return the standard deviation of the intensities, ddof = 0."""
    return view.groups.std(view.values, view.mean)


def intensity_cv(view: FluorescenceCells) -> FloatArray:
    """Return the standard deviation over the size of the mean; 0 where all are equal."""
    spread = intensity_std(view)
    return np.where(spread == 0, 0.0, spread / np.abs(view.mean))


def intensity_skewness(view: FluorescenceCells) -> FloatArray:
    """Return the third standardized moment of the intensities; 0 where all are equal."""
    spread = intensity_std(view)
    third = view.groups.mean((view.values - view.groups.spread(view.mean)) ** 3)
    return np.where(spread == 0, 0.0, third / spread**3)


def intensity_entropy(view: FluorescenceCells) -> FloatArray:
    """Return the entropy of the intensities of each cell in bits."""
    return _entropy(view.values, view.groups)


def rim_ratio(view: FluorescenceCells) -> FloatArray:
    """Return the mean of the pixels with a neighbour outside the cell over that of all."""
    inner = np.zeros(view.cells.shape, bool).reshape(-1)
    inner[view.cells.flat[eroded(view.cells, 1)]] = True
    rim = ~inner[view.flat]
    mean = Groups(view.groups.count(rim)).mean(view.values[rim])
    none = ~np.isfinite(mean) & (view.groups.size > 0)
    return np.where(none, 1.0, mean / view.mean)


def ratio(view: FluorescenceCells, channel: int) -> FloatArray:
    """Return the sum of the intensities over that of another channel, of pixels valid in both.

    NaN where the other one's sum is not above 0, as where all of it is background.
    """
    other = view.beside.get(channel)
    if other is None:
        return np.full(len(view.cells), np.nan)
    sums = []
    for one, another in ((view, other), (other, view)):
        valid = np.zeros(one.cells.shape, bool).reshape(-1)
        valid[another.flat] = True
        held = valid[one.flat]
        sums.append(Groups(one.groups.count(held)).sum(one.values[held]))
    return np.where(sums[1] > 0, sums[0] / sums[1], np.nan)


raw_total = attrgetter("raw_total")
"""Returns the sum of the raw counts."""


def raw_mean(view: FluorescenceCells) -> FloatArray:
    """Return the mean of the raw counts."""
    return view.raw_total / view.groups.size


def background_mean(view: FluorescenceCells) -> FloatArray:
    """Return the mean of the background under the cell; NaN without a corrected frame."""
    return view.background_total / view.groups.size


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


intensity_px = attrgetter("groups.size")
"""Returns the number of pixels that count."""
