"""Intensities with known answers: background, erosion, saturation, invalid pixels."""

from __future__ import annotations

import numpy as np
import pytest

from fovflow.features import FEATURES, get_extractor

FL = tuple(name for name, feature in FEATURES.items() if feature.kind == "fl")
LABELS = np.zeros((20, 30), np.uint16)
LABELS[0:7, 0:9] = 4  # in a corner
LABELS[10, 3:13] = 9  # one pixel high
LABELS[12:19, 15:22] = 60001
RNG = np.random.default_rng(5)
RAW = RNG.integers(100, 4000, LABELS.shape).astype(np.uint16)
BACKGROUND = RNG.normal(80, 5, LABELS.shape)
CORRECTED = (RAW - BACKGROUND).astype(np.float32)


def measure(labels=LABELS, raw=RAW, corrected=CORRECTED, names=FL, **options):
    extractor = get_extractor(fov=0, pc=None, fl=[2], time=[0.0], features={"fl": names}, **options)
    extractor.add(0, labels, None, {2: (raw, corrected)})
    return {n.removesuffix("_ch_2"): v for n, v in extractor.finish().items()}


def expect(found, i, raw, corrected, weight=1.0):
    raw, corrected = raw.astype(float), corrected.astype(float)
    values = raw - weight * (raw - corrected)
    expected = {
        "intensity_total": values.sum(),
        "intensity_mean": values.mean(),
        "intensity_median": np.median(values),
        "intensity_min": values.min(),
        "intensity_max": values.max(),
        "intensity_std": values.std(),
        "raw_total": raw.sum(),
        "raw_mean": raw.mean(),
        "background_mean": (raw - corrected).mean(),
        "intensity_px": values.size,
    }
    for name, value in expected.items():
        assert found[name][i] == pytest.approx(value, rel=1e-12), name


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_whole_cells(weight):
    found = measure(background_weight=weight)
    for i, cell in enumerate((4, 9, 60001)):
        mask = cell == LABELS
        expect(found, i, RAW[mask], CORRECTED[mask], weight)
    assert found["saturated_fraction"].tolist() == [0, 0, 0]
    assert found["invalid_fraction"].tolist() == [0, 0, 0]


def test_weights_one_and_zero_are_exact():
    sums = [RAW[cell == LABELS].astype(float).sum() for cell in (4, 9, 60001)]
    assert measure(background_weight=0)["intensity_total"].tolist() == sums
    assert measure(background_weight=0)["intensity_max"][0] == RAW[LABELS == 4].max()
    assert measure()["intensity_max"][0] == CORRECTED[LABELS == 4].max()


def test_erosion_spares_the_border_of_the_frame():
    found = measure(erosion_px=2)
    inner = np.zeros(LABELS.shape, bool)
    inner[0:5, 0:7] = True  # the corner cell shrinks on two sides only
    inner[4, 6] = True  # (1, 1) is nearer than 2 to the corner pixel's neighbours inside
    disk = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if dy * dy + dx * dx <= 4]
    for y, x in zip(*np.nonzero(LABELS == 4), strict=True):
        around = [(y + dy, x + dx) for dy, dx in disk]
        inner[y, x] = all(LABELS[v, u] == 4 for v, u in around if 0 <= v < 20 and 0 <= u < 30)
    assert inner.sum() == 35
    expect(found, 0, RAW[inner], CORRECTED[inner])
    assert found["intensity_px"].tolist() == [35, 0, 9]
    for name in FL:
        if name != "intensity_px":
            assert np.isnan(found[name][1]), name
    expect(found, 2, RAW[14:17, 17:20], CORRECTED[14:17, 17:20])


def test_erosion_treats_neighbours_as_outside_and_is_a_disk():
    labels = np.zeros((9, 18), np.uint16)
    labels[:, :9], labels[:, 9:] = 1, 2
    flat = np.ones(labels.shape, np.float32)
    assert measure(labels, flat, flat, erosion_px=3)["intensity_px"].tolist() == [54, 54]
    labels[:] = 1
    labels[4, 9] = 0  # a hole of one pixel takes away a disk of radius 3: 29 pixels
    assert measure(labels, flat, flat, erosion_px=3)["intensity_px"].tolist() == [9 * 18 - 29]


def test_saturation():
    raw = RAW.copy()
    raw[12, 15:22] = 65535
    assert measure(raw=raw)["saturated_fraction"].tolist() == [0, 0, 7 / 49]
    low = measure(saturation=2000)["saturated_fraction"]
    assert low[0] == np.mean(RAW[LABELS == 4] >= 2000)
    assert measure(saturation={2: 2000})["saturated_fraction"][0] == low[0]
    assert measure(saturation={1: 2000})["saturated_fraction"][0] == 0
    assert np.isnan(measure(raw=RAW.astype(np.float32))["saturated_fraction"]).all()
    assert measure(raw=np.full_like(RAW, 255, np.uint8))["saturated_fraction"].tolist() == [1, 1, 1]


def test_invalid_pixels_are_left_out_and_counted():
    corrected, raw = CORRECTED.copy(), RAW.astype(np.float32)
    corrected[0, 0], raw[1, 1] = np.nan, np.inf
    corrected[10] = np.nan
    found = measure(raw=raw, corrected=corrected)
    keep = LABELS == 4
    keep[0, 0] = keep[1, 1] = False
    expect(found, 0, raw[keep], corrected[keep])
    assert found["invalid_fraction"].tolist() == pytest.approx([2 / 63, 1, 0])
    assert found["intensity_px"].tolist() == [61, 0, 49]
    assert np.isnan(found["intensity_total"][1])
    assert np.isnan(found["saturated_fraction"][1])


def test_without_corrected_frame():
    found = measure(corrected=None)
    assert found["intensity_total"].tolist() == found["raw_total"].tolist()
    assert np.isnan(found["background_mean"]).all()


def test_medians_of_even_and_odd_counts():
    labels = np.array([[1, 1, 1, 1, 2, 2, 2, 3]], np.uint16)
    raw = np.array([[7, 1, 5, 100, 9, 3, 4, 6]], np.uint16)
    assert measure(labels, raw, None)["intensity_median"].tolist() == [6.0, 4.0, 6.0]


def test_sums_of_large_counts_are_exact():
    labels = np.ones((1000, 1000), np.uint16)
    raw = np.full(labels.shape, 65535, np.uint16)
    assert measure(labels, raw, None)["raw_total"][0] == 65535 * 10**6
    noise = (np.float32(1e6) + RNG.normal(0, 1, labels.shape)).astype(np.float32)
    found = measure(labels, noise, noise)
    assert found["intensity_std"][0] == pytest.approx(noise.astype(np.float64).std(), rel=1e-9)
