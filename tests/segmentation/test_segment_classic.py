import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from segmentation.scenes import ellipses, noise, phase

from fovflow.segmentation import get_segmenter
from fovflow.segmentation.classic import mode_and_sigma, open_close
from fovflow.segmentation.contrast import float_grid, scaled_variance
from reference import segmentation as reference

frames = st.sampled_from([np.uint8, np.uint16]).flatmap(
    lambda dtype: arrays(dtype, st.tuples(st.integers(1, 12), st.integers(1, 12)))
)


def whole_variance(image, margin=0):
    out = np.empty((image.shape[0] + 2 * margin, image.shape[1] + 2 * margin))
    for rows, strip in scaled_variance(image, margin):
        out[rows.start : rows.stop + 2 * margin] = strip
    return out


def integer_variance(image):
    x = image.astype(np.int64)
    ones = np.ones((3, 3), np.int64)
    sums = ndimage.correlate(x, ones, mode="reflect")
    return 9 * ndimage.correlate(x * x, ones, mode="reflect") - sums**2


def brute_force(image):
    """Return the classic mask, mode and sigma from integers, SciPy and NumPy alone."""
    variance = integer_variance(image)
    values = np.zeros(image.shape)
    values[variance > 0] = 0.5 * np.log(variance[variance > 0] / 81)
    counts, edges = np.histogram(values, 200)
    mode = (edges[counts.argmax()] + edges[counts.argmax() + 1]) / 2
    sigma = values[values <= mode].std()
    mask = ndimage.binary_fill_holes(values > mode + 3 * sigma)
    return reference.open_close(mask), mode, sigma


@given(frames)
def test_variance_is_exact(image):
    assert np.array_equal(whole_variance(image), integer_variance(image))


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
        lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 2))
    ),
    st.sampled_from([0, 1, 5148, 30000, 55238]),
    st.sampled_from([1, 2573, 2574, 2575, 5147, 5148, 5149]),
)
def test_variance_is_exact_on_both_sides_of_what_int32_holds(image, low, step):
    counts = (low + step * image.astype(np.int64)).astype(np.uint16)
    assert np.array_equal(whole_variance(counts), integer_variance(counts))


def test_variance_by_hand():
    image = np.zeros((3, 4), np.uint8)
    image[1, 3] = 9
    # windows with the 9: once at (1, 2), twice in the mirrored border column
    once, twice = 9 * 81 - 81, 9 * 162 - 324
    assert whole_variance(image).tolist() == [[0, 0, once, twice]] * 3


def test_variance_keeps_its_digits_at_high_counts():
    image = np.full((50, 60), 65535, np.uint16)
    image[25, 30] = 65534
    assert whole_variance(image).max() == 8.0
    assert whole_variance(image).min() == 0.0


@given(frames, st.integers(1, 4))
def test_a_margin_mirrors_the_variance(image, margin):
    expected = np.pad(integer_variance(image), margin, mode="symmetric")
    assert np.array_equal(whole_variance(image, margin), expected)


def test_strips_leave_no_seams():
    image = noise((400, 3000), seed=2).astype(np.uint16)
    assert np.array_equal(whole_variance(image), integer_variance(image))


@given(arrays(np.uint16, (9, 8)), st.sampled_from([1.0, 0.25, 1024.0]))
def test_float_frames_of_whole_steps_are_exact_too(image, step):
    scaled = (image * step).astype(np.float32)
    assert np.array_equal(whole_variance(scaled), integer_variance(image) * step**2)


def test_flat_patches_of_float_frames_have_no_variance():
    image = np.random.default_rng(0).normal(0.37, 0.01, (40, 40)).astype(np.float32)
    image[10:20, 10:20] = 0.3701
    assert not whole_variance(image)[11:19, 11:19].any()
    exact = np.pad(image.astype(np.float64), 1, mode="symmetric")
    exact = 81 * np.lib.stride_tricks.sliding_window_view(exact, (3, 3)).var(axis=(2, 3))
    assert np.abs(whole_variance(image) - exact).max() < 1e-6 * exact.max()


@pytest.mark.parametrize(("low", "high", "grid"), [(0, 1, 2**-22), (-3, 2, 2**-19), (4, 4, 1)])
def test_the_grid_of_float_frames(low, high, grid):
    assert float_grid(low, high) == grid


def test_mode_and_sigma_by_hand():
    values = np.array([[0.0, 1.0, 1.0, 1.0], [2.0, 3.0, 4.0, 5.0]])
    mode, sigma = mode_and_sigma(values)
    # 200 bins of 0.025 over 0..5: 1.0 is in bin 40 with the centre 1.0125
    assert mode == pytest.approx(1.0125)
    assert sigma == pytest.approx(np.std([0, 1, 1, 1]))
    mode, _ = mode_and_sigma(np.array([[0.0, 1.0, 4.0, 4.0, 4.0]]))  # the greatest is in bin 199
    assert mode == pytest.approx(3.99)


@settings(max_examples=50)
@given(arrays(np.uint8, st.tuples(st.integers(1, 50), st.integers(1, 50)), elements=st.just(1)))
def test_opening_and_closing_of_a_full_frame(mask):
    assert np.array_equal(open_close(mask), reference.open_close(mask))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_agrees_with_scipy_in_every_pixel(dtype, seed):
    cells = [(60, 60, 22, 30), (70, 180, 30, 25), (170, 120, 25, 40), (190, 215, 22, 22)]
    image = phase(ellipses(cells, (240, 250)), contrast=600, seed=seed, dtype=dtype)
    if dtype == np.float32:
        image = np.rint(image)
    labels, stats = get_segmenter("classic", pixel_um=None)(image)
    mask, mode, sigma = brute_force(image)
    assert np.array_equal(labels, ndimage.label(mask)[0])
    assert labels.max() >= 1
    assert stats.mode == pytest.approx(mode, abs=1e-12)
    assert stats.sigma == pytest.approx(sigma, abs=1e-8)
    assert stats.threshold == pytest.approx(mode + 3 * sigma, abs=1e-8)
    assert stats.foreground_fraction == mask.mean()
    assert stats.n_objects == labels.max()


def test_its_faults_are_kept():
    truth = ellipses([(100, 20, 15, 18), (100, 120, 6, 6)], (200, 200))
    image = phase(truth, contrast=300, halo_px=1.0)
    labels, _ = get_segmenter("classic", pixel_um=None)(image)
    assert labels.max() == 1
    assert not labels[:, :9].any()
    assert not labels[95:105, 115:125].any()
