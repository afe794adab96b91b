"""Frames that a method cannot be right about carry a flag that says so."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from fovflow.config.findings import FRAME_FINDINGS, FRAME_NOTES
from fovflow.segmentation import get_segmenter
from fovflow.segmentation.frames import blockiness, coarse_levels, flat_share
from fovflow.segmentation.logstd import share_beside
from fovflow.segmentation.unet import domain_score, unsure_share
from fovflow.simulation import MovieParams, simulate
from paths import shared_data


def phase(**params):
    settings = {"frames": 1, "height": 384, "width": 384, "cells": 16, "seed": 3} | params
    return simulate(MovieParams(**settings)).frame(0, 0)[0]


def eight_bits(frame):
    low, high = np.percentile(frame, [0.1, 99.9])
    return np.clip((frame - low) / (high - low) * 255, 0, 255).astype(np.uint8)


def jpeg(frame, quality):
    data = cv2.imencode(".jpg", eight_bits(frame), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


def words(method, frame, pixel_um=0.65):
    return set(get_segmenter(method, pixel_um=pixel_um)(frame)[1].flag.split("; ")) - {""}


def test_the_usual_movie_carries_no_flag():
    assert words("logstd", phase()) == set()
    assert coarse_levels(eight_bits(phase())) == []


@pytest.mark.parametrize("shift", [0, 3])
def test_the_blocks_of_jpeg_are_seen_wherever_they_begin(shift):
    clean, compressed = eight_bits(phase()), jpeg(phase(), 60)[shift:, shift:]
    assert blockiness(clean) < 1.05
    assert blockiness(compressed) > 1.2
    assert "compressed" in coarse_levels(compressed)
    assert blockiness(compressed[:32]) == 1.0


@pytest.mark.parametrize("axis", [0, 1])
def test_steps_in_one_direction_alone_are_no_blocks(axis):
    place = np.indices((128, 128)) // 8 % 2 * 40
    noise = np.random.default_rng(0).integers(0, 9, (128, 128))
    assert blockiness((noise + place[axis]).astype(np.uint8)) < 1.1
    assert blockiness((noise + place.sum(0)).astype(np.uint8)) > 1.2
    assert blockiness(np.full((128, 128), 7, np.uint8)) == 1.0


def test_the_share_of_flat_windows():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60000, (100, 90)).astype(np.uint16)
    assert flat_share(image) == 0
    image[:, :45] = 7
    assert flat_share(image) == pytest.approx(0.5, abs=0.03)
    assert flat_share(image[:2]) == 0.0
    assert flat_share(np.zeros((3, 3), np.uint8)) == 1.0
    rows = np.indices((30, 30)) % 2  # each window holds 0 and 1
    assert [flat_share(each.astype(np.uint8)) for each in rows] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("word", "params"),
    [
        ("faint", {"phase_contrast": 0.2}),
        ("faint", {"electrons_per_count": 1.0, "read_noise": 60.0}),
        ("small cells", {"cell_radius_um": 4.0}),
        ("large cells", {"cell_radius_um": 30.0, "cells": 5}),
        ("weak contrast", {"grain": 0.03}),
        ("wide cells", {"cell_radius_um": 20.0, "cells": 5}),
    ],
)
def test_logstd_says_where_it_cannot_outline_cells(word, params):
    assert word in words("logstd", phase(**params))
    assert word in FRAME_FINDINGS | FRAME_NOTES


def test_texture_that_goes_on_beside_the_outlines_is_that_of_spread_cells():
    movie = simulate(MovieParams(frames=1, height=384, width=384, cells=8, seed=3))
    frame, cells = movie.frame(0, 0)[0], (movie.masks(0, 0) > 0).view(np.uint8)
    around = cv2.dilate(cells, np.ones((41, 41), np.uint8))
    flat = np.random.default_rng(0).normal(0, 13, frame.shape) * around
    spread = np.rint(frame + flat).astype(np.uint16)
    assert [words("logstd", each) for each in (frame, spread)] == [set(), {"spread cells"}]


def test_the_share_beside_a_mask_is_between_two_distances():
    mask, felt = np.zeros((1, 20), np.uint8), np.zeros((1, 20), bool)
    mask[0, :10] = 1
    felt[0, 12:14] = True
    assert share_beside(mask, felt, (1, 4)) == pytest.approx(2 / 3)
    assert share_beside(mask, felt, (0, 10)) == pytest.approx(0.2)
    assert share_beside(np.ones_like(mask), felt, (1, 4)) == 0.0


def test_lengths_that_are_set_for_larger_cells_make_them_no_finding():
    frame = phase(cell_radius_um=30.0, cells=5)
    segmenter = get_segmenter("logstd", pixel_um=0.65, bright_um=30.0)
    assert "large cells" not in segmenter(frame)[1].flag


def real_frames():
    found = sorted(shared_data("t98g/phase").glob("*.tif"))[::18]
    import tifffile

    return [tifffile.imread(name) for name in found]


def domain(frame, pixel_um=0.8708):
    _, stats = get_segmenter("unet", pixel_um=pixel_um)(frame)
    flagged = bool(set(stats.flag.split("; ")) & set(FRAME_FINDINGS))
    assert flagged == (not stats.domain <= 1 or "compressed" in stats.flag)
    return stats.domain


def test_frames_of_the_kind_that_the_network_knows_are_in_its_domain():
    for frame in real_frames():
        assert domain(frame) < 0.8
        assert domain(eight_bits(frame)) < 0.8
        assert words("logstd", frame, 0.8708) == {"bright halos"}
    rough = ["rough outlines" in words("unet", frame, 0.8708) for frame in real_frames()]
    assert rough.count(True) < len(rough) / 2


def test_spread_cells_of_another_kind_are_outlined_in_part_or_roughly():
    import nd2

    with nd2.ND2File(shared_data("nd2/incucyte_2fov_pgr.nd2")) as file:
        frame = np.ascontiguousarray(file.asarray()[5, 0, 0])
    assert words("logstd", frame, 1.24) == {"spread cells"}
    assert words("unet", frame, 1.24) == {"rough outlines"}


@pytest.mark.parametrize(("unsure", "share"), [(0, 0.0), (20, 0.25)])
def test_outlines_are_rough_by_the_pixels_of_which_the_network_is_unsure(unsure, share):
    logit = np.full((10, 20), -5, np.float32)
    logit[:8, :10] = 4
    logit[8:, : unsure // 2] = -1
    assert unsure_share(logit) == share
    assert math.isnan(unsure_share(np.minimum(logit, 1)))


@pytest.mark.parametrize(
    ("shape", "patch"),
    [
        ((400, 520), np.s_[72:328, 152:408]),
        ((400, 520), np.s_[:256, :256]),
        ((100, 90), np.s_[:, :]),
        ((300, 60), np.s_[24:280, :]),
        ((396, 515), np.s_[140:396, 259:515]),
    ],  # the patch ends with the frame
)
def test_the_domain_score_compares_the_middle_of_the_patch_with_most_cells(shape, patch):
    contrast = np.full(shape, -1.0, np.float32)
    contrast[patch] = 1.0
    logit = 4 * contrast
    own = logit[patch]
    edge = [min(40, side // 4) for side in own.shape]
    own[edge[0], edge[1] + 3] = own[-edge[0] - 1, -edge[1] - 7] = -4.0  # the corners of the middle
    own[edge[0] - 1, edge[1]] = own[-edge[0], -edge[1] - 1] = -4.0  # these do not count
    middle = np.prod([side - 2 * cut for side, cut in zip(own.shape, edge, strict=True)])
    score = domain_score(lambda seen: seen[None], contrast, logit, 0.1)
    assert score == pytest.approx(0.1 + 2 * 2 / middle)
    nothing = np.full(shape, -1.0, np.float32)
    assert domain_score(lambda seen: seen[None], nothing, nothing, 0.1) == pytest.approx(2.1)


def spots(where):
    return (1000 * cv2.GaussianBlur(where.astype(np.float32), (0, 0), 4) + 100).astype(np.float32)


OTHER = {
    "blurred": lambda f: cv2.GaussianBlur(f, (0, 0), 7),
    "inverted": lambda f: f.max() - f,
    "noise": lambda f: np.random.default_rng(0).normal(900, 30, f.shape).astype(np.float32),
    "spots": lambda f: spots(f > np.percentile(f, 99.7)),
}


@pytest.mark.parametrize("kind", OTHER)
def test_other_frames_are_not(kind):
    frame = np.ascontiguousarray(OTHER[kind](real_frames()[0][:600, :700]))
    assert not domain(frame) <= 1


@pytest.mark.parametrize("pixel_um", [0.2, 4.0])
def test_a_wrong_pixel_size_is_noticed(pixel_um):
    frame = real_frames()[0]
    assert not domain(frame[:256, :256] if pixel_um > 1 else frame, pixel_um) <= 1


@pytest.mark.parametrize("method", ["logstd", "unet"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (8, 8), (8, 300)])
def test_tiny_frames_pass_through(method, shape):
    frame = np.random.default_rng(1).integers(90, 110, shape).astype(np.uint16)
    labels, stats = get_segmenter(method, pixel_um=0.65)(frame)
    assert labels.shape == shape
    assert stats.n_objects == labels.max()


def test_constant_and_missing_frames_have_the_columns_of_others():
    segmenter = get_segmenter("unet", pixel_um=0.65)
    constant = segmenter(np.full((64, 64), 9, np.uint8))[1]
    missing = segmenter(np.zeros((64, 64), np.uint8), missing=True)[1]
    assert (constant.flag, missing.flag) == ("constant", "missing")
    assert math.isnan(constant.domain)
    assert math.isnan(missing.domain)
