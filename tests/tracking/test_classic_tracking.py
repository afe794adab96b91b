import numpy as np
import pytest
from tracking.scenes import boxes, drop, rows_of, shuffle_labels, walking_discs

from fovflow.errors import ConfigError
from fovflow.tracking import get_tracker, track_stack
from reference import tracking as reference


@pytest.mark.parametrize("seed", range(4))
def test_the_same_tracks_as_the_reference(seed):
    rng = np.random.default_rng(seed)
    truth = walking_discs(rng, frames=12, per_side=5, pitch=27, step=3.0)
    given = drop(shuffle_labels(truth, rng), 0.03, rng)
    labeled, links = track_stack(given, method="classic")
    expected, rows = reference.track_stack(given, method="classic")
    np.testing.assert_array_equal(labeled, expected)
    for name, column in rows.items():
        np.testing.assert_allclose(links[name], column, rtol=1e-12, atol=1e-12, err_msg=name)


def test_confidence_and_iou_are_those_of_the_boxes():
    stack = boxes({1: (10, 10, 10, 10)}, {4: (10, 15, 10, 10)})
    stack[1, 12:18, 17:23] = 0
    _, links = track_stack(stack, method="classic")
    assert links["iou"][1] == pytest.approx(1 / 3)
    assert links["confidence"][1] == pytest.approx(1 / 3)


def test_known_faults_stay_births_are_lost_and_one_missed_frame_ends_a_track():
    a, b, new = (5, 5, 10, 10), (30, 30, 10, 10), (50, 50, 10, 10)
    stack = boxes({1: a, 2: b}, {1: b, 2: new}, {1: a, 2: b, 3: new})
    labeled, links = track_stack(stack, method="classic")
    assert rows_of(links, 1)["frame"] == [0]
    assert rows_of(links, 2)["frame"] == [0, 1, 2]
    assert not labeled[1, 55, 55]
    assert not labeled[2, 10, 10]


def test_the_least_iou_counts():
    stack = boxes({1: (0, 0, 10, 10)}, {1: (0, 9, 10, 10)})
    for least, cells in ((0.1, [1]), (10 / 190, [1, 1]), (0.0, [1, 1])):
        _, links = track_stack(stack, method="classic", min_iou=least)
        assert links["cell"].tolist() == cells
    apart = boxes({1: (0, 0, 10, 10)}, {1: (0, 10, 10, 10)})
    assert track_stack(apart, method="classic", min_iou=0.0)[1]["cell"].tolist() == [1]


def test_wrong_parameters_are_named():
    with pytest.raises(ConfigError, match="max_gap"):
        get_tracker("classic", max_gap=3)
    with pytest.raises(ConfigError, match="min_iou"):
        get_tracker("classic", min_iou=1.2)
