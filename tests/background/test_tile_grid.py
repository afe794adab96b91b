"""Grids of tiles at every frame size, and medians over them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fovflow.background.classic import not_a_knot_matrix
from fovflow.background.tilegrid import (
    Axis,
    block_values,
    bspline_basis,
    median_in_place,
    overlapping_medians,
    patch_counts,
    sample_median,
)

lengths = st.one_of(st.integers(1, 300), st.integers(300, 9000))


@given(lengths, st.integers(8, 2000))
@settings(max_examples=200, deadline=None)
def test_patches_and_tiles_cover_the_axis(length, tile_px):
    for step in {1, max(1, min(4, length // 512))}:
        axis = Axis.of(length, tile_px, step)
        used = -(-length // step)
        assert axis.edges[0] == 0
        assert axis.edges[-1] == used
        assert (np.diff(axis.edges) >= 1).all()
        assert len(axis.tile_edges) == axis.tiles + 1
        assert axis.tile_edges[-1] == used
        assert axis.basis.shape[0] == used
        assert axis.patch_basis.shape == (axis.tiles * axis.patches, axis.basis.shape[1])
        np.testing.assert_allclose(axis.patch_basis.sum(1), 1)
        np.testing.assert_allclose(axis.tile_basis.sum(1), 1)
        assert 4 <= axis.basis.shape[1] <= 35


@pytest.mark.parametrize(
    ("length", "tiles", "patches", "coefficients"),
    [(1, 1, 1, 4), (8, 4, 2, 4), (127, 4, 8, 4), (128, 4, 8, 5), (512, 4, 8, 5), (2048, 16, 8, 11)],
)
def test_usual_axes(length, tiles, patches, coefficients):
    axis = Axis.of(length, 256)
    assert (axis.tiles, axis.patches, axis.basis.shape[1]) == (tiles, patches, coefficients)


@given(st.integers(4, 300), st.integers(1, 6))
@settings(max_examples=50, deadline=None)
def test_basis_holds_every_cubic(length, intervals):
    basis = bspline_basis(length, intervals)
    u = np.linspace(-1, 1, length)
    cubic = 1 + 2 * u - u**2 + 3 * u**3
    coefficients, *_ = np.linalg.lstsq(basis, cubic, rcond=None)
    np.testing.assert_allclose(basis @ coefficients, cubic, atol=1e-9)


@given(
    hnp.arrays(np.float64, st.integers(4, 12), elements=st.floats(0.5, 50)),
    st.integers(0, 1000),
)
@settings(max_examples=30, deadline=None)
def test_not_a_knot_is_scipys(steps, seed):
    from scipy.interpolate import RectBivariateSpline

    sites = np.cumsum(steps)
    values = np.random.default_rng(seed).normal(size=(len(sites), len(sites)))
    points = np.linspace(sites[0] - 20, sites[-1] + 20, 50)
    expected = RectBivariateSpline(sites, sites, values, kx=3, ky=3, s=0)(points, points)
    matrix = not_a_knot_matrix(sites, points)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(matrix @ values @ matrix.T, expected, atol=1e-8 * scale)


frames = hnp.arrays(
    st.sampled_from([np.uint8, np.uint16, np.float32]),
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=4, max_side=24),
    elements=st.integers(0, 200),
)


@given(frames, st.integers(0, 1000), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_block_medians_are_exact(image, seed, share):
    free = (np.random.default_rng(seed).random(image.shape) < share).astype(np.uint8)
    edges_y = np.array([0, 1, image.shape[0] // 2, image.shape[0]])
    edges_x = np.array([0, image.shape[1] // 3, image.shape[1] - 1, image.shape[1]])
    singles = block_values(image, free, edges_y, edges_x)
    single = np.array([[median_in_place(block) for block in row] for row in singles])
    blocks = block_values(image, free, edges_y, edges_x)
    paired = overlapping_medians(blocks)
    counts = patch_counts(free, edges_y, edges_x)

    def expected(height, width):
        table = np.full((len(edges_y) - height, len(edges_x) - width), np.nan)
        for i, j in np.ndindex(table.shape):
            box = np.s_[edges_y[i] : edges_y[i + height], edges_x[j] : edges_x[j + width]]
            values = image[box][free[box] > 0]
            if values.size:
                table[i, j] = np.median(values.astype(np.float64))
        return table

    np.testing.assert_array_equal(single, expected(1, 1))
    np.testing.assert_array_equal(paired, expected(2, 2))
    assert np.array_equal(counts == 0, np.isnan(single))
    assert counts.sum() == free.sum()
    if free.any():
        everything = np.concatenate([block for row in blocks for block in row])
        assert median_in_place(everything) == np.median(image[free > 0].astype(np.float64))


@pytest.mark.parametrize(
    ("sample", "median"), [([3], 3), ([4, 1], 2.5), ([1, 9, 2], 2), ([65535, 65535], 65535)]
)
def test_median_of_few_values(sample, median):
    assert median_in_place(np.array(sample, np.uint16)) == median


@pytest.mark.parametrize("count", [4095, 4096, 8191])
@pytest.mark.parametrize(("low", "high"), [(0, 2), (7, 9000), (65000, 65536), (0, 65536)])
def test_medians_of_many_values_are_numpys(count, low, high):
    sample = np.random.default_rng(count).integers(low, high, count).astype(np.uint16)
    assert median_in_place(sample.copy()) == np.median(sample.astype(np.float64))
    halves = np.repeat(np.array([low, high - 1], np.uint16), 2048)
    assert median_in_place(halves.copy()) == np.median(halves.astype(np.float64))


def test_median_of_nothing_is_nan():
    assert np.isnan(median_in_place(np.array([], np.uint16)))


@given(
    hnp.arrays(np.float32, st.integers(1, 60), elements=st.floats(-1e6, 1e6, width=32)),
)
@settings(max_examples=100, deadline=None)
def test_median_of_a_sample_is_numpys(sample):
    expected = np.median(sample)
    found = sample_median(sample)
    assert found.dtype == expected.dtype
    assert found == expected
