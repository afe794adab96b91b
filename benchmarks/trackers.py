"""Our tracker beside laptrack and btrack on the same masks, in one run.

    python -m venv peers && peers/bin/pip install -e . laptrack==0.17.1 btrack==0.7.0
    peers/bin/python -m benchmarks.trackers [--seeds 2] [--ctc FOLDER ...]

Movies, truth and scores are those of `benchmarks.calibrate`. The peers get the centroids (btrack
areas too) and a reach that fits the movie: three times the median distance from each cell to the
nearest one of the next frame, at least 15 µm. CPU is of linking alone, for peers without finding
the centroids.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibrate import CHECKED, Movie, challenge, simulated
from fovflow.accuracy import complete_tracks, division_f1, tra_score
from fovflow.tracking import get_tracker
from fovflow.tracking.overlaps import FrameObjects, encode

_UNIT = np.eye(3)
BTRACK = {
    "MotionModel": {
        "name": "cell_motion", "dt": 1.0, "measurements": 3, "states": 6, "accuracy": 7.5,
        "prob_not_assign": 0.001, "max_lost": 5,
        "A": {"matrix": np.block([[_UNIT, _UNIT], [0 * _UNIT, _UNIT]]).ravel().tolist()},
        "H": {"matrix": np.hstack([_UNIT, 0 * _UNIT]).ravel().tolist()},
        "P": {"sigma": 150.0, "matrix": np.diag([0.1] * 3 + [1.0] * 3).ravel().tolist()},
        "G": {"sigma": 15.0, "matrix": [0.5] * 3 + [1.0] * 3},
        "R": {"sigma": 5.0, "matrix": _UNIT.ravel().tolist()},
    },
    "ObjectModel": {},
    "HypothesisModel": {
        "name": "cell_hypothesis",
        "hypotheses": ["P_FP", "P_init", "P_term", "P_link", "P_branch", "P_dead"],
        "lambda_time": 5.0, "lambda_dist": 3.0, "lambda_link": 10.0, "lambda_branch": 50.0,
        "eta": 1e-10, "theta_dist": 20.0, "theta_time": 5.0, "dist_thresh": 40, "time_thresh": 2,
        "apop_thresh": 5, "segmentation_miss_rate": 0.1, "apoptosis_rate": 0.001, "relax": True,
    },
}  # fmt: skip
"""The configuration for cells that btrack's authors publish beside it (``cell_config.json``)."""

Tracks = tuple[NDArray[Any], dict[int, int], float]
"""Labels with one id per cell, the parent of each daughter, CPU seconds."""


def own(movie: Movie, _: list[FrameObjects], __: float) -> Tracks:
    """Track by the default method."""
    begin = time.process_time()
    tracker = get_tracker("iou", pixel_um=movie.pixel_um)
    for t, labels in enumerate(movie.labels):
        tracker.add(t, labels)
    lineage = tracker.finish()
    spent = time.process_time() - begin
    labeled = np.stack([lineage.relabel(t, labels) for t, labels in enumerate(movie.labels)])
    links = lineage.links
    found = zip(links["cell"].tolist(), links["parent"].tolist(), strict=True)
    return labeled, {cell: parent for cell, parent in found if parent}, spent


def laptrack(movie: Movie, objects: list[FrameObjects], reach: float) -> Tracks:
    """Track by laptrack with gaps and splits."""
    from laptrack import LapTrack

    begin = time.process_time()
    cutoff = reach**2
    linker = LapTrack(
        cutoff=cutoff,
        gap_closing_cutoff=cutoff,
        gap_closing_max_frame_count=4,
        splitting_cutoff=cutoff,
        merging_cutoff=False,
    )
    tree = linker.predict([np.column_stack([o.y, o.x]) for o in objects])
    spent = time.process_time() - begin
    before = {b: a for a, b in tree.edges}
    after: dict[Any, list[Any]] = defaultdict(list)
    for a, b in tree.edges:
        after[a].append(b)
    ids: dict[Any, int] = {}
    parents: dict[int, int] = {}
    for node in sorted(tree.nodes):
        source = before.get(node)
        if source is not None and len(after[source]) == 1:
            ids[node] = ids[source]
            continue
        ids[node] = len({*ids.values()}) + 1
        if source is not None:
            parents[ids[node]] = ids[source]
    return drawn(movie, objects, ids), parents, spent


def btrack(movie: Movie, objects: list[FrameObjects], reach: float) -> Tracks:
    """Track by btrack with its motion model and hypotheses for cells."""
    import btrack as package
    from btrack.btypes import PyTrackObject

    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"TrackerConfig": BTRACK}, file)
        file.flush()
        config = package.config.load_config(file.name)
    begin = time.process_time()
    made, places = [], {}
    for t, frame in enumerate(objects):
        for i in range(len(frame)):
            found = PyTrackObject.from_dict(
                {"ID": len(made), "t": t, "x": frame.x[i], "y": frame.y[i], "z": 0.0}
            )
            places[len(made)] = (t, i)
            made.append(found)
    height, width = movie.labels.shape[1:]
    with package.BayesianTracker(verbose=False) as tracker:
        tracker.configure(config)
        tracker.max_search_radius = reach
        tracker.append(made)
        tracker.volume = ((0, width), (0, height))
        tracker.track(step_size=100)
        tracker.optimize()
        tracks = tracker.tracks
    spent = time.process_time() - begin
    ids = {places[ref]: track.ID for track in tracks for ref in track.refs if ref >= 0}
    parents = {track.ID: track.parent for track in tracks if track.parent not in (0, track.ID)}
    return drawn(movie, objects, ids), parents, spent


def drawn(movie: Movie, objects: list[FrameObjects], ids: dict[Any, int]) -> NDArray[Any]:
    """Return the labels with the ids of (frame, object)."""
    labeled = np.zeros(movie.labels.shape, np.int32)
    for t, frame in enumerate(objects):
        table = np.zeros(int(frame.label.max(initial=0)) + 1, np.int32)
        for i, label in enumerate(frame.label.tolist()):
            table[label] = ids.get((t, i), 0)
        labeled[t] = table[movie.labels[t]]
    return labeled


TRACKERS: dict[str, Callable[[Movie, list[FrameObjects], float], Tracks]] = {
    "fovflow": own,
    "laptrack": laptrack,
    "btrack": btrack,
}


def truth_of(movie: Movie) -> NDArray[Any]:
    """Return the labels with the true cells' ids: what a perfect tracker would give."""
    result = np.zeros(movie.labels.shape, np.int32)
    for t, labels in enumerate(movie.labels):
        table = np.zeros(int(labels.max()) + 1, np.int32)
        for k in np.unique(labels):
            table[k] = movie.cells.get((t, int(k)), 0)
        result[t] = table[labels]
    return result


def reach_of(movie: Movie, objects: list[FrameObjects]) -> float:
    """Return how far peers look for cells (px)."""
    steps = [
        np.hypot(a.y[:, None] - b.y, a.x[:, None] - b.x).min(axis=1)
        for a, b in pairwise(objects)
        if len(a) and len(b)
    ]
    return max(15.0 / movie.pixel_um, 3 * float(np.median(np.concatenate(steps))))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--ctc", type=Path, nargs="*", default=[])
    args = parser.parse_args()
    movies = [m for s in range(CHECKED, CHECKED + args.seeds) for m in simulated(s)]
    movies += [movie for folder in args.ctc for movie in challenge(folder)]
    compare([movie for movie in movies if "every" not in movie.name])


def compare(movies: list[Movie]) -> None:
    """Print the scores of all trackers, movies of one name together."""
    sums: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for movie in movies:
        objects = [encode(labels) for labels in movie.labels]
        truth, reach = truth_of(movie), reach_of(movie, objects)
        true_parents = {cell: parent for cell, parent in movie.parents.items() if parent}
        for name, tracker in TRACKERS.items():
            labeled, parents, spent = tracker(movie, objects, reach)
            options = {"truth_parents": true_parents, "found_parents": parents}
            whole = complete_tracks(truth, labeled)
            sums[movie.name, name].append(
                [
                    whole.complete,
                    whole.total,
                    tra_score(truth, labeled, **options),
                    division_f1(truth, labeled, tolerance=1, **options),
                    1e3 * spent / len(objects),
                ]
            )
    print("| movie | tracker | whole tracks | TRA | division F1 | CPU per frame |")
    print("|---|---|---|---|---|---|")
    for (movie_name, name), rows in sums.items():
        complete, total = np.sum(rows, axis=0)[:2].astype(int)
        tra, f1, spent = np.nanmean(rows, axis=0)[2:]
        print(
            f"| {movie_name} | {name} | {complete} of {total} | {tra:.4f} | {f1:.2f} "
            f"| {spent:.1f} ms |"
        )


if __name__ == "__main__":
    main()
