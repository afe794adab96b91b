"""Reference of the method ``iou``: links by mask overlap, gaps, merges, divisions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fovflow.tracking.divisions import COEFFICIENTS
from fovflow.tracking.linking import TABLES
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
    iou: float


@dataclass(frozen=True)
class Division:
    """A parent's last detection, the heir (linked to it, or new as well) and the newborn."""

    parent: Detection
    heir: Detection
    newborn: Detection
    probability: float


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
        self.velocity: dict[Detection, np.ndarray] = {}
        self.successive: list[tuple[np.ndarray, np.ndarray]] = []
        self.frames = [detections(labels, t) for t, labels in enumerate(seg)]
        still: list[Shift] = [(0, 0)] * len(seg)
        self.drift = cumulative_drift(self.frames, max_drift_um / pixel_um) if drift else still
        self.before: dict[Detection, Link] = {}
        self.after: dict[Detection, Link] = {}
        self.kept: dict[int, float] = {}
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

    def common(self, source: Detection, target: Detection, ahead: bool = False) -> int:
        """Common pixels of the moved source and the target."""
        return self.overlap(source, target.frame, ahead)[1].get(target.label, 0)

    def overlap(self, source: Detection, t: int, ahead: bool) -> tuple[int, dict[int, int]]:
        """Visible area of the source in frame t and its common pixels with each label.

        It is moved by the drift, and with `ahead` by its own motion as well.
        """
        (row, column), (row0, column0) = self.drift[t], self.drift[source.frame]
        down, right = self.ahead(source, t) if ahead else (0, 0)
        return overlaps(source, self.seg[t], (row - row0 + down, column - column0 + right))

    def iou(self, source: Detection, target: Detection, ahead: bool = False) -> float:
        """Common over united pixels, of what is visible of the source."""
        visible, common = self.overlap(source, target.frame, ahead)
        p = common.get(target.label, 0)
        return p / (visible + target.area - p)

    def ahead(self, source: Detection, t: int) -> tuple[int, int]:
        """Whole pixels by which a fast cell is expected to have moved, as known before frame t."""
        velocity = self.velocity.get(source)
        if velocity is None or np.hypot(*velocity) < 0.25 * source.diameter:
            return 0, 0
        share = sum(self.kept[t] ** k for k in range(1, t - source.frame + 1))
        down, right = np.rint(share * velocity)
        return int(down), int(right)

    def kept_share(self) -> float:
        """Share of a fast cell's step that the next one keeps: a regression without intercept."""
        if len(self.successive) < 10:
            return 0.0
        products = sum(float(before @ after) for before, after in self.successive)
        squares = sum(float(before @ before) for before, _ in self.successive)
        return min(1.0, max(0.0, products / squares))

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
        self.kept[t] = self.kept_share()
        sources = [d for d in self.earlier(t) if d not in self.after]
        self.link_by_overlap(sources, self.frames[t])
        self.link_by_distance(sources, self.frames[t])
        self.absorb(sources, self.frames[t])
        for target in self.frames[t]:
            if target in self.before:
                source = self.before[target].source
                step = (self.position(target) - self.position(source)) / (t - source.frame)
                self.velocity[target] = step
                before = self.velocity.get(source)
                if before is not None and np.hypot(*before) >= 0.25 * target.diameter:
                    self.successive.append((before, step))

    def join(self, source: Detection, target: Detection, margin: float, kind: str) -> None:
        """Record one link."""
        confidence = float(np.interp(margin, *TABLES[kind]))
        iou = self.iou(source, target, ahead=True)
        self.before[target] = self.after[source] = Link(source, target, confidence, iou)

    def link_by_overlap(self, sources: list[Detection], targets: list[Detection]) -> None:
        """First assignment of a frame: by overlap, and where cells are fast by distance too."""
        diameters = [target.diameter for target in targets]
        fast = bool(targets) and self.typical() >= 0.25 * float(np.median(diameters))
        reach = self.reach()
        weights = np.zeros((len(sources), len(targets)))
        for i, source in enumerate(sources):
            for j, target in enumerate(targets):
                iou = self.iou(source, target, ahead=True)
                if iou >= self.min_iou:
                    weights[i, j] = iou * self.damping(source, target)
                if fast:
                    weights[i, j] = (weights[i, j] + self.nearness(source, target, reach)) / 2
        steps = []
        for (i, j), margin in assign(weights).items():
            self.join(sources[i], targets[j], margin, "near" if fast else "overlap")
            if targets[j].frame == sources[i].frame + 1:
                steps.append(self.apart(sources[i], targets[j]))
        self.steps.append(steps)

    def nearness(self, source: Detection, target: Detection, reach: float) -> float:
        """Weight of a link by distance, 0 for none."""
        expected = self.position(source) + self.ahead(source, target.frame)
        r = float(np.hypot(*(self.position(target) - expected)))
        visible, _ = self.overlap(source, target.frame, ahead=True)
        similarity = max(
            min(area, target.area) / max(area, target.area) for area in (source.area, visible)
        )
        if r >= reach or similarity < 0.5:
            return 0.0
        return (1 - r / reach) * similarity**2 * self.damping(source, target)

    def typical(self) -> float:
        """Median of the steps of the last five frames."""
        steps = [step for frame in self.steps[-5:] for step in frame]
        return float(np.median(steps)) if steps else 0.0

    def reach(self) -> float:
        """How far a cell without enough overlap is looked for, from the steps of five frames."""
        return min(self.most_reach, max(self.least_reach, 4 * self.typical()))

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
            and not any(self.common(s, d, ahead=True) >= 0.5 * d.area for s in linked_sources)
        ]
        reach = self.reach()
        weights = np.zeros((len(open_sources), len(open_targets)))
        for i, source in enumerate(open_sources):
            for j, target in enumerate(open_targets):
                weights[i, j] = self.nearness(source, target, reach)
        for (i, j), margin in assign(weights).items():
            self.join(open_sources[i], open_targets[j], margin, "distance")

    def covers(self, source: Detection, target: Detection) -> bool:
        """Whether the target covers half of what is visible of the source, and something at all."""
        visible, common = self.overlap(source, target.frame, ahead=True)
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
                self.stays(c),
                -c.probability,
                *((d.frame, d.order) for d in (c.newborn, c.parent, c.heir)),
            ),
        )
        for candidate in candidates:
            three = {candidate.parent, candidate.heir, candidate.newborn}
            if three & taken:
                continue
            held = [item for item in self.held(candidate.parent) if item not in released]
            if held:
                released.add(held[0])
                taken.add(candidate.newborn)
            else:
                accepted.append(candidate)
                taken |= three
        return accepted

    def is_newborn(self, detection: Detection) -> bool:
        """Whether a detection may be a daughter that has no link to its parent."""
        linked = detection in self.before or self.is_piece(detection)
        return not linked and self.goes_on(detection)

    def candidates(self, newborn: Detection) -> Iterator[Division]:
        """Pairs of this newborn with earlier detections that are rather divisions than not."""
        if newborn.frame == 0 or not self.is_newborn(newborn):
            return
        for parent in self.earlier(newborn.frame):
            if self.is_piece(parent) or not self.near(parent, newborn):
                continue
            if parent in self.after:
                heirs = [self.after[parent].target]
            else:
                between = range(parent.frame + 1, newborn.frame + 1)
                heirs = [
                    d
                    for t in between
                    for d in self.frames[t]
                    if self.is_newborn(d) and (t, d.order) < (newborn.frame, newborn.order)
                ]
            for heir in heirs:
                late = heir.frame > newborn.frame
                if late or not self.goes_on(heir) or not self.placed(parent, heir, newborn):
                    continue
                probability = self.probability(parent, heir, newborn)
                if probability >= 0.5:
                    yield Division(parent, heir, newborn, probability)

    def usual_area(self, detection: Detection) -> float:
        """Median area of a cell in its last five detections up to this one."""
        return float(np.median([d.area for d in self.chain(detection)[-5:]]))

    def near(self, parent: Detection, daughter: Detection) -> bool:
        """Whether a daughter is not too far from its parent."""
        diameter = math.sqrt(4 / math.pi * self.usual_area(parent))
        return self.apart(parent, daughter) <= 1.5 * diameter

    def stays(self, c: Division) -> bool:
        """Whether one of the daughters is in the parent's place."""
        middle = (self.position(c.heir) + self.position(c.newborn)) / 2 - self.position(c.parent)
        return float(np.hypot(*middle)) > 0.45 * self.apart(c.heir, c.newborn)

    def placed(self, parent: Detection, heir: Detection, newborn: Detection) -> bool:
        """Whether the daughters lie apart, near the parent, on opposite sides."""
        diameter = math.sqrt(4 / math.pi * self.usual_area(parent))
        middle = (self.position(heir) + self.position(newborn)) / 2 - self.position(parent)
        return (
            self.near(parent, heir)
            and self.apart(heir, newborn) >= 0.35 * diameter
            and float(np.hypot(*middle)) <= 0.5 * diameter
        )

    def probability(self, parent: Detection, heir: Detection, newborn: Detection) -> float:
        """How likely these are a parent and its daughters."""
        usual = self.usual_area(parent)
        small, large = sorted((heir.area, newborn.area))
        middle = (self.position(heir) + self.position(newborn)) / 2 - self.position(parent)
        b = COEFFICIENTS
        z = (
            b["one"]
            + b["sum"] * math.log((small + large) / usual) ** 2
            + b["symmetry"] * math.log(small / large)
            + b["middle"] * float(np.hypot(*middle)) / math.sqrt(4 / math.pi * usual)
            + b["larger"] * math.log(large / usual)
            + b["late"] * (newborn.frame > parent.frame + 1)
        )
        return 1 / (1 + math.exp(-z))

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
