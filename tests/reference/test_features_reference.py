"""The reference features on cases that can be worked out by hand."""

import math

import numpy as np
import pytest

from reference import features


def one(mask, **options):
    (row,) = features.frame_rows(np.asarray(mask, np.uint16), None, {}, **options)
    return row


def test_a_single_pixel():
    row = one([[0, 0, 0], [0, 0, 1]])
    assert (row["position_x"], row["position_y"]) == (2, 1)
    assert (row["bbox_x0"], row["bbox_y0"], row["bbox_x1"], row["bbox_y1"]) == (2, 1, 3, 2)
    assert row["area_ch_0"] == 1
    assert row["perimeter_ch_0"] == pytest.approx(math.pi / 4 * (2 + math.sqrt(2)))
    assert row["circularity_ch_0"] == 1
    assert row["aspect_ratio_ch_0"] == 1
    assert row["eccentricity_ch_0"] == 0
    assert row["orientation_ch_0"] == 0
    assert row["major_axis_ch_0"] == pytest.approx(4 / math.sqrt(12))
    assert row["convex_area_ch_0"] == pytest.approx(1)
    assert row["solidity_ch_0"] == pytest.approx(1)


@pytest.mark.parametrize("n", [2, 5, 40])
def test_a_row_of_n_pixels_has_aspect_ratio_n(n):
    row = one(np.ones((1, n)))
    assert row["aspect_ratio_ch_0"] == pytest.approx(n)
    assert row["orientation_ch_0"] == 0
    # Lines along the row: 1 crossing; down and both diagonals: n each.
    expected = math.pi / 4 * (1 + n + 2 * n / math.sqrt(2))
    assert row["perimeter_ch_0"] == pytest.approx(expected)


def test_orientation_goes_from_x_towards_y():
    assert one(np.eye(5))["orientation_ch_0"] == pytest.approx(45)
    assert one(np.eye(5)[::-1])["orientation_ch_0"] == pytest.approx(-45)
    assert one(np.ones((5, 1)))["orientation_ch_0"] == pytest.approx(90)


def test_convex_hull_of_an_l_goes_through_the_corners():
    row = one([[1, 0], [1, 1]])
    assert row["convex_area_ch_0"] == pytest.approx(3.5)
    assert row["solidity_ch_0"] == pytest.approx(3 / 3.5)
    assert row["extent_ch_0"] == pytest.approx(0.75)


def test_a_disk_is_nearly_round():
    y, x = np.mgrid[-15:16, -15:16]
    row = one(x**2 + y**2 <= 144)
    assert row["perimeter_ch_0"] == pytest.approx(2 * math.pi * 12, rel=0.02)
    assert row["aspect_ratio_ch_0"] == pytest.approx(1)
    assert row["major_axis_ch_0"] == pytest.approx(row["equivalent_diameter_ch_0"], rel=0.01)


def test_phase_features_skip_what_is_not_finite():
    phase = np.array([[1.0, 3.0, 7.0], [np.nan, 2.0, 0.0]])
    labels = np.array([[1, 1, 0], [1, 0, 0]], np.uint16)
    (row,) = features.frame_rows(labels, phase, {})
    assert row["phase_mean_ch_0"] == 2
    assert row["phase_std_ch_0"] == 1
    # Pairs: 1-3 and 3-7 along the row, 3-2 down; the pairs with NaN do not count.
    assert row["sharpness_ch_0"] == pytest.approx((4 + 16 + 1) / 3 / 4)


def test_intensities_with_a_weight_of_the_background():
    labels = np.array([[1, 1, 1, 1, 0]], np.uint16)
    raw = np.array([[10, 20, 40, 65535, 9]], np.uint16)
    corrected = np.array([[6, 16, 36, np.nan, 5]], np.float32)
    (row,) = features.frame_rows(labels, None, {2: (raw, corrected)}, background_weight=0.5)
    assert row["intensity_total_ch_2"] == 8 + 18 + 38
    assert row["intensity_median_ch_2"] == 18
    assert (row["intensity_min_ch_2"], row["intensity_max_ch_2"]) == (8, 38)
    assert row["raw_total_ch_2"] == 70
    assert row["background_mean_ch_2"] == pytest.approx(4)
    assert row["saturated_fraction_ch_2"] == 0
    assert row["invalid_fraction_ch_2"] == 0.25
    assert row["intensity_px_ch_2"] == 3
    (row,) = features.frame_rows(labels, None, {2: (raw, None)})
    assert row["intensity_total_ch_2"] == 65605
    assert row["intensity_median_ch_2"] == 30
    assert row["saturated_fraction_ch_2"] == 0.25
    assert math.isnan(row["background_mean_ch_2"])


def test_erosion_is_not_done_by_the_border_of_the_image():
    labels = np.zeros((6, 6), np.uint16)
    labels[:3, :3] = 1
    raw = np.ones((6, 6), np.uint16)
    (row,) = features.frame_rows(labels, None, {1: (raw, None)}, erosion_px=1)
    assert row["intensity_px_ch_1"] == 4
    assert row["area_ch_0"] == 9
    labels[:] = 0
    labels[2, 1:5] = 1
    (row,) = features.frame_rows(labels, None, {1: (raw, None)}, erosion_px=1)
    assert row["intensity_px_ch_1"] == 0
    assert math.isnan(row["invalid_fraction_ch_1"])


def test_rows_are_sorted_by_cell_then_frame():
    labeled = np.array([[[5, 0, 2]], [[2, 0, 0]]], np.uint16)
    table = features.extract_reference(labeled)
    np.testing.assert_array_equal(table["cell"], [2, 2, 5])
    np.testing.assert_array_equal(table["frame"], [0, 1, 0])
    assert features.extract_reference(np.zeros((2, 4, 4), np.uint16)) == {}
