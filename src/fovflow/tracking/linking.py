"""Links from the cells that are still followed to the objects of the next frame.

How far cells are looked for, how their motion goes on, and how likely a link is right.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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
    velocity: FloatArray
    """(2, n) step (y, x) in pixels per frame with which each object came; NaN where unknown."""
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
    velocity: FloatArray
    """(2, n) see `KeptFrame`."""
    iou: FloatArray
    confidence: FloatArray
    """How likely the link is right; NaN where there is none, as in `iou`."""
    covers: list[Cover]


Weighted = tuple[IntArray, IntArray, FloatArray]
"""Candidates for links: sources, targets, weights."""


class _Pairs:
    """All overlaps of open masks with a frame, the sources of all kept frames in one row."""

    def __init__(
        self,
        kept: Sequence[KeptFrame],
        later: FrameObjects,
        drift: tuple[int, int],
        motion: Motion,
    ):
        self.starts = np.cumsum([0, *(len(k.objects) for k in kept)])
        self.later = later
        n = int(self.starts[-1])
        self.y, self.x, area, self.lag, self.detection = (np.zeros(n) for _ in range(5))
        self.ahead, self.velocity = np.zeros((2, n)), np.zeros((2, n))
        self.open = np.zeros(self.y.size, bool)
        self.absorbed = np.zeros(self.y.size, bool)
        source, target, pixels = [], [], []
        for lag, (start, k) in enumerate(zip(self.starts, kept, strict=False)):
            here = slice(int(start), int(start) + len(k.objects))
            shift = (drift[0] - k.drift[0], drift[1] - k.drift[1])
            ahead = motion.ahead(k.velocity, k.objects.diameter, lag)
            found = overlaps(k.objects, later, (shift[0] + ahead[0], shift[1] + ahead[1]), k.open)
            source.append(found.source + start)
            target.append(found.target)
            pixels.append(found.pixels)
            area[here] = found.source_area
            self.y[here], self.x[here] = k.objects.y + shift[0], k.objects.x + shift[1]
            self.ahead[:, here], self.velocity[:, here] = ahead, k.velocity
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

    def steps(self, i: IntArray, j: IntArray) -> FloatArray:
        """Return (2, k) by how much the centroids of targets lie off those of sources."""
        return np.stack([self.later.y[j] - self.y[i], self.later.x[j] - self.x[i]])


def link(
    kept: Sequence[KeptFrame],
    later: FrameObjects,
    drift: tuple[int, int],
    *,
    first: int,
    min_iou: float,
    reach: Reach,
    motion: Motion,
) -> FrameLinks:
    """Link the open masks of earlier frames to the objects of a frame, and close those linked.

    `kept`: the frames before, newest first; their `open` and `absorbed` are changed. `drift`,
    `first`: the later frame's cumulative drift (y, x), and the index of its first object among all
    detections. `reach` tells how far a cell is looked for, `motion` how its motion goes on.
    """
    pairs = _Pairs(kept, later, drift, motion)
    n = len(later)
    partner = np.full(n, -1, np.int64)
    iou, confidence = np.full(n, np.nan), np.full(n, np.nan)

    kind: Kind = "overlap"
    if n and reach.typical >= FAST * float(np.median(later.diameter)):
        kind = "near"
        source, target, weight = _overlapping_or_near(pairs, min_iou, reach.limit)
    else:
        source, target, weight = _overlapping(pairs, min_iou)
    chosen, margin = assign(source, target, weight)
    partner[target[chosen]] = source[chosen]
    confidence[target[chosen]] = probability(margin[chosen], kind)

    fresh = chosen & (pairs.lag[source] == 0)
    steps = np.hypot(*pairs.steps(source[fresh], target[fresh]))
    source, target, nearness = _near(pairs, partner, reach.update(steps))
    chosen, margin = assign(source, target, nearness)
    partner[target[chosen]] = source[chosen]
    confidence[target[chosen]] = probability(margin[chosen], "distance")

    linked = partner >= 0
    iou[linked] = 0.0
    own = partner[pairs.target] == pairs.source
    iou[pairs.target[own]] = pairs.iou[own]
    covers = _covers(pairs, partner, first)
    _write_back(pairs, partner, kept)
    previous = np.where(
        linked, pairs.detection[partner] if partner.size and pairs.y.size else -1, -1
    )
    velocity = np.full((2, n), np.nan)
    j, i = np.flatnonzero(linked), partner[linked]
    velocity[:, j] = pairs.steps(i, j) / (pairs.lag[i] + 1)
    motion.update(pairs.velocity[:, i], velocity[:, j], later.diameter[j])
    return FrameLinks(previous.astype(np.int64), velocity, iou, confidence, covers)


def _overlapping(pairs: _Pairs, min_iou: float) -> Weighted:
    """Return the candidates by overlap."""
    ripe = np.flatnonzero(pairs.iou >= min_iou)
    source, target = pairs.source[ripe], pairs.target[ripe]
    return source, target, pairs.iou[ripe] * pairs.discount[source]


def _overlapping_or_near(pairs: _Pairs, min_iou: float, limit: float) -> Weighted:
    """Return all candidates, each with the mean of both weights."""
    m = len(pairs.later)
    near = _close(pairs, np.flatnonzero(pairs.open), np.arange(m), limit)
    source, target, weight = map(
        np.concatenate, zip(_overlapping(pairs, min_iou), near, strict=True)
    )
    pair, place = np.unique(source * m + target, return_inverse=True)
    return pair // m, pair % m, np.bincount(place, weight, pair.size) / 2


def _near(pairs: _Pairs, partner: IntArray, limit: float) -> Weighted:
    """Return the candidates by distance: cells and objects that no overlap has linked.

    A mask that a linked object covers is a merge, and an object that lies in the mask of a
    linked cell is a piece of that cell: neither is looked for elsewhere.
    """
    used = _used(pairs, partner)
    free = pairs.open & ~used
    vacant = partner < 0
    free[pairs.source[pairs.of_source & ~vacant[pairs.target]]] = False
    vacant[pairs.target[pairs.of_target & used[pairs.source]]] = False
    return _close(pairs, np.flatnonzero(free), np.flatnonzero(vacant), limit)


def _used(pairs: _Pairs, partner: IntArray) -> BoolArray:
    """Return which sources are linked."""
    used = np.zeros(pairs.y.size, bool)
    used[partner[partner >= 0]] = True
    return used


def _close(pairs: _Pairs, i: IntArray, j: IntArray, limit: float) -> Weighted:
    """Return the pairs of these cells and objects that are near and of similar area."""
    y, x = pairs.y + pairs.ahead[0], pairs.x + pairs.ahead[1]
    distance = np.hypot(y[i][:, None] - pairs.later.y[j], x[i][:, None] - pairs.later.x[j])
    p, q = np.nonzero(distance < limit)
    source, target = i[p], j[q]
    # A cell that leaves over the border has what is visible of it.
    areas = np.stack([pairs.full_area[source], pairs.area[source]])
    ratio = areas / pairs.later.area[target]
    similarity = np.minimum(ratio, 1 / np.maximum(ratio, 1e-9)).max(axis=0)
    weight = (1.0 - distance[p, q] / limit) * similarity**2 * pairs.discount[source]
    similar = similarity >= SIMILAR_AREA
    return source[similar], target[similar], weight[similar]


def _covers(pairs: _Pairs, partner: IntArray, first: int) -> list[Cover]:
    """Return the lost cells that linked objects cover, and mark those that are swallowed.

    A lost cell is swallowed by a linked object that covers its mask, if that object has grown by
    at least half of the lost cell's area, or if the cell was already in it before.
    """
    used = _used(pairs, partner)
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

    @property
    def typical(self) -> float:
        """Median of the steps taken in (px); 0 where there are none."""
        known = np.concatenate([np.zeros(0), *self._steps])
        return float(np.median(known)) if known.size else 0.0

    @property
    def limit(self) -> float:
        """The largest distance (px)."""
        return min(self._most, max(self._least, STEPS * self.typical))

    def update(self, steps: FloatArray) -> float:
        """Take a frame's steps, and return the new limit.

        `steps`: (k,) distances of cells that were seen in the frame before, in pixels.
        """
        self._steps.append(steps)
        return self.limit


FAST = 0.25
"""Step from which a cell is fast, in its diameters: slower ones lie on their own mask."""
LEAST_PAIRS = 10
"""Pairs of successive steps of fast cells that tell whether motion goes on."""


class Motion:
    """How much of a fast cell's step the next one keeps, learned from the movie itself.

    The share is the regression of steps of linked cells on the steps before them, among fast ones:
    about 0 where cells jump at random, or where masks that break or merge move the centroids.
    """

    def __init__(self) -> None:
        self._products, self._squares, self._pairs = 0.0, 0.0, 0

    def update(self, before: FloatArray, after: FloatArray, diameter: FloatArray) -> None:
        """Take (2, n) successive steps of cells, NaN where unknown, and their diameters."""
        fast = np.hypot(*before) >= FAST * diameter
        self._pairs += int(np.count_nonzero(fast))
        self._products += float((before * after)[:, fast].sum())
        self._squares += float((before**2)[:, fast].sum())

    @property
    def kept(self) -> float:
        """Share of a step that the next one keeps (0 to 1)."""
        if self._pairs < LEAST_PAIRS:
            return 0.0
        return min(1.0, max(0.0, self._products / self._squares))

    def ahead(self, velocity: FloatArray, diameter: FloatArray, missed: int) -> IntArray:
        """Return (2, n) whole pixels by which cells are expected to have moved.

        `missed`: frames in which they were not seen since. Slow cells stay where they are.
        """
        share = sum(self.kept ** (k + 1) for k in range(missed + 1))
        expected = share * np.where(np.hypot(*velocity) >= FAST * diameter, velocity, 0.0)
        return np.rint(expected).astype(np.int64)


Kind = Literal["overlap", "near", "distance"]
"""How a link was found: by overlap; in a movie of fast cells; by distance, of what was left."""

TABLES: dict[Kind, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "overlap": (
        (0.0077, 0.0608, 0.1704, 0.2914, 0.4227, 0.5474, 0.6653, 0.7699, 0.861, 0.9307),
        (0.8415, 0.8746, 0.8925, 0.9431, 0.9754, 0.9904, 0.996, 0.9988, 0.9991, 0.9994),
    ),
    "near": (
        (0.0304, 0.0619, 0.0876, 0.137, 0.2285, 0.3297, 0.465, 0.6817),
        (0.4512, 0.7439, 0.8086, 0.8913, 0.9486, 0.9805, 0.9941, 0.9997),
    ),
    "distance": (
        (0.0914, 0.2222, 0.3971),
        (0.622, 0.9146, 0.9628),
    ),
}
"""Margins, and the share of right links at each: isotonic fits by `benchmarks/calibrate.py`."""


def probability(margin: FloatArray, kind: Kind) -> FloatArray:
    """Return how likely links of this kind are right, given their margins (0 to 1)."""
    return np.interp(margin, *TABLES[kind])
