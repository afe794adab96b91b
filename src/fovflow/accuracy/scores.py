"""Scores of segmentation, tracking and intensities against a known truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike

from fovflow.accuracy.matching import Floats, Ints, LabelFrames, Matches, match_frames

Parents = Mapping[int, int]
"""Daughter id to mother id."""

_SPLIT, _MISSED, _EXTRA = 5.0, 10.0, 1.0
_BORDER_PX, _BORDER_SHARE = 128, 8
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


def parents_of(table: Mapping[str, ArrayLike]) -> dict[int, int]:
    """Return the mother of each daughter in a table of cells or links."""
    rows = zip(
        np.asarray(table["cell"]).tolist(), np.asarray(table["parent"]).tolist(), strict=True
    )
    return {int(cell): int(parent) for cell, parent in rows if parent > 0}


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
    found = matches.found_id[matches.match[held]]
    pairs = np.stack([matches.truth_id[held], found], axis=1)
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
    parents = {"truth_parents": truth_parents, "found_parents": found_parents}
    return match_divisions(truth, labeled, tolerance=tolerance, **parents).f1


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


class DetectionCounts(TypedDict):
    """Objects of all frames, counted."""

    true: int
    """True objects."""
    found: int
    """Found objects."""
    matched: int
    """True objects of which one found object covers more than half."""
    missed: int
    """True objects without."""
    extra: int
    """Found objects that match no true object."""
    merged: int
    """Found objects that match two or more."""
    split: int
    """True objects of which two or more found objects cover at least a tenth each."""


def seg_score(truth: LabelFrames | Matches, found: LabelFrames | None = None) -> float:
    """Return the SEG score of the Cell Tracking Challenge.

    The mean over all true objects R of all frames of |R ∩ S| / |R ∪ S|, where S is the found
    object with |R ∩ S| > |R| / 2, and of 0 where there is none (Maška et al. 2014,
    doi:10.1093/bioinformatics/btu080).

    Parameters
    ----------
    truth, found : LabelFrames
        (Y, X), (T, Y, X), or iterables of frames.

    Returns
    -------
    float
        0 to 1; NaN if there is no true object.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.array([[1, 1, 0, 2]])
    >>> seg_score(truth, np.array([[5, 5, 5, 0]]))
    0.3333333333333333
    """
    matches = match_frames(truth, found)
    return float(matches.jaccard.mean()) if matches.jaccard.size else float("nan")


def f1_score(
    truth: LabelFrames | Matches, found: LabelFrames | None = None, *, least: float = 0.5
) -> float:
    """Return the harmonic mean of precision and recall of the found objects.

    A true object is found where the intersection over union with its match is above `least`
    (0.5 or more); F1 = 2 · found / (true objects + found objects), NaN without any.
    """
    matches = match_frames(truth, found)
    total = matches.truth_id.size + matches.found_id.size
    return 2.0 * int((matches.jaccard > least).sum()) / total if total else float("nan")


def detection_counts(
    truth: LabelFrames | Matches, found: LabelFrames | None = None
) -> DetectionCounts:
    """Count found, missed, extra, merged and split objects; see `DetectionCounts`."""
    matches = match_frames(truth, found)
    times, matched = matches.times_matched, int((matches.match >= 0).sum())
    return {
        "true": matches.truth_id.size,
        "found": matches.found_id.size,
        "matched": matched,
        "missed": matches.truth_id.size - matched,
        "extra": int((times == 0).sum()),
        "merged": int((times > 1).sum()),
        "split": int((matches.parts > 1).sum()),
    }


class IntensityErrors(TypedDict):
    """Result of `intensity_errors`; relative errors are |found - true| / true."""

    median: float
    """Median error of all compared rows; NaN without any."""
    median_centre: float
    """Median error of cells away from the border."""
    median_border: float
    """Median error of cells near it."""
    bias: float
    """Median of (found - true) / true."""
    p90: float
    """90th percentile of the errors."""
    rows: int
    """Rows compared."""
    rows_border: int
    """Of them near the border."""
    rows_true: int
    """True rows that are bright enough to be compared."""


def intensity_errors(
    truth: Mapping[str, ArrayLike],
    traces: Mapping[str, ArrayLike],
    *,
    channel: int,
    height: int,
    width: int,
    least_total: float | None = None,
) -> IntensityErrors:
    """Compare the total intensities of found cells with those of true cells.

    Per frame, a found and a true cell belong together if each is the other's nearest by centroid
    and their distance is at most the radius of the circle of the true area. A cell is near the
    border if its true centroid is less than min(128 px, an eighth of the frame's shorter edge)
    from it.

    Parameters
    ----------
    truth : mapping of str to array-like
        The columns ``frame, x, y, area, total_ch_{channel}`` of `Movie.cells`.
    traces : mapping of str to array-like
        The columns ``frame, position_x, position_y, intensity_total_ch_{channel}`` of the
        traces; a pandas.DataFrame will do.
    channel : int
    height, width : int
        Of the frame (px).
    least_total : float, optional
        Dimmer true cells are left out (counts); by default a tenth of the 95th percentile of all.
    """
    frame, x, y, area, total = (
        np.asarray(truth[name], np.float64)
        for name in ("frame", "x", "y", "area", f"total_ch_{channel}")
    )
    found_frame, found_x, found_y, found_total = (
        np.asarray(traces[name], np.float64)
        for name in ("frame", "position_x", "position_y", f"intensity_total_ch_{channel}")
    )
    if least_total is None:
        least_total = 0.1 * float(np.percentile(total, 95)) if total.size else 0.0
    partner = np.full(frame.size, -1, np.int64)
    for t in np.unique(frame):
        mine, theirs = np.flatnonzero(frame == t), np.flatnonzero(found_frame == t)
        pairs = _mutual(
            np.stack([x[mine], y[mine]], 1),
            np.stack([found_x[theirs], found_y[theirs]], 1),
            np.sqrt(area[mine] / np.pi),
        )
        for a, b in pairs:
            partner[mine[a]] = theirs[b]
    bright = (total >= least_total) & (total > 0)
    used = bright & (partner >= 0)
    signed = found_total[partner[used]] / total[used] - 1.0
    edge = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y))
    near = edge[used] < min(_BORDER_PX, min(height, width) / _BORDER_SHARE)
    errors = np.abs(signed)
    return {
        "median": _quantile(errors, 0.5),
        "median_centre": _quantile(errors[~near], 0.5),
        "median_border": _quantile(errors[near], 0.5),
        "bias": _quantile(signed, 0.5),
        "p90": _quantile(errors, 0.9),
        "rows": int(used.sum()),
        "rows_border": int(near.sum()),
        "rows_true": int(bright.sum()),
    }


def _mutual(true: Floats, found: Floats, reach: Floats) -> list[tuple[int, int]]:
    """Return pairs of mutually nearest points within each true point's reach."""
    if not len(true) or not len(found):
        return []
    distance = np.hypot(*(true[:, None] - found[None]).transpose(2, 0, 1))
    nearest, back = distance.argmin(1), distance.argmin(0)
    return [
        (k, int(n)) for k, n in enumerate(nearest) if back[n] == k and distance[k, n] <= reach[k]
    ]


def _quantile(values: Floats, q: float) -> float:
    return float(np.quantile(values, q)) if values.size else float("nan")
