"""Every feature, built-in or plug-in, on the cases where features go wrong."""

from __future__ import annotations

import numpy as np
import pytest

from fovflow.features import FEATURES, Feature, get_extractor

PER_CELL = {
    "example_p90": Feature(
        "example_p90", "fl", "counts", "90th percentile.",
        lambda cell: np.percentile(cell.values, 90), per_cell=True,
    ),
    "example_width": Feature(
        "example_width", "pc", "px", "Width of the mask.",
        lambda cell: cell.mask.shape[1], per_cell=True, integer=True,
    ),
    "example_count": Feature(
        "example_count", "fl", "px", "Pixels.",
        lambda cell: cell.raw.size, per_cell=True, integer=True,
    ),
    "example_row": Feature(
        "example_row", "pc", "px", "Mean row.", lambda cell: float(np.mean(cell.y)), per_cell=True
    ),
}  # fmt: skip
ALL = {**FEATURES, **PER_CELL}
SHAPE = (24, 31)


@pytest.fixture(autouse=True)
def _with_plugins(monkeypatch):
    for name, feature in PER_CELL.items():
        monkeypatch.setitem(FEATURES, name, feature)


@pytest.fixture(params=sorted(ALL))
def feature(request):
    return ALL[request.param]


def measure(feature, labels, image=None, **options):
    image = (
        np.random.default_rng(1).integers(50, 90, SHAPE).astype(np.uint16)
        if image is None
        else image
    )
    chosen = {"pc": [], "fl": [], feature.kind: [feature.name]}
    extractor = get_extractor(fov=0, pc=0, fl=[1], time=[0], features=chosen, **options)
    extractor.add(0, labels, image, {1: (image, image.astype(np.float32) - 20)})
    table = extractor.finish()
    return table["cell"], table[f"{feature.name}_ch_{0 if feature.kind == 'pc' else 1}"]


def disk(cy, cx, radius, cell, dtype=np.uint16):
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.where((y - cy) ** 2 + (x - cx) ** 2 <= radius**2, cell, 0).astype(dtype)


def test_it_says_what_it_is(feature):
    assert feature.name.isidentifier()
    assert feature.name == feature.name.lower()
    assert feature.unit in {"px", "counts", "1", "degrees"}
    assert feature.description.endswith(".")
    assert "\n" not in feature.description


def test_empty_frame_gives_an_empty_column_of_its_type(feature):
    _, values = measure(feature, np.zeros(SHAPE, np.uint16))
    assert values.size == 0
    assert values.dtype == feature.dtype


@pytest.mark.parametrize("place", [(0, 0), (0, 15), (23, 30), (12, 0), (12, 30), (23, 4)])
def test_single_pixels_anywhere_give_a_finite_number(feature, place):
    labels = np.zeros(SHAPE, np.uint16)
    labels[place] = 1
    _, values = measure(feature, labels)
    assert values.shape == (1,)
    last = place == (23, 30)  # no neighbour to the right or below: no contrast
    assert np.isfinite(values[0]) or (feature.name == "sharpness" and last)


@pytest.mark.parametrize(("cy", "cx"), [(0, 15), (23, 15), (12, 0), (12, 30), (0, 0), (23, 30)])
def test_cut_cells_give_a_finite_number(feature, cy, cx):
    _, values = measure(feature, disk(cy, cx, 6, 5))
    assert np.isfinite(values).all()


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int64])
def test_ids_do_not_change_values(feature, dtype):
    small = disk(7, 7, 4, 1) + disk(16, 20, 5, 2)
    large = np.where(small == 1, 41, 0) + np.where(
        small == 2, 65001 if dtype == np.uint16 else 70001, 0
    )
    ids, values = measure(feature, large.astype(dtype))
    assert ids.tolist() == [41, 65001 if dtype == np.uint16 else 70001]
    assert values.tobytes() == measure(feature, small)[1].tobytes()


def test_other_cells_do_not_change_a_cell(feature):
    alone = measure(feature, disk(7, 7, 4, 1))[1]
    together = measure(feature, disk(7, 7, 4, 1) + disk(16, 20, 5, 2))[1]
    assert together[0] == alone[0]


def test_constant_frames_are_no_trouble(feature):
    for value in (0, 7, 65535):
        _, values = measure(feature, disk(12, 12, 6, 3), np.full(SHAPE, value, np.uint16))
        assert values.shape == (1,)
        assert np.isfinite(values[0]) or feature.name == "sharpness"


def test_invalid_pixels_neither_spread_nor_warn(feature):
    image = np.random.default_rng(1).integers(50, 90, SHAPE).astype(np.float32)
    labels = disk(7, 7, 4, 1) + disk(16, 20, 5, 2)
    usual = measure(feature, labels, image)[1]
    image[labels == 1] = np.nan
    image[16, 20] = np.inf
    image[0, 0] = -np.inf
    _, values = measure(feature, labels, image)
    assert np.isfinite(values[1]) or feature.name == "saturated_fraction"
    blind = values[0]
    assert np.isnan(blind) or blind == usual[0] or feature.name in {
        "invalid_fraction", "intensity_px", "example_count"
    }  # fmt: skip


def test_erosion_of_everything_gives_no_number(feature):
    _, values = measure(feature, disk(12, 12, 3, 3), erosion_px=20)
    if feature.kind == "fl":
        assert values.tolist() == [0] if feature.integer else np.isnan(values).all()
    else:
        assert values.tolist() == measure(feature, disk(12, 12, 3, 3))[1].tolist()


def test_the_whole_frame_as_one_cell(feature):
    _, values = measure(feature, np.ones(SHAPE, np.uint16))
    assert np.isfinite(values).all()


def test_the_same_frame_gives_the_same_bytes(feature):
    labels = disk(7, 7, 4, 1) + disk(16, 20, 5, 2)
    assert measure(feature, labels)[1].tobytes() == measure(feature, labels)[1].tobytes()
