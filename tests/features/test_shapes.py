"""Shapes with known answers, and the same quantities from plain masks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fovflow.features import FEATURES, get_extractor
from fovflow.features.cells import CellFinder

PC = tuple(name for name, feature in FEATURES.items() if feature.kind == "pc")


def shapes(labels, phase=None, names=PC):
    names = [
        n for n in names if phase is not None or n not in {"phase_mean", "phase_std", "sharpness"}
    ]
    extractor = get_extractor(fov=0, pc=0, fl=[], time=[0], features={"pc": names})
    extractor.add(0, labels, phase)
    table = extractor.finish()
    return {name.removesuffix("_ch_0"): values for name, values in table.items()}


def disk(radius, size=81, cy=40.0, cx=40.0):
    y, x = np.mgrid[:size, :size]
    return ((y - cy) ** 2 + (x - cx) ** 2 <= radius**2).astype(np.uint16)


@pytest.mark.parametrize("radius", [5, 8, 15, 30])
def test_disk(radius):
    found = shapes(disk(radius))
    assert found["area"][0] == np.count_nonzero(disk(radius))
    assert (found["aspect_ratio"][0], found["eccentricity"][0]) == (1.0, 0.0)
    assert found["orientation"][0] == 0.0
    diameter = math.sqrt(4 / math.pi * found["area"][0])
    assert found["equivalent_diameter"][0] == pytest.approx(diameter)
    assert found["major_axis"][0] == pytest.approx(diameter, rel=0.03)
    assert found["minor_axis"][0] == found["major_axis"][0]
    assert 0.85 < found["solidity"][0] <= 1
    assert found["position_x"][0] == found["position_y"][0] == 40.0


@pytest.mark.parametrize("radius", [5, 8, 15, 30])
def test_perimeter_of_disks_placed_at_random(radius):
    rng = np.random.default_rng(radius)
    stack = [shapes(disk(radius, 81, *(40 + rng.random(2))))["perimeter"][0] for _ in range(40)]
    assert np.mean(stack) == pytest.approx(2 * math.pi * radius, rel=0.005)
    assert np.std(stack) < 0.015 * 2 * math.pi * radius


def test_single_pixel():
    labels = np.zeros((5, 7), np.uint16)
    labels[2, 3] = 9
    found = shapes(labels)
    assert [found[n][0] for n in ("bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1")] == [3, 2, 4, 3]
    assert (found["position_x"][0], found["position_y"][0]) == (3.0, 2.0)
    assert found["perimeter"][0] == pytest.approx(math.pi / 4 * (2 + math.sqrt(2)), rel=1e-15)
    for name in ("circularity", "aspect_ratio", "extent", "solidity", "convex_area"):
        assert found[name][0] == 1.0
    assert found["major_axis"][0] == pytest.approx(4 / math.sqrt(12))


@pytest.mark.parametrize(
    ("pixels", "angle", "ratio"),
    [
        ([(2, x) for x in range(7)], 0, 7),
        ([(y, 2) for y in range(7)], 90, 7),
        ([(i, i) for i in range(7)], 45, 7),  # towards +y, downwards
        ([(6 - i, i) for i in range(7)], -45, 7),
    ],
)
def test_lines(pixels, angle, ratio):
    labels = np.zeros((7, 7), np.uint16)
    for y, x in pixels:
        labels[y, x] = 3
    found = shapes(labels)
    assert found["orientation"][0] == pytest.approx(angle)
    diagonal = abs(angle) == 45
    # variance (n² − 1)/12 per axis, twice that along the diagonal; 1/12 for the pixels
    expected = math.sqrt(2 * 48 / 12 * 12 + 1) if diagonal else ratio
    assert found["aspect_ratio"][0] == pytest.approx(expected)
    assert found["eccentricity"][0] == pytest.approx(math.sqrt(1 - 1 / expected**2))


def test_rectangle_ring_and_parts():
    labels = np.zeros((30, 40), np.uint16)
    labels[2:12, 3:23] = 5
    labels[15:25, 5:15] = 2
    labels[18:22, 8:12] = 0  # a hole
    labels[0, 39] = labels[29, 0] = 60000  # one cell in two parts
    found = shapes(labels)
    assert found["cell"].tolist() == [2, 5, 60000]
    assert found["area"].tolist() == [84, 200, 2]
    assert found["solidity"].tolist()[:2] == [0.84, 1.0]
    assert found["extent"].tolist()[:2] == [0.84, 1.0]
    assert found["aspect_ratio"][1] == pytest.approx(2.0)
    assert found["perimeter"][1] == pytest.approx(math.pi / 4 * (30 + 2 * 29 / math.sqrt(2)))
    assert found["perimeter"][0] == pytest.approx(
        math.pi / 4 * (20 + 2 * 19 / math.sqrt(2) + 8 + 2 * 7 / math.sqrt(2))
    )
    assert (found["position_x"][2], found["position_y"][2]) == (19.5, 14.5)
    assert [found[n][2] for n in ("bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1")] == [0, 0, 40, 30]


def random_labels(seed, shape=(37, 53), cells=12, dtype=np.uint16):
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, dtype)
    for cell in rng.choice(np.arange(1, 65000), cells, replace=False):
        y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        h, w = rng.integers(1, 12, 2)
        labels[y : y + h, x : x + w][rng.random(labels[y : y + h, x : x + w].shape) < 0.8] = cell
    return labels


@pytest.mark.parametrize("seed", range(8))
def test_against_plain_masks(seed):
    labels = random_labels(seed)
    phase = np.random.default_rng(seed).integers(500, 900, labels.shape).astype(np.uint16)
    found = shapes(labels, phase)
    padded = np.pad(labels, 1).astype(np.int64)
    assert found["cell"].tolist() == sorted(set(labels.ravel().tolist()) - {0})
    for i, cell in enumerate(found["cell"]):
        y, x = np.nonzero(labels == cell)
        values = phase[y, x].astype(float)
        outline = [
            np.count_nonzero(padded[y + 1 + dy, x + 1 + dx] != cell)
            for dx, dy in ((1, 0), (0, 1), (1, 1), (-1, 1))
        ]
        covariance = np.cov(np.stack([x, y]), ddof=0).reshape(2, 2) + np.eye(2) / 12
        small, great = np.linalg.eigvalsh(covariance)
        squares = []
        for dy, dx in ((0, 1), (1, 0)):
            inside = (y + dy < labels.shape[0]) & (x + dx < labels.shape[1])
            near = phase[y[inside] + dy, x[inside] + dx].astype(float)
            squares += ((near - values[inside]) ** 2).tolist()
        expected = {
            "area": y.size,
            "position_x": x.mean(),
            "position_y": y.mean(),
            "bbox_x0": x.min(),
            "bbox_x1": x.max() + 1,
            "bbox_y0": y.min(),
            "bbox_y1": y.max() + 1,
            "perimeter": math.pi / 4 * (outline[0] + outline[1] + sum(outline[2:]) / math.sqrt(2)),
            "aspect_ratio": math.sqrt(great / small),
            "eccentricity": math.sqrt(max(1 - small / great, 0)),
            "major_axis": 4 * math.sqrt(great),
            "minor_axis": 4 * math.sqrt(small),
            "phase_mean": values.mean(),
            "phase_std": values.std(),
            "sharpness": np.mean(squares) / values.mean() ** 2 if squares else np.nan,
        }
        for name, value in expected.items():
            assert found[name][i] == pytest.approx(value, rel=1e-9, abs=1e-7, nan_ok=True), name


def test_hull_against_scipy():
    spatial = pytest.importorskip("scipy.spatial")
    labels = random_labels(3)
    found = shapes(labels)
    assert found["cell"].size > 5
    for i, cell in enumerate(found["cell"]):
        y, x = np.nonzero(labels == cell)
        corners = np.concatenate(
            [np.stack([x + a, y + b], axis=1) for a in (-0.5, 0.5) for b in (-0.5, 0.5)]
        )
        hull = spatial.ConvexHull(corners).volume
        assert found["convex_area"][i] == pytest.approx(hull, rel=1e-12)
        assert found["solidity"][i] <= 1


def test_runs_never_cross_the_border():
    labels = np.zeros((4, 5), np.uint16)
    labels[0, 4] = labels[1, 0] = 7  # neighbours in memory only
    labels[3, :] = 8
    found = shapes(labels)
    assert found["bbox_x0"].tolist() == [0, 0]
    assert found["perimeter"][0] == pytest.approx(2 * math.pi / 4 * (2 + math.sqrt(2)))
    assert found["area"].tolist() == [2, 5]


def test_buffer_is_reused_without_traces_of_the_frame_before():
    finder = CellFinder()
    first = finder(random_labels(1))
    assert len(first) > 0
    assert len(finder(np.zeros((37, 53), np.uint16))) == 0
    assert len(finder(np.zeros((0, 0), np.uint16))) == 0
    assert finder(np.full((8, 8), 3, np.uint8)).area.tolist() == [64]
    assert finder(np.full((8, 9), 2**31, np.uint32)).ids.tolist() == [2**31]
    assert finder(np.full((8, 9), 2**31, np.uint32)).area.tolist() == [72]


def test_cells_of_any_size_have_exact_moments():
    labels = np.ones((1100, 2000), np.uint16)  # areas times lengths pass 32 bits
    labels[:4] = 0
    labels[1:3, 5:7] = 2
    found = shapes(labels, names=("aspect_ratio", "orientation", "eccentricity"))
    assert found["aspect_ratio"][0] == pytest.approx(2000 / 1096, rel=1e-12)
    assert (found["aspect_ratio"][1], found["eccentricity"][1]) == (1.0, 0.0)
    assert found["orientation"].tolist() == [0.0, 0.0]
