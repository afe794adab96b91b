"""Rules that hold a row against its movie, on traces made for them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from quality.test_rules import SHAPE, flags, steady, traces

from fovflow.quality import RULES, judge, ledger, movie, rules
from fovflow.quality import verdict as quality_verdict
from fovflow.quality.movie import drift_of, uneven_background
from fovflow.quality.rules import Rows


def walkers(cells=6, frames=40, step=1.5, seed=0):
    """Cells on a grid that walk at random."""
    rng = np.random.default_rng(seed)
    found = {}
    for cell in range(1, cells + 1):
        x, y = 40 + 35 * cell, 100
        way = np.cumsum(rng.normal(0, step, (frames, 2)), axis=0)
        found[cell] = [(t, round(x + dx), round(y + dy), 20) for t, (dx, dy) in enumerate(way)]
    return found


def test_rows_of_flagged_frames_are_not_good():
    table = traces({1: steady()})
    options = {"frame_flags": {3: "threshold reset", 5: "nan; unfamiliar", 9: "faint"}}
    assert flags(table, "frame", **options) == [(1, 5), (1, 9)]


def test_frames_in_which_the_foreground_jumps_are_flagged_where_there_are_enough_cells():
    area = [np.where(np.arange(40) == 7, 900.0, 400.0) for _ in range(6)]
    six = traces(walkers(6), area_ch_0=np.concatenate(area))
    assert {t for _, t in flags(six, "frame")} == {7}
    four = traces(walkers(4), area_ch_0=np.concatenate(area[:4]))
    assert flags(four, "frame") == []


def test_a_movie_that_loses_focus_for_good_is_flagged_from_there_on():
    sharp = np.where(np.arange(40) < 10, 1.0, 0.1)
    table = traces({1: steady()}, sharpness_ch_0=sharp)
    assert flags(table, "focus") == [(1, t) for t in range(10, 40)]


def test_a_clump_and_a_speck_are_of_unusual_size_in_all_their_frames():
    area = np.repeat([400.0, 420.0, 380.0, 400.0, 2900.0, 60.0], 40)
    table = traces(walkers(6), area_ch_0=area)
    assert {cell for cell, _ in flags(table, "size")} == {5, 6}
    assert {cell for cell, _ in flags(table, "size", size_ratio=7.0)} == {5}


@pytest.mark.parametrize("drift", [0, 3])
def test_what_rests_among_cells_that_move_is_debris(drift):
    cells = walkers(7)
    x, y = cells[7][0][1:3]
    cells[7] = [(t, x, y, 20) for t in range(40)]
    moved = {
        c: [(t, 60 + px + drift * t // 2, py, w) for t, px, py, w in rows]
        for c, rows in cells.items()
    }
    assert {cell for cell, _ in flags(traces(moved), "debris")} == {7}
    moved[7] = [(t, 60 + x, y, 20) for t in range(40)]  # dirt on the camera does not drift
    assert {cell for cell, _ in flags(traces(moved), "debris")} == {7}


def test_where_nothing_moves_there_is_no_debris():
    assert flags(traces({c: steady(x=40 * c) for c in range(1, 7)}), "debris") == []


def test_cells_that_move_by_their_size_are_fast_but_a_stage_is_not():
    assert flags(traces(walkers(6, step=1.5)), "fast") == []
    quick = traces(walkers(6, step=9.0))
    assert len(flags(quick, "fast")) == 240
    stage = {c: [(t, x + 20 * (t % 2), y, w) for t, x, y, w in rows]
             for c, rows in walkers(6).items()}  # fmt: skip
    assert flags(traces(stage), "fast") == []


def test_drift_is_how_far_all_cells_come_together():
    there = {c: [(t, x + 3 * min(t, 39 - t), y - 4 * min(t, 39 - t), w) for t, x, y, w in rows]
             for c, rows in walkers(6, step=0.0).items()}  # fmt: skip
    assert drift_of(Rows(traces(there), SHAPE)) == pytest.approx(19 * 5)  # and back again
    assert drift_of(Rows(traces({1: there[1]}), SHAPE)) is None


def test_a_doubtful_link_leaves_the_longer_piece():
    links = {"cell": [1, 1], "frame": [15, 30], "confidence": [0.1, 0.9]}
    found = flags(traces({1: steady()}), "low_confidence", links=links)
    assert found == [(1, t) for t in range(15)]
    links["confidence"] = [np.nan, 0.9]
    assert flags(traces({1: steady()}), "low_confidence", links=links) == []


def test_a_pale_object_is_ragged_where_its_outline_is_and_is_not_steady():
    sharp, solid = np.ones(120), np.full(120, 0.9)
    sharp[80:], solid[100:] = 0.5, 0.7
    area = np.full(120, 400.0)
    area[:80:2], area[80::2] = 404.0, 440.0
    look = {"sharpness_ch_0": sharp, "solidity_ch_0": solid}
    cells = {1: steady(), 2: steady(x=50), 3: steady(x=100)}
    table = traces(cells, area_ch_0=area, **look)
    assert flags(table, "ragged") == [(3, t) for t in range(20, 40)]
    area[80::2] = 404.0  # as steady as the others: a flat cell with processes
    assert flags(traces(cells, area_ch_0=area, **look), "ragged") == []


def test_light_that_is_little_more_than_noise_is_dim_and_a_rise_is_not():
    noise = np.random.default_rng(4).normal(size=(3, 40))
    total = np.stack([1000 * 1.2 ** np.arange(40), 1000 + 10 * noise[1], 100 + 30 * noise[2]])
    total[1, 5] = np.nan
    cells = {c: steady(x=60 * c) for c in (1, 2, 3)}
    assert flags(traces(cells, intensity_total_ch_1=total.ravel()), "dim") == [
        (3, t) for t in range(40)
    ]


@pytest.mark.parametrize("factor", [2.0, 0.5, 0.0])
def test_frames_of_other_light_are_noted_and_steps_and_rises_are_not(factor):
    total = np.outer(np.linspace(900.0, 1100.0, 6), 1.03 ** np.arange(40))

    def noted(light):
        return {
            t for _, t in flags(traces(walkers(6), intensity_total_ch_1=light.ravel()), "light")
        }

    assert noted(total) == set()
    jumped = total.copy()
    jumped[:5, [7, 20, 21]] *= factor  # five of six cells
    assert noted(jumped) == {7, 20, 21}
    jumped[:2, 7] = total[:2, 7]  # three of them: half
    assert noted(jumped) == {20, 21}
    step = total.copy()
    step[:, 12:] *= 3.0
    assert noted(step) == set()
    assert noted(np.outer(np.ones(6), np.r_[np.zeros(10), np.arange(30.0) ** 2])) == set()
    noise = np.random.default_rng(0).normal(0, 10, (6, 40))
    assert noted(noise) == set()


def test_a_movie_is_crowded_where_most_cells_nearly_touch_another():
    area = {"area_ch_0": np.full(240, np.pi * 100)}
    assert len(flags(traces({c: steady(x=22 * c) for c in range(1, 7)}, **area), "crowded")) == 240
    apart = {c: steady(x=22 * c + 30 * (c > 1) + 30 * (c > 3) + 30 * (c > 4)) for c in range(1, 7)}
    assert len(flags(traces(apart, **area), "crowded")) == 240  # four of six
    apart = {c: steady(x=30 * c) for c in range(1, 7)}
    assert flags(traces(apart, **area), "crowded") == []


def test_a_background_that_fades_is_flagged_once_a_tenth_is_gone():
    level = 100 * np.exp(-0.01 * np.arange(40))
    noise = np.random.default_rng(0).normal(0, 0.3, 40)
    table = traces({1: steady()}, background_mean_ch_1=level + noise)
    assert flags(table, "bleaching")[0] in [(1, 10), (1, 11), (1, 12)]
    steady_level = traces({1: steady()}, background_mean_ch_1=100 + 5 * noise)
    assert flags(steady_level, "bleaching") == []


def light(rates, noise=0.0):
    """Totals of six cells over 40 frames, each falling at a rate of its own."""
    rng = np.random.default_rng(2)
    falling = np.outer(rates, -np.arange(40)) + rng.normal(0, noise, (6, 40))
    return (np.array([9, 2, 5, 7, 3, 4])[:, None] * 1000 * np.exp(falling)).ravel()


def test_light_that_most_cells_lose_at_one_rate_is_noted_once_a_tenth_is_gone():
    cells = {c: steady(x=35 * c) for c in range(1, 7)}

    def decay(total):
        table = traces(cells, intensity_total_ch_1=total)
        assert judge(table, shape=SHAPE, note=["decay"])["good"].all()
        return flags(table, "decay")

    common = decay(light([0.01, 0.011, 0.009, 0.01, 0.01, -0.02], noise=0.02))
    assert common == [(c, t) for c in cells for t in range(11, 40)]
    assert decay(light([0.01, 0.03, 0.002, 0.02, -0.01, 0.04])) == []  # each its own
    assert decay(light([-0.01] * 6)) == []
    assert decay(light([0.001] * 6, noise=0.02)) == []  # no tenth is lost
    assert decay(-light([0.01] * 6)) == []


def test_uneven_light_is_flagged_and_a_slope_is_not():
    cells = walkers(6)
    table = traces(cells)
    x, y = table["position_x"], table["position_y"]
    _, height, width = SHAPE
    r2 = ((2 * x / width - 1) ** 2 + (2 * y / height - 1) ** 2) / 2
    table["background_mean_ch_1"] = 300 * (1 - 0.4 * r2)
    assert len(flags(table, "shading")) == 240
    table["background_mean_ch_1"] = 300 * (1 + 0.2 * x / width)
    assert flags(table, "shading") == []


def broken(gap=1, shift=0):
    return traces({1: steady(range(15)), 2: steady(range(15 + gap, 40), x=150 + shift)})


def test_ids_that_break_count_together():
    options = {"shape": SHAPE, "reject": ("min_frames",), "note": (), "min_frames": 30}
    options["min_frames_fraction"] = None
    assert judge(broken(), **options)["good"].all()
    assert not judge(broken(gap=5), **options)["good"].any()
    assert not judge(broken(shift=60), **options)["good"].any()
    assert not judge(broken(), rejoin_gap=0, **options)["good"].any()
    assert not judge(broken(), verdict="cell", **options)["good"].any()


def test_min_frames_says_why():
    table = traces({
        1: steady(range(10)),  # ends amid the field
        2: steady(range(10), x=10, y=40),  # goes over the border
        3: [(t, 9 if t < 30 else 60, 150, 20) for t in range(40)],  # other rules took its rows
    })  # fmt: skip
    options = {"shape": SHAPE, "reject": ("min_frames", "border"), "note": (), "min_frames": 20}
    judged = judge(table, **options)
    texts = {int(c): str(f) for c, f in zip(judged["cell"], judged["flags"], strict=True)}
    assert texts[1] == "min_frames;broken"
    assert texts[2].startswith("min_frames;brief")
    assert texts[3] == "min_frames"
    assert set(ledger(judged)["reasons"]) == {"min_frames", "brief", "broken", "border"}


def test_a_merge_is_what_the_tracker_saw_in_the_masks():
    table = traces({1: [(0, 100, 100, 20), (1, 100, 100, 40)], 2: [(0, 104, 104, 20)]})
    assert flags(table, "merge") == [(1, 1)]
    seen = {"cell": [1], "frame": [1], "merged": [0], "iou": [0.4]}
    assert flags(table, "merge", links=seen) == []
    unseen = seen | {"iou": [np.nan]}  # a tracker of centroids
    assert flags(table, "merge", links=unseen) == [(1, 1)]


def test_memory_of_shading_is_a_few_columns_of_a_long_table():
    cell, frame = np.divmod(np.arange(100_000), 1000)
    place = {
        f"position_{axis}": (cell * step + frame) % 512.0 for axis, step in (("x", 37), ("y", 91))
    }
    corner = sum((each / 255.5 - 1) ** 2 for each in place.values()) / 2
    table = {"cell": cell, "frame": frame, **place, "background_mean_ch_1": 300 - 60 * corner}
    rows = Rows(table, (1000, 512, 512))
    tracemalloc.start()
    try:
        assert uneven_background(rows, 0.15).all()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 45 * len(rows), "bytes per row"


def random_traces(seed):
    """Cells of all kinds, some rows of which are missing, in an order of chance."""
    rng = np.random.default_rng(seed)
    cell, frame = np.divmod(np.arange(40 * 60), 60)
    walk = rng.normal(0, rng.choice([0.0, 3.0], 40)[:, None, None], (40, 60, 2)).cumsum(axis=1)
    x, y = (rng.uniform(0, 500, (40, 1, 2)) + walk).reshape(-1, 2).T
    area = 300 * rng.lognormal(0, rng.choice([0.01, 0.3], 40).repeat(60))
    light = area * rng.lognormal(4 - 0.01 * frame, 0.05) * np.where(frame == 30, 2, 1)
    table = {
        "cell": 3 * cell + 1, "frame": frame, "position_x": x, "position_y": y,
        "bbox_x0": x - 9, "bbox_y0": y - 9, "bbox_x1": x + 9, "bbox_y1": y + 9,
        "area_ch_0": area.astype(int), "solidity_ch_0": rng.uniform(0.6, 1, x.size),
        "sharpness_ch_0": rng.lognormal(0, 0.4, x.size) * np.where(frame == 20, 0.1, 1),
        "intensity_total_ch_1": light, "background_mean_ch_1": 90 - 0.5 * frame + x * y / 4e4,
        "invalid_fraction_ch_1": rng.random(x.size) < 0.01,
    }  # fmt: skip
    kept = rng.permutation(np.flatnonzero(rng.random(x.size) > 0.05))
    return {name: values[kept] for name, values in table.items()}


@pytest.mark.parametrize("links", [None, {"merged": 2, "confidence": 0.3, "iou": 0.5, "parent": 4}])
@pytest.mark.parametrize("verdict", ["row", "cell"])
def test_a_table_in_many_parts_has_the_same_verdicts(monkeypatch, links, verdict):
    words = set()
    for seed in range(4):
        table = random_traces(seed)
        if links:
            links = {"cell": [4, 7], "frame": [9, 9], **{n: [v, v] for n, v in links.items()}}
        judged = []
        for part in (1 << 15, 90):
            for module, name in ((rules, "_PART"), (movie, "_SOME"), (quality_verdict, "_PART")):
                monkeypatch.setattr(module, name, part)
            reject = ("min_frames", "border", "size", "merge")
            given = {"reject": reject, "note": [n for n in RULES if n not in reject]}
            judged.append(judge(table, shape=(60, 512, 512), links=links, verdict=verdict, **given))
        whole, parted = judged
        assert parted["flags"].tolist() == whole["flags"].tolist()
        assert parted["good"].tolist() == whole["good"].tolist()
        assert ledger(parted, reject) == ledger(whole, reject)
        words |= {word for flags in whole["flags"] for word in flags.split(";")}
    assert len(words) > 12, "many rules had something to say"
