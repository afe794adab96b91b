import tracemalloc

import numpy as np
import pytest
from tracking.scenes import boxes, disc, drop, ids_at, rows_of, walking_discs

from fovflow.errors import ConfigError
from fovflow.tracking import get_tracker, track_stack
from fovflow.tracking.linking import TABLES, Motion, Reach, probability


def track(stack, **params):
    return track_stack(stack, method="iou", **{"pixel_um": 1.0, "max_distance_um": 12.0, **params})


def likely(margin, kind="overlap"):
    """Return the confidence of a link of this margin."""
    return float(probability(np.array([margin]), kind)[0])


@pytest.mark.parametrize("kind", TABLES)
def test_a_greater_margin_is_never_less_likely(kind):
    for numbers in TABLES[kind]:  # margins, and the shares of right links at each
        assert numbers[0] > 0
        assert numbers[-1] < 1
        assert list(numbers) == sorted(set(numbers))
    asked = np.linspace(0, 1, 1001)
    found = probability(asked, kind)
    assert (np.diff(found) >= 0).all()
    assert (found[0], found[-1]) == (TABLES[kind][1][0], TABLES[kind][1][-1])


def test_iou_confidence_and_distance_of_a_plain_link():
    stack = boxes({1: (10, 10, 10, 10)}, {1: (10, 15, 10, 10)})
    _, links = track(stack)
    assert links["iou"][1] == pytest.approx(50 / 150)
    assert links["confidence"][1] == pytest.approx(likely(50 / 150))
    assert links["distance_px"][1] == 5
    assert links["previous_frame"].tolist() == [-1, 0]
    assert np.isnan([links[name][0] for name in ("iou", "confidence", "distance_px")]).all()


def test_the_best_sum_wins_over_the_best_pair():
    stack = boxes({1: (0, 0, 10, 10), 2: (0, 10, 10, 10)}, {1: (0, 4, 10, 11), 2: (0, 16, 10, 10)})
    labeled, links = track(stack)
    assert ids_at(labeled, (1, 5, 6), (1, 5, 20)) == [1, 2]
    # IoU 6/15 and 4/16; without either link: 2-1 alone, 5/16, or the other link alone.
    assert links["confidence"][links["frame"] == 1] == pytest.approx(
        [likely(6 / 15 + 4 / 16 - 5 / 16), likely(6 / 15 + 4 / 16 - 6 / 15)]
    )


def test_cells_that_pass_each_other_keep_their_ids():
    left = [(20, 5 + 6 * t, 10, 14) for t in range(7)]
    right = [(31, 45 - 6 * t, 12, 14) for t in range(7)]
    stack = boxes(*({1: a, 2: b} for a, b in zip(left, right, strict=True)))
    labeled, _ = track(stack)
    for t in range(7):
        assert ids_at(labeled, (t, 25, left[t][1] + 4), (t, 36, right[t][1] + 4)) == [1, 2]


def test_touching_cells_that_move_together():
    stack = boxes(*({1: (10, 5 + 3 * t, 12, 9), 2: (10, 14 + 3 * t, 12, 9)} for t in range(6)))
    labeled, links = track(stack)
    for t in range(6):
        assert ids_at(labeled, (t, 15, 7 + 3 * t), (t, 15, 20 + 3 * t)) == [1, 2]
    assert (links["merged"] == 0).all()
    assert (links["split"] == 0).all()


@pytest.mark.parametrize("missed", [0, 1, 2, 3])
def test_a_gap_is_closed_up_to_max_gap(missed):
    box = {1: (10, 10, 12, 12)}
    stack = boxes(box, *[{}] * missed, box)
    for max_gap in range(4):
        _, links = track(stack, max_gap=max_gap)
        assert links["cell"].tolist() == ([1, 1] if missed <= max_gap else [1, 2])
    assert links["gap"].tolist() == [0, missed]
    assert links["previous_frame"].tolist() == [-1, 0]
    assert links["confidence"][1] == pytest.approx(likely(0.9**missed))


def test_a_frame_that_was_not_acquired_is_no_gap():
    box = {1: (10, 10, 12, 12)}
    (before, after) = boxes(box, box)
    tracker = get_tracker("iou", pixel_um=1.0, max_gap=0)
    tracker.add(0, before)
    tracker.add(7, after)
    lineage = tracker.finish()
    assert lineage.n_cells == 1
    assert lineage.links["previous_frame"].tolist() == [-1, 0]
    assert lineage.links["gap"].tolist() == [0, 0]
    assert lineage.lut(3).tolist() == [0]
    assert not lineage.relabel(3, after).any()


def test_an_empty_frame_in_the_middle_ends_nothing():
    cells = {1: (5, 5, 10, 10), 2: (30, 30, 10, 10), 3: (60, 20, 10, 10)}
    _, links = track(boxes(cells, {}, cells))
    assert links["cell"].tolist() == [1, 1, 2, 2, 3, 3]


def test_cells_enter_and_leave_over_the_border():
    stack = boxes(
        *({1: (20, 80 - 4 * t, 12, 12), 2: (50, -6 - 3 * t, 12, 12)} for t in range(1, 6))
    )
    labeled, links = track(stack, drift=False)
    assert ids_at(labeled, (4, 25, 62)) == [1]
    assert rows_of(links, 1)["frame"] == [0, 1, 2, 3, 4]
    assert rows_of(links, 2)["frame"] == [0]
    stack = boxes({1: (20, 20, 9, 9)}, {1: (20, 20, 9, 9), 2: (50, 50, 9, 9)})
    assert track(stack)[1]["parent"].tolist() == [0, 0, 0]


def test_a_jump_without_overlap_is_linked_up_to_the_distance():
    stack = boxes({1: (10, 10, 8, 8)}, {1: (10, 20, 8, 8)})
    _, links = track(stack)
    assert links["cell"].tolist() == [1, 1]
    assert links["iou"][1] == 0
    assert links["confidence"][1] == pytest.approx(likely(1 - 10 / 12, "distance"))
    for wrong in ({"max_distance_um": 10.0}, {"max_distance_um": 0.0}, {"pixel_um": 2.0}):
        assert track(stack, **wrong)[1]["cell"].tolist() == [1, 2]
    smaller = boxes({1: (10, 10, 8, 8)}, {1: (10, 20, 4, 7)})
    assert track(smaller)[1]["cell"].tolist() == [1, 2]


@pytest.mark.parametrize("greater", [1, 2])
def test_cells_that_merge_and_come_apart_keep_their_ids_and_are_flagged(greater):
    a, b, both = (10, 10, 12, 14), (10, 24, 12, 12), (10, 10, 12, 26)
    apart, merged = {1: a, 2: b}, {1: both}
    stack, less = boxes(apart, apart, merged, merged, apart, apart), 3 - greater
    stack = stack if greater == 1 else stack[:, :, 46 - 1 :: -1]  # the greater one is right
    labeled, links = track(stack)
    assert ids_at(labeled, (2, 15, 30), (4, 15, 15), (4, 15, 30)) == [greater, 1, 2]
    assert rows_of(links, greater)["merged"] == [0, 0, 1, 1, 0, 0]
    assert rows_of(links, less)["frame"] == [0, 1, 4, 5]
    assert (links["parent"] == 0).all()


def test_a_merge_that_comes_apart_late_is_a_split_and_no_division():
    a, b, both = (10, 10, 12, 14), (10, 24, 12, 12), (10, 10, 12, 26)
    apart, merged = {1: a, 2: b}, {1: both}
    labeled, links = track(boxes(*[apart] * 4, *[merged] * 7, *[apart] * 3))
    assert (links["parent"] == 0).all()
    assert links["cell"].max() == 3
    assert rows_of(links, 1)["merged"] == [0] * 4 + [1] * 4 + [0] * 6
    assert rows_of(links, 1)["split"] == [0] * 11 + [1, 0, 0]
    assert ids_at(labeled, (12, 15, 15), (12, 15, 30)) == [1, 3]


WHOLE, ONE, OTHER = (10, 10, 14, 28), (10, 10, 14, 17), (10, 27, 14, 11)


def test_a_process_that_is_pinched_off_in_one_frame_belongs_to_its_cell():
    stack = boxes({1: WHOLE}, {1: WHOLE}, {1: ONE, 2: OTHER}, {1: WHOLE}, {1: WHOLE})
    labeled, links = track(stack)
    np.testing.assert_array_equal(labeled, stack > 0)
    assert links["frame"].tolist() == [0, 1, 2, 3, 4]
    assert links["label"].tolist() == [1] * 5
    assert links["split"].tolist() == [0, 0, 1, 0, 0]
    assert links["merged"].tolist() == [0] * 5


def test_without_fragments_a_piece_is_a_cell_of_its_own_and_takes_no_track():
    stack = boxes({1: WHOLE}, {1: WHOLE}, {1: ONE, 2: OTHER}, {1: WHOLE}, {1: WHOLE})
    _, links = track(stack, fragments=False)
    assert rows_of(links, 1)["frame"] == [0, 1, 2, 3, 4]
    assert rows_of(links, 1)["split"] == [0, 0, 1, 0, 0]
    assert rows_of(links, 2)["frame"] == [2]
    assert (links["parent"] == 0).all()


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize(("frames", "cells"), [(1, 1), (4, 1), (5, 3)])
def test_how_long_a_piece_may_be_apart(frames, cells, before):
    """What is apart for longer, here like two daughters, has ids of its own."""
    other = {9: (1, 1, 6, 6)} if before else {}
    apart = [{1: ONE, 2: OTHER, **other}] * frames
    whole = [{1: WHOLE, **other}] * 4
    _, links = track(boxes(*whole, *apart, *whole))
    assert links["cell"].max() == cells + before


def test_a_piece_belongs_to_the_cell_that_had_its_place_last():
    # In frame 0 it is of the left cell, in frame 1 of the right one, in frame 2 it is alone.
    left, right = (10, 10, 14, 14), (10, 34, 14, 14)
    stack = boxes(
        {1: (10, 10, 14, 24), 2: right},
        {1: left, 2: (10, 24, 14, 24)},
        {1: left, 2: right, 3: (12, 26, 9, 6)},
        {1: left, 2: (10, 24, 14, 24)},
        {1: left, 2: (10, 24, 14, 24)},
    )
    labeled, links = track(stack)
    assert links["cell"].max() == 2
    assert rows_of(links, 2)["split"] == [0, 0, 1, 0, 0]
    assert ids_at(labeled, (1, 16, 28), (3, 16, 28)) == [2, 2]


def test_a_piece_that_comes_and_goes_stays_with_its_cell():
    frames = [{1: WHOLE}, {1: ONE, 2: OTHER}, {1: ONE, 2: OTHER}, {1: WHOLE}] * 4
    labeled, links = track(boxes(*frames))
    assert labeled.max() == 1
    assert links["split"].tolist() == [0, 1, 1, 0] * 4


@pytest.mark.parametrize(("height", "cells"), [(5, 1), (7, 2)])
def test_a_piece_that_does_not_come_back_must_be_small(height, cells):
    # 12 x 12 pixels remain; 5 rows of 11 are 0.38 of them, 7 rows 0.53.
    whole, rest, piece = (20, 20, 12, 24), (20, 20, 12, 12), (20, 33, height, 11)
    _, links = track(boxes(*[{1: whole}] * 3, {1: rest, 2: piece}, *[{1: rest}] * 3))
    assert links["cell"].max() == cells


@pytest.mark.parametrize(("frames", "cells"), [(1, 1), (4, 1), (5, 2)])
def test_how_long_a_small_piece_may_be_apart_that_comes_or_goes_only(frames, cells):
    whole, rest, piece = (20, 20, 12, 24), (20, 20, 12, 12), (20, 33, 5, 11)
    apart = [{1: rest, 2: piece}] * frames
    comes = boxes(*[{1: whole}] * 6, *apart, *[{1: rest}] * 3)
    goes = boxes(*apart, *[{1: whole}] * 6)
    assert [track(stack)[1]["cell"].max() for stack in (comes, goes)] == [cells, cells]


def test_what_comes_off_one_cell_and_goes_into_another_is_no_piece():
    left, right = (10, 10, 14, 14), (10, 34, 14, 15)
    stack = boxes(
        *[{1: (10, 10, 14, 24), 2: right}] * 3,
        {1: left, 2: (14, 25, 6, 8), 3: right},
        *[{1: left, 2: (10, 25, 14, 24)}] * 3,
    )
    _, links = track(stack)
    assert links["cell"].max() == 3
    assert rows_of(links, 3)["frame"] == [3]


def test_two_cells_that_touch_for_three_frames_keep_their_ids():
    left, right = [(20, 10 + t, 12, 14) for t in range(9)], [(21, 26, 11, 13)] * 9
    touching = (20, 13, 12, 26)
    frames = [
        {1: touching} if 3 <= t < 6 else {1: a, 2: b}
        for t, (a, b) in enumerate(zip(left, right, strict=True))
    ]
    labeled, links = track(boxes(*frames))
    assert links["cell"].max() == 2
    assert (links["parent"] == 0).all()
    for t in (0, 1, 2, 6, 7, 8):
        assert ids_at(labeled, (t, 25, 10 + t), (t, 25, 38)) == [1, 2]
    assert links["merged"][(links["frame"] >= 3) & (links["frame"] < 6)].tolist() == [1, 1, 1]


def test_cells_that_move_fast_are_looked_for_farther():
    """Five cells move by 8 px: one that leaps 30 px is found, as it is not where they rest."""

    def movie(step):
        places = [(16 * k + 2, 20 + step * t, 12, 12) for k in range(5) for t in range(6)]
        frames = [
            {k + 1: places[6 * k + t] for k in range(5)} | {9: (90, 5 + (30 if t > 3 else 0), 9, 9)}
            for t in range(6)
        ]
        return boxes(*frames, shape=(110, 90))

    cells = [track(movie(s), max_distance_um=60.0, drift=False)[1]["cell"].max() for s in (8, 0)]
    assert cells == [6, 7]
    assert track(movie(8), max_distance_um=29.0, drift=False)[1]["cell"].max() == 7


def walkers(rng, keep, n=60, side=420, frames=24, step=18.0, radius=11):
    """Return masks of fast cells, ids 1..n: each step keeps the share `keep` of the one before."""
    place = rng.uniform(0, side, (n, 2))
    velocity = rng.normal(0, step / np.sqrt(2), (n, 2))
    stack = np.zeros((frames, side, side), np.uint16)
    for frame in stack:
        for label, (y, x) in enumerate(place, start=1):
            disc(frame, y, x, radius * (0.75 + 0.25 * label / n), label)
        fresh = rng.normal(0, step / np.sqrt(2), (n, 2))
        velocity = keep * velocity + np.sqrt(1 - keep**2) * fresh
        place = (place + velocity) % side
    return stack


def right_links(stack):
    """Return the share of links, from frame 4 on, within one true cell."""
    _, links = track(stack, max_distance_um=60.0, divisions=False)
    known = (links["previous_frame"] >= 4) & (links["gap"] == 0)
    before = np.flatnonzero(known) - 1
    return (links["label"][known] == links["label"][before]).mean()


def test_fast_cells_are_found_where_their_motion_leads():
    keeping, jumping = (
        np.mean([right_links(walkers(np.random.default_rng(seed), keep)) for seed in range(2)])
        for keep in (0.9, 0.0)
    )
    assert keeping > 0.9  # by overlap and distance from where they were 0.81
    assert jumping > 0.8  # no motion is made up: 0.79 likewise


def test_motion_is_learned_from_the_movie():
    rng = np.random.default_rng(1)
    before = rng.normal(0, 10, (2, 400))
    motion, still = Motion(), Motion()
    motion.update(before, 0.7 * before + rng.normal(0, 3, before.shape), np.full(400, 20.0))
    still.update(before, rng.normal(0, 3, before.shape), np.full(400, 20.0))
    assert motion.kept == pytest.approx(0.7, abs=0.05)
    assert still.kept == pytest.approx(0, abs=0.05)
    slow, fast, unknown = (3.0, 3.0), (30.0, -20.0), (np.nan, np.nan)
    ahead = motion.ahead(np.array([slow, fast, unknown]).T, np.full(3, 20.0), 0)
    assert ahead.T.tolist() == [[0, 0], np.rint(motion.kept * np.array(fast)).tolist(), [0, 0]]
    after_gap = motion.ahead(np.array([fast]).T, np.full(1, 20.0), 1)
    share = motion.kept + motion.kept**2
    assert after_gap.T.tolist() == [np.rint(share * np.array(fast)).tolist()]
    assert Motion().kept == 0


def test_the_reach_is_four_typical_steps_of_the_last_five_frames():
    reach = Reach(0.0, 100.0)
    assert (reach.typical, reach.limit) == (0.0, 0.0)
    assert reach.update(np.array([3.0, 3.0, 20.0])) == 12.0
    for _ in range(5):
        reach.update(np.array([7.0]))
    assert (reach.typical, reach.limit) == (7.0, 28.0)
    assert Reach(5.0, 100.0).limit == 5.0
    assert Reach(5.0, 4.0).limit == 4.0


@pytest.mark.parametrize(("keeps", "kept"), [(0.5, 0.5), (2.0, 1.0), (-1.0, 0.0)])
def test_motion_is_learned_from_ten_steps_of_fast_cells(keeps, kept):
    motion, steps = Motion(), np.array([[3.0], [4.0]])
    for _ in range(9):
        motion.update(steps, keeps * steps, np.array([10.0]))
        motion.update(0.1 * steps, steps, np.array([10.0]))  # slow ones do not count
    assert motion.kept == 0.0
    motion.update(steps, keeps * steps, np.array([10.0]))
    assert motion.kept == kept


def test_confidence_rises_with_the_margin_and_is_a_probability():
    for kind in TABLES:
        said = probability(np.linspace(0, 1, 101), kind)
        assert (np.diff(said) >= 0).all()
        assert 0 < said[0] < said[-1] < 1


def test_confidence_is_how_often_links_are_right():
    """Over movies in which cells jump at random among each other."""
    said, right = [], []
    for seed in range(4):
        stack = walkers(np.random.default_rng(10 + seed), 0.6, n=70, step=13.0)
        _, links = track(stack, max_distance_um=60.0, divisions=False)
        known = links["previous_frame"] >= 0
        said.append(links["confidence"][known])
        before = np.flatnonzero(known) - 1
        right.append(links["label"][known] == links["label"][before])
    said, right = np.concatenate(said), np.concatenate(right)
    sure = said >= 0.9
    assert abs(said[sure].mean() - right[sure].mean()) < 0.03
    assert right[~sure].mean() < right[sure].mean()


def test_a_vanished_cell_over_which_another_moves_is_no_merge():
    stack = boxes({1: (10, 10, 12, 12), 2: (10, 23, 10, 10)}, {1: (10, 20, 12, 12)})
    _, links = track(stack)
    assert (links["merged"] == 0).all()


def test_a_lost_cell_takes_no_object_that_another_cell_has():
    _, links = track(boxes({1: (10, 10, 10, 10), 2: (21, 16, 10, 10)}, {1: (10, 16, 10, 10)}))
    assert [rows_of(links, cell)["frame"] for cell in (1, 2)] == [[0, 1], [0]]


def test_a_lost_neighbour_does_not_take_over_the_piece_of_another_cell():
    stack = boxes(
        {1: (10, 10, 12, 30), 2: (25, 22, 8, 12)},
        {1: (10, 10, 12, 19), 3: (10, 29, 12, 11)},
    )
    _, links = track(stack, max_distance_um=25.0)
    assert rows_of(links, 2)["frame"] == [0]


@pytest.mark.parametrize(("share", "least"), [(0.0, 99), (0.02, 95), (0.05, 85)])
def test_complete_tracks_of_a_hundred_with_detections_missing_at_random(share, least):
    rng = np.random.default_rng(11)
    truth = walking_discs(rng)
    given = drop(truth, share, rng)
    labeled, links = track(given)
    followed = {(int(k), int(i)) for k, i in zip(given[given > 0], labeled[given > 0], strict=True)}
    cells = [k for k, _ in followed]
    ids = [i for _, i in followed]
    complete = [k for k, i in followed if cells.count(k) == 1 and ids.count(i) == 1]
    assert len(complete) >= least
    assert (links["gap"].sum() > 0) == (share > 0)


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"min_iou": 0.0}, "min_iou"),
        ({"min_iou": 1.5}, "min_iou"),
        ({"max_gap": -1}, "max_gap"),
        ({"max_distance_um": -1.0}, "0 or more µm"),
        ({"pixel_um": 0.0}, "pixel_um"),
        ({"pixel_um": None}, "pixel size"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_wrong_parameters_are_named(params, named):
    with pytest.raises(ConfigError, match=named):
        track(boxes({1: (1, 1, 4, 4)}), **params)


def test_no_pixel_size_is_needed_without_lengths():
    stack = boxes({1: (1, 1, 4, 4)}, {2: (1, 2, 4, 4)})
    _, links = track_stack(stack, max_distance_um=0, drift=False)
    assert links["cell"].tolist() == [1, 1]


def peak_of_tracking(frames):
    """Return the peak of memory (bytes) while a grid of 400 small cells is tracked."""
    grid = {k + 1: (4 * (k // 20), 4 * (k % 20), 3, 3) for k in range(400)}
    (labels,) = boxes(grid)
    tracemalloc.start()
    try:
        tracker = get_tracker("iou", pixel_um=1.0)
        for t in range(frames):
            tracker.add(t, labels)
        assert tracker.finish().links["cell"].size == 400 * frames
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_grows_by_little_more_than_the_links():
    per_row = (peak_of_tracking(150) - peak_of_tracking(50)) / (400 * 100)
    assert per_row < 130  # the links have 11 columns, 3 of them of eight bytes


def test_a_tracker_that_has_finished_takes_no_frame():
    (labels,) = boxes({1: (10, 10, 10, 10)})
    tracker = get_tracker("iou", pixel_um=1.0)
    tracker.add(0, labels)
    assert tracker.finish() is tracker.finish()
    with pytest.raises(RuntimeError, match="has finished"):
        tracker.add(1, labels)
