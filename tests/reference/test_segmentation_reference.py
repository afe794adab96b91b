"""The reference segmentation on cases that can be worked out by hand."""

import numpy as np
import pytest

from reference import segmentation


def textured(shape, squares, seed=0):
    """A quiet frame (noise of 1 count) with loud squares (noise of 100 counts)."""
    rng = np.random.default_rng(seed)
    image = 1000 + rng.normal(0, 1, shape)
    for y, x, size in squares:
        image[y : y + size, x : x + size] += rng.normal(0, 100, (size, size))
    return image


def test_variance_of_one_bright_pixel():
    image = np.zeros((5, 5))
    image[2, 2] = 9
    # One 9 and eight 0 in each window that sees it: 81/9 - 1 = 8.
    expected = np.zeros((5, 5))
    expected[1:4, 1:4] = 8
    np.testing.assert_allclose(segmentation.local_variance(image), expected, atol=1e-12)


def test_variance_mirrors_the_border_about_the_pixel_edge():
    image = np.zeros((4, 4))
    image[0, 0] = 9
    # The corner window sees the bright pixel four times: mean 4, 4 * 81 / 9 - 16 = 20.
    # Its neighbour along the border sees it twice: mean 2, 2 * 81 / 9 - 4 = 14.
    variance = segmentation.local_variance(image)
    np.testing.assert_allclose(variance[:2, :2], [[20, 14], [14, 8]])


def test_variance_is_exactly_zero_on_a_high_plateau():
    assert not segmentation.local_variance(np.full((6, 6), 65535, np.uint16)).any()


def test_log_std_is_half_the_log_and_zero_without_variance():
    image = np.zeros((5, 7))
    image[2, 2] = 9
    values = segmentation.log_std(image)
    assert values[2, 2] == pytest.approx(0.5 * np.log(8))
    assert values[2, 6] == 0


def test_threshold_of_a_known_histogram():
    # 200 bins of width 1 over [0, 200]; the fullest are [10, 11) and [50, 51): the first counts.
    values = np.concatenate([[0.0, 200.0], np.full(5, 10.25), np.full(5, 50.5), [10.75]])
    values = values[values != 10.75]
    limit = segmentation.histogram_threshold(values)
    assert limit.mode == pytest.approx(10.5)
    below = np.array([0.0] + [10.25] * 5)
    assert limit.sigma == pytest.approx(below.std())
    assert limit.threshold == pytest.approx(10.5 + 3 * below.std())


def test_labels_count_in_raster_order_of_first_pixels():
    mask = np.array([[0, 0, 0, 1], [1, 0, 0, 1], [1, 0, 1, 0]], bool)
    np.testing.assert_array_equal(
        segmentation.raster_labels(mask), [[0, 0, 0, 1], [2, 0, 0, 1], [2, 0, 3, 0]]
    )
    np.testing.assert_array_equal(
        segmentation.relabel(np.array([[0, 9, 9], [4, 0, 9]])), [[0, 1, 1], [2, 0, 1]]
    )


def test_classic_finds_a_loud_square_and_nothing_else():
    image = textured((96, 96), [(30, 40, 30)])
    labels, limits = segmentation.segment_classic(image[None])
    assert labels.dtype == np.uint16
    assert labels.shape == (1, 96, 96)
    assert labels.max() == 1
    # The 3 x 3 window lets the square grow by at most one pixel on each side.
    y, x = np.nonzero(labels[0])
    assert (y.min(), y.max(), x.min(), x.max()) == (29, 60, 39, 70)
    assert limits[0].mode < limits[0].threshold


def test_classic_drops_what_is_smaller_than_19_pixels():
    labels, _ = segmentation.segment_classic(textured((96, 96), [(40, 40, 16)])[None])
    assert labels.max() == 0


def test_classic_loses_the_border():
    labels, _ = segmentation.segment_classic(textured((120, 120), [(0, 40, 40)])[None])
    assert labels.max() == 1
    assert not labels[0, :9].any()
    assert labels[0, 9].any()


def test_classic_leaves_a_constant_frame_empty():
    labels, limits = segmentation.segment_classic(np.full((1, 40, 40), 7, np.uint16))
    assert not labels.any()
    assert limits[0].sigma == 0
