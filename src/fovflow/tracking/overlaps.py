"""Label frames as horizontal runs of pixels, and the overlaps of their objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.labels import BoolArray, FloatArray, IntArray, find_runs, padded_size

LABEL_LIMIT = 1 << 24

Shift = tuple[int | IntArray, int | IntArray]


@dataclass(frozen=True, slots=True)
class FrameObjects:
    """The objects of one label frame, in raster order of each object's first pixel.

    `row`, `start`, `stop`, `owner` have one entry per run, in raster order: its row, its columns
    ``start <= x < stop``, and the object (0 to n - 1) that it belongs to. No run goes past the end
    of its row. The other arrays have one entry per object; `y`, `x`: centroids in pixels.
    """

    shape: tuple[int, int]
    row: IntArray
    start: IntArray
    stop: IntArray
    owner: IntArray
    label: IntArray
    area: IntArray
    y: FloatArray
    x: FloatArray

    def __len__(self) -> int:
        return self.label.size

    @property
    def diameter(self) -> FloatArray:
        """Diameter of the disc of the same area, in pixels."""
        return np.asarray(np.sqrt(4.0 / np.pi * self.area), np.float64)


def encode(labels: NDArray[Any]) -> FrameObjects:
    """Find the runs and the objects of a label frame.

    `labels`: (Y, X) of an integer dtype; 0 is background. Pixels of one value are one object,
    whether they touch or not. Raises FovflowError if the frame is not two-dimensional, not of
    integers, or has values outside 0 to 2**24 - 1.
    """
    if labels.ndim != 2 or labels.dtype.kind not in "ui":
        raise FovflowError(
            "tracking needs label frames: (Y, X) arrays of integers",
            found=f"shape {labels.shape}, dtype {labels.dtype}",
            remedy="give the output of a segmentation, frame by frame",
        )
    height, width = labels.shape
    labels = np.ascontiguousarray(labels)
    at, length, value = find_runs(labels, np.zeros(padded_size(labels), bool))
    if value.size and (int(value.min()) < 0 or int(value.max()) >= LABEL_LIMIT):
        raise FovflowError(
            "labels must lie between 0 and 16777215",
            found=f"{value.min()} to {value.max()}",
            remedy="number the objects of each frame from 1",
        )
    label, owner = _raster_order(value)
    row = at // width
    start = at - row * width
    stop = start + length
    n = label.size
    area = np.bincount(owner, length, n)
    y = np.bincount(owner, length * row, n) / area
    x = np.bincount(owner, length * (start + stop - 1), n) / (2 * area)
    return FrameObjects(
        (height, width), row, start, stop, owner, label, area.astype(np.int64), y, x
    )


def _raster_order(value: NDArray[Any]) -> tuple[IntArray, IntArray]:
    """Return the distinct values by first appearance, and the place of each entry among them."""
    distinct, first, inverse = np.unique(value, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    return distinct[order].astype(np.int64), rank[inverse]


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Common pixels of the objects of two frames: one entry per pair that has any.

    Pairs are sorted by `source`, the object of the earlier frame, then by `target`.
    """

    source: IntArray
    target: IntArray
    pixels: IntArray
    source_area: IntArray
    """(n_source,) pixels of each earlier object that lie in the frame after the shift."""


def overlaps(
    earlier: FrameObjects,
    later: FrameObjects,
    shift: Shift = (0, 0),
    keep: BoolArray | None = None,
    among: BoolArray | None = None,
) -> Overlaps:
    """Count the common pixels of each pair of objects: the joint histogram, without zeros.

    `earlier`, `later`: two frames of the same shape. `shift`: (dy, dx) in pixels by which the
    earlier masks are moved first; each one number, or (n_source,) one for each mask. `keep`,
    `among`: boolean per object: which earlier and which later objects count.
    """
    n, m = len(earlier), len(later)
    width = later.shape[1]
    begin, end, owner = _moved(earlier, shift, keep)
    chosen = slice(None) if among is None else among[later.owner]
    row = later.row[chosen] * width
    first, last = row + later.start[chosen], row + later.stop[chosen]
    target = later.owner[chosen]
    low = np.searchsorted(last, begin, side="right")
    high = np.searchsorted(first, end, side="left")
    pair, other = spans(low, high)
    pixels = np.minimum(end[pair], last[other]) - np.maximum(begin[pair], first[other])
    key, inverse = np.unique(owner[pair] * m + target[other], return_inverse=True)
    total = np.bincount(inverse, pixels, key.size).astype(np.int64)
    visible = np.bincount(owner, end - begin, n).astype(np.int64)
    source = key // m if m else key
    return Overlaps(source, key - source * m, total, visible)


def spans(low: IntArray, high: IntArray) -> tuple[IntArray, IntArray]:
    """Return each k with each index from ``low[k]`` to ``high[k] - 1``."""
    count = high - low
    k = np.repeat(np.arange(low.size), count)
    return k, np.arange(k.size) + np.repeat(low - np.cumsum(count) + count, count)


def _moved(
    objects: FrameObjects, shift: Shift, keep: BoolArray | None
) -> tuple[IntArray, IntArray, IntArray]:
    """Return the moved runs that still lie in the frame: flat begin, flat end, owner."""
    height, width = objects.shape
    row, start, stop, owner = objects.row, objects.start, objects.stop, objects.owner
    if keep is not None:
        chosen = keep[owner]
        row, start, stop, owner = row[chosen], start[chosen], stop[chosen], owner[chosen]
    if any(np.any(step) for step in shift):
        dy, dx = (np.broadcast_to(step, len(objects))[owner] for step in shift)
        row = row + dy
        start, stop = np.clip(start + dx, 0, width), np.clip(stop + dx, 0, width)
        inside = (row >= 0) & (row < height) & (stop > start)
        row, start, stop, owner = row[inside], start[inside], stop[inside], owner[inside]
    return row * width + start, row * width + stop, owner
