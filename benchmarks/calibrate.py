"""Fit what the tracker takes for probable: the model of divisions, and the confidence of links.

    python -m benchmarks.calibrate [--seeds 2] [--ctc FOLDER ...] [--check]

Links and divisions are taken from simulated movies (true, damaged and segmented masks; also with
every other frame left out), from the T98G movie with its published tracks (every frame, every
second, every third), and from folders with masks and tracks in the form of the Cell Tracking
Challenge. It prints what stands in `fovflow.tracking.divisions.COEFFICIENTS` and in
`fovflow.tracking.linking.TABLES`. With ``--check`` nothing is fitted: the probabilities that
the tracker gives are held against the truth, in tenths, on movies of other seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import DATA, published_tracks
from fovflow.segmentation import segment_stack
from fovflow.simulation import MovieParams, simulate
from fovflow.tracking import divisions, linking, track_stack

SETTINGS: dict[str, dict[str, Any]] = {
    "calm": {"divisions": 8},
    "crowded": {"cells": 75, "touching": 0.5, "divisions": 12},
    "elongated": {"elongation": 3.5, "roughness": 0.25, "touching": 0.8, "cells": 40},
    "drifting": {"drift_px": (20.0, -8.0), "drift_jitter_px": 4.0, "divisions": 8},
    "fast": {"speed_um_h": 80.0, "divisions": 6},
    "hourly": {"interval_s": 3600.0, "speed_um_h": 12.0, "divisions": 8},
}
T98G_UM = 0.8708
CHECKED = 1000
"""Seeds of the movies that are only checked against begin here."""
KINDS: tuple[linking.Kind, ...] = ("overlap", "near", "distance")
FEWEST = 40
RIDGE = 0.3
REAL = 4
"""How often each candidate of a real movie counts: they are fewer, and less regular."""
Identity = dict[tuple[int, int], int]


@dataclass(frozen=True)
class Movie:
    """Label frames, whose cell each label of each frame is, and each cell's parent."""

    name: str
    labels: NDArray[np.uint16]
    cells: Identity
    parents: dict[int, int]
    pixel_um: float
    known: bool = True
    """Whether a label without a cell is a fault, and not just unknown."""

    def every(self, step: int) -> Movie:
        """Leave out frames."""
        cells = {(t // step, k): cell for (t, k), cell in self.cells.items() if t % step == 0}
        name = f"{self.name}, every {step}."
        return Movie(name, self.labels[::step], cells, self.parents, self.pixel_um, self.known)


def simulated(seed: int) -> Iterator[Movie]:
    """Movies of one seed: true masks, damaged ones, and segmented ones."""
    for name, setting in SETTINGS.items():
        params = MovieParams(
            **{"seed": seed, "frames": 30, "height": 420, "width": 420, "cells": 22, **setting}
        )
        movie = simulate(params)
        truth = np.stack([movie.masks(0, t) for t in range(params.frames)])
        phase = np.stack([movie.frame(0, t)[0] for t in range(params.frames)])
        lineage = movie.lineage(0)
        parents = dict(zip(lineage["cell"].tolist(), lineage["parent"].tolist(), strict=True))
        segmented = segment_stack(phase, pixel_um=params.pixel_um)
        damaged = damage(truth, np.random.default_rng(seed))
        for kind, labels in (("true", truth), ("damaged", damaged), ("segmented", segmented)):
            cells = identities(labels, truth)
            made = Movie(f"{name}, {kind}", labels, cells, parents, params.pixel_um)
            yield made
            if name in ("calm", "crowded", "elongated"):
                yield made.every(2)


def damage(truth: NDArray[np.uint16], rng: np.random.Generator) -> NDArray[np.uint16]:
    """Take away 2 % of the masks, cut 1 % in two, and merge 1 % with one that they touch."""
    stack = truth.copy()
    for frame in stack:
        for cell in np.unique(frame[frame > 0]):
            fate = rng.random()
            y, x = np.nonzero(frame == cell)
            if fate < 0.02:
                frame[y, x] = 0
            elif fate < 0.03 and y.size:
                angle = rng.uniform(0, np.pi)
                along = (y - y.mean()) * np.cos(angle) + (x - x.mean()) * np.sin(angle)
                frame[y[along > 1], x[along > 1]] = frame.max() + 1
                frame[y[np.abs(along) <= 1], x[np.abs(along) <= 1]] = 0
            elif fate < 0.04:
                wider = cv2.dilate((frame == cell).astype(np.uint8), np.ones((5, 5), np.uint8))
                beside = np.setdiff1d(frame[wider > 0], [0, cell])
                frame[np.isin(frame, beside[:1])] = cell
    return stack


def identities(labels: NDArray[Any], truth: NDArray[Any]) -> Identity:
    """Give each label the true cell that it lies in by more than half."""
    cells = {}
    for t, (found, true) in enumerate(zip(labels, truth, strict=True)):
        size = int(true.max()) + 1
        pair, count = np.unique(found.astype(np.int64) * size + true, return_counts=True)
        area = np.bincount(found.ravel())
        for k, cell, n in zip((pair // size).tolist(), (pair % size).tolist(), count, strict=True):
            if k and cell and n > 0.5 * area[k]:
                cells[t, k] = cell
    return cells


def glioma() -> Iterator[Movie]:
    """The T98G movie with its published tracks, which know nothing of divisions."""
    folder = DATA / "t98g" / "published_masks"
    files = sorted(folder.glob("*.png"))
    if files:
        labels = np.stack([cv2.imread(str(f), cv2.IMREAD_UNCHANGED) for f in files])
        cells = identities(labels, published_tracks())
        movie = Movie("T98G", labels, cells, {}, T98G_UM, known=False)
        yield from (movie, movie.every(2), movie.every(3))


def challenge(folder: Path) -> Iterator[Movie]:
    """A folder with ``*.tif`` masks and one ``*_track.txt``: id, first, last frame, parent."""
    import tifffile

    labels = np.stack([tifffile.imread(file) for file in sorted(folder.glob("*.tif"))])
    (file,) = folder.glob("*_track.txt")
    parents = {int(row[0]): int(row[3]) for row in np.loadtxt(file, int, ndmin=2)}
    cells = {(t, int(k)): int(k) for t, f in enumerate(labels) for k in np.unique(f) if k}
    movie = Movie(folder.parent.name, labels, cells, parents, 0.645)
    yield from (movie, movie.every(2))


Found = dict[str, list[tuple[float, bool]]]


def links_of(movie: Movie) -> Found:
    """Track a movie; return by kind what the tracker says of each link, and whether it is right."""
    _, links = track_stack(movie.labels, pixel_um=movie.pixel_um)
    label = {
        (c, t): k
        for c, t, k in zip(*(links[n].tolist() for n in ("cell", "frame", "label")), strict=True)
    }
    found: Found = {"link": [], "division": []}
    names = ("cell", "frame", "previous_frame", "parent", "confidence")
    for cell, t, before, parent, said in zip(*(links[n].tolist() for n in names), strict=True):
        if before < 0:
            continue
        here = movie.cells.get((t, label[cell, t]), 0)
        there = movie.cells.get((before, label[parent or cell, before]), 0)
        if not movie.known and not (here and there and not parent):
            continue
        if here or there:
            right = movie.parents.get(here, 0) if parent else here
            found["division" if parent else "link"].append((said, right == there))
    return found


def divisions_of(movie: Movie) -> tuple[list[dict[str, float]], list[bool]]:
    """Return the terms of every candidate for a division, and whether it is one."""
    terms: list[dict[str, float]] = []
    right: list[bool] = []
    of = [
        movie.cells.get((t, int(k)), 0)
        for t, frame in enumerate(movie.labels)
        for k in raster(frame)
    ]
    inner = divisions.terms

    def spy(chains: Any, usual: float, o: int, h: int, b: int) -> dict[str, float]:
        found = inner(chains, usual, o, h, b)
        terms.append(found)
        parents = {movie.parents.get(of[d], 0) for d in (h, b)}
        right.append(of[h] != of[b] and parents == {of[o]} and of[o] > 0)
        return found

    divisions.terms = spy
    try:
        track_stack(movie.labels, pixel_um=movie.pixel_um)
    finally:
        divisions.terms = inner
    return terms, right


def raster(frame: NDArray[Any]) -> NDArray[Any]:
    """Return the labels of a frame in the order in which the tracker takes them."""
    label, first = np.unique(frame, return_index=True)
    order = np.argsort(first)
    return label[order][label[order] > 0]


def fit_divisions(movies: list[Movie]) -> dict[str, float]:
    """Fit the logistic model to candidates that follow at once; ``late`` stays as it was set.

    It is fitted twice. The tracks of real movies were made by programs: where they go on with a
    parent as one of its daughters, or find two cells in one, the first fit, of simulated movies,
    knows better, and they are left out of the second.
    """
    names = [name for name in divisions.COEFFICIENTS if name != "late"]
    made, real = [], []
    for movie in movies:
        found, right = divisions_of(movie)
        soon = [k for k, terms in enumerate(found) if not terms["late"]]
        if movie.parents and soon:
            x = np.array([[found[k][name] for name in names] for k in soon])
            part = x, np.array([right[k] for k in soon], float)
            (made if movie.name.partition(",")[0] in SETTINGS else real).append(part)
    first = logistic(*map(np.concatenate, zip(*made, strict=True)))
    for x, y in real:
        agree = np.abs(y - 1 / (1 + np.exp(-x @ first))) < 0.5
        made += [(x[agree], y[agree])] * REAL
    fitted = logistic(*map(np.concatenate, zip(*made, strict=True)))
    return {name: round(float(b), 2) for name, b in zip(names, fitted, strict=True)}


def logistic(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """Fit a logistic model by Newton's method, with a small penalty on its coefficients."""
    b = np.zeros(x.shape[1])
    penalty = RIDGE * np.eye(b.size)
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ b))
        slope = x.T @ (y - p) - penalty @ b
        b += np.clip(np.linalg.solve((x.T * (p * (1 - p))) @ x + penalty, slope), -2, 2)
    return b


def fit_links(movies: list[Movie]) -> dict[str, tuple[tuple[float, ...], tuple[float, ...]]]:
    """Fit the share of right links over the margin, per kind."""
    inner = linking.probability
    linking.probability = lambda margin, kind: margin + 2 * KINDS.index(kind)
    try:
        found = [pair for movie in movies for pair in links_of(movie)["link"]]
    finally:
        linking.probability = inner
    said, right = np.array(found, float).T
    which = (said // 2).astype(int)
    return {
        kind: isotonic(said[which == k] - 2 * k, right[which == k]) for k, kind in enumerate(KINDS)
    }


def isotonic(
    margin: NDArray[Any], right: NDArray[Any]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return knots of the share of right links: groups of links, pooled until they rise.

    The groups double in size from the smallest margins on, where most of the wrong links are. Each
    counts one link more, of which half is right, so that none is certain.
    """
    order = np.argsort(margin, kind="stable")
    ends = FEWEST * 2 ** np.arange(24)
    parts = np.split(order, ends[ends <= order.size - FEWEST])
    groups: list[list[float]] = []
    for part in parts:
        groups.append([float(margin[part].mean()), float(right[part].sum()) + 0.5, part.size + 1.0])
        while len(groups) > 1 and groups[-2][1] / groups[-2][2] >= groups[-1][1] / groups[-1][2]:
            (m1, r1, n1), (m2, r2, n2) = groups[-2:]
            groups[-2:] = [[(m1 * n1 + m2 * n2) / (n1 + n2), r1 + r2, n1 + n2]]
    x, r, n = np.array(groups).T
    return tuple(x.round(4).tolist()), tuple((r / n).round(4).tolist())


def check(movies: list[Movie]) -> None:
    """Print, per tenth of what the tracker says, the mean of it and the share that is right."""
    every: Found = {}
    for movie in movies:
        for kind, pairs in links_of(movie).items():
            place = "real" if movie.name.partition(",")[0] not in SETTINGS else "simulated"
            every.setdefault(f"{kind}, {place}", []).extend(pairs)
    print("| what | tenth | said | right | number |\n|---|---|---|---|---|")
    for kind, pairs in every.items():
        said, right = np.array(pairs, float).reshape(-1, 2).T
        for tenth in range(10):
            held = np.minimum((said * 10).astype(int), 9) == tenth
            if held.any():
                print(
                    f"| {kind} | {tenth / 10:.1f} to {tenth / 10 + 0.1:.1f} "
                    f"| {said[held].mean():.3f} | {right[held].mean():.3f} | {held.sum()} |"
                )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--ctc", type=Path, nargs="*", default=[])
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    seeds = range(CHECKED * args.check, CHECKED * args.check + args.seeds)
    movies = [movie for seed in seeds for movie in simulated(seed)]
    movies += [*glioma(), *(movie for folder in args.ctc for movie in challenge(folder))]
    if args.check:
        check(movies)
        return
    found = fit_divisions(movies)
    print("COEFFICIENTS =", found)
    divisions.COEFFICIENTS.update(found)
    print("TABLES =", fit_links(movies))


if __name__ == "__main__":
    main()
