"""The network's method: what is made of its answers, which files are networks, real frames."""

from __future__ import annotations

import json
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


def test_a_frame_in_tiles_is_seen_as_a_whole(monkeypatch):
    rng = np.random.default_rng(0)
    coarse = rng.normal(0, 1, (40, 70)).astype(np.float32)
    contrast = cv2.resize(coarse, (TILE + 90, 300), interpolation=cv2.INTER_CUBIC)
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
