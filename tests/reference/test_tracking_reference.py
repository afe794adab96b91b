"""The reference tracking on cases that can be worked out by hand."""

import numpy as np
import pytest
from tracking.scenes import drawn

from fovflow.tracking.divisions import COEFFICIENTS
from fovflow.tracking.linking import TABLES
from reference import tracking
from reference.assignment import assign
from reference.detections import detections, overlaps
from reference.drift import cumulative_drift, frame_shift


def test_objects_come_in_raster_order_with_half_open_boxes():
    labels = np.zeros((60, 60), np.uint16)
    labels[2:6, 3:8] = 7
    labels[20, 30] = 2
    found = detections(labels, 0)
    assert [(d.label, d.order, d.area) for d in found] == [(7, 0, 20), (2, 1, 1)]
    assert found[0].box == (2, 3, 6, 8)
    np.testing.assert_array_equal(found[0].centroid, [3.5, 5])


def test_overlaps_after_a_shift_drop_what_leaves_the_frame():
    labels = drawn((0, 0, 10, 10), shape=(60, 60))
    (source,) = detections(labels, 0)
    assert overlaps(source, labels, (-4, 0)) == (60, {1: 60})
    assert overlaps(source, labels, (0, 60)) == (0, {})


def test_box_iou():
    assert tracking.box_iou((0, 0, 10, 10), (0, 5, 10, 15)) == pytest.approx(1 / 3)
    assert tracking.box_iou((0, 0, 10, 10), (0, 10, 10, 20)) == 0
    assert tracking.box_iou((0, 0, 4, 4), (0, 0, 4, 4)) == 1


def test_assignment_takes_the_best_sum_not_the_best_pair():
    # 0-0 has the largest weight, but 0-1 and 1-0 together have more.
    weights = np.array([[0.6, 0.5], [0.4, 0.0]])
    links = assign(weights)
    assert set(links) == {(0, 1), (1, 0)}
    # Without either of the two the best is 0-0 alone.
    assert links[0, 1] == pytest.approx(0.9 - 0.6)
    assert links[1, 0] == pytest.approx(0.9 - 0.6)


def test_a_link_without_a_rival_has_its_own_weight_as_margin():
    assert assign(np.array([[0.7, 0], [0, 0.3]])) == {(0, 0): 0.7, (1, 1): 0.3}
    assert assign(np.zeros((0, 3))) == {}


def test_pairs_below_the_limit_have_no_weight():
    before = [(0, 0, 10, 10)]
    assert tracking.box_weights(before, [(0, 9, 10, 19)])[0, 0] == 0  # 10 / 190
    assert tracking.box_weights(before, [(0, 8, 10, 18)])[0, 0] == pytest.approx(20 / 180)


def test_only_cells_of_the_first_frame_are_followed():
    seg = np.stack([drawn((20, 20, 10, 10)), drawn((0, 0, 10, 10), (21, 20, 10, 10))])
    labeled, _ = tracking.track_classic(seg)
    np.testing.assert_array_equal(labeled[1], (seg[1] == 2).astype(np.uint16))


def test_one_missed_frame_ends_a_track():
    a, b = (5, 5, 10, 10), (30, 30, 10, 10)
    seg = np.stack([drawn(a, b), drawn(b), drawn(a, b)])
    labeled, _ = tracking.track_classic(seg)
    assert [sorted(np.unique(f[f > 0])) for f in labeled] == [[1, 2], [2], [2]]


def test_an_empty_frame_ends_everything():
    seg = np.stack([drawn((5, 5, 10, 10)), drawn(), drawn((5, 5, 10, 10))])
    assert not tracking.track_classic(seg)[0][1:].any()


def likely(margin, kind="overlap"):
    return float(np.interp(margin, *TABLES[kind]))


def links(*frames, pixel_um=1.0, **params):
    return tracking.track_stack(np.stack(frames), pixel_um=pixel_um, **params)


def columns(table, *names):
    return [tuple(row) for row in zip(*(table[name].tolist() for name in names), strict=True)]


def test_a_gap_is_closed_and_weighs_less():
    cell = (20, 20, 10, 10)
    labeled, table = links(drawn(cell), drawn(), drawn(), drawn((20, 22, 10, 10)))
    assert labeled[3].max() == 1
    assert columns(table, "cell", "frame", "previous_frame", "gap") == [(1, 0, -1, 0), (1, 3, 0, 2)]
    assert table["iou"][1] == pytest.approx(80 / 120)
    assert table["confidence"][1] == pytest.approx(likely(80 / 120 * 0.81))
    assert table["distance_px"][1] == pytest.approx(2)


def test_a_gap_longer_than_allowed_starts_a_new_cell():
    cell = (20, 20, 10, 10)
    labeled, _ = links(drawn(cell), drawn(), drawn(), drawn(cell), max_gap=1)
    assert labeled[3].max() == 2


def test_a_jump_is_linked_by_distance():
    labeled, table = links(drawn((20, 10, 10, 10)), drawn((20, 22, 10, 10)), drift=False)
    assert labeled[1].max() == 1
    assert table["iou"][1] == 0
    assert table["confidence"][1] == pytest.approx(likely(1 - 12 / 20, "distance"))
    labeled, _ = links(drawn((20, 10, 10, 10)), drawn((20, 30, 10, 10)), drift=False)
    assert labeled[1].max() == 2


def test_drift_of_the_whole_field_is_found():
    places = [(5, 5), (40, 8), (20, 30), (45, 45), (8, 50)]
    before = drawn(*((y, x, 6, 6) for y, x in places), shape=(80, 80))
    after = drawn(*((y + 9, x + 14, 6, 6) for y, x in places), shape=(80, 80))
    objects = [detections(before, 0), detections(after, 1)]
    assert frame_shift(*objects, limit=50) == (9, 14)
    assert cumulative_drift([*objects, [], objects[1]], 50) == [(0, 0), (9, 14), (9, 14), (9, 14)]
    assert frame_shift(objects[0][:2], objects[1], limit=50) == (0, 0)
    _, table = links(before, after)
    np.testing.assert_allclose(table["iou"][1::2], 1)
    np.testing.assert_allclose(table["distance_px"][1::2], 0)


def test_a_division_ends_the_parent_and_starts_two_cells():
    parent, daughters = (20, 20, 12, 20), ((20, 19, 12, 10), (20, 31, 12, 10))
    labeled, table = links(drawn(parent), drawn(*daughters), drawn(*daughters))
    assert [sorted(np.unique(f[f > 0])) for f in labeled] == [[1], [2, 3], [2, 3]]
    assert columns(table, "cell", "frame", "parent")[1:] == [
        (2, 1, 1),
        (2, 2, 0),
        (3, 1, 1),
        (3, 2, 0),
    ]
    # Both daughters have half of the parent's area, and their middle is where it is.
    z = COEFFICIENTS["one"] + COEFFICIENTS["larger"] * np.log(0.5)
    assert table["confidence"][1] == pytest.approx(1 / (1 + np.exp(-z)), abs=0.02)
    assert table["iou"][1] == pytest.approx(108 / 252)
    off, _ = links(drawn(parent), drawn(*daughters), drawn(*daughters), divisions=False)
    assert off.max() == 2


def test_a_daughter_that_does_not_go_on_is_none():
    parent, daughters = (20, 20, 12, 20), ((20, 19, 12, 10), (20, 31, 12, 10))
    _, table = links(drawn(parent), drawn(*daughters), drawn(daughters[0]))
    assert not table["parent"].any()
    assert columns(table, "cell", "frame", "split") == [(1, 0, 0), (1, 1, 1), (1, 2, 0), (2, 1, 0)]


def test_a_merge_is_counted_and_both_cells_go_on():
    a, b, both = (20, 20, 10, 20), (20, 42, 10, 16), (20, 20, 10, 38)
    labeled, table = links(drawn(a, b), drawn(a, b), drawn(a, b), drawn(both), drawn(a, b))
    assert columns(table, "cell", "frame", "merged") == [
        (1, 0, 0), (1, 1, 0), (1, 2, 0), (1, 3, 1), (1, 4, 0),
        (2, 0, 0), (2, 1, 0), (2, 2, 0), (2, 4, 0),
    ]  # fmt: skip
    assert labeled.max() == 2


def test_ids_follow_first_frame_and_raster_order():
    labels = drawn((40, 5, 8, 8), (5, 5, 8, 8))
    labeled, _ = links(labels, labels)
    assert (labeled[0, 5, 5], labeled[0, 40, 5]) == (1, 2)
