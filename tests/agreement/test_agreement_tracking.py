"""Tracking against its reference: the same ids, the same table."""

import numpy as np
import pytest
from agreement.movies import blobs, per_frame, scene
from tracking.scenes import drawn

from fovflow.tracking import track_stack
from reference import tracking as reference

EXACT = ("cell", "frame", "label", "previous_frame", "gap", "parent", "merged", "split")
ROUNDED = ("iou", "confidence", "distance_px")


def compare(seg, pixel_um=1.0, **params):
    """Assert the same labels and links; return the reference's table."""
    fast, links = track_stack(seg, pixel_um=pixel_um, **params)
    slow, table = reference.track_stack(seg, pixel_um=pixel_um, **params)
    np.testing.assert_array_equal(fast, slow)
    assert fast.dtype == slow.dtype
    for name in EXACT:
        np.testing.assert_array_equal(links[name], table[name], err_msg=name)
    for name in ROUNDED:
        np.testing.assert_allclose(links[name], table[name], rtol=1e-6, atol=1e-9, err_msg=name)
    return table


@pytest.mark.parametrize("method", ["classic", "iou"])
@pytest.mark.parametrize("lost", [0.0, 0.08])
@pytest.mark.parametrize("name", ["default", "touching", "drifting"])
def test_simulated_movies(name, lost, method):
    _, _, masks, pixel_um = scene(name, 12)
    compare(per_frame(masks, lost, seed=8), pixel_um, method=method)


@pytest.mark.parametrize("seed", range(30))
def test_classic_on_hard_movies(seed):
    compare(blobs(seed), method="classic")


@pytest.mark.parametrize("seed", range(40))
def test_iou_on_hard_movies(seed):
    compare(blobs(seed))


def missing_rows(seed):
    """Objects that are pieces of a cell and have no row of their own."""
    seg = blobs(seed)
    objects = sum(np.unique(labels[labels > 0]).size for labels in seg)
    return objects - reference.track_stack(seg, pixel_um=1.0)[1]["cell"].size


def test_hard_movies_hold_all_cases():
    tables = [reference.track_stack(blobs(seed), pixel_um=1.0)[1] for seed in range(20)]
    count = {
        "divisions": sum((t["parent"] > 0).sum() for t in tables),
        "gaps": sum((t["gap"] > 0).sum() for t in tables),
        "merges": sum(t["merged"].sum() for t in tables),
        "splits": sum(t["split"].sum() for t in tables),
        "pieces": sum(missing_rows(seed) for seed in range(20)),
        "jumps": sum((t["iou"] < 0.1).sum() for t in tables),
    }
    assert min(count.values()) >= 10, count


def test_iou_of_a_newborn_with_a_parent_that_drifts_out_of_the_frame():
    others = ((40, 10, 8, 8), (60, 50, 8, 8), (30, 60, 8, 8))
    moved = tuple((y - 4, x, h, w) for y, x, h, w in others)
    after = drawn((0, 19, 8, 10), (0, 31, 8, 10), *moved)
    table = compare(np.stack([drawn((0, 20, 12, 20), *others), after, after]))
    # Of the parent's 240 pixels 160 are still inside; each daughter has 72 of them.
    np.testing.assert_allclose(table["iou"][table["parent"] > 0], 72 / 168)


def test_an_heir_takes_part_in_one_division_only():
    parent, heir, newborn = (20, 20, 12, 20), (20, 19, 12, 10), (20, 31, 12, 10)
    pieces = (20, 18, 12, 5), (20, 25, 12, 5)
    seg = np.stack([drawn(parent), drawn(heir, newborn), drawn(*pieces, newborn)])
    assert (compare(seg)["parent"] > 0).sum() == 2


@pytest.mark.parametrize(
    "params",
    [
        {"min_iou": 0.4},
        {"max_gap": 0},
        {"max_gap": 6},
        {"max_distance_um": 5.0},
        {"max_drift_um": 10.0},
        {"drift": False},
        {"divisions": False},
        {"fragments": False},
        {"reach_um": 4.0},
    ],
)
def test_parameters(params):
    for seed in (101, 102, 103):
        compare(blobs(seed), **params)


def test_empty_frames_and_empty_movies():
    seg = blobs(3)
    seg[0] = 0
    seg[4] = 0
    compare(seg)
    compare(seg, method="classic")
    compare(np.zeros((3, 8, 9), np.uint16))
    compare(seg[1:2])
