"""Flat-fields estimated from the background."""

from __future__ import annotations

import numpy as np
import pytest
from background.scenes import cells, photograph, shading

from fovflow.background import correct_stack, estimate_flat_field
from fovflow.errors import FovflowError

SHAPE = (400, 440)
DARK = 100.0


@pytest.fixture(scope="module")
def truth():
    flat = shading(SHAPE, 1, 0.3)
    return flat / flat.mean()


def movie(flat, frames=12, count=15):
    for t in range(frames):
        labels = cells(SHAPE, count, radius=14, seed=t)
        level = 300 + 20 * t
        yield photograph(DARK + flat * (level + 200 * (labels > 0)), 0, seed=t), labels


def test_the_illumination_comes_back(truth):
    images, labels = zip(*movie(truth), strict=True)
    flat = estimate_flat_field(images, labels, dark=DARK)
    assert flat.dtype == np.float32
    assert flat.shape == SHAPE
    assert flat.mean() == pytest.approx(1, abs=1e-6)
    error = flat / truth - 1
    assert np.sqrt((error**2).mean()) < 0.003
    assert np.abs(error).max() < 0.015  # in the darkest corner, at a third of the mean light


def test_without_labels_the_cells_hardly_matter(truth):
    flat = estimate_flat_field((image for image, _ in movie(truth)), dark=DARK)
    assert np.sqrt(((flat / truth - 1) ** 2).mean()) < 0.006


def test_without_the_dark_level_it_is_too_flat(truth):
    flat = estimate_flat_field((image for image, _ in movie(truth)))
    assert np.ptp(flat) < 0.9 * np.ptp(truth)


def test_it_evens_out_the_cells(truth):
    """A cell of the same light gives the same sum at the border and in the middle."""
    images, labels = zip(*movie(truth), strict=True)
    flat = estimate_flat_field(images, labels, dark=DARK)
    disc = cells(SHAPE, 1, radius=12)
    disc = np.roll(disc, -np.argwhere(disc).min(0), (0, 1))
    sums = []
    for shift in ((0, 0), (190, 210), (375, 415)):
        mask = np.roll(disc, shift, (0, 1))
        image = photograph(DARK + truth * (300 + 400 * (mask > 0)), 0, seed=9)
        corrected = correct_stack(image[None], mask[None], dark=DARK, flat_field=flat)
        sums.append(corrected[0][mask > 0].sum() / (mask > 0).sum())
    np.testing.assert_allclose(sums, 400, rtol=0.015)


def test_memory_is_bounded_and_all_of_a_long_series_counts(truth):
    n_read = 0

    def frames():
        nonlocal n_read
        for image, _ in movie(truth, frames=40, count=0):
            n_read += 1
            yield image

    flat = estimate_flat_field(frames(), dark=DARK, max_frames=4)
    assert n_read == 40
    assert np.sqrt(((flat / truth - 1) ** 2).mean()) < 0.003


def test_bad_frames_are_left_out(truth):
    images = [image for image, _ in movie(truth, frames=5)]
    labels = [label for _, label in movie(truth, frames=5)]
    expected = estimate_flat_field(images, labels, dark=DARK)
    images += [images[0] * 0 + 65535, images[0] * 0, images[0]]
    labels += [labels[0] * 0, labels[0] * 0, np.ones_like(labels[0])]
    np.testing.assert_array_equal(estimate_flat_field(images, labels, dark=DARK), expected)


@pytest.mark.parametrize("frames", [[], [np.full(SHAPE, 100, np.uint16)]], ids=["none", "dark"])
def test_no_light_is_told(frames):
    with pytest.raises(FovflowError, match="no frame shows enough background"):
        estimate_flat_field(frames, dark=DARK)


def test_a_dark_level_above_the_background_is_told(truth):
    images = [photograph(DARK + 60 * (truth - truth.min()), 0, sigma=1)]
    with pytest.raises(FovflowError, match="falls to almost nothing"):
        estimate_flat_field(images, dark=DARK + 5)


def test_frames_and_labels_of_different_number_are_told(truth):
    images, labels = zip(*movie(truth, frames=2), strict=True)
    with pytest.raises(ValueError, match="zip"):
        estimate_flat_field(images, labels[:1], dark=DARK)
