from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from segmentation.scenes import ellipses

from fovflow.errors import FovflowError
from fovflow.segmentation.instances import Limits, make_objects
from fovflow.segmentation.masks import fill_all_holes, fill_small_holes, number_objects
from fovflow.segmentation.split import Necks

masks = st.tuples(st.integers(1, 14), st.integers(1, 14)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1))
)
NECKS = Necks(0.6, 0.6, 1, 0.9)
LIMITS = Limits(least=1, least_cut=1, most=np.inf, hole=0, smoothing=0, split=False, necks=NECKS)


def brute_force_fill(mask, limit):
    """Fill each hole by what its outline encloses, counted pixel by pixel."""
    out = mask.copy()
    regions, n = ndimage.label(mask == 0)
    for region in range(1, n + 1):
        own = regions == region
        edge = np.zeros_like(own)
        edge[[0, -1], :], edge[:, [0, -1]] = True, True
        if (own & edge).any():
            continue
        enclosed = ndimage.binary_fill_holes(own, structure=np.ones((3, 3)))
        if enclosed.sum() <= limit:
            out[enclosed] = 1
    return out


@given(masks)
def test_filling_all_holes_is_what_scipy_does(mask):
    assert np.array_equal(fill_all_holes(mask), ndimage.binary_fill_holes(mask))


@settings(max_examples=300)
@given(masks, st.sampled_from([0, 1, 2, 3, 5, 8, 20, 1000]))
def test_filling_small_holes_against_brute_force(mask, limit):
    before = mask.copy()
    assert np.array_equal(fill_small_holes(mask, limit), brute_force_fill(mask, limit))
    assert np.array_equal(mask, before)


def test_a_hole_counts_with_the_island_in_it():
    mask = np.zeros((9, 9), np.uint8)
    mask[1:8, 1:8] = 1
    mask[2:7, 2:7] = 0
    mask[4, 4] = 1
    assert fill_small_holes(mask, 24).sum() == 25
    assert fill_small_holes(mask, 25).sum() == 49


@given(masks)
def test_objects_are_the_components_in_raster_order(mask):
    labels, n_split = make_objects(mask, mask, LIMITS)
    expected, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    assert np.array_equal(labels, number_objects(expected))
    assert n_split == 0


@given(masks, st.integers(1, 6), st.integers(6, 30))
def test_objects_within_the_limits_stay(mask, least, most):
    limits = Limits(least, least, most, 0, 0, False, NECKS)
    labels, _ = make_objects(mask, mask, limits)
    expected, n = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(expected.ravel(), minlength=n + 1)
    keep = (sizes >= least) & (sizes <= most)
    keep[0] = False
    assert np.array_equal(labels > 0, keep[expected])


def test_outlines_are_closed_without_touching_the_neighbours():
    mask = np.zeros((20, 30), np.uint8)
    mask[5:15, 3:12] = 1
    mask[8:11, 3:6] = 0  # a bite in the left side
    mask[5:15, 14:24] = 1  # a neighbour two pixels away
    room = np.ones_like(mask)
    labels, _ = make_objects(mask, room, Limits(1, 1, np.inf, 0, 2.0, False, NECKS))
    assert labels.max() == 2
    assert (labels[8:11, 3:6] > 0).tolist() == [[0, 1, 1], [0, 0, 1], [0, 1, 1]]
    assert not labels[:, 12:14].any()


def test_what_two_outlines_could_close_is_of_the_object_that_comes_first():
    limits, claimed_twice = Limits(1, 1, np.inf, 0, 5.0, False, NECKS), 0
    for seed in range(60):
        values = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 1, (24, 24)), 0.7)
        mask = (values > 0.3).astype(np.uint8)
        parts, n = ndimage.label(mask, structure=np.ones((3, 3)))
        expected = np.zeros(mask.shape, np.int64)
        for number in range(1, n + 1):
            own = (parts == number).view(np.uint8)
            whole = make_objects(own, 1 - (mask & (1 - own)), limits)[0] > 0
            claimed_twice += np.count_nonzero(whole & (expected > 0))
            expected[whole & (expected == 0)] = number
        assert np.array_equal(
            make_objects(mask, np.ones_like(mask), limits)[0], number_objects(expected)
        )
    assert claimed_twice


def test_less_is_asked_of_objects_that_the_border_cuts():
    mask = np.zeros((20, 30), np.uint8)
    mask[0:2, 4:7] = mask[10:12, 28:30] = mask[16, 0:3] = 1  # 6, 4 and 3 pixels at the border
    mask[8:10, 10:13] = mask[1:3, 15:18] = 1  # 6 pixels each inside
    mask[14:18, 12:15] = 1  # 12 pixels inside
    labels, _ = make_objects(mask, mask, Limits(8, 4, np.inf, 0, 0, False, NECKS))
    assert np.bincount(labels.ravel())[1:].tolist() == [6, 4, 12]
    assert min(labels[0, 5], labels[11, 29], labels[15, 13]) > 0


@pytest.mark.parametrize("turns", range(4))
def test_each_border_may_cut_an_object(turns):
    mask = np.zeros((30, 30), np.uint8)
    mask[0:2, 14:17] = mask[10:12, 10:13] = 1  # 6 pixels each, at the border and inside
    mask = np.ascontiguousarray(np.rot90(mask, turns))
    labels, _ = make_objects(mask, mask, Limits(8, 4, np.inf, 0, 0, False, NECKS))
    assert (labels.max(), np.count_nonzero(labels)) == (1, 6)


def test_a_part_that_begins_below_another_object_comes_after_it():
    mask = (ellipses([(20, 20, 10, 10), (30, 33, 9, 9), (24, 60, 5, 5)], (60, 80)) > 0).view(
        np.uint8
    )
    necks = Necks(0.8, 0.85, 3.0, 1.0)
    labels, n_split = make_objects(mask, mask, Limits(1, 1, np.inf, 0, 0, True, necks))
    assert n_split == 2
    assert [labels[20, 20], labels[24, 60], labels[34, 36]] == [1, 2, 3]


def test_limits_are_lengths_and_areas_in_pixels():
    settings = SimpleNamespace(
        min_area_um2=50.0, max_area_um2=900.0, min_cut_area_um2=20.0, max_hole_um2=30.0, split=True,
        neck_ratio=0.6, kept_neck_ratio=0.5, min_radius_um=2.0, max_solidity=0.9,
    )  # fmt: skip
    found = Limits.of(settings, 0.5, smoothing_um=1.5, new_ratio=0.7)
    assert found == Limits(200, 80, 3600, 120, 3.0, True, Necks(0.6, 0.6, 4.0, 0.9, 0.7))
    settings.max_area_um2, settings.min_cut_area_um2 = None, 70.0
    assert Limits.of(settings, 0.5).most == np.inf
    assert Limits.of(settings, 0.5).least_cut == 200


def test_numbers_follow_the_first_pixel():
    ids = np.array([[0, 9, 0, 4], [2, 9, 0, 4], [2, 0, 7, 0]])
    assert number_objects(ids).tolist() == [[0, 1, 0, 2], [3, 1, 0, 2], [3, 0, 4, 0]]
    keep = np.ones(10, bool)
    keep[9] = False
    assert number_objects(ids, keep).tolist() == [[0, 0, 0, 1], [2, 0, 0, 1], [2, 0, 3, 0]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint16, np.int64])
def test_numbering_takes_any_whole_numbers(dtype):
    ids = np.zeros((5, 5), dtype)
    assert number_objects(ids).max() == 0
    ids[4, 4] = 100
    assert number_objects(ids)[4, 4] == 1


def test_more_objects_than_labels_hold_are_a_clear_error():
    ids = np.arange(70_000).reshape(700, 100)
    with pytest.raises(FovflowError, match="at least 69999"):
        number_objects(ids)
    dots = np.zeros((514, 514), np.uint8)
    dots[::2, ::2] = 1
    assert np.count_nonzero(dots) == 66_049
    with pytest.raises(FovflowError, match="more objects than the 65535"):
        make_objects(dots, dots, LIMITS)
