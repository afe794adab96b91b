"""The truth on disk, and whole results compared with it."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fovflow.accuracy import compare, format_comparison
from fovflow.errors import FovflowError
from fovflow.simulation import Movie, MovieParams, load_truth, simulate, write_truth
from fovflow.tables import write_csv


@pytest.fixture(scope="module")
def movie() -> Movie:
    return simulate(
        MovieParams(
            seed=5,
            positions=2,
            frames=16,
            height=256,
            width=256,
            cells=7,
            divisions=1,
            missing=frozenset({(1, 2)}),
            drift_px=(1.0, 0.0),
        )
    )


@pytest.fixture(scope="module")
def folder(movie: Movie, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("truth")
    write_truth(movie, place)
    return place


def test_what_was_written_is_read(movie: Movie, folder: Path) -> None:
    truth = load_truth(folder)
    assert truth.params == movie.params
    for p in (0, 1):
        with truth.masks(p) as masks:
            assert (masks.shape, masks.dtype) == ((16, 256, 256), np.uint16)
            np.testing.assert_array_equal(masks.frame(9), movie.masks(p, 9))
        for name in ("cells", "lineage", "kinetics"):
            found, expected = getattr(truth, name)(p), getattr(movie, name)(p)
            assert list(found) == list(expected)
            for column, values in expected.items():
                np.testing.assert_array_equal(found[column], values)
        frames = truth.frames(p)
        np.testing.assert_array_equal(frames["time_s"], movie.times(p))
        assert frames["drift_x"].tolist() == list(range(16))
        assert np.flatnonzero(frames["missing"]).tolist() == ([2] if p else [])


def test_same_movie_same_truth(movie: Movie, folder: Path, tmp_path: Path) -> None:
    write_truth(simulate(movie.params), tmp_path)
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "cells.csv",
        "fov_000_masks.npy",
        "fov_001_masks.npy",
        "frames.csv",
        "kinetics.csv",
        "lineage.csv",
        "params.json",
    ]
    for name in names:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_a_movie_without_cells_has_empty_tables(tmp_path: Path) -> None:
    write_truth(simulate(MovieParams(frames=2, height=32, width=32, cells=0)), tmp_path)
    truth = load_truth(tmp_path)
    for table in (truth.cells(0), truth.lineage(0), truth.kinetics(0)):
        assert all(len(column) == 0 for column in table.values())


def test_a_folder_without_truth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FovflowError, match="holds no truth"):
        load_truth(tmp_path)


def results_of(movie: Movie, folder: Path, *, factor: float = 1.0, drop: int = 0) -> Any:
    """Lay out the truth itself as results, with ids and brightness changed."""
    fovs = {}
    for p in range(movie.params.positions):
        stack = np.stack([movie.masks(p, t) for t in range(movie.params.frames)])
        stack[stack == drop] = 0
        labeled = np.where(stack > 0, stack + 100, 0).astype(np.uint16)
        cells = {k: v[movie.cells(p)["cell"] != drop] for k, v in movie.cells(p).items()}
        traces = folder / f"plate_fov_{p:03d}_traces.csv"
        write_csv(
            traces,
            {
                "cell": cells["cell"] + 100,
                "frame": cells["frame"],
                "position_x": cells["x"],
                "position_y": cells["y"],
                "intensity_total_ch_1": factor * cells["total_ch_1"],
            },
        )
        lineage = movie.lineage(p)
        parent = np.where(lineage["parent"] > 0, lineage["parent"] + 100, 0)
        write_csv(
            folder / f"plate_fov_{p:03d}_tracks.csv",
            {"cell": lineage["cell"] + 100, "parent": parent},
        )
        fovs[p] = SimpleNamespace(
            traces_path=traces, stacks={"seg_labeled": {0: 1}}, stack=lambda _, s=labeled: s
        )
    return SimpleNamespace(dataset="plate", fovs=fovs)


def test_the_truth_itself_compares_perfectly(movie: Movie, folder: Path, tmp_path: Path) -> None:
    comparison = compare(results_of(movie, tmp_path, factor=0.98), folder)
    cells = sum(np.unique(movie.cells(p)["cell"]).size for p in (0, 1))
    assert comparison["fovs"] == comparison["fovs_true"] == 2
    assert comparison["cells_true"] == comparison["cells_found"] == cells
    assert comparison["tracks_complete"] == comparison["tracks_true"] == cells
    assert comparison["seg"] == comparison["tra"] == comparison["divisions_f1"] == 1.0
    assert (comparison["divisions_true"], comparison["divisions_matched"]) == (2, 2)
    errors = comparison["intensity"][1]
    assert errors["median"] == pytest.approx(0.02)
    assert errors["bias"] == pytest.approx(-0.02)
    assert errors["rows"] == errors["rows_true"] > 30
    text = format_comparison(comparison)
    assert f"cells found           {cells} of {cells} (100.0% of detections)" in text
    assert "2 of 2 (2 found, F1 1.000)" in text
    assert "median 2.0% (centre 2.0%, border 2.0%)" in text


@pytest.mark.slow
def test_a_lost_cell_shows_in_every_number(movie: Movie, folder: Path, tmp_path: Path) -> None:
    whole = compare(results_of(movie, tmp_path), folder)
    comparison = compare(results_of(movie, tmp_path, drop=1), folder)
    for name in ("cells_found", "tracks_complete"):
        assert comparison[name] == whole[name] - 2
    frames = sum((movie.cells(p)["cell"] == 1).sum() for p in (0, 1))
    assert comparison["detections"]["missed"] == frames
    assert comparison["seg"] == pytest.approx(1 - frames / comparison["detections"]["true"])
    assert comparison["tra"] < 1


def test_failed_fovs_are_left_out_and_other_frames_refused(
    movie: Movie, folder: Path, tmp_path: Path
) -> None:
    results = results_of(movie, tmp_path)
    results.fovs[1].traces_path = None
    comparison = compare(results, folder)
    assert (comparison["fovs"], comparison["fovs_true"]) == (1, 2)
    results.fovs[0].stack = lambda _: np.zeros((3, 256, 256), np.uint16)
    with pytest.raises(FovflowError, match="FOV 0 cannot be compared"):
        compare(results, folder)
    results.fovs[0].traces_path = None
    nothing = compare(results, folder)
    assert nothing["cells_found"] == 0
    assert math.isnan(nothing["seg"])
    assert "not known" in format_comparison(nothing)
