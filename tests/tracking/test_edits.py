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


def test_cutting_a_mother_leaves_her_daughters_with_the_later_part():
    frames = movie()
    divided, _ = edited(lineage_of(frames), [edit("split", 1, 1, 3, 5)])
    cut, _ = edited(divided, [edit("cut", 1, 1)])
    assert cut.links["parent"][cut.links["cell"] == 3].tolist() == [4, 0, 0]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (edit("cut", 0, 77), "there is no cell"),
        (edit("cut", 99, 1), "there is no cell"),
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
