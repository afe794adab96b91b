"""The reference segmentation on cases that can be worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reference import contrast, morphology, segmentation, segmentation_logstd, splitting
from reference.contrast import Frame


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


def test_frames_become_whole_numbers_of_a_grain():
    image = np.array([[0, 1, np.nan], [4, 4, 4]], np.float32)
    frame = Frame.of(image)
    assert frame.image[0, 2] == 4
    # log2(4) = 2: the grain is 2^-20 and its unit 64 grains.
    assert (frame.grain, frame.unit) == (2.0**-20, 2.0**-14)
    np.testing.assert_array_equal(frame.whole[0], [0, 2**20, 2**22])
    whole = Frame.of(image.astype(np.float32)[1:].astype(np.uint16))
    assert (whole.grain, whole.unit, whole.constant) == (1, 1, True)


def test_exact_variance_agrees_with_the_plain_one():
    image = np.random.default_rng(0).integers(0, 65536, (20, 30)).astype(np.uint16)
    exact = contrast.variance_81(Frame.of(image))
    np.testing.assert_allclose(exact / 81, segmentation.local_variance(image), rtol=1e-12)
    floats = (image * 0.37).astype(np.float32)
    plain = segmentation.local_variance(floats)
    np.testing.assert_allclose(contrast.variance_81(Frame.of(floats)) / 81, plain, rtol=1e-4)


def test_sides_of_windows_are_odd():
    assert [contrast.odd_side(x) for x in (0.5, 1, 1.01, 2.9, 3.1, 5, 7)] == [1, 1, 3, 3, 5, 5, 9]


def test_mode_is_the_first_of_equal_sums_of_nine_bins():
    counts = np.zeros(100, int)
    counts[50] = 7
    assert contrast.mode_bin(counts) == 46
    counts[49] = 1
    assert contrast.mode_bin(counts) == 46
    counts[54] = 3
    assert contrast.mode_bin(counts) == 50


def test_lower_spread_of_a_box_and_of_a_normal_distribution():
    # Half of the mode's bin (5) over 0..0.5 and 10 each over 0.5..1.5 and 1.5..2.5.
    counts = np.array([0, 10, 10, 10])
    assert contrast.lower_spread(counts, 3) == pytest.approx(0.682689492137086 * 2.5)
    x = np.arange(200)
    bell = np.rint(1e7 * np.exp(-0.5 * ((x - 100) / 12) ** 2)).astype(int)
    assert contrast.lower_spread(bell, 100) == pytest.approx(12, rel=1e-3)


def test_offsets_are_steadied_and_forgotten():
    offset = contrast.SteadyOffset(3)
    assert [offset(1.0), offset(1.2), offset(1.4), offset(1.5)] == pytest.approx([1, 1.1, 1.2, 1.4])
    assert offset(3.0) == 3.0
    assert offset.last == [3.0]


def test_discs_and_the_border():
    assert morphology.disc(1).sum() == 5
    assert morphology.disc(1.5).sum() == 9
    assert morphology.disc(2.3).sum() == 21
    mask = np.zeros((8, 8), bool)
    mask[:4, :4] = True
    np.testing.assert_array_equal(morphology.opened(mask, np.ones((3, 3), bool)), mask)
    np.testing.assert_array_equal(
        morphology.erode(mask, np.ones((3, 3), bool)), np.pad(np.ones((3, 3), bool), (0, 5))
    )


masks = arrays(bool, st.tuples(st.integers(1, 25), st.integers(1, 25)))
shapes = st.sampled_from([0.0, 1.0, 1.5, 2.3, 3.1]).map(morphology.disc)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(masks, shapes)
def test_opening_and_closing_are_what_they_are_called(mask, shape):
    opened, closed = morphology.opened(mask, shape), morphology.closed(mask, shape)
    assert not (opened & ~mask).any()
    assert not (mask & ~closed).any()
    np.testing.assert_array_equal(morphology.opened(opened, shape), opened)
    np.testing.assert_array_equal(morphology.closed(closed, shape), closed)
    np.testing.assert_array_equal(~morphology.opened(~mask, shape), closed)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(masks, shapes)
def test_the_border_neither_erodes_nor_grows(mask, shape):
    r = shape.shape[0] // 2
    inside = np.pad(np.ones(mask.shape, bool), r)
    windows = np.lib.stride_tricks.sliding_window_view
    known = windows(inside, shape.shape)[..., shape]
    seen = windows(np.pad(mask, r), shape.shape)[..., shape]
    np.testing.assert_array_equal(morphology.erode(mask, shape), (seen | ~known).all(axis=-1))
    np.testing.assert_array_equal(morphology.dilate(mask, shape), (seen & known).any(axis=-1))


def test_holes_are_filled_by_what_they_enclose():
    mask = np.zeros((20, 20), bool)
    mask[2:12, 2:12] = True
    mask[4:9, 4:9] = False
    mask[6, 6] = True  # an island: the hole has 24 pixels, and encloses 25
    assert morphology.fill_small_holes(mask, 24).sum() == 76
    assert morphology.fill_small_holes(mask, 25).sum() == 100
    mask[:, :] = True
    mask[0, 5:7] = False
    assert not morphology.fill_small_holes(mask, 100)[0, 5]


def test_growing_goes_step_by_step_within():
    within = np.zeros((3, 7), bool)
    within[1, 1:6] = True
    seed = np.zeros((3, 7), bool)
    seed[1, 1] = True
    assert morphology.grow(seed, within, 2).sum() == 3
    seed[0, 6] = True
    assert morphology.grow(seed, within, 9)[0, 6]


def test_surroundings_of_a_plane_are_the_plane():
    x = np.arange(120.0)
    image = np.tile(100 + x, (90, 1))
    mask = np.zeros(image.shape, bool)
    mask[40:44, 50:54] = True
    image[mask] += 5000
    level = segmentation_logstd.surroundings(image, mask, 6)
    # Away from border and cell, where the means over 5 x 5 blocks are symmetric.
    np.testing.assert_allclose(level[20:24, 20:100], 100 + x[None, 20:100].repeat(4, 0), rtol=1e-3)
    assert level[42, 52] == pytest.approx(152, rel=0.02)


def test_lattice_points_of_hulls():
    assert splitting.hull_points(np.ones((1, 1), bool)) == 1
    assert splitting.hull_points(np.ones((1, 5), bool)) == 5
    assert splitting.hull_points(np.eye(4, dtype=bool)) == 4
    assert splitting.hull_points(np.array([[1, 0, 0], [0, 0, 0], [1, 0, 1]], bool)) == 6
    assert splitting.hull_points(np.ones((4, 6), bool)) == 24


def disks(*centres, radius, shape=(60, 90)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.any([(y - a) ** 2 + (x - b) ** 2 <= radius**2 for a, b in centres], axis=0)


def test_two_disks_with_a_neck_are_split_in_the_middle():
    mask = disks((30, 25), (30, 57), radius=17)
    options = {"neck_ratio": 0.6, "kept_neck_ratio": 0.9, "min_radius": 4}
    nothing = np.zeros(mask.shape, int)
    parts = splitting.split(mask, nothing, max_solidity=0.95, **options)
    assert len(parts) == 2
    assert parts[0].sum() + parts[1].sum() == mask.sum()
    # The middle column lies equally near to both: it goes to the core that comes first.
    assert not (parts[0] & parts[1]).any()
    assert np.nonzero(parts[0])[1].max() == 41
    assert np.nonzero(parts[1])[1].min() == 42
    assert len(splitting.split(mask, nothing, max_solidity=0.5, **options)) == 1
    near = disks((30, 30), (30, 48), radius=17)
    assert len(splitting.split(near, nothing, max_solidity=1.0, **options)) == 1
    halves = np.repeat([[1] * 40 + [2] * 50], 60, axis=0)
    assert len(splitting.split(near, halves, max_solidity=1.0, **options)) == 2
    assert len(splitting.split(near, halves > 0, max_solidity=1.0, **options)) == 1


def test_chamfer_distances_are_near_euclid():
    outside = np.ones((21, 21), bool)
    outside[10, 10] = False
    assert splitting.chamfer(outside)[10, 10] == 1.0
    far = splitting.chamfer(~outside)
    assert far[10, 13] == 3.0
    assert far[13, 13] == pytest.approx(4.2)
    assert far[12, 14] == pytest.approx(2 * 2.1969)
    y, x = np.mgrid[-10:11, -10:11]
    np.testing.assert_allclose(far, np.hypot(y, x), rtol=0.021)


def test_logstd_finds_dark_cells_with_halos_at_the_border_too():
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:140, 0:160]
    image = rng.normal(1000, 4, y.shape)
    truth = np.zeros(y.shape, int)
    for k, (a, b) in enumerate([(5, 40), (80, 50), (90, 120)], start=1):
        r = np.hypot(y - a, x - b)
        image += 250 * np.exp(-(((r - 19) / 2) ** 2)) - 120 * (r < 17)
        image[r < 16] += rng.normal(0, 40, (r < 16).sum())
        truth[r < 17] = k
    labels, stats = segmentation.segment_logstd(image[None].astype(np.uint16), pixel_um=0.65)
    assert labels.max() == 3
    assert stats[0]["threshold"] > stats[0]["mode"]
    for k in (1, 2, 3):
        both = (labels[0] == k) & (truth == k)
        either = (labels[0] == k) | (truth == k)
        assert both.sum() / either.sum() > 0.8
