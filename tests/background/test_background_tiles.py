"""The default method: right at every size, up to the border, in crowded frames."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from background.scenes import cells, photograph, rms_inside_and_at_border, shading
from hypothesis import given, settings
from hypothesis import strategies as st

from fovflow.background import correct_stack, get_corrector


def background_error(background, image, labels, **params):
    corrector = get_corrector("tiles", shape=image.shape, **params)
    _, stats = corrector(image, labels)
    return corrector.background - background, stats


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_every_small_size_is_corrected(height, width, seed):
    shape = (height, width)
    image = photograph(np.full(shape, 500.0), 0, seed=seed, sigma=5)
    error, stats = background_error(500, image, np.zeros(shape, np.uint16))
    assert np.isfinite(error).all()
    assert np.abs(error).max() < 25
    assert stats.flag == ""


@pytest.mark.parametrize(
    "shape",
    [(8, 8), (8, 300), (33, 35), (127, 129), (200, 64), (512, 512), (513, 301), (700, 1100)],
)
def test_a_plane_is_found_at_every_size(shape):
    tilt_y, tilt_x = np.meshgrid(*(np.linspace(-30, 30, n) for n in shape), indexing="ij")
    background = 400 + tilt_y - tilt_x
    image = photograph(background, 0, sigma=2)
    error, _ = background_error(background, image, None)
    pixels_per_tile = max(1, shape[0] // 4) * max(1, shape[1] // 4)
    assert np.sqrt((error**2).mean()) < 0.1 + 3 * 2 / np.sqrt(pixels_per_tile)


@pytest.mark.parametrize("size", [512, 1024, 2048])
def test_quadratic_shading_is_right_up_to_the_border(size):
    shape = (size, size)
    background = shading(shape)
    labels = cells(shape, 60 * size // 1024, radius=16)
    image = photograph(background, 100 * (labels > 0))
    inside, border = rms_inside_and_at_border(background_error(background, image, labels)[0])
    assert inside < 0.15
    assert border < max(2.2 * inside, 0.35)  # of 320 counts from the brightest to the darkest
    if size > 512:
        classic = get_corrector("classic", shape=shape)
        classic(image, labels)
        classic_inside, classic_border = rms_inside_and_at_border(classic.background - background)
        assert classic_inside > 10 * inside
        assert classic_border > 100 * border


def test_many_cells_in_steep_shading():
    shape = (1024, 1024)
    background = shading(shape)
    labels = cells(shape, 600, radius=16)
    image = photograph(background, 100 * (labels > 0))
    error, stats = background_error(background, image, labels)
    inside, border = rms_inside_and_at_border(error)
    assert stats.excluded_fraction > 0.5
    assert inside < 0.4
    assert border < 0.8


def test_covered_tiles_continue_their_neighbours():
    shape = (1024, 1024)
    background = shading(shape)
    labels = np.zeros(shape, np.uint16)
    labels[300:700, 300:700] = 1
    image = photograph(background, 500 * (labels > 0))
    error, stats = background_error(background, image, labels)
    assert stats.n_empty_tiles == 4
    assert stats.flag == ""
    assert np.abs(error[300:700, 300:700]).max() < 3
    assert np.abs(np.diff(error, axis=0)).max() < 0.2


def test_missed_cells_hardly_matter():
    shape = (1024, 1024)
    background = shading(shape)
    hidden = cells(shape, 80, radius=14)
    image = photograph(background, 150 * (hidden > 0))
    inside, border = rms_inside_and_at_border(background_error(background, image, None)[0])
    assert inside < 0.5
    assert border < 0.6


@pytest.mark.parametrize("size", [512, 1024])
def test_bright_debris_out_of_focus_hardly_matters(size):
    shape = (size, size)
    background = shading(shape)
    blob = np.zeros(shape, np.float32)
    for y, x in ((0.3, 0.6), (0.7, 0.2)):
        cv2.circle(blob, (int(x * size), int(y * size)), size // 24, 600.0, -1)
    blob = cv2.GaussianBlur(blob, (0, 0), size / 60)
    image = photograph(background, blob)
    error, _ = background_error(background, image, None)
    away = blob < 0.5
    assert np.sqrt((error[away] ** 2).mean()) < 1.5
    assert error.max() < 40  # of 600


def test_skewed_noise_leaves_the_mean_at_zero():
    """Sums over cells need the mean of the background, not its median."""
    rng = np.random.default_rng(0)
    image = rng.poisson(4, (512, 512)).astype(np.uint16)
    corrected = correct_stack(image[None], None)
    assert abs(corrected.mean()) < 0.03


def test_a_crowded_frame_borrows_the_last_good_shape():
    shape = (768, 768)
    background = shading(shape)
    labels = cells(shape, 30)
    corrector = get_corrector("tiles", shape=shape)
    corrector(photograph(background, 0), labels)
    crowd = np.ones(shape, np.uint16)
    crowd[350:500, 100:300] = 0
    _, stats = corrector(photograph(background + 20, 200 * crowd, seed=1), crowd)
    assert stats.flag == "crowded"
    error = corrector.background - background - 20
    assert np.abs(error).max() < 3


def test_a_crowded_first_frame_is_level_where_nothing_is_seen():
    shape = (768, 768)
    background = shading(shape, depth=0.05)
    crowd = np.ones(shape, np.uint16)
    crowd[350:500, 100:300] = 0
    error, stats = background_error(background, photograph(background, 200 * crowd), crowd)
    assert stats.flag == "crowded"
    assert np.abs(error).max() < 75  # what the shading takes from the seen part to the corners
    seen = error[360:490, 110:290]
    assert np.abs(seen).max() < 8


def test_a_covered_frame_takes_the_last_good_surface():
    shape = (600, 600)
    background = shading(shape)
    covered = np.ones(shape, np.uint16)
    corrector = get_corrector("tiles", shape=shape)
    corrector(photograph(background, 0), np.zeros(shape, np.uint16))
    good = corrector.background.copy()
    corrected, stats = corrector(photograph(background, 300, seed=1), covered)
    assert stats.flag == "all covered"
    assert stats.n_empty_tiles == 16
    assert np.array_equal(corrector.background, good)
    assert corrected.mean() == pytest.approx(300, abs=1)


def test_a_covered_frame_that_is_darker_scales_the_last_surface():
    shape = (600, 600)
    background = shading(shape)
    corrector = get_corrector("tiles", shape=shape)
    corrector(photograph(background, 0), np.zeros(shape, np.uint16))
    corrector(photograph(background / 2, 0, seed=1), np.ones(shape, np.uint16))
    np.testing.assert_allclose(corrector.background, background / 2, rtol=0.1)


def test_a_covered_first_frame_takes_a_low_level():
    shape = (100, 120)
    image = photograph(np.full(shape, 500.0), 0)
    corrector = get_corrector("tiles", shape=shape)
    _, stats = corrector(image, np.ones(shape, np.uint16))
    assert stats.flag == "all covered"
    assert stats.gradient == pytest.approx(0, abs=1e-9)
    assert stats.background_level == np.sort(image, axis=None)[int(0.05 * (image.size - 1))]
    assert np.isnan(stats.noise_sigma)


def test_bad_frames_are_no_last_good_frames():
    shape = (600, 600)
    background = shading(shape)
    crowd = np.ones(shape, np.uint16)
    crowd[300:420, 300:420] = 0
    good, bad = photograph(background, 0), photograph(background + 200, 0, seed=2)
    one = get_corrector("tiles", shape=shape)
    two = get_corrector("tiles", shape=shape)
    for corrector, frames in ((one, [(good, 0), (bad, 1)]), (two, [(good, 0)])):
        for image, crowded in frames:
            corrector(image, crowd * crowded)
        corrector(good, np.ones(shape, np.uint16))
    assert np.array_equal(one.background, two.background)


def test_a_frame_of_nan_keeps_the_last_surface_for_later():
    shape = (300, 300)
    image = photograph(shading(shape), 0)
    corrector = get_corrector("tiles", shape=shape)
    corrector(image.astype(np.float32))
    good = corrector.background.copy()
    _, stats = corrector(np.full(shape, np.nan, np.float32))
    assert stats.flag == "nan"
    assert np.array_equal(corrector.background, good)


def test_one_free_pixel_is_enough():
    shape = (600, 600)
    labels = np.ones(shape, np.uint16)
    labels[280:301, 280:301] = 0  # one pixel is left beyond the dilation
    image = np.full(shape, 300, np.uint16)
    image[290, 290] = 200
    error, stats = background_error(200, image, labels)
    assert stats.flag == "crowded"
    assert np.abs(error).max() < 0.1


def test_a_free_pixel_in_a_row_that_is_not_looked_at_counts_as_covered():
    shape = (1024, 64)
    labels = np.ones(shape, np.uint16)
    labels[501 - 10 : 502 + 10, 20:41] = 0
    image = np.full(shape, 300, np.uint16)
    error, stats = background_error(300, image, labels)
    assert stats.flag == "all covered"
    assert np.abs(error).max() < 1e-4


def test_saturated_cells_and_frames():
    shape = (400, 400)
    labels = cells(shape, 20)
    image = photograph(shading(shape), 65535.0 * (labels > 0))
    error, stats = background_error(shading(shape), image, labels)
    assert np.abs(error).max() < 2
    assert stats.flag == ""
    _, stats = background_error(65535, np.full(shape, 65535, np.uint16), labels)
    assert stats.flag == "saturated"


_THREADS = """
import sys, hashlib, numpy as np, cv2
cv2.setNumThreads(int(sys.argv[1]))
from fovflow.background import correct_stack, estimate_flat_field
rng = np.random.default_rng(0)
digest = hashlib.sha256()
for shape in ((2, 700, 900), (1, 1600, 2048)):  # BLAS shares large products among threads only
    stack = rng.poisson(300 + np.arange(shape[2]) / 9, shape).astype(np.uint16)
    for method in ("tiles", "classic"):
        digest.update(correct_stack(stack, stack > 550, method=method).tobytes())
    digest.update(estimate_flat_field(stack).tobytes())
print(digest.hexdigest())
"""


def test_bytes_do_not_depend_on_threads(tmp_path: Path):
    def digest(threads: str) -> str:
        names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        return subprocess.run(
            [sys.executable, "-c", _THREADS, threads],
            env={**os.environ, **dict.fromkeys(names, threads)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    assert digest("1") == digest("2")
