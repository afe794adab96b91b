"""The reference background on cases that can be worked out by hand."""

import numpy as np
import pytest

from reference import background
from reference.background_tiles import Axis, cubic_bspline


def surface(raw, labels):
    return background.classic_background(raw, background.free_pixels(raw, labels))


def test_edges_are_half_tiles():
    np.testing.assert_array_equal(background.classic_edges(768), [0, 128, 256, 384, 512, 640, 768])
    np.testing.assert_array_equal(background.classic_edges(256), [0, 128, 256])
    assert len(background.classic_edges(769)) == 9


def test_a_constant_frame_is_its_own_background():
    stack = np.full((1, 520, 600), 137, np.uint16)
    corrected, taken = background.correct_classic(stack, np.zeros_like(stack))
    assert corrected.dtype == np.float32
    np.testing.assert_allclose(taken, 137, rtol=1e-12)
    np.testing.assert_allclose(corrected, 0, atol=1e-9)


def test_a_plane_is_found_inside_and_held_outside():
    y, x = np.mgrid[0:768, 0:768].astype(float)
    plane = 100 + 0.5 * x + 0.25 * y
    taken = surface(plane, np.zeros(plane.shape, np.uint16))
    # The median of a tile of pixels 0..255 is the plane at 127.5; it stands at centre 128.
    inside = np.s_[128:641, 128:641]
    np.testing.assert_allclose(taken[inside], plane[inside] - 0.5 * 0.75, rtol=1e-12)
    np.testing.assert_allclose(taken[300, :128], taken[300, 128], rtol=1e-12)
    np.testing.assert_allclose(taken[641:, 300], taken[640, 300], rtol=1e-12)


def test_cells_and_ten_pixels_around_do_not_count():
    raw = np.full((520, 520), 50.0)
    labels = np.zeros(raw.shape, np.uint16)
    labels[200:300, 100:180] = 1
    raw[190:310, 90:190] = 9000
    np.testing.assert_allclose(surface(raw, labels), 50, rtol=1e-12)


def test_a_covered_tile_takes_the_median_of_the_free_pixels():
    raw = np.full((520, 520), 50.0)
    labels = np.zeros(raw.shape, np.uint16)
    labels[:270, :270] = 1
    raw[labels > 0] = 9000
    np.testing.assert_allclose(surface(raw, labels), 50, rtol=1e-12)


def test_classic_faults_stand():
    covered = np.ones((520, 520), np.uint16)
    assert np.isnan(surface(covered, covered)).all()
    small = np.ones((512, 512))
    with pytest.raises(ValueError):
        surface(small, np.zeros(small.shape, np.uint16))


def tiles(stack, labels=None, **params):
    labels = np.zeros(stack.shape, np.uint16) if labels is None else labels
    return background.background_stack(stack, labels, **params)[1:]


def test_lengths_become_pixels_with_halves_upwards():
    assert background.pixels(6.5, 1.0, 10) == 7
    assert background.pixels(None, None, 10) == 10


def test_a_flat_field_and_a_dark_frame_make_the_working_frame():
    image = np.array([[11, 31]], np.uint16)
    np.testing.assert_allclose(background.working_frame(image, 1, [[2, 6]]), [[20, 20]])


def test_bspline_values_and_partition_of_unity():
    np.testing.assert_allclose(
        cubic_bspline(np.array([0.0, 1.0, 1.5, 2.0])), [2 / 3, 1 / 6, 1 / 48, 0]
    )
    for n in (1, 7, 100, 513):
        np.testing.assert_allclose(Axis.of(n, 256).basis.sum(axis=1), 1)


def test_grid_of_an_axis():
    axis = Axis.of(1024, 256)
    # 4 intervals, 8 tiles of 128 px, 8 patches of 16 px each.
    np.testing.assert_array_equal(axis.edges, np.arange(0, 1025, 16))
    assert (axis.size, axis.patches) == (7, 8)
    tiny = Axis.of(3, 256)
    np.testing.assert_array_equal(tiny.edges, [0, 1, 2, 3])
    assert (tiny.size, tiny.patches) == (4, 1)


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (97, 33), (300, 520)])
def test_tiles_take_a_constant_off_every_frame_size(shape):
    stack = np.full((1, *shape), 137, np.uint16)
    taken, flags = tiles(stack)
    np.testing.assert_allclose(taken, 137, rtol=1e-9)
    assert flags == [""]


def test_tiles_follow_a_plane_to_the_border():
    y, x = np.mgrid[0:300, 0:400].astype(float)
    plane = 100 + 0.5 * x + 0.25 * y
    taken, _ = tiles(plane[None])
    # The penalty pulls the slope down a little; 0.02 counts of 300 remain.
    np.testing.assert_allclose(taken[0], plane, atol=0.03)


def test_tiles_look_past_cells_and_missed_debris():
    rng = np.random.default_rng(1)
    raw = rng.normal(500, 5, (1, 300, 300))
    labels = np.zeros(raw.shape, np.uint16)
    labels[0, 40:160, 60:150] = 1
    raw[labels > 0] += 4000
    raw[0, 230:250, 200:230] += 300
    taken, _ = tiles(raw, labels)
    np.testing.assert_allclose(taken[0], 500, atol=2)


def test_a_covered_frame_follows_the_last_good_one():
    rng = np.random.default_rng(2)
    x = np.mgrid[0:128, 0:128][1]
    light = 200 + 0.1 * x  # within a tile of 32 px the light differs less than the noise
    stack = np.stack([light, 0.8 * light]) + rng.normal(0, 2, (2, 128, 128))
    labels = np.zeros(stack.shape, np.uint16)
    labels[1] = 1
    taken, flags = tiles(stack, labels)
    assert flags == ["", "all covered"]
    np.testing.assert_allclose(taken[1], 0.8 * light, rtol=0.02)


def test_a_covered_frame_without_a_past_takes_its_dark_pixels():
    stack = np.arange(64.0).reshape(1, 8, 8)
    taken, flags = tiles(stack, np.ones(stack.shape, np.uint16))
    assert flags == ["all covered"]
    np.testing.assert_array_equal(taken, 3)  # floor(0.05 * 63) = 3


def test_a_crowded_frame_keeps_the_shape_of_the_last_good_one():
    x = np.mgrid[0:256, 0:256][1]
    light = 200 + 0.5 * x
    stack = np.stack([light, light + 30])
    labels = np.zeros(stack.shape, np.uint16)
    labels[1, :, 30:] = 1
    taken, flags = tiles(stack, labels)
    assert flags == ["", "crowded"]
    np.testing.assert_allclose(taken[1], light + 30, rtol=0.01)
