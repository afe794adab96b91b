"""How good segmentation and tracking are, on simulated movies and on real ones.

    python benchmarks/accuracy.py [--only NAME ...] [--json FILE] [--page docs/accuracy.md]
                                  [--set segment.KEY=VALUE ...]

The default methods and the classic ones stand side by side; ``--set`` changes the former.
Simulated movies are measured against their truth. Real ones have none: there the figures tell how
steadily cells are followed, and for the glioma movie how far its published tracks, a sanity check
and not the truth, are found again. Real movies are taken from the folder of the tests' example
files (``FOVFLOW_TEST_DATA``, or ``../shared/data`` beside the checkout) and left out where
absent.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fovflow.accuracy import (
    complete_tracks,
    division_f1,
    match_frames,
    match_tracks,
    seg_score,
    tra_score,
)
from fovflow.atomic import write_text
from fovflow.features import get_extractor
from fovflow.quality import judge
from fovflow.segmentation import segment_stack
from fovflow.simulation import MovieParams, simulate
from fovflow.tracking import track_stack

DATA = Path(
    os.environ.get(
        "FOVFLOW_TEST_DATA", Path(__file__).resolve().parents[1].parent / "shared" / "data"
    )
)
GLIOMA_UM, INCUCYTE_UM = 0.8708, 1.24
LONG = 0.9
"""Share of the movie's frames from which on a track counts as long."""

Options = dict[str, dict[str, Any]]
Figures = dict[str, float]

CLASSIC: Options = {"segment": {"method": "classic"}, "track": {"method": "classic"}}

DEFAULT = [MovieParams(seed=seed, cells=30, births=2, deaths=2, divisions=3) for seed in range(3)]
TOUCHING = [MovieParams(seed=seed, cells=30, frames=16, touching=1.0) for seed in (3, 4)]
CROWDED = MovieParams(
    seed=6, frames=36, height=480, width=480, cells=26, divisions=8, births=4, deaths=3,
    touching=0.3, drift_px=(2.0, -1.0), drift_jitter_px=1.0,
)  # fmt: skip


def parents_of(columns: dict[str, Any]) -> dict[int, int]:
    """Return the parent of each daughter."""
    held = np.flatnonzero(np.asarray(columns["parent"]) > 0)
    return {int(columns["cell"][k]): int(columns["parent"][k]) for k in held}


def simulated(movies: list[MovieParams], options: Options) -> Figures:
    """Segment and track movies, and compare with their truth."""
    seg, tra, f1 = [], [], []
    complete = total = 0
    for params in movies:
        movie = simulate(params)
        frames = range(params.frames)
        truth = np.stack([movie.masks(0, t) for t in frames])
        phase = np.stack([movie.frame(0, t)[0] for t in frames])
        labels = segment_stack(phase, pixel_um=params.pixel_um, **options["segment"])
        labeled, links = track_stack(labels, pixel_um=params.pixel_um, **options["track"])
        matches = match_frames(truth, labeled)
        true, found = parents_of(movie.lineage(0)), parents_of(links)
        tracks = complete_tracks(matches)
        complete, total = complete + tracks.complete, total + tracks.total
        seg.append(seg_score(matches))
        tra.append(tra_score(matches, truth_parents=true, found_parents=found))
        if true:
            f1.append(
                division_f1(truth, labeled, truth_parents=true, found_parents=found, tolerance=3)
            )
    figures = {
        "SEG": float(np.mean(seg)),
        "TRA": float(np.mean(tra)),
        "complete tracks": complete,
        "true tracks": total,
    }
    return figures | ({"divisions F1": float(np.mean(f1))} if f1 else {})


def dropped(options: Options) -> Figures:
    """Track the true masks of a crowded movie with detections missing at random."""
    movie = simulate(CROWDED)
    truth = np.stack([movie.masks(0, t) for t in range(CROWDED.frames)])
    true = parents_of(movie.lineage(0))
    figures: Figures = {}
    for share in (0.0, 0.02, 0.05):
        rng = np.random.default_rng(8)
        given = truth.copy()
        for frame in given:
            ids = np.unique(frame[frame > 0])
            frame[np.isin(frame, ids[rng.random(ids.size) < share])] = 0
        labeled, links = track_stack(given, pixel_um=CROWDED.pixel_um, **options["track"])
        figures[f"complete per 100, {share:.0%} dropped"] = (
            100 * complete_tracks(given, labeled).fraction
        )
        figures[f"divisions F1, {share:.0%} dropped"] = division_f1(
            given, labeled, truth_parents=true, found_parents=parents_of(links), tolerance=3
        )
    return figures


def followed(phase: np.ndarray, pixel_um: float, options: Options) -> tuple[np.ndarray, Figures]:
    """Segment and track a real movie; return its ids and how steadily cells are followed."""
    labels = segment_stack(phase, pixel_um=pixel_um, **options["segment"])
    labeled, links = track_stack(labels, pixel_um=pixel_um, **options["track"])
    extractor = get_extractor(
        fov=0, pc=0, fl=[], time=np.arange(len(phase), dtype=float), pixel_um=pixel_um
    )
    for t, frame in enumerate(labeled):
        extractor.add(t, frame, phase[t], {})
    table = judge(extractor.finish(), shape=labeled.shape, pixel_um=pixel_um, links=links)
    length = np.bincount(links["cell"])[1:]
    return labeled, {
        "ids": length.size,
        "objects per frame": length.sum() / len(phase),
        "long tracks": int(np.count_nonzero(length >= LONG * len(phase))),
        "median length": float(np.median(length)),
        "median length over rows": float(np.median(np.repeat(length, length))),
        "divisions": int(np.count_nonzero(links["parent"])) / 2,
        "good rows %": 100 * float(np.mean(table["good"])),
    }


def incucyte(options: Options) -> Figures:
    """Follow both FOVs of the IncuCyte movie; means of both."""
    import nd2

    with nd2.ND2File(DATA / "nd2" / "incucyte_2fov_pgr.nd2") as file:
        frames = file.asarray()[:, :, 0]
    parts = [followed(np.ascontiguousarray(frames[:, p]), INCUCYTE_UM, options)[1] for p in (0, 1)]
    return {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}


def published_tracks() -> np.ndarray:
    """Return the published masks of the glioma movie, each track with one id."""
    files = sorted((DATA / "t98g" / "published_masks").glob("*.png"))
    masks = np.stack([cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files])
    tables = np.zeros((len(masks), int(masks.max()) + 1), np.int32)
    with (DATA / "t98g" / "published_tracks.csv").open(encoding="utf-8") as rows:
        for row in csv.DictReader(rows):  # the mean "intensity" of a mask is its label
            place = round(float(row["frame"])), round(float(row["mean_intensity"]))
            tables[place] = int(row["particle"])
    return np.stack([table[mask] for table, mask in zip(tables, masks, strict=True)])


def glioma(options: Options) -> Figures:
    """Follow the glioma cells and look for the published tracks."""
    import tifffile

    phase = np.stack([tifffile.imread(f) for f in sorted((DATA / "t98g" / "phase").glob("*.tif"))])
    labeled, figures = followed(phase, GLIOMA_UM, options)
    matches = match_frames(published_tracks(), labeled)
    table = match_tracks(matches)
    ids, length = np.unique(matches.truth_id, return_counts=True)
    found = [table["frames"][table["truth"] == one] for one in ids.tolist()]
    best = np.array([frames.max(initial=0) for frames in found])
    return figures | {
        "published tracks": ids.size,
        "published objects per frame": length.sum() / len(phase),
        "ids per published track": float(np.mean([frames.size for frames in found])),
        "covered by any id %": 100 * sum(frames.sum() for frames in found) / length.sum(),
        "covered by best id %": 100 * best.sum() / length.sum(),
    }


CASES: dict[str, tuple[Path | None, Callable[[Options], Figures]]] = {
    "default": (None, lambda options: simulated(DEFAULT, options)),
    "touching": (None, lambda options: simulated(TOUCHING, options)),
    "dropped": (None, dropped),
    "glioma": (DATA / "t98g" / "phase", glioma),
    "incucyte": (DATA / "nd2" / "incucyte_2fov_pgr.nd2", incucyte),
}


def measured(names: list[str], options: Options) -> Iterator[tuple[str, dict[str, Figures]]]:
    """Yield the figures of each case whose data are there, by methods."""
    for name in names:
        source, measure = CASES[name]
        if source is not None and not source.exists():
            print(f"{name}: left out, there is no {source.name} in {DATA}")
            continue
        yield name, {"default": measure(options), "classic": measure(CLASSIC)}


def read_options(settings: list[str]) -> Options:
    """Return parameters by step from ``segment.key=value``."""
    options: Options = {"segment": {}, "track": {}}
    for setting in settings:
        place, value = setting.split("=", 1)
        step, key = place.split(".", 1)
        options[step][key] = json.loads(value)
    return options


def table(figures: dict[str, Figures]) -> str:
    """Return the figures of a case, by methods, as a table in Markdown."""
    rows = [["", *figures], ["---"] * (1 + len(figures))]
    for name in next(iter(figures.values())):
        rows.append([name, *(f"{found[name]:.4g}" for found in figures.values())])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def fill(text: str, tables: dict[str, str]) -> str:
    """Return the page with these tables in their places; others stay as they are.

    Raises
    ------
    ValueError
        If the page has no place for a table.
    """
    for name, made in tables.items():
        place = re.compile(rf"(<!-- accuracy: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, count = place.subn(lambda found, made=made: f"{found[1]}{made}\n{found[2]}", text)
        if count != 1:
            raise ValueError(f"{count} places for the table {name!r}; the page needs one")
    return text


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--set", nargs="+", default=[], help="parameters, as segment.split=false")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--page", type=Path, help="also write the tables to this page")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    results, tables = {}, {}
    for name, figures in measured(arguments.only, read_options(arguments.set)):
        results[name] = figures
        tables[name] = table(figures)
        print(f"\n{name}\n{tables[name]}", flush=True)
    if arguments.page:
        write_text(arguments.page, fill(arguments.page.read_text(encoding="utf-8"), tables))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
