"""The reference tracking on cases that can be worked out by hand."""

import numpy as np
import pytest

from reference import tracking


def frame(*boxes, shape=(60, 60)):
    labels = np.zeros(shape, np.uint16)
    for label, (y, x, height, width) in enumerate(boxes, start=1):
        labels[y : y + height, x : x + width] = label
    return labels


def test_bounding_boxes_are_half_open():
    labels = frame((2, 3, 4, 5), (20, 30, 1, 1))
    assert tracking.bounding_boxes(labels) == {1: (2, 3, 6, 8), 2: (20, 30, 21, 31)}


def test_box_iou():
    assert tracking.box_iou((0, 0, 10, 10), (0, 5, 10, 15)) == pytest.approx(1 / 3)
    assert tracking.box_iou((0, 0, 10, 10), (0, 10, 10, 20)) == 0
    assert tracking.box_iou((0, 0, 4, 4), (0, 0, 4, 4)) == 1


def test_assignment_takes_the_best_sum_not_the_best_pair():
    # Along one line: a covers 0..10, b 10..20; new: c 4..15, d 16..26.
    before = {1: (0, 0, 10, 10), 2: (0, 10, 10, 20)}
    after = {1: (0, 4, 10, 15), 2: (0, 16, 10, 26)}
    # IoU 1-1: 6/15, 2-1: 5/16, 2-2: 4/16, 1-2: 0.
    assert tracking.match_boxes(before, after) == {1: 1, 2: 2}


def test_pairs_below_the_limit_are_not_linked():
    before = {1: (0, 0, 10, 10)}
    assert tracking.match_boxes(before, {1: (0, 9, 10, 19)}) == {}  # 10 / 190
    assert tracking.match_boxes(before, {1: (0, 8, 10, 18)}) == {1: 1}  # 20 / 180


def test_only_cells_of_the_first_frame_are_followed():
    seg = np.stack([frame((20, 20, 10, 10)), frame((0, 0, 10, 10), (21, 20, 10, 10))])
    labeled = tracking.track_classic(seg)
    np.testing.assert_array_equal(labeled[1], (seg[1] == 2).astype(np.uint16))


def test_one_missed_frame_ends_a_track():
    a, b = (5, 5, 10, 10), (30, 30, 10, 10)
    seg = np.stack([frame(a, b), frame(b), frame(a, b)])
    labeled = tracking.track_classic(seg)
    assert [sorted(np.unique(f[f > 0])) for f in labeled] == [[1, 2], [2], [2]]


def test_an_empty_frame_ends_everything():
    seg = np.stack([frame((5, 5, 10, 10)), frame(), frame((5, 5, 10, 10))])
    assert not tracking.track_classic(seg)[1:].any()
