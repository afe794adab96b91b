"""Movies in memory through all steps, and how good the result is by their truth.

Also: how many of the rows that are called good are wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fovflow.accuracy.matching import Matches, match_frames
from fovflow.accuracy.scores import (
    complete_tracks,
    detection_counts,
    f1_score,
    intensity_errors,
    match_divisions,
    parents_of,
    seg_score,
    tra_score,
)
from fovflow.background import correct_stack
from fovflow.config.findings import FRAME_FINDINGS, FRAME_NOTES, METHOD_NOTES
from fovflow.features import extract_traces
from fovflow.quality import judge
from fovflow.segmentation import get_segmenter
from fovflow.simulation.movie import Movie, join_rows
from fovflow.tracking import track_stack

Options = Mapping[str, Mapping[str, Any]]
"""Parameters of the steps, with their method: ``segment``, ``track``."""
Table = Mapping[str, ArrayLike]
FAULTS = ("no cell", "merged", "wrong id", "area", "intensity")
_IN_CELL = 0.3
"""Least share of a found object's pixels in a true cell that it does not cover by half."""
_DIM = 0.02
"""Share of the median true intensity below which an intensity is not judged."""


@dataclass(frozen=True)
class Followed:
    """A movie that went through the steps."""

    labeled: NDArray[Any]
    """(T, Y, X) ids over time."""
    links: dict[str, NDArray[Any]]
    rows: dict[str, NDArray[Any]]
    """Traces with ``good`` and ``flags``."""
    flagged: NDArray[np.bool_]
    """(T,) whether the segmentation flagged the frame, so that its rows are not good."""
    noted: NDArray[np.bool_]
    """(T,) whether the segmentation, or what is known of its method, doubts the frame."""

    @property
    def parents(self) -> dict[int, int]:
        """Mother of each daughter."""
        return parents_of(self.links)


def follow(frames: Sequence[NDArray[Any]], pixel_um: float, options: Options) -> Followed:
    """Segment, track, correct, measure and judge a movie.

    Parameters
    ----------
    frames : sequence of numpy.ndarray
        (C, Y, X) of each time: phase contrast first, then fluorescence.
    pixel_um : float
        Edge length of a pixel (µm).
    options : mapping
        Methods and parameters by step; what is left out has its default.
    """
    segment = {"method": "logstd", **options.get("segment", {})}
    segmenter = get_segmenter(pixel_um=pixel_um, **segment)
    found = [segmenter(frame[0]) for frame in frames]
    movie, labels = np.stack(frames), np.stack([each for each, _ in found])
    labeled, links = track_stack(labels, pixel_um=pixel_um, **options.get("track", {}))
    raw = {c: movie[:, c] for c in range(1, movie.shape[1])}
    corrected = {c: correct_stack(stack, labels, pixel_um=pixel_um) for c, stack in raw.items()}
    traces = extract_traces(
        labeled, movie[:, 0], raw, corrected, time=np.arange(len(movie)), pixel_um=pixel_um
    )
    rows = judge(
        {str(name): traces[name].to_numpy() for name in traces},
        shape=labeled.shape,
        pixel_um=pixel_um,
        links=links,
        frame_flags={t: stats.flag for t, (_, stats) in enumerate(found) if stats.flag},
    )
    rows = {name: np.asarray(values) for name, values in rows.items()}
    flagged, noted = (
        np.array([not known.isdisjoint(stats.flag.split("; ")) for _, stats in found])
        for known in (FRAME_FINDINGS.keys(), FRAME_NOTES.keys())
    )
    noted |= segment["method"] in METHOD_NOTES
    return Followed(labeled, links, rows, flagged, noted & ~flagged)


@dataclass(frozen=True)
class Known:
    """A movie of one position and its truth, in memory."""

    frames: list[NDArray[Any]]
    """(C, Y, X) of each time."""
    masks: list[NDArray[Any]]
    """(Y, X) true ids of each time."""
    parents: dict[int, int]
    """Mother of each daughter."""
    pixel_um: float
    cells: dict[str, NDArray[Any]] | None = None
    """`Movie.cells`, where there is fluorescence."""

    @classmethod
    def simulated(cls, movie: Movie, p: int = 0) -> Known:
        """Render a position of a simulated movie."""
        frames, masks, cells = [], [], []
        for t in range(movie.params.frames):  # all of one frame: its scene is drawn once
            frames.append(movie.frame(p, t))
            masks.append(movie.masks(p, t))
            cells.append(movie.cell_rows(p, t))
        lit = join_rows(cells) if len(movie.channels) > 1 else None
        return cls(frames, masks, parents_of(movie.lineage(p)), movie.params.pixel_um, lit)


def measure(known: Known, options: Options) -> dict[str, float]:
    """Send a movie through the steps; return counts and scores, which `summed` joins."""
    followed = follow(known.frames, known.pixel_um, options)
    matches = match_frames(known.masks, followed.labeled)
    theirs, ours = known.parents, followed.parents
    tracks = complete_tracks(matches)
    divisions = match_divisions(matches, truth_parents=theirs, found_parents=ours, tolerance=3)
    rows, good = followed.rows, followed.rows["good"]
    faults = faults_of_rows(matches, rows, totals=known.cells)
    wrong = np.any(list(faults.values()), axis=0)
    counts = detection_counts(matches)
    figures: dict[str, float] = {
        "SEG": seg_score(matches),
        "F1": f1_score(matches),
        "cells": counts["true"],
        "missed": counts["missed"],
        "false": counts["extra"],
        "over two cells": counts["merged"],
        "in pieces": counts["split"],
        "TRA": tra_score(matches, truth_parents=theirs, found_parents=ours),
        "tracks": tracks.total,
        "tracks complete": tracks.complete,
        "divisions": divisions.true,
        "divisions found": divisions.found,
        "divisions matched": divisions.matched,
        "rows": len(good),
        "rows good": int(good.sum()),
        "rows good and wrong": int((good & wrong).sum()),
        **{f"wrong by {name}": int((good & has).sum()) for name, has in faults.items()},
        "frames": len(known.frames),
        "frames flagged": int(followed.flagged.sum()),
        "frames noted": int(followed.noted.sum()),
    }
    if known.cells is not None:
        kept = {name: values[good] for name, values in rows.items()}
        height, width = known.masks[0].shape
        errors = intensity_errors(known.cells, kept, channel=1, height=height, width=width)
        figures |= {"intensity error": errors["median"], "intensity bias": errors["bias"]}
    return figures


def faults_of_rows(
    matches: Matches,
    rows: Table,
    *,
    totals: Table | None = None,
    channel: int = 1,
    tolerance: float = 0.2,
) -> dict[str, NDArray[np.bool_]]:
    """Tell of each row of traces whether it is wrong, and how.

    Parameters
    ----------
    matches : Matches
        True and found ids over time.
    rows : mapping of str to array-like
        ``cell``, ``frame``, and with `totals` ``intensity_total_ch_{channel}`` of the traces.
    totals : mapping of str to array-like, optional
        ``cell, frame, total_ch_{channel}`` of the truth; without it intensities are not judged.
    channel : int
    tolerance : float
        Relative error of area and intensity up to which a row is right.

    Returns
    -------
    dict of numpy.ndarray
        For each of `FAULTS` a bool array over the rows: no true cell there; more than one true
        cell in it; another true cell than in most frames of this id; area, intensity off by more
        than `tolerance`.
    """
    m = matches
    covers = np.zeros(m.found_id.size, bool)
    held = m.owner >= 0
    covers[held] = m.match[m.owner[held]] == np.flatnonzero(held)
    truth = np.where(held & (covers | (m.owned >= _IN_CELL)), m.owner, -1)
    cell = np.append(m.truth_id, 0)[truth]
    area = np.append(m.truth_area, np.nan)[truth]
    usual = {one: _mode(cell[(m.found_id == one) & (cell > 0)]) for one in np.unique(m.found_id)}
    wrong = {
        "no cell": cell == 0,
        "merged": m.times_matched > 1,
        "wrong id": (cell > 0) & (cell != [usual[one] for one in m.found_id.tolist()]),
        "area": np.abs(m.found_area / area - 1) > tolerance,
    }
    place = {pair: k for k, pair in enumerate(_pairs(m.found_frame, m.found_id))}
    at = np.array([place[pair] for pair in _pairs(rows["frame"], rows["cell"])], np.int64)
    found = {name: values[at] for name, values in wrong.items()}
    found["intensity"] = np.zeros(at.size, bool)
    if totals is not None:
        name = f"total_ch_{channel}"
        true = np.asarray(totals[name], float)
        known = dict(zip(_pairs(totals["frame"], totals["cell"]), true.tolist(), strict=True))
        wanted = np.array([known.get(p, np.nan) for p in _pairs(m.found_frame[at], cell[at])])
        wanted[~(wanted > _DIM * np.median(true[true > 0]))] = np.nan
        error = np.abs(np.asarray(rows[f"intensity_{name}"], float) / wanted - 1)
        found["intensity"] = error > tolerance
    return found


def _pairs(frame: ArrayLike, cell: ArrayLike) -> list[tuple[int, int]]:
    return list(zip(np.asarray(frame).tolist(), np.asarray(cell).tolist(), strict=True))


def _mode(values: NDArray[np.int64]) -> int:
    """Return the most frequent value, the smallest of several; 0 without any."""
    ids, counts = np.unique(values, return_counts=True)
    return int(ids[counts.argmax()]) if ids.size else 0


def summed(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Join the figures of several movies: counts are added, scores averaged; with shares in %."""
    means = ("SEG", "F1", "TRA", "intensity error", "intensity bias")
    found = dict[str, float]()
    for name in parts[0]:
        values = np.array([part[name] for part in parts])
        if not np.isnan(values).all():
            found[name] = float(np.nanmean(values) if name in means else values.sum())
    events = found["divisions"] + found["divisions found"]
    if events:
        found["divisions F1"] = 2 * found["divisions matched"] / events
    found["good rows %"] = 100 * found["rows good"] / max(found["rows"], 1)
    if found["rows good"]:
        found["wrong among good %"] = 100 * found["rows good and wrong"] / found["rows good"]
        for name in FAULTS:
            found[f"wrong by {name} %"] = 100 * found[f"wrong by {name}"] / found["rows good"]
    return found
