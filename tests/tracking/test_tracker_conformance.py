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
from fovflow.labels import relabel
from fovflow.testing import TrackerConformance, check_lineage
from fovflow.tracking import (
    COLUMNS,
    Lineage,
    get_tracker,
    track_stack,
)

METHODS = ["classic", "iou", "laptrack"]

stacks = st.tuples(st.integers(0, 5), st.integers(1, 6), st.integers(1, 8)).flatmap(
    lambda shape: arrays(np.uint16, shape, elements=st.sampled_from([0, 0, 0, 1, 2, 5]))
)


@pytest.fixture(params=METHODS)
def method(request):
    if request.param == "laptrack" and importlib.util.find_spec("laptrack") is None:
        pytest.skip("the package laptrack is not installed")
    return request.param


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(stack=stacks)
def test_any_stack_gives_a_consistent_lineage(method, stack):
    check_lineage(stack, *track_stack(stack, method=method, pixel_um=1.0))


class TestTrackers(TrackerConformance):
    @pytest.fixture(autouse=True)
    def _method(self, method):
        self.method = method

    def test_permuted_discs_give_the_same_cells(self):
        rng = np.random.default_rng(1)
        stack = drop(walking_discs(rng, frames=10, per_side=4, step=3.0), 0.05, rng)
        labeled, links = self.track(stack)
        again, links_again = self.track(shuffle_labels(stack, rng))
        np.testing.assert_array_equal(again, labeled)
        for name in COLUMNS:
            if name != "label":
                np.testing.assert_array_equal(links_again[name], links[name])


def test_unknown_parameters_are_told(method):
    with pytest.raises(ConfigError, match="nonsense"):
        get_tracker(method, pixel_um=1.0, nonsense=1)


def test_a_method_that_needs_it_asks_for_the_pixel_size(method):
    assert TRACKERS[method].revision == {"classic": 1, "iou": 3, "laptrack": 1}[method]
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


@pytest.mark.parametrize(("pixel_um", "near"), [(0.5, True), (1.0, False)])
def test_the_distances_of_laptrack_are_micrometres(pixel_um, near):
    pytest.importorskip("laptrack")

    def cells(*frames, **params):
        links = track_stack(boxes(*frames), method="laptrack", pixel_um=pixel_um, **params)[1]
        return int(links["cell"].max()), int(links["parent"].max())

    here, there = {1: (10, 10, 9, 9)}, {1: (10, 30, 9, 9)}  # 20 px: 10 or 20 µm
    assert cells(here, there, gap_distance_um=0.5) == (1 if near else 2, 0)
    assert cells(here, {}, there) == (1 if near else 2, 0)
    apart = {1: (10, 10, 9, 9), 2: (10, 24, 9, 9)}  # 14 px: 7 or 14 µm
    divides = cells(here, apart, apart, split_distance_um=8.0)
    assert divides == ((3, 1) if near else (2, 0))


def test_laptrack_tells_how_far_each_cell_moved():
    pytest.importorskip("laptrack")
    stack = boxes({1: (10, 10, 9, 9), 2: (40, 10, 9, 9)}, {1: (13, 14, 9, 9), 2: (40, 12, 9, 9)})
    _, links = track_stack(stack, method="laptrack", pixel_um=1.0)
    assert links["distance_px"][links["frame"] == 1].tolist() == [5.0, 2.0]
    assert np.isnan(links["distance_px"][links["frame"] == 0]).all()
    assert links["previous_frame"].tolist() == [-1, 0, -1, 0]


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
