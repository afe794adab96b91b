"""Background correction against its reference.

The reach is 1e-3 of the background. What the fast code rounds to float32 costs 1e-6 of it. In
`tiles` a pixel exactly at the limit of what counts as clean may fall on the other side; this is
rare, and one pixel of a patch.
"""

import numpy as np
import pytest
from agreement.movies import scene
from hypothesis import given, settings
from hypothesis import strategies as st

from fovflow.background import correct_stack, get_corrector
from fovflow.errors import FovflowError
from reference import background as reference

REACH = 1e-3


def compare(stack, seg, reach=REACH, typical=1e-6, **params):
    """Assert that what is taken off agrees; return the reference's flags."""
    fast = correct_stack(stack, seg, **params)
    frames, surfaces, flags = reference.background_stack(stack, seg, **params)
    slow = frames - surfaces
    assert fast.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(fast), np.isnan(slow))
    known = np.isfinite(slow)
    np.testing.assert_array_equal(np.isfinite(fast), known)
    off = np.abs(fast[known] - slow[known]) / np.maximum(np.abs(surfaces[known]), 1)
    if off.size:
        assert off.max() <= reach
        assert np.median(off) <= typical
    return flags


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_classic_on_a_simulated_movie(dtype):
    _, fluorescence, masks, _ = scene("large")
    assert compare(fluorescence.astype(dtype), masks, method="classic") == ["", "", ""]


def test_classic_with_covered_tiles_and_frames():
    _, fluorescence, masks, _ = scene("large")
    seg = masks.copy()
    seg[0, :300, :300] = 1
    seg[1] = 1
    assert compare(fluorescence, seg, method="classic")[1] == "all covered"


def test_classic_with_other_tiles():
    _, fluorescence, masks, _ = scene("default")
    compare(fluorescence, masks, method="classic", tile_px=64, dilation_um=3.25, pixel_um=0.65)


def test_classic_refuses_small_frames():
    stack = np.ones((1, 512, 600), np.uint16)
    with pytest.raises(FovflowError, match="512"):
        correct_stack(stack, None, method="classic")


@pytest.mark.parametrize("name", ["default", "touching", "odd", "large"])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_tiles_on_simulated_movies(name, dtype):
    _, fluorescence, masks, _ = scene(name)
    assert set(compare(fluorescence.astype(dtype), masks)) == {""}


@pytest.mark.parametrize("shape", [(1030, 60), (2050, 40), (60, 1030)])
def test_tiles_with_thinned_rows(shape):
    rng = np.random.default_rng(7)
    y, x = np.mgrid[: shape[0], : shape[1]]
    stack = rng.poisson(300 + 0.1 * y + 0.05 * x, (2, *shape)).astype(np.uint16)
    seg = np.zeros(stack.shape, np.uint16)
    seg[:, shape[0] // 3 : shape[0] // 2, 10:40] = 1
    compare(stack, seg)


def test_tiles_in_crowded_and_covered_frames():
    _, fluorescence, masks, _ = scene("default", 6)
    seg = masks.copy()
    seg[1] = 1
    seg[2, :, 22:] = 1
    seg[4, 30:] = 1
    flags = compare(fluorescence, seg)
    assert flags == ["", "all covered", "crowded", "", "crowded", ""]
    corrector = get_corrector("tiles", shape=fluorescence.shape[1:])
    fast = [
        corrector(image, labels)[1].flag for image, labels in zip(fluorescence, seg, strict=True)
    ]
    assert fast == flags
    first = seg.copy()
    first[0] = 1
    assert compare(fluorescence[:2], first[:2]) == ["all covered", "all covered"]
    first[0, :, :25] = 0
    assert compare(fluorescence[:1], first[:1]) == ["crowded"]


def test_tiles_around_pixels_that_are_no_numbers():
    _, fluorescence, masks, _ = scene("default")
    stack = fluorescence.astype(np.float32)
    stack[0, 20:90, 100:200] = np.nan
    stack[1] = np.nan
    stack[2, 5, 5] = np.inf
    compare(stack, masks)


def test_tiles_with_a_dark_frame_and_a_flat_field():
    _, fluorescence, masks, pixel_um = scene("default")
    x = np.linspace(0.7, 1.4, fluorescence.shape[2])
    flat = np.tile(x, (fluorescence.shape[1], 1))
    params = {"dark": 100.0, "flat_field": flat, "tile_um": 60.0, "pixel_um": pixel_um}
    compare(fluorescence, masks, **params)
    compare(fluorescence, masks, dilation_um=1.0, **params)


def test_tiles_with_debris_that_was_not_found():
    _, fluorescence, masks, _ = scene("large")
    stack = fluorescence.copy()
    stack[:, 100:180, 200:290] += 2000
    compare(stack, masks)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    height=st.integers(1, 150),
    width=st.integers(1, 150),
    tile_px=st.integers(8, 90),
    covered=st.floats(0, 0.9),
    seed=st.integers(0, 2**32 - 1),
)
def test_tiles_on_any_grid(height, width, tile_px, covered, seed):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    stack = rng.normal(300 + 0.3 * y + 0.1 * x, 7, (2, height, width)).astype(np.float32)
    seg = np.zeros(stack.shape, np.uint16)
    seg[1, : int(height * covered)] = 1
    compare(stack, seg, tile_px=tile_px, reach=1e-4)
