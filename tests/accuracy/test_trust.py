"""Rows that are wrong, on hand-made cases; F1."""

from __future__ import annotations

import numpy as np
import pytest

from fovflow.accuracy import f1_score, match_frames
from fovflow.accuracy.measuring import Known, faults_of_rows, measure, summed
from fovflow.simulation import MovieParams, simulate


def stack(*frames: str) -> np.ndarray:
    """Build (T, 1, X) from digits, each ten pixels wide."""
    digits = [[0 if mark == "." else int(mark) for mark in frame] for frame in frames]
    return np.repeat(np.array(digits, np.uint16), 10, axis=1)[:, None, :]


def faults(truth, found, **totals):
    matches = match_frames(truth, found)
    rows = {"frame": matches.found_frame, "cell": matches.found_id, **totals.pop("rows", {})}
    wrong = faults_of_rows(matches, rows, **totals)
    return {
        (t, cell): {name for name, values in wrong.items() if values[k]}
        for k, (t, cell) in enumerate(zip(rows["frame"], rows["cell"], strict=True))
    }


def test_a_right_row_has_no_fault():
    truth = stack("11.22", "11.22")
    assert faults(truth, truth + 4 * (truth > 0)) == {
        (t, cell): set() for t in (0, 1) for cell in (5, 6)
    }


def test_objects_without_a_cell_and_over_two_are_told():
    found = faults(stack("1122...."), stack("3333..44"))
    assert found == {(0, 3): {"merged", "area"}, (0, 4): {"no cell"}}


def test_an_id_that_jumps_to_another_cell_is_wrong_where_it_is_rarer():
    found = faults(stack("11.22", "11.22", "11.22"), stack("33...", "33...", "...33"))
    assert found == {(0, 3): set(), (1, 3): set(), (2, 3): {"wrong id"}}


def test_a_piece_of_a_cell_has_the_wrong_area():
    assert faults(stack("1111"), stack("3...")) == {(0, 3): {"area"}}
    nearly = stack("1111111111")
    nearly[..., :15] = 0  # 15 % less
    assert faults(stack("1111111111"), nearly) == {(0, 1): set()}
    nearly[..., :22] = 0
    assert faults(stack("1111111111"), nearly) == {(0, 1): {"area"}}


def test_an_object_mostly_beside_a_cell_is_none():
    found = stack(".....44444")
    found[..., 45:50] = 4
    assert faults(stack("11111....."), found) == {(0, 4): {"no cell"}}


def test_intensities_are_held_against_the_cell_that_is_there():
    truth = stack("11.22.33")
    totals = {"frame": [0, 0, 0], "cell": [1, 2, 3], "total_ch_1": [100.0, 100.0, 0.5]}
    rows = {"intensity_total_ch_1": [115.0, 130.0, 30.0]}  # the last is dark: not judged
    found = faults(truth, truth, totals=totals, rows=rows)
    assert found == {(0, 1): set(), (0, 2): {"intensity"}, (0, 3): set()}


def test_f1_counts_objects_that_overlap_by_more_than_half():
    truth, found = stack("1111.22.3333"), stack("1111.44.5...")
    # 1 and 2 are found, 3 is not: 2 · 2 / (3 + 3)
    assert f1_score(truth, found) == pytest.approx(2 / 3)
    half = stack("11..")
    assert f1_score(half, stack("1111"), least=0.5) == 0.0  # exactly half is not above it
    assert np.isnan(f1_score(stack("."), stack(".")))


def test_a_simulated_movie_is_measured_as_a_whole():
    movie = simulate(MovieParams(seed=1, frames=8, height=256, width=256, cells=8, divisions=1))
    known = Known.simulated(movie)
    figures = summed([measure(known, {"segment": {"method": "logstd"}})] * 2)
    assert figures["frames"] == 16
    assert figures["rows"] >= 2 * 60
    assert figures["SEG"] > 0.85
    assert figures["F1"] > 0.95
    assert figures["divisions"] == 2
    assert -0.1 < figures["intensity bias"] < 0.02
    assert figures["wrong among good %"] < 5


def test_without_fluorescence_intensities_are_not_measured():
    movie = simulate(MovieParams(seed=1, frames=3, height=128, width=128, cells=2, channels=["PC"]))
    figures = measure(Known.simulated(movie), {})
    assert "intensity bias" not in figures
    assert figures["rows"] > 0
