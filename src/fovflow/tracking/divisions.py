"""Divisions: one cell whose place and area two daughters take over."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fovflow.labels import BoolArray, FloatArray, IntArray
from fovflow.tracking.linking import COVERED, KeptFrame
from fovflow.tracking.overlaps import FrameObjects, overlaps

NEAR = 1.0
"""Largest distance of a new object from a possible parent, in diameters of the parent."""
AREA_SUM = (0.6, 1.6)
"""Allowed ratio of the daughters' areas together to the parent's."""
LARGEST = 0.85
"""Largest ratio of a daughter's area to the parent's."""
SYMMETRY = 0.4
"""Least ratio of the smaller to the larger daughter."""
MIDDLE = 0.25
"""Largest distance of the middle between the daughters from the parent, in its diameters."""
APART = 0.35
"""Least distance between the daughters, in diameters of the parent; half discs have 0.42."""
LEAST_HISTORY = 3
"""Detections that a cell must have had for its merge into another to count."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A new object near, or in, the mask that a cell had before; both as detections."""

    parent: int
    newborn: int
    pixels: int
    """Common pixels of both masks."""
    visible: int
    """Pixels of the parent's mask that the drift leaves in the newborn's frame."""


@dataclass(frozen=True, slots=True)
class Division:
    """An accepted division: the parent's last detection and the daughters' first ones."""

    parent: int
    daughters: tuple[int, int]
    """The one linked to the parent, and the new one."""
    newborn_iou: float
    """IoU of the visible part of the parent's mask and the new daughter's."""
    score: float
    """IoU of the parent's mask with both daughters' masks together."""


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
    pixels: IntArray
    """Common pixels with the linked detection before."""


def candidates(
    kept: Sequence[KeptFrame],
    later: FrameObjects,
    first: int,
    drift: tuple[int, int],
    newborn: BoolArray,
) -> list[Candidate]:
    """Return the objects without a link that lie near or in masks of the frames before.

    `first`, `drift`: the index of the later frame's first object among all detections, and the
    frame's cumulative drift (y, x). `newborn`: (n,) whether an object has no link.
    """
    found: list[Candidate] = []
    new = np.flatnonzero(newborn)
    if not new.size:
        return found
    for k in kept:
        shift = (drift[0] - k.drift[0], drift[1] - k.drift[1])
        distance = np.hypot(
            k.objects.y[:, None] + shift[0] - later.y[new],
            k.objects.x[:, None] + shift[1] - later.x[new],
        )
        wanted = distance <= NEAR * k.objects.diameter[:, None]
        common = overlaps(k.objects, later, shift, among=newborn)
        pixels = np.zeros(wanted.shape, np.int64)
        pixels[common.source, np.searchsorted(new, common.target)] = common.pixels
        wanted |= pixels >= COVERED * later.area[new]
        for i, j in np.argwhere(wanted).tolist():
            visible = int(common.source_area[i])
            found.append(Candidate(k.first + i, first + int(new[j]), int(pixels[i, j]), visible))
    return found


def decide(
    chains: Chains,
    found: Sequence[Candidate],
    swallowed: Sequence[tuple[int, int]],
    owner: IntArray,
    *,
    accept: bool = True,
) -> tuple[list[Division], IntArray]:
    """Return the divisions, and per detection the number of other pieces that came off it.

    An object that holds a swallowed cell and falls in two is no dividing cell: such a split is
    counted against the merge instead. `swallowed`: (lost detection, detection of the object that
    swallowed it), each pair once, by time. `owner`: what `join_fragments` returned: pieces are
    neither parents nor daughters. `accept`: whether there may be divisions at all.
    """
    whole = owner[chains.head] == chains.head
    found = [c for c in found if whole[c.parent] and whole[c.newborn]]
    merges = _merges(chains, swallowed)
    accepted: list[Division] = []
    settled: set[int] = set()
    for candidate in sorted(found, key=lambda c: _order(chains, c)):
        parent, newborn = candidate.parent, candidate.newborn
        if newborn in settled or parent in settled or not _shape_fits(chains, candidate):
            continue
        heir = int(chains.following[parent])
        earlier = [into for into in merges[int(chains.head[parent])] if into <= parent]
        if earlier:
            merges[int(chains.head[parent])].remove(earlier[0])
        elif accept and _lasts(chains, heir) and _lasts(chains, newborn):
            union = candidate.visible + int(chains.area[newborn]) - candidate.pixels
            iou, score = candidate.pixels / union, _score(chains, candidate)
            accepted.append(Division(parent, (heir, newborn), iou, score))
            settled |= {parent, heir, newborn}
    return accepted, _splits(chains, found, {d for a in accepted for d in a.daughters})


def _merges(chains: Chains, swallowed: Sequence[tuple[int, int]]) -> dict[int, list[int]]:
    """Return, per chain, the detections that swallowed a cell that never came back."""
    inside: dict[int, list[int]] = defaultdict(list)
    for lost, into in swallowed:
        if chains.following[lost] < 0 and _had(chains.previous, lost, LEAST_HISTORY):
            inside[int(chains.head[into])].append(into)
    return inside


def _splits(chains: Chains, found: Sequence[Candidate], daughters: set[int]) -> IntArray:
    """Count, per detection, the new objects of its frame that its cell's earlier mask covers."""
    split = np.zeros(chains.area.size, np.int64)
    pairs = {
        (int(chains.following[c.parent]), c.newborn)
        for c in found
        if c.newborn not in daughters and c.pixels >= COVERED * chains.area[c.newborn]
    }
    for heir, newborn in pairs:
        if heir >= 0 and chains.frame[heir] == chains.frame[newborn]:
            split[heir] += 1
    return split


def _order(chains: Chains, c: Candidate) -> tuple[int, int, float, int, int]:
    """Earliest newborn first, then the latest parent, then the best score."""
    born, seen = int(chains.frame[c.newborn]), int(chains.frame[c.parent])
    return born, -seen, -_score(chains, c), c.newborn, c.parent


def _score(chains: Chains, c: Candidate) -> float:
    """IoU of the parent's mask with those of both daughters together, taken as disjoint."""
    heir = int(chains.following[c.parent])
    if heir < 0:
        return 0.0
    common = min(c.pixels + int(chains.pixels[heir]), int(chains.area[c.parent]))
    total = int(chains.area[c.parent]) + int(chains.area[heir]) + int(chains.area[c.newborn])
    return common / (total - common)


def _shape_fits(chains: Chains, c: Candidate) -> bool:
    """Whether areas and positions are those of a parent and its two daughters."""
    heir = int(chains.following[c.parent])
    if heir < 0 or chains.frame[heir] > chains.frame[c.newborn]:
        return False
    parent = float(chains.area[c.parent])
    small, large = sorted((float(chains.area[heir]), float(chains.area[c.newborn])))
    if not AREA_SUM[0] * parent <= small + large <= AREA_SUM[1] * parent:
        return False
    if small < SYMMETRY * large or large > LARGEST * parent:
        return False
    diameter = np.sqrt(4.0 / np.pi * parent)
    one, other, origin = (np.array([chains.y[k], chains.x[k]]) for k in (heir, c.newborn, c.parent))
    return bool(
        np.hypot(*(other - origin)) <= NEAR * diameter
        and np.hypot(*(0.5 * (one + other) - origin)) <= MIDDLE * diameter
        and np.hypot(*(one - other)) >= APART * diameter
    )


def _lasts(chains: Chains, detection: int) -> bool:
    """Whether a daughter is seen again, or appears in the last frame."""
    return bool(chains.following[detection] >= 0 or chains.frame[detection] == chains.frame[-1])


def _had(previous: IntArray, detection: int, count: int) -> bool:
    """Whether a chain up to `detection` has at least `count` detections."""
    for _ in range(count - 1):
        detection = int(previous[detection])
        if detection < 0:
            return False
    return True
