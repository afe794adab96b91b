"""Each rule on traces made for it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fovflow.quality import REASONS, judge
from fovflow.quality.rules import Rows, frames_needed, running_median

SHAPE = (40, 200, 300)


def traces(cells, **features):
    """Return a table of square cells; `cells`: id -> list of (frame, x, y, width)."""
    flat = [(cell, *row) for cell in sorted(cells) for row in cells[cell]]
    cell, frame, x, y, width = (np.array(v) for v in zip(*flat, strict=True))
    x0, y0 = x - width // 2, y - width // 2
    return {
        "fov": np.zeros(cell.size, int), "cell": cell, "frame": frame, "time": frame * 5.0,
        "good": np.ones(cell.size, bool),
        "position_x": x0 + (width - 1) / 2, "position_y": y0 + (width - 1) / 2,
        "bbox_x0": x0, "bbox_y0": y0, "bbox_x1": x0 + width, "bbox_y1": y0 + width,
        "area_ch_0": width**2,
        **{name: np.asarray(values) for name, values in features.items()},
        "flags": np.full(cell.size, "", object),
    }  # fmt: skip


def steady(frames=range(40), x=150, y=100, width=20):
    return [(t, x, y, width) for t in frames]


def flags(table, rule, **options):
    """Return (cell, frame) of the rows that carry a rule's flag."""
    judged = judge(table, **{"shape": SHAPE, "reject": (rule,), "note": (), **options})
    named = [set(text.split(";")) - {"", *REASONS} for text in judged["flags"]]
    hit = np.array([names == {rule} for names in named], bool)
    assert all(names <= {rule} for names in named)
    assert (hit != judged["good"]).all()
    return list(zip(judged["cell"][hit].tolist(), judged["frame"][hit].tolist(), strict=True))


@pytest.mark.parametrize(
    ("acquired", "fraction", "needed"),
    [(1000, 0.5, 30), (60, 0.5, 30), (59, 0.5, 30), (11, 0.5, 6), (1, 0.5, 1), (0, 0.5, 1),
     (11, None, 30), (40, 1.0, 30), (20, 1.0, 20)],
)  # fmt: skip
def test_frames_needed(acquired, fraction, needed):
    assert frames_needed(acquired, 30, fraction) == needed


def test_min_frames():
    table = traces({1: steady(range(20)), 2: steady(range(19)), 3: steady(range(40))})
    assert {cell for cell, _ in flags(table, "min_frames")} == {2}
    assert {cell for cell, _ in flags(table, "min_frames", min_frames_fraction=None)} == {1, 2}
    # with 20 frames missing, half of the movie is 10 frames
    assert flags(table, "min_frames", missing=set(range(20, 40))) == []


def test_min_frames_counts_good_rows_or_all():
    cut = [(t, 9 if t < 25 else 150, 100, 20) for t in range(40)]  # 25 frames at the border
    options = {"shape": SHAPE, "reject": ("min_frames", "border"), "note": ()}
    by_row = judge(traces({1: cut}), **options)
    assert by_row["flags"].tolist() == ["min_frames;border"] * 25 + ["min_frames"] * 15
    assert not by_row["good"].any()
    by_cell = judge(traces({1: cut}), verdict="cell", **options)
    assert by_cell["flags"].tolist() == ["border"] * 40
    enough = judge(traces({1: cut}), min_frames=15, **options)
    assert enough["good"].tolist() == [False] * 25 + [True] * 15


@pytest.mark.parametrize(
    ("x", "y", "hit"),
    [(12, 100, False), (11, 100, True), (10, 100, True), (150, 11, True), (150, 12, False),
     (288, 100, False), (289, 100, True), (150, 188, False), (150, 189, True)],
)  # fmt: skip
def test_border_from_the_box(x, y, hit):
    table = traces({1: [(0, x, y, 20)]})
    assert flags(table, "border") == [(1, 0)] * hit
    assert flags(table, "border", border_um=1.0, pixel_um=0.5) == [(1, 0)] * hit
    assert flags(table, "border", border_px=0) == []


@pytest.mark.parametrize(
    ("x", "y", "hit"),
    [(50, 100, False), (49, 100, True), (249, 100, False), (250, 100, True), (150, 149, False),
     (150, 150, True), (150, 49, True), (150, 50, False)],
)  # fmt: skip
def test_border_from_the_centroid(x, y, hit):
    table = traces({1: [(0, x, y, 1)]})
    assert flags(table, "border", border_px=50, border_measure="centroid") == [(1, 0)] * hit


def test_saturation_and_invalid():
    table = traces(
        {1: steady(range(4))},
        saturated_fraction_ch_1=[0, 0.01, 0.011, np.nan],
        saturated_fraction_ch_2=[0.5, 0, 0, 0],
        invalid_fraction_ch_1=[0, 0.001, np.nan, 0],
    )
    assert flags(table, "saturation") == [(1, 0), (1, 2)]
    assert flags(table, "invalid") == [(1, 1), (1, 2)]
    assert flags(table, "invalid", max_invalid_fraction=0.01) == [(1, 2)]


def test_area_jump_flags_the_glitch_alone():
    widths = dict.fromkeys(range(40), 20) | {10: 26, 20: 15, 30: 24}  # 1.69, 0.56, 1.44 times
    table = traces({1: [(t, 150, 100, w) for t, w in widths.items()], 2: steady()})
    assert flags(table, "area_jump") == [(1, 10), (1, 20)]
    assert flags(table, "area_jump", area_jump_ratio=1.4) == [(1, 10), (1, 20), (1, 30)]


def test_area_jump_lets_lasting_changes_pass():
    halved = [(t, 150, 100, 20 if t < 20 else 14) for t in range(40)]
    growing = [(t, 50, 100, 10 + t) for t in range(40)]
    assert flags(traces({1: halved, 2: growing}), "area_jump") == []


def collision(back=None):
    """Cell 2 vanishes into cell 1 at frame 10; cell 1 then has both areas."""
    big = [(t, 150, 100, 20 if t < 10 or (back and t >= back) else 29) for t in range(40)]
    small = [(t, 162, 100, 20) for t in range(40) if t < 10 or (back and t >= back)]
    return {1: big, 2: small}


def test_merge():
    assert flags(traces(collision()), "merge") == [(1, t) for t in range(10, 40)]
    assert flags(traces(collision(back=15)), "merge") == [(1, t) for t in range(10, 15)]


def test_merge_needs_growth_and_touch():
    lost = {1: steady(), 2: steady(range(10), x=162)}
    assert flags(traces(lost), "merge") == []
    far = collision() | {2: steady(range(10), x=20)}
    assert flags(traces(far), "merge") == []
    ends = {1: steady(), 2: steady(range(40))}
    assert flags(traces(ends), "merge") == []
    # a missing frame is no disappearance
    table = traces({1: steady([0, 1, 3]), 2: steady([0, 1, 3], x=162)})
    assert flags(table, "merge", missing={2}) == []


def test_merge_from_links():
    links = {"cell": [1, 1, 2], "frame": [3, 4, 3], "merged": [0, 1, 0], "parent": [0, 0, 0]}
    assert flags(traces({1: steady(), 2: steady(x=50)}), "merge", links=links) == [(1, 4)]


def test_focus():
    sharp = np.where(np.arange(40) == 17, 0.3, 1.0)
    table = traces(
        {1: steady(), 2: steady(x=50)}, sharpness_ch_0=np.concatenate([sharp, sharp * 2])
    )
    assert flags(table, "focus", focus_ratio=0.31) == [(1, 17), (2, 17)]
    assert flags(table, "focus", focus_ratio=0.2) == []
    table["sharpness_ch_0"][:] = np.nan
    assert flags(table, "focus") == []


def test_gap():
    table = traces({1: steady([0, 1, 4, 5]), 2: steady([0, 1, 3])})
    assert flags(table, "gap") == [(1, 4), (2, 3)]
    assert flags(table, "gap", missing={2}) == [(1, 4)]
    assert flags(table, "gap", missing={2, 3}) == []


def test_lineage():
    links = {"cell": [1, 2, 3, 4], "frame": [0] * 4, "parent": [0, 1, 1, 0]}
    table = traces({c: [(0, 150, 100, 20)] for c in (1, 2, 3, 4)})
    assert flags(table, "lineage", links=links) == [(1, 0), (2, 0), (3, 0)]
    assert flags(table, "lineage") == []


@pytest.mark.parametrize("window", [3, 4, 9])
def test_running_median_against_plain_loops(window):
    rng = np.random.default_rng(window)
    sizes = [1, 2, 30, 7]
    values = rng.normal(size=sum(sizes))
    values[rng.random(values.size) < 0.2] = np.nan
    groups = Rows(
        {n: np.repeat(np.arange(4), sizes) if n == "cell" else np.arange(40) for n in
         ("cell", "frame", "position_x", "position_y", "bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1")},
        SHAPE,
    ).cells  # fmt: skip
    expected = []
    for place in groups.slices():
        own = values[place]
        for i in range(own.size):
            around = own[max(i - window // 2, 0) : max(i - window // 2 + window, 0)]
            around = around[~np.isnan(around)]
            expected.append(np.median(around) if around.size else math.nan)
    np.testing.assert_array_equal(running_median(values, groups, window), expected)


@pytest.mark.parametrize(
    ("cell", "frame"),
    [
        ([1, 3, 2], [0, 0, 0]),
        ([1, 1, 2], [1, 0, 0]),
        ([2, 2, 2], [0, 2, 1]),
        ([1, 2, 2], [9, 5, 3]),
    ],
)
def test_rows_are_sorted_whatever_their_order_is(cell, frame):
    rows = Rows({"cell": cell, "frame": frame}, SHAPE)
    expected = sorted(zip(cell, frame, strict=True))
    assert list(zip(rows.cell.tolist(), rows.frame.tolist(), strict=True)) == expected


def test_area_jump_begins_beyond_the_ratio():
    table = traces({1: steady(range(9))}, area_ch_0=[4, 4, 4, 6, 4, 4, 4, 4, 4])
    assert flags(table, "area_jump", area_jump_ratio=1.5) == []
    assert flags(table, "area_jump", area_jump_ratio=1.49) == [(1, 3)]
    table = traces({1: steady(range(9))}, area_ch_0=[6, 6, 6, 4, 6, 6, 6, 6, 6])
    assert flags(table, "area_jump", area_jump_ratio=1.5) == []
    assert flags(table, "area_jump", area_jump_ratio=1.49) == [(1, 3)]


def test_merge_compares_with_the_acquired_frame_just_before():
    small = steady(range(10), x=162)
    grown_before = [(t, 150, 100, 20 if t < 9 else 29) for t in range(40)]
    assert flags(traces({1: grown_before, 2: small}), "merge") == []
    found_again = [(t, 150, 100, 20 if t < 10 else 29) for t in range(40) if t != 9]
    assert flags(traces({1: found_again, 2: small}), "merge") == []
    new = [(t, 150, 100, 29) for t in range(10, 40)]
    assert flags(traces({1: new, 2: small}), "merge") == []


@pytest.mark.parametrize(
    ("x", "y", "hit"),
    [(164, 100, True), (165, 100, False), (135, 100, False), (136, 100, True), (150, 114, True),
     (150, 115, False), (150, 86, True), (150, 85, False)],
)  # fmt: skip
def test_merge_needs_the_lost_centroid_in_the_box(x, y, hit):
    big = [(t, 150, 100, 20 if t < 10 else 29) for t in range(40)]  # 136 to 164, 86 to 114
    lost = [(t, x, y, 17) for t in range(10)]  # its centroid is x, y
    assert bool(flags(traces({1: big, 2: lost}), "merge")) is hit
