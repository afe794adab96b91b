"""How good segmentation and tracking are, on real frames and on simulated movies.

    fovflow bench accuracy [--only NAME ...] [--page docs/accuracy.md] [--networks FOLDER]
    fovflow bench accuracy FOLDER --pixel-um 0.65

Without a folder the tables of the page are made. Real frames are taken from the folder of the
tests' example files (``FOVFLOW_TEST_DATA``, or ``../shared/data`` beside the checkout) and left
out where absent. ``--networks`` holds ``fold0.onnx`` to ``fold4.onnx``, each trained without a
fifth of the outlined frames (``fovflow train --leave-out K``): the network of the package has
seen all of them. With a folder, its sequences in the form of the Cell Tracking Challenge are
segmented, tracked and scored, and so are results that stand beside them (``01_RES``).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.sequences import Sequence, find_sequences, read_frame
from fovflow.accuracy import (
    Matches,
    complete_tracks,
    detection_counts,
    division_f1,
    f1_score,
    match_frames,
    match_tracks,
    parents_of,
    seg_score,
    tra_score,
)
from fovflow.accuracy.measuring import FAULTS, Followed, Known, follow, measure, summed
from fovflow.accuracy.realism import looks
from fovflow.atomic import write_text
from fovflow.background import get_corrector
from fovflow.errors import FovflowError
from fovflow.segmentation import get_segmenter
from fovflow.simulation import PRESETS, MovieParams, simulate
from fovflow.tracking import track_stack

DATA = Path(
    os.environ.get(
        "FOVFLOW_TEST_DATA", Path(__file__).resolve().parents[1].parent / "shared" / "data"
    )
)
T98G_UM, INCUCYTE_UM = 0.8708, 1.24
LONG = 0.9
"""Share of the movie's frames from which on a track counts as long."""
FOLDS = 5

Options = dict[str, dict[str, Any]]
Figures = dict[str, float]
Columns = dict[str, Figures]

METHODS: dict[str, Options] = {
    "unet": {"segment": {"method": "unet"}, "track": {}},
    "logstd": {"segment": {"method": "logstd"}, "track": {}},
    "classic": {"segment": {"method": "classic"}, "track": {"method": "classic"}},
}
"""By column; trackers but the classic one are the default."""

DEFAULT = [MovieParams(seed=seed, cells=30, births=2, deaths=2, divisions=3) for seed in range(3)]
TOUCHING = [MovieParams(seed=seed, cells=30, frames=16, touching=1.0) for seed in (3, 4)]
REALISTIC = [MovieParams(**PRESETS["realistic"], seed=seed, frames=16) for seed in (3, 4)]
LIT = {
    "single cells": MovieParams(seed=2, frames=21, height=1024, width=1024, cells=200),
    "touching cells": MovieParams(
        seed=2, frames=21, height=1024, width=1024, cells=300, touching=0.6
    ),
}
BRIGHT = 20_000.0
"""Dimmer cells drown in the noise (counts)."""
CROWDED = MovieParams(
    seed=6, frames=36, height=480, width=480, cells=26, divisions=8, births=4, deaths=3,
    touching=0.3, drift_px=(2.0, -1.0), drift_jitter_px=1.0,
)  # fmt: skip

SHOWN = {
    "SEG": "SEG", "F1": "F1", "missed": "cells missed", "false": "false objects",
    "over two cells": "objects over two cells", "in pieces": "cells in pieces", "TRA": "TRA",
    "tracks complete": "complete tracks", "tracks": "true tracks", "divisions F1": "divisions F1",
    "good rows %": "good rows %", "wrong among good %": "wrong among good %",
    **{f"wrong by {name} %": f"– by {name} %" for name in FAULTS},
    "frames flagged": "frames flagged", "frames noted": "frames noted",
    "intensity error": "intensity error", "intensity bias": "intensity bias",
}  # fmt: skip


def simulated(movies: list[MovieParams], methods: dict[str, Options]) -> Columns:
    """Send movies through all steps, and compare with their truth."""
    parts: dict[str, list[Figures]] = {name: [] for name in methods}
    for params in movies:
        known = Known.simulated(simulate(params))
        for name, options in methods.items():
            parts[name].append(measure(known, options))
    found = {name: summed(each) for name, each in parts.items()}
    return {
        name: {
            text: figures.get(key, float("nan"))
            for key, text in SHOWN.items()
            if any(key in each for each in found.values())
        }
        for name, figures in found.items()
    }


def outlined_frames() -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return name, image and true labels of the frames that people outlined."""
    import tifffile

    folder = DATA / "t98g_manual"
    return [
        (
            path.stem,
            tifffile.imread(path),
            cv2.imread(str(folder / "masks" / f"{path.stem}.png"), cv2.IMREAD_UNCHANGED),
        )
        for path in sorted((folder / "phase").glob("*.tif"))
    ]


def scored(truth: Iterable[np.ndarray], found: Iterable[np.ndarray]) -> Figures:
    """Return how good the labels of single frames are."""
    matches = match_frames(truth, found)
    counts = detection_counts(matches)
    return {
        "cells": counts["true"],
        "objects": counts["found"],
        "SEG": seg_score(matches),
        "F1": f1_score(matches),
        "cells missed": counts["missed"],
        "false objects": counts["extra"],
        "objects over two cells": counts["merged"],
        "cells in pieces": counts["split"],
    }


@lru_cache
def unseen(networks: Path) -> dict[int, list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """Return frame, truth and found labels by the fifth that was left out of the training."""
    frames = outlined_frames()
    found = {}
    for k in range(FOLDS):
        model = networks / f"fold{k}.onnx"
        if not model.exists():
            print(f"outlined: fifth {k} is left out, there is no {model}")
            continue
        about = json.loads(model.with_suffix(".json").read_text("utf-8"))
        trained = {Path(name).stem for name in about["frames"]}
        held = frames[k::FOLDS]
        if trained & {name for name, *_ in held}:
            raise SystemExit(f"{model} has seen frames of fifth {k}: {sorted(trained)}")
        found[k] = [
            (image, truth, _labels(image, {"method": "unet", "model": str(model)}))
            for _, image, truth in held
        ]
    return found


def _labels(image: np.ndarray, segment: dict[str, Any]) -> np.ndarray:
    """Segment one frame; nothing is remembered of others, which show other places."""
    return get_segmenter(pixel_um=T98G_UM, **segment)(image)[0]


def folds(networks: Path) -> Columns:
    """Score each network on the fifth that it has not seen."""
    return {
        f"fifth {k}": {"frames": len(part), **scored(*list(zip(*part, strict=True))[1:])}
        for k, part in unseen(networks).items()
    }


def outlined(networks: Path, methods: dict[str, Options]) -> Columns:
    """Score all methods on the same frames, none of which the network in use has seen."""
    parts = [each for part in unseen(networks).values() for each in part]
    truth = [each[1] for each in parts]
    columns = {}
    for name, options in methods.items():
        own = name != "unet"
        found = [_labels(each[0], options["segment"]) if own else each[2] for each in parts]
        columns[name] = {"frames": len(parts), **scored(truth, found)}
    return columns


def rough() -> Columns:
    """Score areas in the outlined frames, with and without the network's note on its outlines."""
    ratios: dict[bool, list[np.ndarray]] = {False: [], True: []}
    segmenter = get_segmenter("unet", pixel_um=T98G_UM)
    for _, image, truth in outlined_frames():
        labels, stats = segmenter(image)
        m = match_frames([truth], [labels])
        alone = (m.match >= 0) & (np.append(m.times_matched, 0)[m.match] == 1)
        ratios["rough outlines" in stats.flag].append(
            m.found_area[m.match[alone]] / m.truth_area[alone]
        )
    return {
        "rough outlines" if noted else "no note": {
            "frames": len(parts),
            "cells found alone": sum(map(len, parts)),
            "area, median": float(np.median(np.concatenate(parts))),
            "more than 20 % off %": 100 * float(np.mean(np.abs(np.concatenate(parts) - 1) > 0.2)),
        }
        for noted, parts in ratios.items()
    }


def realism() -> Columns:
    """Measure what real and simulated frames look like."""
    columns: Columns = {}
    if (DATA / "t98g_manual").exists():
        frames = outlined_frames()[::3]
        columns["T98G"] = looks((f[1] for f in frames), (f[2] for f in frames), T98G_UM)
    if (DATA / "nd2").exists():
        images = [image for part in incucyte_frames() for image in part[::5]]
        segmenter = get_segmenter("unet", pixel_um=INCUCYTE_UM)
        found = [segmenter(image)[0] for image in images]
        columns["IncuCyte"] = looks(images, found, INCUCYTE_UM)
    for name, params in (("default", DEFAULT[0]), ("realistic", REALISTIC[0])):
        movie = simulate(params)
        times = (0, 7, 15)
        images = [movie.frame(0, t)[0] for t in times]
        masks = [movie.masks(0, t) for t in times]
        columns[f"simulated: {name}"] = looks(images, masks, params.pixel_um)
    return columns


def bias(params: MovieParams, segment: dict[str, Any]) -> Figures:
    """Return where the light of cells goes: median errors of their totals, step by step."""
    movie = simulate(params)
    segmenter = get_segmenter(pixel_um=params.pixel_um, **segment)
    corrector = get_corrector("tiles", shape=(params.height, params.width))
    errors: dict[str, list[np.ndarray]] = {}
    for t in (12, 16, 20):
        (phase, light), truth = movie.frame(0, t), movie.masks(0, t)
        found = segmenter(phase)[0]
        rows, matches = movie.cell_rows(0, t), match_frames(truth, found)
        totals = dict(zip(rows["cell"].tolist(), rows["total_ch_1"].tolist(), strict=True))
        bright = np.array([totals[cell] > BRIGHT for cell in matches.truth_id.tolist()])
        alone = np.append(matches.times_matched, 0)[matches.match] == 1
        held = np.flatnonzero((matches.match >= 0) & alone & bright)
        mine = matches.truth_id[held]
        theirs = matches.found_id[matches.match[held]]
        total = np.array([totals[cell] for cell in mine.tolist()])
        signal = movie.signal(0, t, 1)
        area = np.bincount(found.ravel())[theirs] / np.bincount(truth.ravel())[mine]
        steps = {
            "area of the outline": area,
            "light within the true outline": _light(signal, truth)[mine] / total,
            "light within the outline found": _light(signal, found)[theirs] / total,
            "the same, background corrected": _light(corrector(light, found)[0], found)[theirs]
            / total,
        }
        for pixels in (1, 2):
            kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1,) * 2)
            grown = np.where(found > 0, found, cv2.dilate(found, kernel))
            name = f"light within the outline grown by {pixels} px"
            steps[name] = _light(signal, grown)[theirs] / total
        for name, ratio in steps.items():
            errors.setdefault(f"{name} %", []).append(100 * (ratio - 1))
    return {name: float(np.median(np.concatenate(parts))) for name, parts in errors.items()}


def _light(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the sum of an image over each label."""
    return np.bincount(labels.ravel(), image.ravel().astype(float))


def dropped() -> Columns:
    """Track the true masks of a crowded movie with detections missing at random."""
    movie = simulate(CROWDED)
    truth = np.stack([movie.masks(0, t) for t in range(CROWDED.frames)])
    true = parents_of(movie.lineage(0))
    columns: Columns = {}
    for name in ("iou", "classic"):
        figures = columns[name] = {}
        for share in (0.0, 0.02, 0.05):
            rng = np.random.default_rng(8)
            given = truth.copy()
            for frame in given:
                ids = np.unique(frame[frame > 0])
                frame[np.isin(frame, ids[rng.random(ids.size) < share])] = 0
            labeled, links = track_stack(given, pixel_um=CROWDED.pixel_um, method=name)
            figures[f"complete per 100, {share:.0%} dropped"] = (
                100 * complete_tracks(given, labeled).fraction
            )
            figures[f"divisions F1, {share:.0%} dropped"] = division_f1(
                given, labeled, truth_parents=true, found_parents=parents_of(links), tolerance=3
            )
    return columns


def followed(phase: np.ndarray, pixel_um: float, options: Options) -> tuple[Followed, Figures]:
    """Segment and track a real movie; tell how steadily cells are followed."""
    found = follow(phase[:, None], pixel_um, options)
    length = np.bincount(found.links["cell"])[1:]
    return found, {
        "ids": length.size,
        "objects per frame": length.sum() / len(phase),
        "long tracks": int(np.count_nonzero(length >= LONG * len(phase))),
        "median length": float(np.median(length)),
        "median length over rows": float(np.median(np.repeat(length, length))),
        "divisions": int(np.count_nonzero(found.links["parent"])) / 2,
        "good rows %": 100 * float(np.mean(found.rows["good"])),
        "frames flagged": int(found.flagged.sum()),
        "frames noted": int(found.noted.sum()),
    }


def incucyte(options: Options) -> Figures:
    """Follow both FOVs of the IncuCyte movie; means of both."""
    parts = [followed(each, INCUCYTE_UM, options)[1] for each in incucyte_frames()]
    return {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}


def incucyte_frames() -> list[np.ndarray]:
    """Return the phase frames of both FOVs, (T, Y, X)."""
    import nd2

    with nd2.ND2File(DATA / "nd2" / "incucyte_2fov_pgr.nd2") as file:
        frames = file.asarray()[:, :, 0]
    return [np.ascontiguousarray(frames[:, p]) for p in range(frames.shape[1])]


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


def glioma_frames() -> np.ndarray:
    """Return the phase frames of the glioma movie, (T, Y, X)."""
    import tifffile

    return np.stack([tifffile.imread(f) for f in sorted((DATA / "t98g" / "phase").glob("*.tif"))])


def glioma(options: Options) -> Figures:
    """Follow the glioma cells and look for the published tracks."""
    phase = glioma_frames()
    result, figures = followed(phase, T98G_UM, options)
    matches = match_frames(published_tracks(), result.labeled)
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
        "good rows on a published cell %": 100 * _on_cells(matches, result),
    }


def _on_cells(matches: Matches, result: Followed) -> float:
    """Return the share of good rows whose object lies by more than half in a published cell."""
    rows, good = result.rows, result.rows["good"]
    pairs = zip(rows["frame"][good].tolist(), rows["cell"][good].tolist(), strict=True)
    inside = dict(
        zip(
            zip(matches.found_frame.tolist(), matches.found_id.tolist(), strict=True),
            (matches.owned > 0.5).tolist(),
            strict=True,
        )
    )
    found = [inside[pair] for pair in pairs]
    return float(np.mean(found)) if found else float("nan")


def each_method(
    measure_one: Callable[[Options], Figures],
) -> Callable[[Path, dict[str, Options]], Columns]:
    """Return a case whose columns are measured one by one."""
    return lambda _, methods: {name: measure_one(each) for name, each in methods.items()}


CASES: dict[str, tuple[str | None, Callable[[Path, dict[str, Options]], Columns]]] = {
    "outlined": ("t98g_manual", outlined),
    "folds": ("t98g_manual", lambda networks, _: folds(networks)),
    "glioma": ("t98g/phase", each_method(glioma)),
    "incucyte": ("nd2/incucyte_2fov_pgr.nd2", each_method(incucyte)),
    "default": (None, lambda _, methods: simulated(DEFAULT, methods)),
    "touching": (None, lambda _, methods: simulated(TOUCHING, methods)),
    "realistic": (None, lambda _, methods: simulated(REALISTIC, methods)),
    "rough": ("t98g_manual/phase", lambda *_: rough()),
    "dropped": (None, lambda *_: dropped()),
    "bias": (
        None,
        lambda *_: {
            name: bias(params, METHODS["logstd"]["segment"]) for name, params in LIT.items()
        },
    ),
    "realism": (None, lambda *_: realism()),
}
"""Which example file each needs, and what measures it."""


def measured(
    names: list[str], networks: Path | None, methods: dict[str, Options]
) -> Iterator[tuple[str, Columns]]:
    """Yield the tables of the cases whose data are there."""
    for name in names:
        source, case = CASES[name]
        if source is not None and not (DATA / source).exists():
            print(f"{name}: left out, there is no {source} in {DATA}")
        elif source == "t98g_manual" and networks is None:
            print(f"{name}: left out, it needs --networks")
        else:
            yield name, case(networks or Path(), methods)


def sequence_figures(sequence: Sequence, pixel_um: float, options: Options | None) -> Figures:
    """Segment and track a sequence, or take the result beside it; score it."""
    truth, frames = sequence.truth(), sequence.frames
    if truth is not None and frames and len(truth[0]) != len(frames):
        raise FovflowError(
            f"sequence {sequence.name} and its truth have different numbers of frames",
            found=f"{len(frames)} frames, {len(truth[0])} with a truth",
        )
    if options is None:
        labeled, found = sequence.result() or (np.zeros(0), {})
        numbers = range(len(labeled))
    else:
        numbers = list(frames)
        phase = [read_frame(path)[None] for path in frames.values()]
        result = follow(phase, pixel_um, options)
        labeled, found = result.labeled, result.parents
    place = {number: k for k, number in enumerate(numbers)}
    figures: Figures = {"frames": len(labeled)}
    outlines = {t: read_frame(path) for t, path in sequence.outlines.items() if t in place}
    if outlines:
        mine = [labeled[place[t]] for t in outlines]
        figures["SEG"] = seg_score(outlines.values(), mine)
        whole = {
            t: each
            for t, each in outlines.items()
            if truth is None or np.unique(each).size >= np.unique(truth[0][place[t]]).size
        }
        figures["outlined frames"], figures["completely"] = len(outlines), len(whole)
        if whole:
            of_all = scored(whole.values(), [labeled[place[t]] for t in whole])
            figures |= {key: value for key, value in of_all.items() if key != "SEG"}
    if truth is not None:
        matches, mothers = match_frames(truth[0], labeled), truth[1]
        parents = {"truth_parents": mothers, "found_parents": found}
        tracks = complete_tracks(matches)
        figures |= {"TRA": tra_score(matches, **parents), "complete tracks": tracks.complete}
        figures |= {"true tracks": tracks.total, "divisions F1": division_f1(matches, **parents)}
    return figures


def challenge(
    folder: Path, pixel_um: float, methods: dict[str, Options]
) -> Iterator[tuple[str, Columns]]:
    """Yield the tables of the sequences of a folder in the Cell Tracking Challenge's form."""
    for sequence in find_sequences(folder):
        columns: Columns = {}
        if sequence.frames:
            for name, options in methods.items():
                columns[name] = sequence_figures(sequence, pixel_um, options)
        if sequence.result() is not None:
            columns[f"{sequence.name}_RES"] = sequence_figures(sequence, pixel_um, None)
        if not columns:
            raise FovflowError(
                f"{folder}: sequence {sequence.name} has a truth, but nothing to score",
                remedy=f"put its frames into {sequence.name}, or a result into {sequence.name}_RES",
            )
        yield sequence.name, columns


def read_options(settings: list[str]) -> Options:
    """Return parameters by step from ``segment.key=value``."""
    options: Options = {"segment": {}, "track": {}}
    for setting in settings:
        place, value = setting.split("=", 1)
        step, key = place.split(".", 1)
        options[step][key] = json.loads(value)
    return options


def table(figures: Columns) -> str:
    """Return the figures of a case, by methods, as a table in Markdown."""
    rows = [["", *figures], ["---"] * (1 + len(figures))]
    for name in next(iter(figures.values())):
        rows.append([name, *(_shown(found[name]) for found in figures.values())])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _shown(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.4g}"


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


def main() -> int:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(
        prog="fovflow bench accuracy", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("folder", nargs="?", type=Path, help="sequences with their truth")
    parser.add_argument("--pixel-um", type=float, help="edge length of the folder's pixels (µm)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--networks", type=Path, help="folder of fold0.onnx to fold4.onnx")
    parser.add_argument("--set", nargs="+", default=[], help="parameters, as segment.split=false")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--page", type=Path, help="also write the tables to this page")
    given = parser.parse_args()
    if given.folder and not (given.pixel_um and given.pixel_um > 0):
        parser.error("the form holds no size of pixels: give --pixel-um")
    if given.page and not given.page.is_file():
        parser.error(f"there is no page {given.page}")
    cv2.setNumThreads(1)
    more = read_options(given.set)
    methods = {
        name: {step: METHODS[name][step] | more[step] for step in more} for name in given.methods
    }
    results: dict[str, Columns] = {}
    try:
        made = (
            challenge(given.folder, given.pixel_um, methods)
            if given.folder
            else measured(given.only, given.networks, methods)
        )
        for name, figures in made:
            results[name] = figures
            print(f"\n{name}\n{table(figures)}", flush=True)
            if given.page:  # at once: what is done stays if it is stopped
                page = given.page.read_text(encoding="utf-8")
                write_text(given.page, fill(page, {name: table(figures)}))
            if given.json:
                write_text(given.json, json.dumps(results, indent=2) + "\n")
    except FovflowError as error:
        print(f"fovflow: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
