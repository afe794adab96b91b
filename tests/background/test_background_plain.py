"""The methods without a surface: nothing, or one level per frame."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np

from fovflow.background import (
    get_corrector,
)


def test_none_is_the_frame_itself():
    image = np.random.default_rng(0).integers(0, 65535, (30, 34), dtype=np.uint16)
    corrected, stats = get_corrector("none", shape=(30, 34))(image, np.zeros((30, 34), np.uint8))
    assert np.array_equal(corrected, image.astype(np.float32))
    assert astuple(stats)[0] == 0


def test_constant_is_the_median_of_free_pixels():
    image = np.arange(16 * 16, dtype=np.uint16).reshape(16, 16)
    corrector = get_corrector("constant", shape=(16, 16), dilation_um=0.0, pixel_um=1.0)
    labels = np.zeros((16, 16), np.uint8)
    labels[8:] = 1
    assert corrector(image, labels)[1].background_level == 63.5
    labels[:] = 1
    corrected, stats = corrector(image, labels)
    assert (stats.background_level, stats.flag) == (63.5, "all covered")
    assert corrected[0, 0] == -63.5


def test_constant_of_a_covered_first_frame_is_its_fifth_percentile():
    image = np.arange(21 * 21, dtype=np.uint16).reshape(21, 21)
    _, stats = get_corrector("constant", shape=(21, 21))(image, np.ones((21, 21), np.uint8))
    assert (stats.background_level, stats.flag) == (22, "all covered")
