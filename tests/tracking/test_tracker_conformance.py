"""What every tracker must hold to."""

import importlib.util

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tracking.scenes import boxes, drop, shuffle_labels, walking_discs

from fovflow.config.methods import TRACKERS
from fovflow.errors import ConfigError, FovflowError
from fovflow.tracking import (
    COLUMNS,
    Lineage,
    get_tracker,
    track_stack,
)
from fovflow.tracking.tracks import relabel

METHODS = ["classic", "iou", "laptrack"]

stacks = st.tuples(st.integers(0, 5), st.integers(1, 6), st.integers(1, 8)).flatmap(
    lambda shape: arrays(np.uint16, shape, elements=st.sampled_from([0, 0, 0, 1, 2, 5]))
)


@pytest.fixture(params=METHODS)
def method(request):
    if request.param == "laptrack" and importlib.util.find_spec("laptrack") is None:
        pytest.skip("the package laptrack is not installed")
    return request.param


def track(stack, method):
    return track_stack(stack, method=method, pixel_um=1.0)


def check(stack, labeled, links):
    """Assert all that holds for the result of any tracker."""
    assert labeled.shape == stack.shape
    assert labeled.dtype == np.uint16
    assert list(links) == list(COLUMNS)
    assert all(links[name].dtype == kind for name, kind in COLUMNS.items())
    cell, frame = links["cell"], links["frame"]
    assert len({column.size for column in links.values()}) == 1
    order = np.lexsort((frame, cell))
    np.testing.assert_array_equal(order, np.arange(cell.size))
    n = int(cell.max(initial=0))
    assert set(cell.tolist()) == set(range(1, n + 1))
    assert set(np.unique(labeled).tolist()) - {0} == set(range(1, n + 1))
    assert len(set(zip(cell.tolist(), frame.tolist(), strict=True))) == cell.size
    rows = zip(frame.tolist(), links["label"].tolist(), cell.tolist(), strict=True)
    own = {(t, label): c for t, label, c in rows}
    assert len(own) == cell.size
    whole = {(t, c) for (t, _), c in own.items()}
    for t, plane in enumerate(stack):
        assert not labeled[t][plane == 0].any()
        for label in np.unique(plane[plane > 0]).tolist():
            (c,) = np.unique(labeled[t][plane == label]).tolist()
            # An object without a row is a piece of a cell that has one in this frame, or no cell.
            assert own.get((t, label), c) == c
            assert c == 0 or (t, c) in whole
    first = np.r_[True, cell[1:] != cell[:-1]] if cell.size else np.zeros(0, bool)
    assert (links["parent"][~first] == 0).all()
    assert (links["parent"] < cell).all()
    np.testing.assert_array_equal(links["previous_frame"][~first], frame[:-1][~first[1:]])
    births = links["previous_frame"] < 0
    np.testing.assert_array_equal(births, first & (links["parent"] == 0))
    assert (links["gap"][births] == 0).all()
    np.testing.assert_array_equal(
        links["gap"][~births], (frame - links["previous_frame"] - 1)[~births]
    )
    for name in ("iou", "confidence"):
        known = links[name][~np.isnan(links[name])]
        assert ((known >= 0) & (known <= 1)).all()
    starts = [
        (int(t), int(np.flatnonzero(stack[t].ravel() == label)[0]))
        for label, t in zip(links["label"][first], frame[first], strict=True)
    ]
    assert starts == sorted(starts)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(stack=stacks)
def test_any_stack_gives_a_consistent_lineage(method, stack):
    check(stack, *track(stack, method))


def test_a_real_looking_stack(method):
    rng = np.random.default_rng(0)
    stack = drop(walking_discs(rng, frames=10, per_side=4), 0.05, rng)
    check(stack, *track(stack, method))


def test_permuted_labels_give_the_same_cells(method):
    rng = np.random.default_rng(1)
    stack = drop(walking_discs(rng, frames=10, per_side=4, step=3.0), 0.05, rng)
    labeled, links = track(stack, method)
    again, links_again = track(shuffle_labels(stack, rng), method)
    np.testing.assert_array_equal(again, labeled)
    for name in COLUMNS:
        if name != "label":
            np.testing.assert_array_equal(links_again[name], links[name])


def test_the_input_is_not_changed_and_the_result_repeats(method):
    stack = walking_discs(np.random.default_rng(2), frames=4, per_side=3)
    copy = stack.copy()
    labeled, links = track(stack, method)
    np.testing.assert_array_equal(stack, copy)
    again, links_again = track(stack, method)
    assert again.tobytes() == labeled.tobytes()
    assert all(links[name].tobytes() == links_again[name].tobytes() for name in COLUMNS)


@pytest.mark.parametrize("frames", [0, 1, 5])
def test_frames_without_cells(method, frames):
    labeled, links = track(np.zeros((frames, 8, 8), np.uint16), method)
    assert not labeled.any()
    assert all(column.size == 0 for column in links.values())
    assert list(links) == list(COLUMNS)


def test_one_frame(method):
    labeled, links = track(boxes({7: (40, 3, 5, 5), 3: (2, 30, 5, 5)}), method)
    assert labeled[0, 3, 31] == 1
    assert labeled[0, 41, 4] == 2
    assert links["label"].tolist() == [3, 7]


def test_a_tracker_without_frames(method):
    lineage = get_tracker(method, pixel_um=1.0).finish()
    assert lineage.n_cells == 0
    assert lineage.lut(0).tolist() == [0]
    assert all(column.size == 0 for column in lineage.links.values())


def test_a_missing_acquisition_is_left_out(method):
    a, b = boxes({1: (5, 5, 9, 9)}, {2: (6, 5, 9, 9)})
    tracker = get_tracker(method, pixel_um=1.0)
    tracker.add(3, a)
    tracker.add(6, b)
    lineage = tracker.finish()
    assert lineage.links["cell"].tolist() == [1, 1]
    assert lineage.links["frame"].tolist() == [3, 6]
    assert lineage.links["previous_frame"].tolist() == [-1, 3]
    assert lineage.links["gap"].tolist() == [0, 0]
    assert lineage.lut(6).tolist() == [0, 0, 1]


def test_the_same_mistakes_raise_the_same_errors(method):
    tracker = get_tracker(method, pixel_um=1.0)
    tracker.add(2, np.zeros((4, 4), np.uint16))
    for t in (2, 1):
        with pytest.raises(FovflowError, match="was added after frame 2"):
            tracker.add(t, np.zeros((4, 4), np.uint16))
    with pytest.raises(FovflowError, match="another shape"):
        tracker.add(3, np.zeros((4, 5), np.uint16))
    with pytest.raises(FovflowError, match="label frames"):
        tracker.add(3, np.zeros((4, 4), np.float32))
    with pytest.raises(ConfigError, match="nonsense"):
        get_tracker(method, pixel_um=1.0, nonsense=1)


def test_a_method_that_needs_it_asks_for_the_pixel_size(method):
    assert TRACKERS[method].revision == {"classic": 1, "iou": 2, "laptrack": 1}[method]
    if TRACKERS[method].needs_pixel_size:
        with pytest.raises(ConfigError, match="pixel size"):
            get_tracker(method)
    else:
        get_tracker(method)


def test_unknown_methods_are_named():
    with pytest.raises(ConfigError, match=r"classic, iou, laptrack"):
        get_tracker("nearest", pixel_um=1.0)


def test_a_missing_laptrack_says_what_to_install():
    if importlib.util.find_spec("laptrack") is not None:
        pytest.skip("the package laptrack is installed")
    with pytest.raises(ConfigError, match=r"fovflow\[laptrack\]"):
        get_tracker("laptrack", pixel_um=1.0)


def test_laptrack_closes_gaps_of_exactly_max_gap_frames_and_finds_splits():
    pytest.importorskip("laptrack")
    box = {1: (10, 10, 9, 9)}
    for missed in range(4):
        stack = boxes(box, box, *[{}] * missed, box, box)
        for max_gap in range(4):
            _, links = track_stack(stack, method="laptrack", pixel_um=1.0, max_gap=max_gap)
            assert links["cell"].max() == (1 if missed <= max_gap else 2)
    pair = {1: (10, 5, 9, 9), 2: (10, 15, 9, 9)}
    _, links = track_stack(
        boxes(box, box, box, pair, pair, pair),
        method="laptrack",
        pixel_um=1.0,
        split_distance_um=15.0,
    )
    assert links["parent"].tolist() == [0, 0, 0, 1, 0, 0, 1, 0, 0]


def lineage_of(n):
    empty = {name: np.zeros(0, kind) for name, kind in COLUMNS.items()}
    label, cell = np.array([1, 2, 4]), np.array([n, n - 1, 0])
    return Lineage(n_cells=n, links=empty, drift={}, _luts={5: (label, cell)})


@pytest.mark.parametrize(("n", "dtype"), [(65_535, np.uint16), (65_536, np.uint32)])
def test_many_cells_need_a_wider_dtype(n, dtype):
    lineage = lineage_of(n)
    assert lineage.dtype == dtype
    assert lineage.lut(5).tolist() == [0, n, n - 1, 0, 0]
    frame = np.array([[0, 1, 2, 4], [4, 3, 0, 1]], np.uint16)
    result = lineage.relabel(5, frame)
    assert result.dtype == dtype
    assert result.tolist() == [[0, n, n - 1, 0], [0, 0, 0, n]]


def test_relabelling_another_frame_is_an_error():
    with pytest.raises(FovflowError, match="frame 5 is not the one"):
        lineage_of(10).relabel(5, np.full((2, 4), 9, np.uint16))


@given(
    st.tuples(st.integers(0, 5), st.integers(0, 9)).flatmap(
        lambda shape: arrays(
            st.sampled_from([np.uint8, np.uint16, np.uint32, np.int64]),
            shape,
            elements=st.integers(0, 6),
        )
    ),
    st.sampled_from([np.uint16, np.uint32]),
)
def test_relabelling_is_a_look_up(labels, dtype):
    table = np.array([0, 70, 3, 0, 9, 1, 2], dtype)
    result = relabel(labels, table)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, table[labels])
    np.testing.assert_array_equal(relabel(labels[:, ::-1], table), table[labels[:, ::-1]])
