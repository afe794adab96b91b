"""Scores of tracking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fovflow.simulation.matching import Ints, LabelFrames, Matches, match_frames

Parents = Mapping[int, int]
"""Daughter id to mother id."""

_SPLIT, _MISSED, _EXTRA = 5.0, 10.0, 1.0
_EDGE_DELETED, _EDGE_ADDED, _EDGE_CHANGED = 1.0, 1.5, 1.0


@dataclass(frozen=True)
class CompleteTracks:
    """Result of `complete_tracks`."""

    complete: int
    total: int
    ids: tuple[int, ...]
    """The true cells whose tracks are complete."""

    @property
    def fraction(self) -> float:
        """Share of complete tracks; NaN if there is no true track."""
        return self.complete / self.total if self.total else float("nan")


def match_tracks(
    truth: LabelFrames | Matches, labeled: LabelFrames | None = None
) -> dict[str, Ints]:
    """Count in how many frames a true cell and a found id belong together.

    Returns
    -------
    dict of numpy.ndarray
        ``truth``, ``found`` (ids) and ``frames``, one row per pair that matches in at least one
        frame, sorted by truth, then found.
    """
    matches = match_frames(truth, labeled)
    held = matches.match >= 0
    pairs = np.stack([matches.truth_id[held], matches.matched_id()[held]], axis=1)
    distinct, counts = np.unique(pairs, axis=0, return_counts=True)
    return {"truth": distinct[:, 0], "found": distinct[:, 1], "frames": counts.astype(np.int64)}


def complete_tracks(
    truth: LabelFrames | Matches,
    labeled: LabelFrames | None = None,
    *,
    min_coverage: float = 1.0,
    min_frames: int = 1,
) -> CompleteTracks:
    """Count the true tracks that one single id follows.

    A true cell's track is complete if there is a found id that (1) matches it (covers more than
    half of it) in at least the share `min_coverage` of the frames in which its mask is not empty
    and (2) matches no other true cell in any frame; and if (3) no other id matches it in any
    frame.

    Parameters
    ----------
    truth, labeled : LabelFrames
        Ids over time, (T, Y, X) or an iterable of frames.
    min_coverage : float
        Share of the frames, above 0, up to 1.
    min_frames : int
        True cells in view in fewer frames are left out of the count.
    """
    matches = match_frames(truth, labeled)
    table = match_tracks(matches)
    ids, present = np.unique(matches.truth_id, return_counts=True)
    counted = present >= min_frames
    partners = dict(zip(*np.unique(table["found"], return_counts=True), strict=True))
    followers = dict(zip(*np.unique(table["truth"], return_counts=True), strict=True))
    frames = dict(zip(ids.tolist(), present.tolist(), strict=True))
    wanted = set(ids[counted].tolist())
    complete = [
        cell
        for cell, found, held in zip(*(table[k].tolist() for k in table), strict=True)
        if cell in wanted
        and held >= min_coverage * frames[cell]
        and partners[found] == 1
        and followers[cell] == 1
    ]
    return CompleteTracks(len(complete), int(counted.sum()), tuple(complete))


def tra_score(
    truth: LabelFrames | Matches,
    labeled: LabelFrames | None = None,
    *,
    truth_parents: Parents | None = None,
    found_parents: Parents | None = None,
) -> float:
    """Return the TRA score of the Cell Tracking Challenge.

    Both results are graphs: a vertex per object and frame, an edge from each object to the same
    id in the next frame where it occurs, and from a mother's last object before a daughter's first
    one to that.
    AOGM is the cost of turning the found graph into the true one (Matula et al. 2015,
    doi:10.1371/journal.pone.0144959): 5 per additional true object in a found one (that is to be
    split), 10 per missed object, 1 per extra object; among found objects that match exactly one
    true object, 1 per edge that is not in the truth and 1 per edge of the wrong kind (same
    cell, mother); 1.5 per true edge that is not there. TRA = 1 - min(AOGM, AOGM0) / AOGM0 with
    AOGM0 = 10 · vertices + 1.5 · edges of the truth.

    Parameters
    ----------
    truth, labeled : LabelFrames
        Ids over time, (T, Y, X) or an iterable of frames.
    truth_parents, found_parents : mapping of int to int, optional
        Mother of each daughter.

    Returns
    -------
    float
        0 to 1; NaN if there is no true object.
    """
    matches = match_frames(truth, labeled)
    if matches.truth_id.size == 0:
        return float("nan")
    times = matches.times_matched
    cost = _SPLIT * float(np.maximum(times - 1, 0).sum())
    cost += _MISSED * float((matches.match < 0).sum()) + _EXTRA * float((times == 0).sum())

    true_edges = _edges(matches.truth_frame, matches.truth_id, truth_parents or {})
    found_edges = _edges(matches.found_frame, matches.found_id, found_parents or {})
    place = np.full(times.size, -1, np.int64)
    held = np.flatnonzero(matches.match >= 0)
    place[matches.match[held]] = held
    place[times != 1] = -1
    kept = 0
    for (a, b), kind in found_edges.items():
        start, end = int(place[a]), int(place[b])
        if start < 0 or end < 0:
            continue
        true_kind = true_edges.get((start, end))
        if true_kind is None:
            cost += _EDGE_DELETED
        else:
            kept += 1
            cost += _EDGE_CHANGED * (kind != true_kind)
    cost += _EDGE_ADDED * (len(true_edges) - kept)
    nothing = _MISSED * matches.truth_id.size + _EDGE_ADDED * len(true_edges)
    return 1.0 - min(cost, nothing) / nothing


def _edges(frame: Ints, ids: Ints, parents: Parents) -> dict[tuple[int, int], str]:
    """Return the edges of a graph by the indices of their objects, and their kinds."""
    order = np.lexsort((frame, ids))
    same = ids[order][1:] == ids[order][:-1]
    links = zip(order[:-1][same].tolist(), order[1:][same].tolist(), strict=True)
    edges = dict.fromkeys(links, "same")
    first, _ = _ends(frame, ids)
    for daughter, mother in parents.items():
        if daughter in first:
            end = first[daughter]
            before = np.flatnonzero((ids == mother) & (frame < frame[end]))
            if before.size:
                start = int(before[np.argmax(frame[before])])
                edges[start, end] = "mother"
    return edges


def _ends(frame: Ints, ids: Ints) -> tuple[dict[int, int], dict[int, int]]:
    """Return the index of each id's first and last object."""
    order = np.argsort(frame, kind="stable")
    last = {int(ids[k]): int(k) for k in order}
    first = {int(ids[k]): int(k) for k in order[::-1]}
    return first, last


@dataclass(frozen=True)
class Divisions:
    """Result of `match_divisions`."""

    true: int
    found: int
    matched: int

    @property
    def f1(self) -> float:
        """2 · matched / (true + found); NaN if there is neither a true nor a found division."""
        total = self.true + self.found
        return 2.0 * self.matched / total if total else float("nan")


def match_divisions(
    truth: LabelFrames | Matches,
    labeled: LabelFrames | None = None,
    *,
    truth_parents: Parents,
    found_parents: Parents,
    tolerance: int = 1,
) -> Divisions:
    """Count the divisions that were found.

    A division is a mother with two or more daughters, in the frame in which the first of them
    appears; it counts if the mother was in view before and two daughters are. A mother whose id
    goes on beside a daughter counts as a daughter too. A true division is found by a found one
    at most `tolerance` frames off, whose mother matches the true mother in at least one frame,
    and two of whose daughters match two different true daughters in at least one frame each.
    Each division is used once, in the order of frames.

    Parameters
    ----------
    truth, labeled : LabelFrames
        Ids over time, (T, Y, X) or an iterable of frames.
    truth_parents, found_parents : mapping of int to int
        Mother of each daughter.
    tolerance : int
        Frames.
    """
    matches = match_frames(truth, labeled)
    table = match_tracks(matches)
    pairs = set(zip(table["truth"].tolist(), table["found"].tolist(), strict=True))
    true = _divisions(matches.truth_frame, matches.truth_id, truth_parents)
    found = _divisions(matches.found_frame, matches.found_id, found_parents)
    left = list(found)
    matched = 0
    for frame, mother, daughters in true:
        for event in left:
            when, candidate, others = event
            near = abs(when - frame) <= tolerance
            if near and (mother, candidate) in pairs and _two_match(daughters, others, pairs):
                matched += 1
                left.remove(event)
                break
    return Divisions(len(true), len(found), matched)


def division_f1(
    truth: LabelFrames | Matches,
    labeled: LabelFrames | None = None,
    *,
    truth_parents: Parents,
    found_parents: Parents,
    tolerance: int = 1,
) -> float:
    """Return the F1 score of `match_divisions`."""
    return match_divisions(
        truth,
        labeled,
        truth_parents=truth_parents,
        found_parents=found_parents,
        tolerance=tolerance,
    ).f1


def _divisions(frame: Ints, ids: Ints, parents: Parents) -> list[tuple[int, int, list[int]]]:
    """Return frame, mother and daughters of each division, in the order of frames."""
    first, last = _ends(frame, ids)
    families: dict[int, list[int]] = {}
    for daughter, mother in parents.items():
        if daughter in first and mother in first:
            families.setdefault(mother, []).append(daughter)
    events = []
    for mother, daughters in families.items():
        when = min(int(frame[first[d]]) for d in daughters)
        if int(frame[first[mother]]) >= when:
            continue
        if int(frame[last[mother]]) >= when:
            daughters.append(mother)
        if len(daughters) > 1:
            events.append((when, mother, sorted(daughters)))
    return sorted(events)


def _two_match(true: list[int], found: list[int], pairs: set[tuple[int, int]]) -> bool:
    return any(
        (a, c) in pairs and (b, d) in pairs
        for a in true
        for b in true
        for c in found
        for d in found
        if a < b and c != d
    )
