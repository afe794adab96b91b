"""The classic method: its definition and the faults that it keeps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from background.scenes import cells, photograph, rms_inside_and_at_border, shading

from fovflow.background import correct_stack, get_corrector
from fovflow.errors import FovflowError


def plain_classic(image, labels, tile=256):
    """The definition in a few lines of float64."""
    from scipy.interpolate import RectBivariateSpline

    free = cv2.dilate((labels > 0).astype(np.uint8), np.ones((21, 21))) == 0
    axes = []
    for length in image.shape:
        divisions = max(int(np.ceil(length / tile)) + 1, 2)
        axes.append(np.rint(np.linspace(0, length, 2 * divisions - 1)).astype(int))
    rows, columns = axes
    values = np.full((len(rows) - 2, len(columns) - 2), np.median(image[free].astype(float)))
    for i, j in np.ndindex(values.shape):
        box = np.s_[rows[i] : rows[i + 2], columns[j] : columns[j + 2]]
        if free[box].any():
            values[i, j] = np.median(image[box][free[box]].astype(float))
    spline = RectBivariateSpline(
        (rows[:-2] + rows[2:]) / 2, (columns[:-2] + columns[2:]) / 2, values, kx=3, ky=3, s=0
    )
    return spline(np.arange(image.shape[0]), np.arange(image.shape[1]))


@pytest.mark.parametrize("shape", [(513, 513), (640, 901), (1200, 530)])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_agrees_with_the_definition(shape, dtype):
    labels = cells(shape, 30, radius=20)
    labels[:300, :300] = 1
    image = photograph(shading(shape), 80 * (labels > 0)).astype(dtype)
    corrector = get_corrector("classic", shape=shape)
    corrected, stats = corrector(image, labels)
    expected = plain_classic(image, labels)
    np.testing.assert_allclose(corrector.background, expected, rtol=1e-6)
    np.testing.assert_allclose(corrected, image - expected, atol=1e-3)
    assert stats.n_empty_tiles >= 1
    assert stats.flag == ""


@pytest.mark.parametrize("shape", [(512, 512), (512, 2048), (2048, 512), (8, 8)])
def test_small_frames_are_refused_with_a_remedy(shape):
    with pytest.raises(FovflowError, match="more than 512 px") as caught:
        get_corrector("classic", shape=shape)
    assert "method: tiles" in str(caught.value)


def test_smaller_tiles_allow_smaller_frames():
    get_corrector("classic", shape=(257, 257), tile_px=128)
    with pytest.raises(FovflowError, match="more than 256 px"):
        get_corrector("classic", shape=(256, 257), tile_px=128)


def test_a_covered_frame_gives_nan():
    shape = (600, 600)
    image = photograph(shading(shape), 0)
    corrector = get_corrector("classic", shape=shape)
    corrected, stats = corrector(image, np.ones(shape, np.uint8))
    assert np.isnan(corrected).all()
    assert np.isnan(corrector.background).all()
    assert stats.flag == "all covered"
    assert stats.n_empty_tiles == 25
    assert np.isfinite(corrector(image, np.zeros(shape, np.uint8))[0]).all()


def test_an_empty_tile_takes_the_frames_median():
    shape = (768, 768)
    image = np.full(shape, 100, np.uint16)
    image[:384] = 300
    labels = np.zeros(shape, np.uint8)
    labels[:262, :262] = 1  # the first tile's 256 × 256 px are covered, its neighbours are not
    corrector = get_corrector("classic", shape=shape)
    _, stats = corrector(image, labels)
    assert stats.n_empty_tiles == 1
    assert corrector.background[0, 0] == pytest.approx(100, abs=0.01)


def test_the_outer_half_tile_is_constant():
    shape = (1024, 1024)
    background = shading(shape)
    corrector = get_corrector("classic", shape=shape)
    corrector(photograph(background, 0), None)
    ring = corrector.background[:100]
    np.testing.assert_array_equal(ring, np.broadcast_to(ring[:1], ring.shape))
    inside, border = rms_inside_and_at_border(corrector.background - background)
    assert border > 4 * inside


def test_a_stack_of_no_frames():
    assert correct_stack(np.zeros((0, 600, 600)), None, method="classic").shape == (0, 600, 600)
