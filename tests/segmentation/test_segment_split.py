import numpy as np
from segmentation.scenes import ellipses

from fovflow.segmentation.masks import fill_and_trace
from fovflow.segmentation.split import Necks, find_cores, hull_pixels, split_component


def split(mask, ratio=0.6, min_radius=3.0, max_solidity=1.0, before=None):
    mask = mask.astype(np.uint8)
    return split_component(
        mask, pixels_in_hull(mask), before, Necks(ratio, 0.85, min_radius, max_solidity)
    )


def pixels_in_hull(mask):
    contours, is_hole = fill_and_trace(mask.copy(), 0)
    (number,) = hull_pixels([contours[i] for i in np.flatnonzero(~is_hole)])
    return number


def test_two_discs_with_a_neck_are_cut_between():
    mask = ellipses([(30, 25, 12, 12), (30, 47, 12, 12)], (60, 75)) > 0
    parts = split(mask)
    assert len(parts) == 2
    assert np.array_equal(parts[0] + parts[1], mask)
    assert np.flatnonzero(parts[0].any(0)).max() in (35, 36)
    assert np.flatnonzero(parts[1].any(0)).min() in (36, 37)


def test_three_discs_in_a_chain():
    cells = [(30, 20, 10, 10), (30, 38, 10, 10), (30, 56, 10, 10)]
    parts = split(ellipses(cells, (60, 80)) > 0)
    assert [round(np.argwhere(part)[:, 1].mean()) for part in parts] == [20, 38, 56]


def test_unequal_discs_are_cut_at_the_neck_and_not_half_way():
    mask = ellipses([(40, 30, 20, 20), (40, 57, 8, 8)], (80, 80)) > 0
    parts = split(mask)
    assert len(parts) == 2
    assert 48 <= np.flatnonzero(parts[1].any(0)).min() <= 51


def test_one_ellipse_is_not_split():
    assert split(ellipses([(30, 40, 8, 30)], (60, 80)) > 0) is None


def test_a_wide_neck_is_not_cut():
    mask = ellipses([(30, 25, 12, 12), (30, 36, 12, 12)], (60, 75)) > 0
    assert split(mask) is None


def test_a_wide_neck_is_cut_between_objects_of_the_frame_before():
    mask = ellipses([(30, 25, 12, 12), (30, 42, 12, 12)], (60, 75)) > 0
    before = np.zeros(mask.shape, np.uint16)
    before[:, :34], before[:, 34:] = 3, 7
    assert split(mask) is None
    parts = split(mask, before=before)
    assert len(parts) == 2
    assert np.array_equal(parts[0] + parts[1], mask)
    # one and the same object, or nothing, does not count
    assert split(mask, before=np.minimum(before, 3)) is None
    assert split(mask, before=np.where(before == 3, 3, 0).astype(np.uint16)) is None


def test_what_was_one_object_is_cut_at_a_very_clear_neck_only():
    def parts(distance, before):
        mask = ellipses([(30, 25, 12, 12), (30, 25 + distance, 12, 12)], (60, 80)) > 0
        necks = Necks(0.6, 0.85, 3.0, 1.0, new_ratio=0.3)
        mask = mask.astype(np.uint8)
        earlier = None if before is None else np.where(mask, before(mask), 0).astype(np.uint16)
        return len(split_component(mask, pixels_in_hull(mask), earlier, necks) or [mask])

    def one(mask):
        return np.ones(mask.shape)

    def two(mask):
        return np.where(np.arange(mask.shape[1]) < 36, 1, 2) * one(mask)

    # The neck is 5 px deep at a distance of 22 and 1 px at 24; the discs are 12 px deep.
    assert [parts(22, before) for before in (None, one, two)] == [2, 1, 2]
    assert parts(24, one) == 2


def test_a_component_that_fills_its_window_is_left_whole():
    assert split(np.ones((9, 12))) is None


def test_thin_tips_are_no_parts():
    mask = np.zeros((50, 70), bool)
    mask |= ellipses([(25, 25, 14, 14)], (50, 70)) > 0
    mask[24:27, 30:60] = True
    mask |= ellipses([(25, 61, 4, 4)], (50, 70)) > 0
    assert split(mask, min_radius=5.0) is None
    assert len(split(mask, min_radius=2.0)) == 2


def test_a_cell_at_the_border_is_thought_to_go_on():
    mask = (ellipses([(0, 25, 12, 12), (0, 45, 12, 12)], (60, 75)) > 0).astype(np.uint8)
    parts = split(mask)
    assert len(parts) == 2
    whole = (ellipses([(0, 25, 14, 12)], (60, 75)) > 0).astype(np.uint8)
    assert split(whole) is None


def test_convex_components_are_left_whole():
    mask = ellipses([(30, 25, 12, 12), (30, 47, 12, 12)], (60, 75)) > 0
    assert len(split(mask, max_solidity=0.98)) == 2
    assert split(mask, max_solidity=0.8) is None


def test_cores_of_a_plateau():
    distance = np.array([[0, 1, 2, 3, 1.5, 1, 1.5, 3, 2, 1, 0]], np.float32)
    n, cores = find_cores(distance, None, Necks(0.6, 0.6, 2.0, 1.0))
    assert n == 2
    assert sorted(np.flatnonzero(cores[0] == k).tolist() for k in (1, 2)) == [[2, 3, 4], [6, 7, 8]]
    assert find_cores(distance, None, Necks(0.6, 0.6, 3.5, 1.0))[0] == 1


def test_hulls_of_known_shapes():
    square = np.zeros((8, 8), np.uint8)
    square[2:6, 2:6] = 1
    assert pixels_in_hull(square) == 16
    corner = square.copy()
    corner[4:6, 4:6] = 0
    # the hull of the L holds the 12 pixels and the one on the diagonal between its ends
    assert pixels_in_hull(corner) == 13
    line = np.zeros((5, 9), np.uint8)
    line[2, 1:8] = 1
    assert pixels_in_hull(line) == 7
