"""A person's corrections of tracks: cuts, links, merges and divisions."""

from __future__ import annotations

import numpy as np
import pytest

from fovflow.tracking import get_tracker, link_frames, relabel_frames
from fovflow.tracking.edits import Edit, edited


def movie() -> np.ndarray:
    """Six frames: one cell throughout, one in frames 0 to 2, one far from it in 3 to 5."""
    frames = np.zeros((6, 40, 60), np.uint16)
    frames[:, 4:12, 4:12] = 1
    frames[:3, 24:32, 4:12] = 2
    frames[3:, 24:32, 44:52] = 5
    return frames


def lineage_of(frames: np.ndarray):
    """Return what the tracker makes of it."""
    return link_frames(get_tracker("iou", pixel_um=1.0), frames, [False] * len(frames))


def edit(action: str, frame: int, label: int, *target: int) -> Edit:
    """Return a correction."""
    return Edit(action, frame, label, action, *target)


def consistent(lineage, frames: np.ndarray) -> np.ndarray:
    """Check that links and relabelled frames tell the same; return the frames."""
    labeled = np.stack(list(relabel_frames(lineage, frames)))
    links = lineage.links
    rows = set(zip(links["cell"].tolist(), links["frame"].tolist(), strict=True))
    there = {(int(c), t) for t in range(len(frames)) for c in np.unique(labeled[t]) if c}
    assert rows == there
    assert len(rows) == links["cell"].size
    assert (labeled > 0).sum() == (frames > 0).sum()
    for cell in np.unique(links["cell"]):
        own = links["cell"] == cell
        known = links["frame"][own]
        assert (np.diff(known) > 0).all()
        assert links["previous_frame"][own][1:].tolist() == known[:-1].tolist()
        assert not links["parent"][own][1:].any()
    return labeled


def test_a_cut_begins_a_new_cell_and_leaves_others_alone():
    frames = movie()
    before = lineage_of(frames)
    after, told = edited(before, [edit("cut", 2, 1)])
    labeled = consistent(after, frames)
    assert told == []
    assert after.n_cells == before.n_cells + 1
    assert labeled[:, 8, 8].tolist() == [1, 1, 4, 4, 4, 4]
    assert labeled[0, 28, 8] == 2
    row = (after.links["cell"] == 4) & (after.links["frame"] == 2)
    assert after.links["previous_frame"][row].tolist() == [-1]
    assert np.isnan(after.links["confidence"][row]).all()
    assert before.links["cell"].max() == 3  # what was given stays


def test_a_cut_where_the_cell_begins_changes_nothing():
    frames = movie()
    after, told = edited(lineage_of(frames), [edit("cut", 3, 5)])
    assert told == []
    assert after.n_cells == 3


def test_a_cut_where_a_daughter_begins_frees_it_of_its_mother():
    frames = movie()
    lines = [edit("split", 2, 2, 3, 5), edit("cut", 3, 5)]
    born, _ = edited(lineage_of(frames), lines[:1])
    assert born.links["parent"].max() == 2
    after, told = edited(lineage_of(frames), lines)
    consistent(after, frames)
    assert told == []
    assert not after.links["parent"].any()
    row = (after.links["cell"] == 3) & (after.links["frame"] == 3)
    assert after.links["previous_frame"][row].tolist() == [-1]


def test_a_link_joins_tracks_that_the_tracker_left_apart():
    frames = movie()
    after, told = edited(lineage_of(frames), [edit("link", 2, 2, 3, 5)])
    labeled = consistent(after, frames)
    assert told == []
    assert labeled[5, 28, 48] == 2
    row = (after.links["cell"] == 2) & (after.links["frame"] == 3)
    assert after.links["confidence"][row].tolist() == [1.0]
    assert after.links["gap"][row].tolist() == [0]


def test_a_merge_is_one_cell_in_all_frames():
    frames = movie()
    after, told = edited(lineage_of(frames), [edit("merge", 0, 1, 0, 2)])
    labeled = consistent(after, frames)
    assert told == []
    assert labeled[:3, 28, 8].tolist() == [1, 1, 1]


def test_a_division_has_a_parent_and_merging_the_daughter_ends_it():
    frames = movie()
    lineage = lineage_of(frames)
    divided, told = edited(lineage, [edit("split", 1, 1, 3, 5)])
    assert told == []
    first = divided.links["cell"] == 3
    assert divided.links["parent"][first].tolist() == [1, 0, 0]
    assert divided.links["previous_frame"][first].tolist() == [2, 3, 4]
    consistent(divided, frames)
    joined, told = edited(divided, [edit("merge", 4, 1, 4, 5)])
    assert told == []
    assert not joined.links["parent"].any()
    consistent(joined, frames)


@pytest.mark.parametrize(("frame", "mother"), [(1, 4), (2, 4), (3, 1)])
def test_cutting_a_mother_leaves_her_daughters_with_the_part_before_them(frame, mother):
    frames = movie()
    divided, _ = edited(lineage_of(frames), [edit("split", 1, 1, 3, 5)])  # she is last seen in 2
    cut, _ = edited(divided, [edit("cut", frame, 1)])
    assert cut.links["parent"][cut.links["cell"] == 3].tolist() == [mother, 0, 0]


@pytest.mark.parametrize("last", [0, 1])
def test_a_link_over_frames_without_the_cell_tells_their_number(last):
    frames = movie()
    frames[last + 1 : 3, 24:32, 4:12] = 0
    frames[3, 24:32, 44:52] = 0
    after, told = edited(lineage_of(frames), [edit("link", 0, 2, 4, 5)])
    consistent(after, frames)
    assert told == []
    row = (after.links["cell"] == 2) & (after.links["frame"] == 4)
    names = ("previous_frame", "gap", "merged", "split", "parent")
    assert [int(after.links[name][row][0]) for name in names] == [last, 3 - last, 0, 0, 0]
    assert after.links["confidence"][row].tolist() == [1.0]


def test_a_cell_that_is_cut_has_nothing_before_it():
    after, _ = edited(lineage_of(movie()), [edit("cut", 2, 1)])
    row = (after.links["cell"] == 4) & (after.links["frame"] == 2)
    names = ("previous_frame", "gap", "merged", "split", "parent")
    assert [int(after.links[name][row][0]) for name in names] == [-1, 0, 0, 0, 0]


def test_a_merge_with_what_was_there_in_a_gap_closes_it():
    frames = np.zeros((6, 40, 60), np.uint16)
    frames[:2, 4:12, 4:12] = frames[4:, 4:12, 44:52] = 1
    frames[1:4, 24:32, 24:32] = 2
    lines = [edit("link", 0, 1, 4, 1), edit("merge", 1, 1, 1, 2)]
    after, told = edited(lineage_of(frames), lines)
    consistent(after, frames)
    assert told == []
    own = after.links["cell"] == 1
    assert after.links["previous_frame"][own].tolist() == [-1, 0, 1, 2, 3, 4]
    assert after.links["gap"][own].tolist() == [0] * 6


def test_a_cell_cannot_go_on_as_one_that_begins_in_its_last_frame():
    lines = [edit("cut", 2, 1), edit("link", 2, 2, 2, 1)]
    _, told = edited(lineage_of(movie()), lines)
    assert told == ["link: it is still there when the other begins, in frame 2"]


def test_a_mother_that_is_merged_with_her_daughter_is_not_her_own():
    frames = np.zeros((6, 40, 60), np.uint16)
    frames[:3, 4:12, 4:12] = frames[4:, 4:12, 44:52] = 1
    frames[3:, 24:32, 24:32] = 2
    lines = [edit("link", 0, 1, 4, 1), edit("split", 0, 1, 3, 2), edit("merge", 4, 1, 4, 2)]
    after, told = edited(lineage_of(frames), lines)
    consistent(after, frames)
    assert told == []
    assert not after.links["parent"].any()


def test_a_merged_daughter_keeps_her_mother():
    frames = movie()
    frames[3:, 24:32, 24:32] = 7
    lines = [edit("split", 1, 1, 3, 5), edit("merge", 3, 5, 3, 7)]
    after, told = edited(lineage_of(frames), lines)
    consistent(after, frames)
    assert told == []
    has_mother = after.links["parent"] > 0
    assert after.links["parent"][has_mother].tolist() == [1]
    assert after.links["frame"][has_mother].tolist() == [3]


def test_a_merge_takes_no_daughters_away():
    frames = movie()
    lines = [edit("split", 1, 1, 3, 5), edit("merge", 0, 1, 0, 2)]
    after, told = edited(lineage_of(frames), lines)
    consistent(after, frames)
    assert told == []
    assert after.links["parent"][after.links["cell"] == 3].tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (edit("cut", 0, 77), "there is no cell"),
        (edit("cut", 99, 1), "there is no cell"),
        (edit("link", 0, 1), "there is no cell"),
        (edit("link", 0, 1, 3, 5), "it is still there when the other begins, in frame 3"),
        (edit("merge", 0, 2, 3, 5), "the two are never there together"),
        (edit("split", 3, 5, 0, 1), "the daughter is there before its mother"),
        (edit("split", 0, 1, 2, 1), "a cell is no daughter of itself"),
    ],
)
def test_what_cannot_be_followed_is_told_and_changes_nothing(wrong, why):
    frames = movie()
    before = lineage_of(frames)
    after, told = edited(before, [wrong])
    assert told == [f"{wrong.words}: {why}"]
    for name, column in before.links.items():
        np.testing.assert_array_equal(after.links[name], column)


def test_corrections_are_followed_in_their_order():
    frames = movie()
    lines = [edit("cut", 3, 1), edit("link", 2, 2, 3, 1), edit("link", 2, 1, 3, 5)]
    after, told = edited(lineage_of(frames), lines)
    labeled = consistent(after, frames)
    assert told == []
    assert labeled[5, 8, 8] == labeled[0, 28, 8]
    assert labeled[5, 28, 48] == labeled[0, 8, 8]
