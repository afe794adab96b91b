"""Divisions: one cell whose place and area two daughters take over."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovflow.labels import BoolArray, FloatArray, IntArray
from fovflow.tracking.linking import COVERED, KeptFrame
from fovflow.tracking.overlaps import FrameObjects, overlaps

NEAR = 1.5
"""Largest distance of a daughter from its parent, in the parent's diameters."""
APART = 0.35
"""Least distance between the daughters, in the parent's diameters; half discs have 0.42."""
MIDDLE = 0.5
"""Largest distance of the middle between the daughters from the parent, in its diameters."""
STAYS = 0.45
"""Distance of the middle from the parent, in that of the daughters, from which one stays there."""
RECENT = 5
"""Detections of a cell whose median area is its usual one: it shrinks just before it divides."""
LEAST_HISTORY = 3
"""Detections that a cell must have had for its merge into another to count."""
_TOGETHER = 1 << 14
"""Detections whose recent areas are held in memory at a time."""
COEFFICIENTS = {
    "one": 2.26,
    "sum": -5.46,
    "symmetry": 5.16,
    "middle": -5.16,
    "larger": -2.93,
    "late": -2.0,
}
"""Of the logistic model of a division, see `terms`; fitted by `benchmarks/calibrate.py`."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A new object in the mask that a cell had before; both as detections."""

    earlier: int
    newborn: int
    pixels: int
    """Common pixels of both masks."""
    visible: int
    """Pixels of the earlier mask that the drift leaves in the newborn's frame."""


@dataclass(frozen=True, slots=True)
class Division:
    """An accepted division: the parent's last detection and the daughters' first ones."""

    parent: int
    daughters: tuple[int, int]
    """The one linked to the parent, if there is one, and the new one."""
    probability: float


@dataclass(frozen=True, slots=True)
class Chains:
    """All detections and the links between them; arrays have one entry per detection."""

    previous: IntArray
    following: IntArray
    """Index of the linked detection after; -1 for none, as in `previous`."""
    head: IntArray
    """Index of the first detection of the same chain."""
    frame: IntArray
    """Position of the frame among those that were added."""
    area: IntArray
    y: FloatArray
    x: FloatArray
    """Centroid freed of drift (px), as `y`."""


def origins(
    kept: Sequence[KeptFrame],
    later: FrameObjects,
    first: int,
    drift: tuple[int, int],
    newborn: BoolArray,
) -> list[Origin]:
    """Return the masks of the frames before in which the objects without a link lie.

    `first`, `drift`: the index of the later frame's first object among all detections, and the
    frame's cumulative drift (y, x). `newborn`: (n,) whether an object has no link.
    """
    found: list[Origin] = []
    if not newborn.any():
        return found
    for k in kept:
        shift = (drift[0] - k.drift[0], drift[1] - k.drift[1])
        common = overlaps(k.objects, later, shift, among=newborn)
        earlier, new = (k.first + common.source).tolist(), (first + common.target).tolist()
        visible = common.source_area[common.source].tolist()
        found += map(Origin, earlier, new, common.pixels.tolist(), visible)
    return found


def decide(
    chains: Chains,
    swallowed: Sequence[tuple[int, int]],
    owner: IntArray,
    max_gap: int,
) -> list[Division]:
    """Return the divisions, the likeliest first; a detection takes part in one at most.

    An object that holds a swallowed cell and falls in two is no dividing cell: such a split is
    counted against the merge instead. `swallowed`: (lost detection, detection of the object that
    swallowed it), each pair once, by time. `owner`: what `join_fragments` returned: pieces are
    neither parents nor daughters. `max_gap`: most frames in which a daughter may be missed.
    """
    merges = _merges(chains, swallowed)
    accepted: list[Division] = []
    settled: set[int] = set()
    for division in _candidates(chains, owner[chains.head] == chains.head, max_gap):
        parent, newborn = division.parent, division.daughters[1]
        if {parent, *division.daughters} & settled:
            continue
        inside = merges[int(chains.head[parent])]
        earlier = [into for into in inside if into <= parent]
        if earlier:
            inside.remove(earlier[0])
            settled.add(newborn)
        else:
            accepted.append(division)
            settled |= {parent, *division.daughters}
    return accepted


def _candidates(chains: Chains, whole: BoolArray, max_gap: int) -> list[Division]:
    """Return what is more likely a division than not, in the order in which it is decided.

    Where a daughter stays in the parent's place this may be a daughter already, whose sister was
    missed at first: such ones come last.
    """
    usual = usual_area(chains)
    found = []
    for o, h, b in _triples(chains, whole, usual, max_gap):
        d = _diameter(float(usual[o]))
        away, middle, apart = _distances(chains, o, h, b)
        if away > NEAR * d or middle > MIDDLE * d or apart < APART * d:
            continue
        probability = _probability(terms(chains, float(usual[o]), o, h, b))
        if probability >= 0.5:
            found.append((middle > STAYS * apart, -probability, b, o, h))
    return [Division(o, (h, b), -negative) for _, negative, b, o, h in sorted(found)]


def _triples(
    chains: Chains, whole: BoolArray, usual: FloatArray, max_gap: int
) -> Iterator[tuple[int, int, int]]:
    """Yield detections of cells, what goes on from each, and a new cell near it.

    Where nothing goes on from a cell both daughters may have lost the link to it.
    """
    lasts = (chains.following >= 0) | (chains.frame == chains.frame[-1:])
    fresh = whole & lasts & (chains.previous < 0)
    for b in np.flatnonzero(fresh & (chains.frame > 0)).tolist():
        t = int(chains.frame[b])
        span = slice(*np.searchsorted(chains.frame, [t - max_gap - 1, t + 1]))
        away = np.hypot(chains.y[span] - chains.y[b], chains.x[span] - chains.x[b])
        near = whole[span] & (away <= NEAR * _diameter(usual[span])) & (chains.frame[span] < t)
        siblings = span.start + np.flatnonzero(fresh[span])
        siblings = siblings[siblings < b]
        for o in (span.start + np.flatnonzero(near)).tolist():
            heir = int(chains.following[o])
            later = siblings[chains.frame[siblings] > chains.frame[o]].tolist()
            for h in later if heir < 0 else [heir]:
                if lasts[h] and chains.frame[h] <= t:
                    yield o, h, b


def _diameter(area: float | FloatArray) -> Any:
    return np.sqrt(4.0 / np.pi * area)


def _distances(chains: Chains, o: int, h: int, b: int) -> tuple[float, float, float]:
    """Return how far a daughter is from the parent, the daughters' middle, and they from another.

    All in pixels.
    """
    (y0, x0), (y1, x1), (y2, x2) = ((float(chains.y[d]), float(chains.x[d])) for d in (o, h, b))
    middle = math.hypot((y1 + y2) / 2 - y0, (x1 + x2) / 2 - x0)
    return math.hypot(y1 - y0, x1 - x0), middle, math.hypot(y2 - y1, x2 - x1)


def usual_area(chains: Chains) -> FloatArray:
    """Return the median area of each detection and those of its cell just before it."""
    usual = np.empty(chains.area.size)
    for start in range(0, usual.size, _TOGETHER):
        at = np.arange(start, min(start + _TOGETHER, usual.size))
        recent = [chains.area[at].astype(np.float64)]
        for _ in range(RECENT - 1):
            at = np.where(at < 0, -1, chains.previous[at])
            recent.append(np.where(at < 0, np.nan, chains.area[at]))
        usual[start : start + _TOGETHER] = np.nanmedian(recent, axis=0)
    return usual


def terms(chains: Chains, usual: float, o: int, h: int, b: int) -> dict[str, float]:
    """Return what tells a parent `o` and its daughters `h` and `b` from other detections.

    `usual`: the parent's usual area (px).
    """
    small, large = sorted((float(chains.area[h]), float(chains.area[b])))
    return {
        "one": 1.0,
        "sum": math.log((small + large) / usual) ** 2,
        "symmetry": math.log(small / large),
        "middle": _distances(chains, o, h, b)[1] / math.sqrt(4.0 / math.pi * usual),
        "larger": math.log(large / usual),
        "late": float(chains.frame[b] - chains.frame[o] > 1),
    }


def _probability(found: Mapping[str, float]) -> float:
    """Return how likely three detections of these terms are a parent and its daughters."""
    return 1.0 / (1.0 + math.exp(-sum(COEFFICIENTS[name] * found[name] for name in found)))


def _merges(chains: Chains, swallowed: Sequence[tuple[int, int]]) -> dict[int, list[int]]:
    """Return, per chain, the detections that swallowed a cell that never came back."""
    inside: dict[int, list[int]] = defaultdict(list)
    for lost, into in swallowed:
        if chains.following[lost] < 0 and _had(chains.previous, lost, LEAST_HISTORY):
            inside[int(chains.head[into])].append(into)
    return inside


def count_splits(chains: Chains, found: Sequence[Origin], others: BoolArray) -> IntArray:
    """Count, per detection, the new objects of its frame that its cell's earlier mask covers.

    `others`: (n,) which newborns count: no pieces, and no daughters.
    """
    split = np.zeros(chains.area.size, np.int32)
    pairs = {
        (int(chains.following[c.earlier]), c.newborn)
        for c in found
        if others[c.newborn] and c.pixels >= COVERED * chains.area[c.newborn]
    }
    for heir, newborn in pairs:
        if heir >= 0 and chains.frame[heir] == chains.frame[newborn]:
            split[heir] += 1
    return split


def _had(previous: IntArray, detection: int, count: int) -> bool:
    """Whether a chain up to `detection` has at least `count` detections."""
    for _ in range(count - 1):
        detection = int(previous[detection])
        if detection < 0:
            return False
    return True
