"""Default tracking: masks' IoU, gaps closed, divisions found, drift compensated."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.config.methods import IouTrack
from fovflow.errors import ConfigError
from fovflow.labels import FloatArray, IntArray
from fovflow.tracking.divisions import Chains, Origin, count_splits, decide, origins
from fovflow.tracking.fragments import join_fragments
from fovflow.tracking.linking import Cover, KeptFrame, Motion, Reach, link
from fovflow.tracking.overlaps import FrameObjects, spans
from fovflow.tracking.tracks import AddedFrames, Column, Lineage, build, chain_heads, number_cells

_LEAST_CELLS = 3
_SIMILAR_AREA = 0.7
_BIN_PER_DIAMETER = 0.25
_LEAST_BIN_PX = 2.0
_NEARLY_BEST = 0.8
_SUPPORT = 0.5
_REFINE_BINS = 1.5


def estimate(earlier: FrameObjects, later: FrameObjects, limit_px: float) -> tuple[int, int]:
    """Return the shift (dy, dx) in whole pixels that most objects share; (0, 0) where none is.

    Every pair of objects of similar area votes for its displacement. The displacement that at
    least half of the objects agree on is the drift; among displacements that have nearly as many
    votes as the best one, the smallest is taken, so that a regular array of cells does not
    jump by one place.

    `limit_px`: largest drift per axis.
    """
    n = min(len(earlier), len(later))
    if n < _LEAST_CELLS or limit_px <= 0:
        return 0, 0
    dy, dx = _displacements(earlier, later, limit_px)
    diameter = float(np.median(np.concatenate([earlier.diameter, later.diameter])))
    side = max(_LEAST_BIN_PX, _BIN_PER_DIAMETER * diameter)
    by = np.floor(dy / side + 0.5).astype(np.int64)
    bx = np.floor(dx / side + 0.5).astype(np.int64)
    reach = int(np.floor(limit_px / side + 0.5))
    votes = _box_sum(by + reach, bx + reach, 2 * reach + 1)
    best = int(votes.max())
    if best < max(_LEAST_CELLS, _SUPPORT * n):
        return 0, 0
    ky, kx = np.nonzero(votes >= _NEARLY_BEST * best)
    ky, kx = ky - reach, kx - reach
    first = np.lexsort((kx, ky, ky * ky + kx * kx))[0]
    near = (np.abs(by - ky[first]) <= 1) & (np.abs(bx - kx[first]) <= 1)
    my, mx = float(np.median(dy[near])), float(np.median(dx[near]))
    reach_px = _REFINE_BINS * side
    near = (np.abs(dy - my) <= reach_px) & (np.abs(dx - mx) <= reach_px)
    return int(np.rint(np.median(dy[near]))), int(np.rint(np.median(dx[near])))


def _displacements(
    earlier: FrameObjects, later: FrameObjects, limit_px: float
) -> tuple[FloatArray, FloatArray]:
    """Return the displacements of all pairs of similar area within the limit."""
    order = np.argsort(later.y, kind="stable")
    y = later.y[order]
    low = np.searchsorted(y, earlier.y - limit_px, side="left")
    high = np.searchsorted(y, earlier.y + limit_px, side="right")
    i, j = spans(low, high)
    j = order[j]
    dy, dx = later.y[j] - earlier.y[i], later.x[j] - earlier.x[i]
    a, b = earlier.area[i], later.area[j]
    near = (np.abs(dx) <= limit_px) & (np.minimum(a, b) >= _SIMILAR_AREA * np.maximum(a, b))
    return dy[near], dx[near]


def _box_sum(row: IntArray, column: IntArray, size: int) -> IntArray:
    """Return the histogram of (row, column), each bin with its eight neighbours added."""
    counts = np.zeros((size + 2, size + 2), np.int64)
    np.add.at(counts, (row + 1, column + 1), 1)
    rows = counts[:-2] + counts[1:-1] + counts[2:]
    result: IntArray = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    return result


_PER_OBJECT = {
    "previous": np.int32, "iou": np.float64, "confidence": np.float64,
    "area": np.int32, "y": np.float64, "x": np.float64,
}  # fmt: skip


class IouTracker:
    """Link masks frame by frame; see docs/algorithms/tracking.md, `iou`.

    Only the masks of the last `max_gap` + 1 frames are kept, as runs.

    `pixel_um`: edge length of a pixel in µm; needed unless both lengths in µm are 0. Raises
    ConfigError if the pixel size is needed and not given.
    """

    def __init__(self, settings: IouTrack, pixel_um: float | None = None):
        max_drift_um = settings.max_drift_um if settings.drift else 0.0
        if pixel_um is not None and not pixel_um > 0:
            raise ConfigError("pixel_um must be above 0", found=str(pixel_um))
        if pixel_um is None and (settings.max_distance_um or max_drift_um):
            raise ConfigError(
                "tracking by iou needs the pixel size",
                remedy="give pixel_um, or set max_distance_um to 0 and drift to False",
            )
        px = pixel_um or math.inf
        self._reach = Reach(settings.reach_um / px, settings.max_distance_um / px)
        self._motion = Motion()
        self._max_drift_px = max_drift_um / px
        self._min_iou, self._max_gap = settings.min_iou, settings.max_gap
        self._divisions = settings.divisions
        self._max_piece = settings.max_gap + 1 if settings.fragments else 0
        self._frames = AddedFrames()
        self._drift: list[tuple[int, int]] = []
        # Arrays that grow in place: many small ones would leave holes in memory.
        self._columns = {name: array(np.dtype(kind).char) for name, kind in _PER_OBJECT.items()}
        self._kept: list[KeptFrame] = []
        self._last_seen: tuple[FrameObjects, tuple[int, int]] | None = None
        self._origins: list[Origin] = []
        self._covers: list[Cover] = []
        self._count = 0
        self._lineage: Lineage | None = None

    def add(self, t: int, labels: NDArray[Any]) -> None:
        """Take the labels of frame `t`, (Y, X) integers; frames come in ascending order.

        A frame that is left out counts as never acquired, and not as a gap.
        """
        if self._lineage is not None:
            raise RuntimeError("a frame is added to a tracker that has finished")
        objects = self._frames.add(t, labels)
        here = self._locate(objects)
        found = link(
            self._kept, objects, here,
            first=self._count, min_iou=self._min_iou, reach=self._reach, motion=self._motion,
        )  # fmt: skip
        newborn = found.previous < 0
        self._origins += origins(self._kept, objects, self._count, here, newborn)
        self._covers += found.covers
        values = {
            "previous": found.previous,
            "iou": found.iou,
            "confidence": found.confidence,
            "area": objects.area,
            "y": objects.y - here[0],
            "x": objects.x - here[1],
        }
        for name, column in values.items():
            self._columns[name].frombytes(column.astype(_PER_OBJECT[name]).tobytes())
        n = len(objects)
        kept = KeptFrame(
            objects, self._count, here, found.velocity, np.ones(n, bool), np.zeros(n, bool)
        )
        self._kept = [kept, *self._kept[: self._max_gap]]
        self._count += n

    def _locate(self, objects: FrameObjects) -> tuple[int, int]:
        """Return the cumulative drift of a frame, from the last frame that had objects."""
        here = (0, 0)
        if self._last_seen is not None:
            earlier, here = self._last_seen
            dy, dx = estimate(earlier, objects, self._max_drift_px)
            here = (here[0] + dy, here[1] + dx)
        if len(objects):
            self._last_seen = (objects, here)
        self._drift.append(here)
        return here

    def finish(self) -> Lineage:
        """Return all cells, numbered by first frame, then by raster order in it.

        No frame can be added afterwards.
        """
        if self._lineage is None:
            found = self._frames.detections()
            self._frames = AddedFrames()
            columns, cell, n_cells, listed = self._settled(found.frame_index)
            drift = np.array(self._drift, np.int64).reshape(-1, 2)
            self._lineage = build(found, cell, n_cells, columns, drift=drift, listed=listed)
        return self._lineage

    def _settled(
        self, frame_index: IntArray
    ) -> tuple[dict[str, Column], IntArray, int, NDArray[np.bool_]]:
        """Return what `build` wants: columns, cells, their number, and what has a row."""
        columns: dict[str, Column] = {
            name: np.frombuffer(values, _PER_OBJECT[name]) for name, values in self._columns.items()
        }
        self._columns = {}
        chains = _chains(columns, frame_index)
        covered = [(c.lost, c.into) for c in self._covers]
        owner = join_fragments(chains, self._origins, covered, self._max_piece)
        piece = owner[chains.head] != chains.head
        merged, swallowed = _merges(chains, owner, self._covers)
        accepted = decide(chains, swallowed, owner, self._max_gap) if self._divisions else []
        previous = columns["previous"].copy()
        parent = np.full(previous.size, -1, np.int32)
        iou, confidence = columns["iou"], columns["confidence"]
        shared = {(o.earlier, o.newborn): o for o in self._origins}
        for division in accepted:
            for daughter in division.daughters:
                if previous[daughter] < 0:
                    seen = shared.get((division.parent, daughter))
                    union = seen.visible + chains.area[daughter] - seen.pixels if seen else 1
                    iou[daughter] = seen.pixels / union if seen else 0.0
                previous[daughter], parent[daughter] = -1, division.parent
                confidence[daughter] = division.probability
        split = count_splits(chains, self._origins, ~piece & (parent < 0))
        cell, n_cells = number_cells(previous, ~piece)
        beside = _beside(chains, owner, np.flatnonzero(piece))
        cell[piece] = cell[beside]
        np.add.at(split, beside, 1)
        before = np.where(previous < 0, parent, previous)
        distance = np.hypot(chains.y - chains.y[before], chains.x - chains.x[before])
        distance[before < 0] = np.nan
        of_cells = {
            "previous": before, "parent": np.where(parent < 0, 0, cell[parent]), "iou": iou,
            "confidence": confidence, "distance_px": distance, "merged": merged, "split": split,
        }  # fmt: skip
        return of_cells, cell, n_cells, ~piece


def _merges(
    chains: Chains, owner: IntArray, covers: Sequence[Cover]
) -> tuple[IntArray, list[tuple[int, int]]]:
    """Count the lost cells in each detection; return also where each got lost first.

    A piece that goes back into its cell is not counted.
    """
    merged = np.zeros(chains.area.size, np.int32)
    first: dict[tuple[int, int], tuple[int, int]] = {}
    for cover in covers:
        lost, into = owner[chains.head[cover.lost]], owner[chains.head[cover.into]]
        if cover.swallowed and lost != into:
            merged[cover.into] += 1
            first.setdefault((cover.lost, int(into)), (cover.lost, cover.into))
    return merged, list(first.values())


def _beside(chains: Chains, owner: IntArray, pieces: IntArray) -> IntArray:
    """Return, per piece, the detection of its cell in the same frame."""
    whole = owner[chains.head[pieces]]
    near = np.flatnonzero(np.isin(chains.head, whole))
    frames = np.int64(chains.frame.max(initial=0) + 1)
    key = chains.head[near] * frames + chains.frame[near]
    order = np.argsort(key)
    place = np.searchsorted(key[order], whole * frames + chains.frame[pieces])
    return near[order[place]]


def _chains(columns: dict[str, Column], frame_index: IntArray) -> Chains:
    """Turn the links backwards into chains that can be read both ways."""
    previous = columns["previous"]
    following = np.full(previous.size, -1, np.int32)
    known = np.flatnonzero(previous >= 0)
    following[previous[known]] = known
    others = (columns[name] for name in ("area", "y", "x"))
    return Chains(previous, following, chain_heads(previous), frame_index, *others)
