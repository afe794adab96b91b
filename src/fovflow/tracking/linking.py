"""Links from the cells that are still followed to the objects of the next frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fovflow.labels import BoolArray, FloatArray, IntArray
from fovflow.tracking.assignment import assign
from fovflow.tracking.overlaps import FrameObjects, overlaps

GAP_DISCOUNT = 0.9
"""Factor on the weight of a link per frame in which the cell was not seen."""
COVERED = 0.5
"""Share of an object's pixels from which it counts as covered by another."""
SIMILAR_AREA = 0.5
"""Least ratio of the areas of a link by distance."""


@dataclass(slots=True)
class KeptFrame:
    """A frame whose masks may still be linked to later ones."""

    objects: FrameObjects
    first: int
    """Index of its first object among all detections."""
    drift: tuple[int, int]
    """Cumulative drift (y, x) of the frame in pixels."""
    open: BoolArray
    """(n,) whether an object has no later link yet."""
    absorbed: BoolArray
    """(n,) whether an object is open, and a linked object has swallowed it since."""


@dataclass(frozen=True, slots=True)
class Cover:
    """A cell without a link, and a linked object that covers it; both as detections."""

    lost: int
    into: int
    swallowed: bool
    """Whether the object has grown by it, or had done so before."""


@dataclass(frozen=True, slots=True)
class FrameLinks:
    """What each object of a frame is linked to; all arrays have one entry per object."""

    previous: IntArray
    """Index of the linked detection, -1 for none."""
    pixels: IntArray
    """Common pixels with its mask."""
    iou: FloatArray
    confidence: FloatArray
    """NaN where there is no link, as in `iou`."""
    covers: list[Cover]


class _Pairs:
    """All overlaps of open masks with a frame, the sources of all kept frames in one row."""

    def __init__(self, kept: Sequence[KeptFrame], later: FrameObjects, drift: tuple[int, int]):
        self.starts = np.cumsum([0, *(len(k.objects) for k in kept)])
        self.later = later
        self.y, self.x, area, self.lag, self.detection = (
            np.zeros(int(self.starts[-1])) for _ in range(5)
        )
        self.open = np.zeros(self.y.size, bool)
        self.absorbed = np.zeros(self.y.size, bool)
        source, target, pixels = [], [], []
        for lag, (start, k) in enumerate(zip(self.starts, kept, strict=False)):
            here = slice(int(start), int(start) + len(k.objects))
            shift = (drift[0] - k.drift[0], drift[1] - k.drift[1])
            found = overlaps(k.objects, later, shift, k.open)
            source.append(found.source + start)
            target.append(found.target)
            pixels.append(found.pixels)
            area[here] = found.source_area
            self.y[here], self.x[here] = k.objects.y + shift[0], k.objects.x + shift[1]
            self.lag[here] = lag
            self.detection[here] = k.first + np.arange(len(k.objects))
            self.open[here], self.absorbed[here] = k.open, k.absorbed
        none = [np.zeros(0, np.int64)]
        self.source = np.concatenate(source or none)
        self.target = np.concatenate(target or none)
        self.pixels = np.concatenate(pixels or none)
        self.area = area
        self.full_area = np.concatenate([np.zeros(0), *(k.objects.area for k in kept)])
        self.discount = GAP_DISCOUNT**self.lag
        union = area[self.source] + later.area[self.target] - self.pixels
        self.iou = self.pixels / union
        self.of_source = self.pixels >= COVERED * area[self.source]
        self.of_target = self.pixels >= COVERED * later.area[self.target]

    def distance(self, pair: IntArray) -> FloatArray:
        """Return the distances of the centroids of pairs."""
        i, j = self.source[pair], self.target[pair]
        distance: FloatArray = np.hypot(self.y[i] - self.later.y[j], self.x[i] - self.later.x[j])
        return distance


def link(
    kept: Sequence[KeptFrame],
    later: FrameObjects,
    drift: tuple[int, int],
    *,
    first: int,
    min_iou: float,
    reach: Reach,
) -> FrameLinks:
    """Link the open masks of earlier frames to the objects of a frame, and close those linked.

    `kept`: the frames before, newest first; their `open` and `absorbed` are changed. `drift`,
    `first`: the later frame's cumulative drift (y, x), and the index of its first object among all
    detections. `reach` tells how far a cell is looked for.
    """
    pairs = _Pairs(kept, later, drift)
    n = len(later)
    partner = np.full(n, -1, np.int64)
    iou, confidence = np.full(n, np.nan), np.full(n, np.nan)

    ripe = np.flatnonzero(pairs.iou >= min_iou)
    weight = pairs.iou[ripe] * pairs.discount[pairs.source[ripe]]
    chosen, margin = assign(pairs.source[ripe], pairs.target[ripe], weight)
    best = ripe[chosen]
    partner[pairs.target[best]] = pairs.source[best]
    confidence[pairs.target[best]] = margin[chosen]

    steps = pairs.distance(best[pairs.lag[pairs.source[best]] == 0])
    source, target, nearness = _near(pairs, partner, reach.update(steps))
    chosen, margin = assign(source, target, nearness)
    partner[target[chosen]] = source[chosen]
    confidence[target[chosen]] = min_iou * margin[chosen]

    linked = partner >= 0
    iou[linked] = 0.0
    pixels = np.zeros(n, np.int64)
    own = partner[pairs.target] == pairs.source
    iou[pairs.target[own]] = pairs.iou[own]
    pixels[pairs.target[own]] = pairs.pixels[own]
    covers = _covers(pairs, partner, first)
    _write_back(pairs, partner, kept)
    previous = np.where(
        linked, pairs.detection[partner] if partner.size and pairs.y.size else -1, -1
    )
    return FrameLinks(previous.astype(np.int64), pixels, iou, confidence, covers)


def _near(pairs: _Pairs, partner: IntArray, limit: float) -> tuple[IntArray, IntArray, FloatArray]:
    """Return the candidates by distance: cells and objects that no overlap has linked.

    A mask that a linked object covers is a merge, and an object that lies in the mask of a
    linked cell is a piece of that cell: neither is looked for elsewhere.
    """
    used = np.zeros(pairs.y.size, bool)
    used[partner[partner >= 0]] = True
    free = pairs.open & ~used
    vacant = partner < 0
    free[pairs.source[pairs.of_source & ~vacant[pairs.target]]] = False
    vacant[pairs.target[pairs.of_target & used[pairs.source]]] = False
    i, j = np.flatnonzero(free), np.flatnonzero(vacant)
    distance = np.hypot(
        pairs.y[i][:, None] - pairs.later.y[j], pairs.x[i][:, None] - pairs.later.x[j]
    )
    a, b = pairs.full_area[i][:, None], pairs.later.area[j]
    similar = np.minimum(a, b) >= SIMILAR_AREA * np.maximum(a, b)
    p, q = np.nonzero(similar & (distance < limit))
    nearness = (1.0 - distance[p, q] / limit) * pairs.discount[i[p]] if p.size else np.zeros(0)
    return i[p], j[q], nearness


def _covers(pairs: _Pairs, partner: IntArray, first: int) -> list[Cover]:
    """Return the lost cells that linked objects cover, and mark those that are swallowed.

    A lost cell is swallowed by a linked object that covers its mask, if that object has grown by
    at least half of the lost cell's area, or if the cell was already in it before.
    """
    used = np.zeros(pairs.y.size, bool)
    used[partner[partner >= 0]] = True
    k = np.flatnonzero(pairs.of_source & ~used[pairs.source] & (partner[pairs.target] >= 0))
    source, target = pairs.source[k], pairs.target[k]
    grown = pairs.later.area[target] - pairs.full_area[partner[target]]
    real = pairs.absorbed[source] | (grown >= COVERED * pairs.full_area[source])
    pairs.absorbed[:] = False
    pairs.absorbed[source[real]] = True
    lost = pairs.detection[source].astype(int).tolist()
    return [
        Cover(*cover) for cover in zip(lost, (first + target).tolist(), real.tolist(), strict=True)
    ]


def _write_back(pairs: _Pairs, partner: IntArray, kept: Sequence[KeptFrame]) -> None:
    """Close the linked masks and remember which of the others are swallowed."""
    pairs.open[partner[partner >= 0]] = False
    for start, k in zip(pairs.starts, kept, strict=False):
        here = slice(int(start), int(start) + len(k.objects))
        k.open[:] = pairs.open[here]
        k.absorbed[:] = pairs.absorbed[here]


MEMORY = 5
"""Frames whose links tell how far cells move."""
STEPS = 4.0
"""Reach in typical steps; the steps of a random walk exceed it in one of ten thousand cases."""


class Reach:
    """The largest distance of a link without enough overlap, steadied over time.

    It lies between `least_px` and `most_px`; if the former is greater, the latter holds.
    """

    def __init__(self, least_px: float, most_px: float):
        self._least, self._most = least_px, most_px
        self._steps: deque[FloatArray] = deque(maxlen=MEMORY)

    def update(self, steps: FloatArray) -> float:
        """Take the distances of a frame's links by overlap; return the reach in pixels.

        `steps`: (k,) distances of cells that were seen in the frame before, in pixels.
        """
        self._steps.append(steps)
        known = np.concatenate(self._steps)
        typical = float(np.median(known)) if known.size else 0.0
        return min(self._most, max(self._least, STEPS * typical))
