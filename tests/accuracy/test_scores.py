"""Scores on hand-made cases with known values, one for each kind of error."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fovflow.accuracy import (
    complete_tracks,
    detection_counts,
    division_f1,
    intensity_errors,
    match_divisions,
    match_frames,
    match_tracks,
    seg_score,
    tra_score,
)


def rows(*frames: str) -> np.ndarray:
    """Build a (T, 1, X) stack from digits; each digit fills four pixels, dots are background."""
    digits = [[0 if mark == "." else int(mark) for mark in frame] for frame in frames]
    return np.repeat(np.array(digits, np.uint16), 4, axis=1)[:, None, :]


TWO = rows("11.22", "11.22", "11.22")

# Segmentation ------------------------------------------------------------------------------


def test_seg_of_the_truth_itself_is_one() -> None:
    assert seg_score(TWO, TWO) == 1.0


def test_seg_counts_jaccard_of_matches_and_zero_for_missed() -> None:
    truth = np.array([[1, 1, 1, 1, 0, 2, 2, 0]])
    found = np.array([[7, 7, 7, 0, 0, 0, 9, 9]])
    # 1 is matched by 7 (3 of 4 pixels), 2 by nothing: 1 of 2 pixels is not more than half.
    assert seg_score(truth, found) == pytest.approx((3 / 4 + 0) / 2)


def test_seg_of_one_found_object_over_two_true_ones() -> None:
    truth, found = np.array([[1, 1, 2, 2, 2]]), np.array([[4, 4, 4, 4, 4]])
    assert seg_score(truth, found) == pytest.approx((2 / 5 + 3 / 5) / 2)


def test_seg_over_frames_weighs_objects_not_frames() -> None:
    truth, found = rows("1122", "1111"), rows("1122", "....")
    assert seg_score(truth, found) == pytest.approx(2 / 3)


def test_seg_without_true_objects_is_not_a_number() -> None:
    assert math.isnan(seg_score(rows("...."), rows("11..")))


def test_shapes_and_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="frame 0"):
        seg_score(np.zeros((2, 3), int), np.zeros((3, 2), int))
    with pytest.raises(ValueError, match="shorter"):
        seg_score(TWO, TWO[:2])


def test_every_kind_of_detection_error_is_counted() -> None:
    #             missed   merged      split     fine  extra
    truth = rows("1111" + "2222333." + "44444" + "55." + "...")
    found = rows("...." + "6666666." + "77788" + "99." + "11.")
    assert detection_counts(truth, found) == {
        "true": 5,
        "found": 5,
        "matched": 4,
        "missed": 1,
        "extra": 2,  # the second half of the split cell, and the one in the void
        "merged": 1,
        "split": 1,
    }


# Complete tracks ---------------------------------------------------------------------------


def test_a_perfect_result_is_complete_whatever_the_ids() -> None:
    result = complete_tracks(TWO, rows("55.33", "55.33", "55.33"))
    assert (result.complete, result.total, result.fraction, result.ids) == (2, 2, 1.0, (1, 2))


@pytest.mark.parametrize(
    ("found", "ids"),
    [
        (("11.22", "11.22", "11.33"), (1,)),  # a track that breaks
        (("11.22", "11...", "11.22"), (1,)),  # a frame without detection
        (("11.22", "22.11", "22.11"), ()),  # two that swap
        (("11.22", "11111", "11.22"), ()),  # two that merge for a while
        (("11.22", "11.22", "12.22"), (2,)),  # only half of a cell is not a match
    ],
)
def test_broken_tracks_are_not_complete(found: tuple[str, ...], ids: tuple[int, ...]) -> None:
    assert complete_tracks(TWO, rows(*found)).ids == ids


def test_coverage_and_length_of_complete_tracks() -> None:
    truth = rows("11.2", "11..", "11..", "11..")
    found = rows("11.2", "11..", "....", "11..")
    assert complete_tracks(truth, found).ids == (2,)
    assert complete_tracks(truth, found, min_coverage=0.75).ids == (1, 2)
    limited = complete_tracks(truth, found, min_coverage=0.75, min_frames=2)
    assert (limited.ids, limited.total) == ((1,), 1)


def test_a_cell_that_is_out_of_view_for_a_while_can_be_complete() -> None:
    truth = rows("11", "..", "11")
    assert complete_tracks(truth, rows("33", "..", "33")).complete == 1
    assert complete_tracks(truth, rows("33", "..", "44")).complete == 0


def test_pairs_of_ids_and_their_frames() -> None:
    table = match_tracks(TWO, rows("11.22", "11.22", "11.33"))
    assert {k: v.tolist() for k, v in table.items()} == {
        "truth": [1, 2, 2],
        "found": [1, 2, 3],
        "frames": [3, 2, 1],
    }


# TRA: TWO has 6 vertices and 4 edges, so AOGM0 = 66 ------------------------------------------


@pytest.mark.parametrize(
    ("found", "cost"),
    [
        (("11.22", "11.22", "11.22"), 0.0),
        (("11.22", "11.22", "11.33"), 1.5),  # one edge missing
        (("11.22", "11.22", "11..."), 10 + 1.5),  # one object and its edge missing
        (("11.22", "11122", "11.22"), 0.0),  # one object larger than it should be
        (("11.22", "11322", "11.22"), 1.0),  # one object too many
        (("11.22", "11322", "11322"), 2.0),  # and again: its own edge is not charged
        (("11.22", "22.11", "22.11"), 2 * (1 + 1.5)),  # a swap: two edges wrong, two missing
        (
            ("11.22", "11111", "11.22"),
            5 + 4 * 1.5 + 1,
        ),  # to be split, and one wrong edge
        ((".....", ".....", "....."), 66.0),
    ],
)
def test_tra_charges_each_error(found: tuple[str, ...], cost: float) -> None:
    assert tra_score(TWO, rows(*found)) == pytest.approx(1 - cost / 66)


def test_tra_charges_edges_of_the_wrong_kind() -> None:
    truth, found = rows("1111", "2.33"), rows("1111", "2.11")
    parents = {2: 1, 3: 1}
    base = 10 * 3 + 1.5 * 2
    assert tra_score(truth, truth, truth_parents=parents, found_parents=parents) == 1.0
    score = tra_score(truth, found, truth_parents=parents, found_parents={2: 1})
    assert score == pytest.approx(1 - 1 / base)
    unknown = tra_score(truth, truth, truth_parents=parents, found_parents={})
    assert unknown == pytest.approx(1 - 3 / base)


def test_tra_is_never_below_zero() -> None:
    truth = rows("1.....", "1.....")
    found = rows(".23456", ".23456")
    assert tra_score(truth, found) == 0.0
    assert math.isnan(tra_score(rows(".."), rows("..")))


# Divisions ---------------------------------------------------------------------------------

FAMILY = rows("1111", "1111", "2.33", "2.33")
PARENTS = {2: 1, 3: 1}


def test_a_division_is_found_under_any_ids() -> None:
    found = rows("5555", "5555", "7.66", "7.66")
    result = match_divisions(FAMILY, found, truth_parents=PARENTS, found_parents={6: 5, 7: 5})
    assert (result.true, result.found, result.matched, result.f1) == (1, 1, 1, 1.0)


@pytest.mark.parametrize(
    ("found", "parents", "f1"),
    [
        (("5555", "5555", "7.66", "7.66"), {}, 0.0),  # not seen as a division
        (("5555", "5555", "7.66", "7.66"), {7: 5}, 0.0),  # one daughter only
        (("5555", "5555", "7.55", "7.55"), {7: 5}, 1.0),  # the mother's id goes on
        (("5555", "5555", "5555", "7.66"), {6: 5, 7: 5}, 1.0),  # one frame late
        (("5555", "7.66", "7.66", "7.66"), {6: 5, 7: 5}, 1.0),  # one frame early
        (("5555", "5555", "7.66", "7.66"), {6: 9, 7: 9}, 0.0),  # an unknown mother
    ],
)
def test_kinds_of_missed_divisions(
    found: tuple[str, ...], parents: dict[int, int], f1: float
) -> None:
    score = division_f1(FAMILY, rows(*found), truth_parents=PARENTS, found_parents=parents)
    assert score == f1


def test_the_tolerance_counts_frames() -> None:
    late = rows("5555", "5555", "5555", "7.66")
    kinds = {"truth_parents": PARENTS, "found_parents": {6: 5, 7: 5}}
    assert division_f1(FAMILY, late, tolerance=0, **kinds) == 0.0


def test_a_false_division_lowers_f1() -> None:
    truth = rows("1111.44", "1111.44", "2.33.44")
    found = rows("1111.44", "1111.44", "2.33.56")
    score = division_f1(truth, found, truth_parents=PARENTS, found_parents={2: 1, 3: 1, 5: 4, 6: 4})
    assert score == pytest.approx(2 / 3)


def test_without_divisions_f1_is_not_a_number() -> None:
    assert math.isnan(division_f1(TWO, TWO, truth_parents={}, found_parents={}))


def test_scores_share_one_pass_over_the_pixels() -> None:
    matches = match_frames(iter(TWO), iter(TWO))
    assert seg_score(matches) == tra_score(matches) == complete_tracks(matches).fraction == 1.0


# Intensities -------------------------------------------------------------------------------


def table(*cells: tuple[float, float, float]) -> tuple[dict, dict]:
    x, y, value = (np.array(column, float) for column in zip(*cells, strict=True))
    true = {"frame": np.zeros(len(x)), "x": x, "y": y, "area": np.full(len(x), 314.0)}
    found = {"frame": np.zeros(len(x)), "position_x": x, "position_y": y}
    return {**true, "total_ch_1": np.full(len(x), 1000.0)}, {
        **found,
        "intensity_total_ch_1": value,
    }


def test_errors_are_split_by_distance_to_the_border() -> None:
    truth, traces = table((40, 40, 1100), (41, 80, 900), (4, 40, 1500), (95.5, 60, 1010))
    errors = intensity_errors(truth, traces, channel=1, height=100, width=100)
    assert errors["median_centre"] == pytest.approx(0.1)
    assert errors["median_border"] == pytest.approx((0.5 + 0.01) / 2)
    assert errors["median"] == pytest.approx(0.1)
    assert errors["bias"] == pytest.approx(0.055)
    assert (errors["rows"], errors["rows_border"], errors["rows_true"]) == (4, 2, 4)


def test_only_mutual_neighbours_within_reach_are_compared() -> None:
    truth, traces = table((40, 40, 1000), (60, 40, 1000), (40, 70, 1000))
    traces["position_x"] = np.array([47.0, 48.0, 51.0])  # two near the first, one out of reach
    errors = intensity_errors(truth, traces, channel=1, height=100, width=100)
    assert errors["rows"] == 1


def test_dim_cells_are_left_out() -> None:
    truth, traces = table((40, 40, 1000), (60, 40, 9), (40, 70, 1000))
    truth["total_ch_1"] = np.array([1000.0, 10.0, 0.0])
    errors = intensity_errors(truth, traces, channel=1, height=100, width=100)
    assert (errors["rows"], errors["median"]) == (1, 0.0)
    every = intensity_errors(truth, traces, channel=1, height=100, width=100, least_total=0.0)
    assert (every["rows"], every["median"]) == (2, pytest.approx(0.05))


def test_nothing_found_is_no_error_but_no_number() -> None:
    truth, traces = table((40, 40, 1000))
    traces = {name: values[:0] for name, values in traces.items()}
    errors = intensity_errors(truth, traces, channel=1, height=100, width=100)
    assert errors["rows"] == 0
    assert math.isnan(errors["median"])
