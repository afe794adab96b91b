"""The network's method: what is made of its answers, which files are networks, real frames."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from fovflow.accuracy.scores import seg_score
from fovflow.errors import ConfigError
from fovflow.segmentation import get_segmenter, segment_stack
from fovflow.segmentation.network import BUILT_IN, TILE, Network, climb, find_instances, follow
from paths import shared_data


def answers(shape: tuple[int, int], *cells: tuple[float, float, float]) -> np.ndarray:
    """What a network would say of discs (y, x, radius) that do not overlap."""
    said = np.zeros((3, *shape), np.float32)
    said[0] = -8
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    for cy, cx, radius in cells:
        distance = np.hypot(y - cy, x - cx)
        inside = distance <= radius
        said[0][inside] = 8
        way = np.stack([cy - y, cx - x]) / np.maximum(distance, 1)
        said[1:, inside] = 5 * way[:, inside]
    return said


def test_every_way_leads_to_the_middle():
    said = answers((80, 90), (40.0, 45.0, 30.0))
    ends = follow(np.dstack([said[2], said[1]]) / 5, np.flatnonzero(said[0] > 0))
    assert np.abs(ends - [45.0, 40.0]).max() < 1.5


def test_touching_discs_are_two_cells():
    cells = [(40.0, 30.0, 20.0), (40.0, 71.0, 20.0), (90.0, 50.0, 12.0)]
    found = find_instances(answers((120, 110), *cells), 0.0)
    names = [found[int(y), int(x)] for y, x, _ in cells]
    assert len(set(names)) == 3
    assert 0 not in names
    for name, (_, _, radius) in zip(names, cells, strict=True):
        assert np.count_nonzero(found == name) == pytest.approx(np.pi * radius**2, rel=0.05)
    assert set(np.unique(found)) == {0, *names}


def test_no_cell_gives_no_cell():
    assert not find_instances(answers((32, 48)), 0.0).any()


def test_places_climb_to_the_highest_of_their_neighbours():
    height = np.array([[0, 1, 2, 1, 0, 5, 9]], np.float32)
    assert climb(height, np.arange(7)).tolist() == [2, 2, 2, 2, 5 + 1, 6, 6]


def test_places_climb_in_both_directions():
    height = np.random.default_rng(0).normal(0, 1, (9, 12)).astype(np.float32)

    def top(y, x):
        near = [(i, j) for i in range(max(y - 1, 0), min(y + 2, 9))
                for j in range(max(x - 1, 0), min(x + 2, 12))]  # fmt: skip
        best = max(near, key=lambda place: height[place])
        return y * 12 + x if best == (y, x) else top(*best)

    expected = [top(*divmod(place, 12)) for place in range(height.size)]
    assert climb(height, np.arange(height.size)).tolist() == expected


@pytest.mark.parametrize("tall", [False, True])
def test_a_frame_in_tiles_is_seen_as_a_whole(monkeypatch, tall):
    rng = np.random.default_rng(0)
    coarse = rng.normal(0, 1, (40, 70)).astype(np.float32)
    contrast = cv2.resize(coarse, (TILE + 90, 300), interpolation=cv2.INTER_CUBIC)
    contrast = np.ascontiguousarray(contrast.T) if tall else contrast
    network = Network(BUILT_IN)
    tiled = network(contrast)
    monkeypatch.setattr("fovflow.segmentation.network.TILE", 1 << 14)
    assert np.abs(tiled - network(contrast)).max() <= 1 / 64


def test_cells_of_real_frames_are_found():
    folder = shared_data("t98g_manual")
    found, truth = [], []
    for path in sorted((folder / "phase").glob("*.tif"))[::9]:
        segmenter = get_segmenter("unet", pixel_um=0.8708)
        found.append(segmenter(tifffile.imread(path))[0])
        truth.append(cv2.imread(str(folder / "masks" / f"{path.stem}.png"), cv2.IMREAD_UNCHANGED))
    assert seg_score(truth, found) > 0.65


@pytest.mark.parametrize("shape", [(8, 8), (1, 40), (17, 400)])
@pytest.mark.parametrize("pixel_um", [0.1, 0.65, 5.0])
def test_frames_of_any_size(shape, pixel_um):
    frame = np.random.default_rng(0).poisson(100, (1, *shape)).astype(np.uint8)
    labels = segment_stack(frame, method="unet", pixel_um=pixel_um)
    assert labels.shape == frame.shape


def test_a_part_of_a_frame_that_is_no_square_is_seen_as_in_the_whole():
    folder = shared_data("t98g_manual")
    frame = tifffile.imread(sorted((folder / "phase").glob("*.tif"))[0])
    whole, part = (get_segmenter("unet", pixel_um=0.8708)(np.ascontiguousarray(image))[0]
                   for image in (frame, frame[:400, :900]))  # fmt: skip
    inner = np.s_[:330, :830]
    differ = (whole[inner] > 0) != (part[inner] > 0)
    assert 0.1 < (whole[inner] > 0).mean() < 0.9
    assert differ.mean() < 0.02


@pytest.mark.parametrize(("probability", "level"), [(0.5, 0.0), (0.9, math.log(9))])
def test_a_pixel_is_of_a_cell_from_the_probability_on(monkeypatch, probability, level):
    levels = []
    monkeypatch.setattr(
        "fovflow.segmentation.unet.find_instances",
        lambda said, at: levels.append(at) or np.zeros(said.shape[1:], np.int32),
    )
    get_segmenter("unet", pixel_um=1.3, probability=probability)(np.eye(64, dtype=np.uint8))
    assert levels == [pytest.approx(level)]


def test_the_surroundings_are_a_length(tmp_path, monkeypatch):
    sides = []
    monkeypatch.setattr(
        "fovflow.segmentation.unet.normalise", lambda image, side: sides.append(side) or image
    )
    model = copied(tmp_path)
    about = json.loads(model.with_suffix(".json").read_text())
    for pixel_um in (1.3, 2.6):
        model.with_suffix(".json").write_text(json.dumps({**about, "pixel_um": pixel_um}))
        get_segmenter("unet", pixel_um=1.3, model=str(model))(np.eye(64, dtype=np.uint8))
    assert sides == [103, 53]  # 133 µm


def test_where_pixels_are_not_finite_is_no_cell():
    folder = shared_data("t98g_manual")
    frame = tifffile.imread(sorted((folder / "phase").glob("*.tif"))[0]).astype(np.float32)
    whole = get_segmenter("unet", pixel_um=0.8708)(frame)[0]
    largest = whole == np.bincount(whole.flat)[1:].argmax() + 1
    depth = cv2.distanceTransform(largest.view(np.uint8), cv2.DIST_L2, 5)
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    frame[y - 2 : y + 3, x - 2 : x + 3] = np.nan
    labels, stats = get_segmenter("unet", pixel_um=0.8708)(frame)
    assert "nan" in stats.flag
    assert not labels[y - 2 : y + 3, x - 2 : x + 3].any()
    assert ((labels > 0) != (whole > 0)).mean() < 0.01


def test_outlines_in_small_pixels_are_those_of_the_enlarged_answer():
    segmenter = get_segmenter("unet", pixel_um=0.325)
    y, x = np.mgrid[:16, :20].astype(np.float32)
    logit = 4.3 - np.hypot(y - 7.3, x - 9.6)
    found = (logit > 0).astype(np.int32)
    shown = segmenter._at_full_size(found, logit, 0.0, (64, 80))
    expected = cv2.resize(logit, (80, 64), interpolation=cv2.INTER_LINEAR) > 0
    assert np.array_equal(shown, expected)


def test_less_is_asked_of_cells_at_each_border():
    segmenter = get_segmenter("unet", pixel_um=1.0, min_area_um2=9.0, min_cut_area_um2=4.0)
    labels = np.zeros((40, 40), np.uint16)
    places = [(0, 10), (38, 20), (10, 0), (20, 38), (10, 20), (25, 25)]
    for number, (y, x) in enumerate(places, start=1):
        labels[y : y + 2, x : x + 2] = number
    labels[25:28, 25:28] = 6  # exactly as large as asked
    assert segmenter._kept(labels)[1:].tolist() == [True] * 4 + [False, True]


def test_the_size_of_cells_is_limited():
    folder = shared_data("t98g_manual")
    frame = tifffile.imread(sorted((folder / "phase").glob("*.tif"))[0])[None]
    areas = {}
    for limits in (
        {},
        {"min_area_um2": 1500.0, "min_cut_area_um2": 1500.0},
        {"max_area_um2": 1500.0},
    ):
        labels = segment_stack(frame, method="unet", pixel_um=0.8708, **limits)
        areas[str(limits)] = np.bincount(labels.ravel())[1:] * 0.8708**2
    free, large, small = areas.values()
    assert np.sort(large) == pytest.approx(np.sort(free[free >= 1500]))
    assert np.sort(small) == pytest.approx(np.sort(free[free <= 1500]))


def test_pixels_in_which_no_cell_can_be_seen_are_refused():
    with pytest.raises(ConfigError, match="too large for the network"):
        get_segmenter("unet", pixel_um=50.0)


# ---- files that are no networks


def copied(folder: Path) -> Path:
    for name in ("unet.onnx", "unet.json"):
        shutil.copy(BUILT_IN.with_name(name), folder / name)
    return folder / "unet.onnx"


def refused(path: Path) -> str:
    with pytest.raises(ConfigError, match="not a network that fovflow can use") as caught:
        get_segmenter("unet", pixel_um=0.65, model=str(path))
    return str(caught.value)


def test_a_network_of_ones_own_is_taken(tmp_path):
    network = copied(tmp_path)
    frame = np.random.default_rng(1).poisson(500, (1, 64, 64)).astype(np.uint16)
    own = segment_stack(frame, method="unet", pixel_um=0.65, model=str(network))
    assert (own == segment_stack(frame, method="unet", pixel_um=0.65)).all()


@pytest.mark.parametrize("kept", [0, 1, 100, 5000])
def test_a_file_that_was_cut_off_is_refused(tmp_path, kept):
    network = copied(tmp_path)
    network.write_bytes(network.read_bytes()[:kept])
    refused(network)


def test_a_file_of_another_kind_is_refused(tmp_path):
    network = copied(tmp_path)
    for content in (
        b"text",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        np.random.default_rng(0).bytes(999),
    ):
        network.write_bytes(content)
        refused(network)


def test_weights_in_another_file_are_refused(tmp_path):
    network = copied(tmp_path)
    network.write_bytes(network.read_bytes() + b"\x0a\x08location\x12\x0b/etc/passwd")
    assert "another file" in refused(network)


def test_a_network_without_its_description_is_refused(tmp_path):
    network = copied(tmp_path)
    description = network.with_suffix(".json")
    sizes = [f'{{"pixel_um": {px}, "surroundings_um": {side}}}' for px, side in
             ((0, 1), (1e-6, 1), (1, -1), (1, 1e9), ("NaN", 1))]  # fmt: skip
    for text in ("", "[]", "{}", '{"pixel_um": "x"}', *sizes):
        description.write_text(text)
        refused(network)
    description.unlink()
    refused(network)


def test_the_description_says_what_it_was_trained_on():
    about = json.loads(BUILT_IN.with_suffix(".json").read_text())
    assert about["outputs"] == ["cell", "contact", "flow_y", "flow_x"]
    assert len(about["frames"]) == 45
