"""Reference of the method ``iou``: links by mask overlap, gaps, merges, divisions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reference.assignment import assign
from reference.detections import Detection, Shift, detections, overlaps
from reference.drift import cumulative_drift
from reference.fragments import Chain, first_host, whole_of


@dataclass(frozen=True)
class Link:
    """A detection and the one that it came from."""

    source: Detection
    target: Detection
    confidence: float


@dataclass(frozen=True)
class Division:
    """A parent's last detection, the heir linked to it and the newborn."""

    parent: Detection
    heir: Detection
    newborn: Detection
    score: float


class IouTracker:
    """Everything that the definition derives from the label frames of a movie."""

    def __init__(
        self,
        seg: np.ndarray,
        pixel_um: float,
        *,
        min_iou: float = 0.1,
        max_gap: int = 3,
        reach_um: float = 20.0,
        max_distance_um: float = 60.0,
        max_drift_um: float = 50.0,
        fragments: bool = True,
        divisions: bool = True,
        drift: bool = True,
    ):
        self.seg = seg
        self.min_iou, self.max_gap = min_iou, max_gap
        self.least_reach, self.most_reach = reach_um / pixel_um, max_distance_um / pixel_um
        self.steps: list[list[float]] = []
        self.frames = [detections(labels, t) for t, labels in enumerate(seg)]
        still: list[Shift] = [(0, 0)] * len(seg)
        self.drift = cumulative_drift(self.frames, max_drift_um / pixel_um) if drift else still
        self.before: dict[Detection, Link] = {}
        self.after: dict[Detection, Link] = {}
        self.absorbed: list[tuple[Detection, Detection]] = []
        self.covered: list[tuple[Detection, Detection]] = []
        for t in range(len(seg)):
            self.link(t)
        every = [d for objects in self.frames for d in objects]
        self.chains = {d: tuple(self.chain(d)) for d in every if d not in self.after}
        self.chain_of = {d: chain for chain in self.chains.values() for d in chain}
        self.pieces: dict[Chain, Chain] = {}
        if fragments:
            found = {chain: self.whole(chain) for chain in self.chains.values()}
            self.pieces = {chain: whole for chain, whole in found.items() if whole is not None}
        self.divisions = self.find_divisions() if divisions else []

    # Geometry after drift

    def common(self, source: Detection, target: Detection) -> int:
        """Common pixels of the moved source and the target."""
        return self.overlap(source, target.frame)[1].get(target.label, 0)

    def overlap(self, source: Detection, t: int) -> tuple[int, dict[int, int]]:
        """Visible area of the source in frame t and its common pixels with each label."""
        (row, column), (row0, column0) = self.drift[t], self.drift[source.frame]
        return overlaps(source, self.seg[t], (row - row0, column - column0))

    def iou(self, source: Detection, target: Detection) -> float:
        """Common over united pixels, of what is visible of the source."""
        visible, common = self.overlap(source, target.frame)
        p = common.get(target.label, 0)
        return p / (visible + target.area - p)

    def position(self, detection: Detection) -> np.ndarray:
        """Centroid freed of drift."""
        return detection.centroid - self.drift[detection.frame]

    def apart(self, a: Detection, b: Detection) -> float:
        """Distance of the centroids freed of drift."""
        return float(np.hypot(*(self.position(a) - self.position(b))))

    def earlier(self, t: int) -> Iterator[Detection]:
        """Detections of the last max_gap + 1 frames before t, newest frame first."""
        for s in range(t - 1, max(t - self.max_gap - 2, -1), -1):
            yield from self.frames[s]

    # Links

    def link(self, t: int) -> None:
        """Link the open detections of the last frames to the objects of frame t."""
        sources = [d for d in self.earlier(t) if d not in self.after]
        self.link_by_overlap(sources, self.frames[t])
        self.link_by_distance(sources, self.frames[t])
        self.absorb(sources, self.frames[t])

    def join(self, source: Detection, target: Detection, confidence: float) -> None:
        """Record one link."""
        self.before[target] = self.after[source] = Link(source, target, confidence)

    def link_by_overlap(self, sources: list[Detection], targets: list[Detection]) -> None:
        """First assignment of a frame."""
        weights = np.zeros((len(sources), len(targets)))
        for i, source in enumerate(sources):
            for j, target in enumerate(targets):
                iou = self.iou(source, target)
                if iou >= self.min_iou:
                    weights[i, j] = iou * self.damping(source, target)
        steps = []
        for (i, j), margin in assign(weights).items():
            self.join(sources[i], targets[j], margin)
            if targets[j].frame == sources[i].frame + 1:
                steps.append(self.apart(sources[i], targets[j]))
        self.steps.append(steps)

    def reach(self) -> float:
        """How far a cell without enough overlap is looked for, from the steps of five frames."""
        steps = [step for frame in self.steps[-5:] for step in frame]
        typical = float(np.median(steps)) if steps else 0.0
        return min(self.most_reach, max(self.least_reach, 4 * typical))

    def damping(self, source: Detection, target: Detection) -> float:
        """Lower weight of a link over a gap."""
        return 0.9 ** (target.frame - source.frame - 1)

    def link_by_distance(self, sources: list[Detection], targets: list[Detection]) -> None:
        """Second assignment, among what overlap left over."""
        linked_sources = [s for s in sources if s in self.after]
        linked_targets = [d for d in targets if d in self.before]
        open_sources = [
            s
            for s in sources
            if s not in self.after and not any(self.covers(s, d) for d in linked_targets)
        ]
        open_targets = [
            d
            for d in targets
            if d not in self.before
            and not any(self.common(s, d) >= 0.5 * d.area for s in linked_sources)
        ]
        reach = self.reach()
        weights = np.zeros((len(open_sources), len(open_targets)))
        for i, source in enumerate(open_sources):
            for j, target in enumerate(open_targets):
                r = self.apart(source, target)
                small, large = sorted((source.area, target.area))
                if r < reach and small >= 0.5 * large:
                    weights[i, j] = (1 - r / reach) * self.damping(source, target)
        for (i, j), margin in assign(weights).items():
            self.join(open_sources[i], open_targets[j], self.min_iou * margin)

    def covers(self, source: Detection, target: Detection) -> bool:
        """Whether the target covers half of what is visible of the source, and something at all."""
        visible, common = self.overlap(source, target.frame)
        p = common.get(target.label, 0)
        return p > 0 and p >= 0.5 * visible

    def absorb(self, sources: list[Detection], targets: list[Detection]) -> None:
        """Record which open sources the linked targets have swallowed."""
        t = targets[0].frame if targets else -1
        again = {s for s, into in self.absorbed if into.frame == t - 1}
        for source in sources:
            if source in self.after:
                continue
            for target in targets:
                if target not in self.before or not self.covers(source, target):
                    continue
                self.covered.append((source, target))
                grown = target.area - self.before[target].source.area
                if grown >= 0.5 * source.area or source in again:
                    self.absorbed.append((source, target))

    def chain(self, detection: Detection) -> list[Detection]:
        """The detections linked to one another up to this one, first to last."""
        chain = [detection]
        while chain[-1] in self.before:
            chain.append(self.before[chain[-1]].source)
        return chain[::-1]

    # Fragments

    def whole(self, chain: Chain) -> Chain | None:
        """The chain that this one is a piece of."""
        hosts = [first_host(d, self.covered) for d in chain]
        return whole_of(
            chain,
            self.origin(chain[0]),
            [None if host is None else self.chain_of[host] for host in hosts],
            self.max_gap + 1,
        )

    def origin(self, newborn: Detection) -> Chain | None:
        """The chain whose mask covered the place of a newborn most recently."""
        parents = [
            (-o.frame, -self.common(o, newborn), o.order, o)
            for o in self.earlier(newborn.frame)
            if o in self.after and self.common(o, newborn) >= 0.5 * newborn.area
        ]
        return self.chain_of[min(parents)[-1]] if parents else None

    def root(self, detection: Detection) -> Chain:
        """The chain of the whole cell."""
        chain = self.chain_of[detection]
        while chain in self.pieces:
            chain = self.pieces[chain]
        return chain

    def is_piece(self, detection: Detection) -> bool:
        """Whether a detection belongs to another one's cell."""
        return self.chain_of[detection] in self.pieces

    # Divisions

    def find_divisions(self) -> list[Division]:
        """Accept candidates in the order of the definition."""
        accepted: list[Division] = []
        taken: set[Detection] = set()
        released: set[tuple[Detection, Detection]] = set()
        candidates = sorted(
            (c for objects in self.frames for b in objects for c in self.candidates(b)),
            key=lambda c: (
                c.newborn.frame, -c.parent.frame, -c.score, c.newborn.order, c.parent.order,
            ),
        )  # fmt: skip
        for candidate in candidates:
            if {candidate.parent, candidate.newborn} & taken:
                continue
            held = [item for item in self.held(candidate.parent) if item not in released]
            if held:
                released.add(held[0])
                continue
            if all(map(self.goes_on, (candidate.heir, candidate.newborn))):
                accepted.append(candidate)
                taken |= {candidate.parent, candidate.heir, candidate.newborn}
        return accepted

    def candidates(self, newborn: Detection) -> Iterator[Division]:
        """Pairs of this newborn with earlier detections that fit in area and position."""
        if newborn in self.before or self.is_piece(newborn):
            return
        for parent in self.earlier(newborn.frame):
            if self.is_piece(parent):
                continue
            link = self.after.get(parent)
            if self.apart(parent, newborn) > parent.diameter or link is None:
                continue
            heir = link.target
            if heir.frame <= newborn.frame and self.fits(parent, heir, newborn):
                p = min(self.common(parent, heir) + self.common(parent, newborn), parent.area)
                score = p / (parent.area + heir.area + newborn.area - p)
                yield Division(parent, heir, newborn, score)

    def fits(self, parent: Detection, heir: Detection, newborn: Detection) -> bool:
        """Whether two daughters have the areas and the place of this parent's."""
        small, large = sorted((heir.area, newborn.area))
        middle = (self.position(heir) + self.position(newborn)) / 2
        return (
            0.6 * parent.area <= small + large <= 1.6 * parent.area
            and small >= 0.4 * large
            and large <= 0.85 * parent.area
            and float(np.hypot(*(middle - self.position(parent)))) <= 0.25 * parent.diameter
            and self.apart(heir, newborn) >= 0.35 * parent.diameter
        )

    def goes_on(self, detection: Detection) -> bool:
        """Whether a detection is linked to a later one or lies in the last frame."""
        return detection in self.after or detection.frame == len(self.frames) - 1

    def held(self, detection: Detection) -> list[tuple[Detection, Detection]]:
        """Cells that the chain up to this detection has swallowed: (first of the chain, cell)."""
        chain = self.chain(detection)
        cells = []
        for source, into in self.absorbed:
            lost = source not in self.after and len(self.chain(source)) >= 3
            own = self.root(source) is self.root(into)
            if into in chain and lost and not own and (chain[0], source) not in cells:
                cells.append((chain[0], source))
        return cells
