import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from segmentation.scenes import ellipses, noise

from fovflow.errors import ConfigError
from fovflow.segmentation import get_segmenter
from fovflow.segmentation.contrast import SteadyOffset, mode_and_spread
from fovflow.segmentation.halos import Outline, even_halos, relief_range, remove_halos, surroundings
from fovflow.segmentation.masks import disc, grow_within, odd_side


def test_mode_and_spread_by_hand():
    counts = np.zeros(40, np.int64)
    counts[20] = 8
    counts[19] = 4
    counts[18] = 2
    counts[25:30] = 1
    mode, spread = mode_and_spread(counts)
    assert mode == 22.5  # bins 18 to 26 hold most: 2 + 4 + 8 + 1 + 1
    target = 0.682689492137086 * (8 + 4 + 2)  # bins 20, 19, 18 are 1.5 to 4.5 bins below
    assert spread == pytest.approx(2.5 + (target - 8) / 4)


def test_the_bin_of_the_mode_counts_half():
    counts = np.zeros(40, np.int64)
    counts[16:25] = 1, 2, 2, 4, 8, 4, 2, 2, 1
    mode, spread = mode_and_spread(counts)
    assert mode == 20.5
    target = 0.682689492137086 * (8 / 2 + 4 + 2 + 2 + 1)
    assert spread == pytest.approx(1.5 + (target - 8) / 2)


@pytest.mark.parametrize("sigma", [5.0, 12.0, 40.0])
def test_spread_of_a_normal_distribution(sigma):
    values = np.random.default_rng(1).normal(500, sigma, 400_000)
    counts = np.bincount(values.astype(int), minlength=1000)
    mode, spread = mode_and_spread(counts)
    assert abs(mode - 500) < 0.25 * sigma
    assert spread == pytest.approx(sigma - (500 - mode), rel=0.12)


def test_cells_on_the_upper_side_do_not_matter():
    rng = np.random.default_rng(2)
    values = np.concatenate([rng.normal(300, 10, 200_000), rng.uniform(340, 900, 150_000)])
    mode, spread = mode_and_spread(np.bincount(values.astype(int), minlength=1000))
    assert abs(mode - 300) < 4
    assert 8 < spread < 13


def test_all_in_one_bin():
    assert mode_and_spread(np.array([7], np.int64)) == (0.5, pytest.approx(0.3413447))


def test_offsets_are_steadied_by_the_median_of_the_last_frames():
    offset = SteadyOffset(3)
    given_and_used = [(1.0, 1.0), (1.2, 1.1), (1.1, 1.1), (1.4, 1.2), (1.0, 1.1)]
    for given_, used in given_and_used:
        assert offset.update(given_) == (pytest.approx(used), False)


def test_a_jump_drops_the_memory():
    offset = SteadyOffset(5)
    for _ in range(5):
        assert offset.update(1.0) == (1.0, False)
    assert offset.update(2.0) == (2.0, True)
    assert offset.update(2.2) == (pytest.approx(2.1), False)
    assert offset.update(0.5) == (0.5, True)


def test_memory_of_one_and_of_none():
    offset = SteadyOffset(1)
    assert [offset.update(value) for value in (1.0, 9.0)] == [(1.0, False), (9.0, False)]
    with pytest.raises(ConfigError, match="memory must be 1 or more"):
        get_segmenter("logstd", pixel_um=1.0, memory=0)


@pytest.mark.parametrize(("length", "side"), [(0.3, 1), (1.0, 1), (2.0, 3), (3.07, 5), (5.0, 5)])
def test_odd_sides(length, side):
    assert odd_side(length) == side


@given(st.floats(0, 12))
def test_discs(radius):
    element = disc(radius)
    reach = int(radius)
    expected = sum(
        dx * dx + dy * dy <= radius * radius
        for dx in range(-reach, reach + 1)
        for dy in range(-reach, reach + 1)
    )
    assert element.sum() == expected
    assert element.shape == (2 * reach + 1, 2 * reach + 1)


def test_growing_goes_round_corners_and_stays_inside():
    allowed = np.array([[1, 1, 0, 1], [0, 1, 0, 1], [0, 1, 1, 1]], np.uint8)
    seed = np.zeros_like(allowed)
    seed[0, 0] = 1
    assert [int(grow_within(seed, allowed, steps).sum()) for steps in range(8)] == [
        1, 2, 3, 4, 5, 6, 7, 8,
    ]  # fmt: skip


def plain_surroundings(image, mask, block):
    """Return the level of the surroundings, block by block."""
    free = cv2.dilate(mask, np.ones((3, 3), np.uint8)) == 0
    height, width = image.shape
    rows, columns = -(-height // block), -(-width // block)
    sums, numbers = np.zeros((rows + 4, columns + 4)), np.zeros((rows + 4, columns + 4))
    for i in range(rows):
        for j in range(columns):
            part = np.s_[i * block : (i + 1) * block, j * block : (j + 1) * block]
            sums[i + 2, j + 2] = image[part][free[part]].astype(float).sum() / block**2
            numbers[i + 2, j + 2] = free[part].sum() / block**2
    mean = sums.sum() / numbers.sum() if free.any() else image.mean()
    view = np.lib.stride_tricks.sliding_window_view
    levels = (view(sums, (5, 5)).mean(axis=(2, 3)) + 1e-3 * mean) / (
        view(numbers, (5, 5)).mean(axis=(2, 3)) + 1e-3
    )
    y = np.clip((np.arange(height) + 0.5) / block - 0.5, 0, rows - 1)
    x = np.clip((np.arange(width) + 0.5) / block - 0.5, 0, columns - 1)
    level = np.array([np.interp(x, np.arange(columns), row) for row in levels])
    return np.array([np.interp(y, np.arange(rows), column) for column in level.T]).T


@pytest.mark.parametrize("shape", [(64, 80), (61, 83), (5, 90), (3, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_surroundings_against_a_plain_version(shape, dtype):
    image = noise(shape, 100, 20).astype(dtype)
    mask = (noise(shape, 0, 1, seed=4) > 1.8).astype(np.uint8)
    level = surroundings(image, mask, 8)
    assert level.dtype == np.float32
    assert np.allclose(level, plain_surroundings(image, mask, 8), rtol=2e-6)


def test_surroundings_where_nothing_is_free():
    image = noise((30, 30), 100, 20).astype(np.uint16)
    level = surroundings(image, np.ones((30, 30), np.uint8), 8)
    assert np.allclose(level, image.mean())


def test_surroundings_do_not_see_the_cells():
    truth = ellipses([(60, 60, 20, 20)], (128, 128))
    image = np.where(truth > 0, 9000, 500).astype(np.uint16)
    level = surroundings(image, (truth > 0).astype(np.uint8), 8)
    assert np.abs(level - 500).max() < 0.01


def test_the_range_of_the_relief_is_from_every_second_pixel_of_the_mask():
    relief = np.arange(200, dtype=np.float32).reshape(10, 20)
    mask = np.zeros((10, 20), np.uint8)
    mask[:, :10] = 1
    values = np.sort(relief[::2, :10:2].ravel())
    low, high = relief_range(relief, mask)
    assert (low, high) == (values[int(0.05 * 24)], values[int(0.95 * 24)])
    assert relief_range(relief, 0 * mask) == (0.0, 0.0)


@pytest.mark.parametrize("least", [0.1, 0.5])
def test_halos_of_pale_cells_are_evened(least):
    """Three components with halos of 100, 40 and 5 counts, and one of too few pixels to tell."""
    relief, mask = np.full((40, 80), -30, np.float32), np.zeros((40, 80), np.uint8)
    bright = {0: (100, 100), 20: (40, 50), 40: (5, 60), 60: (10, 7)}  # column: counts, pixels
    for column, (counts, pixels) in bright.items():
        place = np.s_[:, column : column + 19]
        mask[place] = 1
        values = relief[place][::2, ::2]
        values[np.unravel_index(np.arange(pixels), values.shape)] = counts
    mean = sum(counts * pixels for counts, pixels in bright.values()) / (100 + 50 + 60 + 7)
    even = even_halos(relief, mask, least)
    for column, (counts, pixels) in bright.items():
        ratio = max(least, 0.3, (counts / mean) ** 0.7)
        scale = min(1.0, ratio) if pixels >= 8 else 1.0
        assert np.allclose(even[:, column : column + 19], relief[:, column : column + 19] / scale)
    assert np.array_equal(even[:, 19], relief[:, 19])


def test_a_halo_is_taken_off_and_a_bright_cell_stays():
    size = Outline(fraction=0.3, halo=3, bright=12, opening=2, regrow=2, hole=100)
    truth = ellipses([(40, 40, 14, 14), (40, 110, 14, 14)], (80, 150))
    away = cv2.distanceTransform((truth == 0).astype(np.uint8), cv2.DIST_L2, 5)
    mask = (away <= 5).astype(np.uint8)
    relief = np.where(truth == 1, -50, np.where(truth == 2, 80, 0)).astype(np.float32)
    relief[(truth == 0) & (away <= 4) & (np.arange(150) < 75)] = 60
    cells = remove_halos(mask, relief, 20.0, size)
    assert np.array_equal(cells[:, :75] > 0, truth[:, :75] > 0)
    assert cells[:, 75:][truth[:, 75:] > 0].mean() > 0.9
