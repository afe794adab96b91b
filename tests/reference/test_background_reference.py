"""The reference background on cases that can be worked out by hand."""

import numpy as np
import pytest

from reference import background


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
    taken = background.classic_background(plane, np.zeros(plane.shape, np.uint16))
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
    np.testing.assert_allclose(background.classic_background(raw, labels), 50, rtol=1e-12)


def test_a_covered_tile_takes_the_median_of_the_free_pixels():
    raw = np.full((520, 520), 50.0)
    labels = np.zeros(raw.shape, np.uint16)
    labels[:270, :270] = 1
    raw[labels > 0] = 9000
    np.testing.assert_allclose(background.classic_background(raw, labels), 50, rtol=1e-12)


def test_classic_faults_stand():
    covered = np.ones((520, 520), np.uint16)
    assert np.isnan(background.classic_background(covered, covered)).all()
    small = np.ones((512, 512))
    with pytest.raises(ValueError):
        background.classic_background(small, np.zeros(small.shape, np.uint16))
