"""Features against their reference: integers equal, the rest to the definition's 1e-9."""

import numpy as np
import pytest
from agreement.movies import blobs, scene
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fovflow.features import extract_traces
from reference import features as reference

ALL = {"pc": reference.PC_FEATURES, "fl": reference.FL_FEATURES}
EXACT = {
    "fov", "cell", "frame", "good", "bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1", "area_ch_0",
    "intensity_median_ch_1", "intensity_min_ch_1", "intensity_max_ch_1", "intensity_px_ch_1",
}  # fmt: skip


def compare(labeled, phase=None, raw=None, corrected=None, **options):
    """Assert the same columns in the same order with the same numbers; return the reference."""
    options = {"features": ALL} | options
    fast = extract_traces(labeled, phase, raw, corrected, **options)
    slow = reference.extract_traces(labeled, phase, raw, corrected, **options)
    assert list(fast.columns) == list(slow)
    for name, expected in slow.items():
        found = fast[name].to_numpy()
        if name == "flags":
            assert (found.astype(str) == expected).all()
        elif name in EXACT:
            np.testing.assert_array_equal(found, expected, err_msg=name)
        elif name.startswith("orientation"):
            assert_same_axis(fast, found, expected)
        else:
            np.testing.assert_allclose(
                found.astype(float), expected, rtol=1e-9, atol=1e-9, err_msg=name
            )
    return slow


def assert_same_axis(table, found, expected):
    """Equal modulo 180 degrees, except where both axes are as long."""
    long = table["major_axis_ch_0"].to_numpy() > table["minor_axis_ch_0"].to_numpy() * (1 + 1e-9)
    turn = np.abs(found - expected)[long]
    assert (np.minimum(turn, 180 - turn) <= 1e-6).all()


@pytest.mark.parametrize("erosion_px", [0, 2])
def test_simulated_movie(erosion_px):
    phase, fluorescence, masks, pixel_um = scene("touching")
    corrected = (fluorescence - 250.25).astype(np.float32)
    rows = compare(
        masks, phase, {1: fluorescence}, {1: corrected},
        fov=3, time=[0.0, 10.5, 21.0], pixel_um=pixel_um, erosion_px=erosion_px,
    )  # fmt: skip
    assert len(rows["cell"]) > 30


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_dtypes_and_weights(dtype, weight):
    rng = np.random.default_rng(9)
    labeled = blobs(9, frames=3)
    phase, raw = (rng.normal(120, 60, labeled.shape).clip(0, 255).astype(dtype) for _ in range(2))
    corrected = (raw - rng.normal(50, 5, labeled.shape)).astype(np.float32)
    compare(labeled, phase, {1: raw}, {1: corrected}, background_weight=weight)
    compare(labeled, phase, {1: raw}, saturation={1: 200.0}, background_weight=weight)


def test_pixels_that_are_no_numbers():
    rng = np.random.default_rng(10)
    labeled = blobs(10, frames=3)
    phase, raw, corrected = rng.normal(500, 60, (3, *labeled.shape)).astype(np.float32)
    phase[rng.random(phase.shape) < 0.1] = np.nan
    raw[rng.random(phase.shape) < 0.1] = np.inf
    corrected[rng.random(phase.shape) < 0.1] = np.nan
    corrected[labeled == 2] = np.nan
    phase[labeled == 1] = np.nan
    rows = compare(labeled, phase, {1: raw}, {1: corrected}, erosion_px=1)
    assert (rows["invalid_fraction_ch_1"] == 1).any()


def test_sums_of_great_counts_are_exact():
    labeled = np.ones((1, 300, 300), np.uint16)
    raw = np.full(labeled.shape, 65535, np.uint16)
    rows = compare(labeled, raw, {1: raw})
    assert rows["raw_total_ch_1"][0] == 65535 * 90000


@pytest.mark.filterwarnings("error")
def test_no_cells():
    empty = np.zeros((2, 8, 9), np.uint16)
    assert len(compare(empty, empty, {1: empty})["cell"]) == 0


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    labels=arrays(np.uint16, st.tuples(st.just(1), st.integers(1, 14), st.integers(1, 14)),
                  elements=st.sampled_from([0, 0, 1, 2, 3, 700, 65535])),
    erosion_px=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_any_labels(labels, erosion_px, seed):
    rng = np.random.default_rng(seed)
    phase, raw = rng.integers(0, 65536, (2, *labels.shape)).astype(np.uint16)
    compare(labels, phase, {1: raw}, {1: (raw * 0.5).astype(np.float32)}, erosion_px=erosion_px)
