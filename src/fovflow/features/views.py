"""The pixels of all cells of a frame in one channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow import plugins
from fovflow.config.features import Feature
from fovflow.errors import FovflowError, explained
from fovflow.features.cells import Cells, Groups, gather
from fovflow.labels import BoolArray, FloatArray, IntArray

Pixels = Callable[[FloatArray, IntArray], NDArray[Any]]
"""Gives corrected counts of pixels, from their raw counts and indices in the flattened frame.

Where it has a method `background`, that gives the background at such indices, or None where it is
raw less corrected counts.
"""


class PhaseCells:
    """Cells and the phase-contrast frame.

    `phase`: (Y, X) of any real dtype; None where only shapes are wanted.
    """

    def __init__(self, cells: Cells, phase: NDArray[Any] | None):
        self.cells = cells
        self._phase = phase

    def _require(self) -> NDArray[Any]:
        if self._phase is None:
            raise FovflowError(
                "a feature needs the phase-contrast frame, which was not given",
                remedy="give the phase stack, or leave out phase_mean, phase_std and sharpness",
            )
        return self._phase

    @cached_property
    def counts(self) -> FloatArray:
        """Counts of all pixels of the cells, cell by cell; NaN without a frame."""
        if self._phase is None:
            return np.full(self.cells.flat.size, np.nan)
        return gather(self._require(), self.cells.flat, np.float64)

    def steps_right(self) -> FloatArray:
        """Return the counts to the right of each pixel less its own; NaN beyond the frame."""
        cells, counts = self.cells, self.counts
        result = np.empty_like(counts)
        np.subtract(counts[1:], counts[:-1], out=result[:-1])  # within runs; their ends follow
        width = cells.shape[1]
        ends = np.cumsum(cells.stop - cells.start) - 1
        beside = cells.row * width + cells.stop
        outside = np.flatnonzero(cells.stop == width)
        beside[outside] = 0
        steps = self._require().reshape(-1).take(beside).astype(np.float64)
        steps -= counts[ends]
        steps[outside] = np.nan
        result[ends] = steps
        return result

    def steps_down(self) -> FloatArray:
        """Return the counts below each pixel less its own; NaN beyond the frame."""
        height, width = self.cells.shape
        flat = self.cells.flat + width
        bottom = bool((self.cells.row == height - 1).any())
        outside = flat >= height * width if bottom else None
        if outside is not None:
            flat[outside] = 0
        result = gather(self._require(), flat, np.float64)
        result -= self.counts
        if outside is not None:
            result[outside] = np.nan
        return result

    @cached_property
    def _finite(self) -> tuple[FloatArray, Groups]:
        valid = np.isfinite(self.counts) if self._require().dtype.kind == "f" else np.True_
        if np.all(valid):
            return self.counts, self.cells.pixels
        return self.counts[valid], Groups(self.cells.pixels.count(np.asarray(valid)))

    @property
    def values(self) -> FloatArray:
        """Counts of the finite pixels, cell by cell."""
        return self._finite[0]

    @property
    def groups(self) -> Groups:
        """Which of the finite pixels belong to which cell."""
        return self._finite[1]

    @cached_property
    def mean(self) -> FloatArray:
        """(n,) mean of the finite counts per cell."""
        return self.groups.mean(self.values)


class Region:
    """The pixels of each cell that are used for its intensities.

    `erosion_px`: a pixel is used when all pixels of the frame within this distance are the cell's.
    """

    def __init__(self, cells: Cells, erosion_px: int):
        self.cells = cells
        if erosion_px:
            keep = eroded(cells, erosion_px)
            self.flat = cells.flat[keep]
            self.groups = Groups(cells.pixels.count(keep))
        else:
            self.flat = cells.flat
            self.groups = cells.pixels


def eroded(cells: Cells, radius: int) -> BoolArray:
    """Tell for each pixel, cell by cell, whether the disk around it lies in the cell."""
    import cv2

    offset = np.arange(-radius, radius + 1) ** 2
    disk = (offset[:, None] + offset <= radius**2).astype(np.uint8)
    keep = np.zeros(cells.pixels.total, bool)
    row, column = np.divmod(cells.flat, cells.shape[1])
    for i, place in enumerate(cells.pixels.slices()):
        # The margin holds the pixels beside the cell; beyond the frame all counts as inside.
        mask, x0, y0 = cells.mask(i, margin=radius)
        inner = cv2.erode(
            mask.view(np.uint8), disk, borderType=cv2.BORDER_CONSTANT, borderValue=255
        )
        keep[place] = inner[row[place] - y0, column[place] - x0] != 0
    return keep


PILE = 10
"""Pixels that have the greatest count of all, and how many times as many as other bright counts
have, from which they are a pile: a camera of 12 bits has it at 4095 in frames of 16 bits."""

LEVELS = 20
"""Fewer different counts than these are no histogram to have an upper end."""


def pile_up(values: FloatArray, greatest: float) -> float:
    """Return the count at which pixels are saturated: where they pile up, else the `greatest`.

    The pile is on the greatest of the `values`; it is held against the mean number of pixels per
    count that occurs, over the upper half of the others' range.
    """
    top = float(values.max(initial=0.0))
    pile = np.count_nonzero(values == top)
    if pile < PILE or top == greatest:
        return float(greatest)
    below = values[values < top]
    if below.size == 0:
        return float(greatest)
    bright, number = np.unique(below[below > (float(below.min()) + top) / 2], return_counts=True)
    piled = bright.size >= LEVELS and pile > PILE * number.mean()
    return top if piled else float(greatest)


class FluorescenceCells:
    """Cells and one fluorescence channel.

    `raw`: (Y, X) of any real dtype. `corrected`: (Y, X) float, the raw frame less its background,
    or what gives it at pixels, see `Extractor.add`; None where there is none. Intensity = raw −
    `background_weight` · (raw − corrected). `saturation`: counts from which a pixel is saturated;
    None takes the greatest value of an integer dtype or, where the cells' counts pile up below it
    (`pile_up`), that count; NaN where there is no such level.

    Kept are `flat`, the indices of the region's finite pixels in the flattened frame, cell by
    cell, their counts in `raw` and `corrected`, and in `groups` which of them belong to which cell.
    `beside` holds the channels that were recorded in the same frame, by index.
    """

    def __init__(
        self,
        region: Region,
        raw: NDArray[Any],
        corrected: NDArray[Any] | Pixels | None,
        background_weight: float,
        saturation: float | None,
    ):
        self.cells = region.cells
        self.region = region
        self._weight = background_weight
        self.beside: Mapping[int, FluorescenceCells] = {}
        self.flat, self.groups = region.flat, region.groups
        self.raw = gather(raw, self.flat, np.float64)
        if saturation is None:
            known = raw.dtype.kind in "ui"
            saturation = pile_up(self.raw, np.iinfo(raw.dtype).max) if known else np.nan
        self.saturation = saturation
        self._background = getattr(corrected, "background", None)
        self.corrected: FloatArray | None = None
        self._single: NDArray[np.float32] | None = None
        if corrected is not None:
            counts = (
                corrected(self.raw, self.flat)
                if callable(corrected)
                else gather(corrected, self.flat, corrected.dtype)
            )
            self._single = counts if counts.dtype == np.float32 else None
            self.corrected = counts.astype(np.float64)
        self._sum_up()
        if not (np.isfinite(self._raw_sum).all() and np.isfinite(self._corrected_sum).all()):
            self._drop_invalid()
            self._sum_up()

    def _sum_up(self) -> None:
        with np.errstate(invalid="ignore"):
            self._raw_sum = self.groups.sum(self.raw)
            if self.corrected is None:
                self._corrected_sum = np.zeros(len(self.cells))
            else:
                self._corrected_sum = self.groups.sum(self.corrected)

    def _drop_invalid(self) -> None:
        valid = np.isfinite(self.raw)
        if self.corrected is not None:
            valid &= np.isfinite(self.corrected)
            self.corrected = self.corrected[valid]
            self._single = None if self._single is None else self._single[valid]
        self.groups = Groups(self.groups.count(valid))
        self.flat, self.raw = self.flat[valid], self.raw[valid]

    @cached_property
    def values(self) -> FloatArray:
        """Intensities of the pixels."""
        if self.corrected is None or self._weight == 0:
            return self.raw
        if self._weight == 1:
            return self.corrected
        return self.raw - self._weight * (self.raw - self.corrected)

    @property
    def short_values(self) -> NDArray[Any]:
        """The same in float32 where that is exact: they are put in order in half the time."""
        exact = self._single is not None and self.values is self.corrected
        return self._single if exact else self.values  # type: ignore[return-value]

    @cached_property
    def total(self) -> FloatArray:
        """(n,) sum of the intensities per cell; NaN where no pixel counts."""
        if self.values is self.corrected:
            return self.corrected_total
        return np.where(self.groups.size > 0, self.groups.sum(self.values), np.nan)

    @property
    def raw_total(self) -> FloatArray:
        """(n,) sum of the raw counts per cell; NaN where no pixel counts."""
        return np.where(self.groups.size > 0, self._raw_sum, np.nan)

    @property
    def corrected_total(self) -> FloatArray:
        """(n,) sum of the corrected counts per cell; NaN where there are none."""
        known = (self.groups.size > 0) & (self.corrected is not None)
        return np.where(known, self._corrected_sum, np.nan)

    @property
    def background_total(self) -> FloatArray:
        """(n,) sum of the background per cell; NaN where there is none, or no pixel counts."""
        under = self._background(self.flat) if self._background is not None else None
        if under is None:
            return self.raw_total - self.corrected_total
        sums = self.groups.sum(under.astype(np.float64))
        return np.where(self.groups.size > 0, sums, np.nan)

    @cached_property
    def mean(self) -> FloatArray:
        """(n,) mean intensity per cell."""
        return self.total / self.groups.size


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One cell in one frame and one channel, for features that are computed cell by cell.

    Attributes
    ----------
    id : int
    box : tuple of int
        x0, y0, x1, y1 in pixels; the ends are not included.
    mask : numpy.ndarray
        (y1 - y0, x1 - x0) bool, the cell's pixels in its box.
    y, x : numpy.ndarray
        (n,) int64, row and column of the pixels in raster order: for the phase channel all of the
        cell, for a fluorescence channel those that are left after erosion and finite.
    values : numpy.ndarray
        (n,) float64, the phase channel's counts (which may be NaN), or the background-corrected
        intensity, at these pixels.
    raw : numpy.ndarray
        (n,) float64, the raw counts at these pixels.
    """

    id: int
    box: tuple[int, int, int, int]
    mask: BoolArray
    y: IntArray
    x: IntArray
    values: FloatArray
    raw: FloatArray


def evaluate(feature: Feature, cells: PhaseCells | FluorescenceCells) -> NDArray[Any]:
    """Return a feature's value for each cell of a frame.

    Raises FovflowError if the feature's function fails, or does not return one number per cell.
    """
    remedy = "leave it out of extract: features, or mend the plug-in that brings it"
    with explained(f"the feature {feature.name!r} failed", remedy=remedy, name_kind=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            if feature.per_cell:
                result = _one_by_one(feature, cells)
            else:
                result = np.asarray(plugins.load(feature.function)(cells))
        n, kinds = len(cells.cells), "iu" if feature.integer else "iuf"
        if result.shape != (n,) or result.dtype.kind not in kinds:
            raise TypeError(
                f"shape {result.shape} of {result.dtype} for {n} cells, where "
                f"{'integers' if feature.integer else 'numbers'}, one per cell, are needed"
            )
    return result.astype(feature.dtype, copy=False)


def _one_by_one(feature: Feature, cells: PhaseCells | FluorescenceCells) -> NDArray[Any]:
    function = plugins.load(feature.function)
    result = np.full(len(cells.cells), 0 if feature.integer else np.nan, feature.dtype)
    if isinstance(cells, PhaseCells):
        flat, groups, values, raw = cells.cells.flat, cells.cells.pixels, cells.counts, cells.counts
    else:
        flat, groups, values, raw = cells.flat, cells.groups, cells.values, cells.raw
    row, column = np.divmod(flat, cells.cells.shape[1])
    edges = zip(*(edge.tolist() for edge in cells.cells.box), strict=True)
    for i, (place, box) in enumerate(zip(groups.slices(), edges, strict=True)):
        if place.stop > place.start or feature.kind == "pc":
            cell = Cell(
                id=int(cells.cells.ids[i]),
                box=box,
                mask=cells.cells.mask(i)[0],
                y=row[place],
                x=column[place],
                values=values[place],
                raw=raw[place],
            )
            result[i] = function(cell)
    return result
