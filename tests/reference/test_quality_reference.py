"""The reference quality rules on cases that can be worked out by hand."""

import numpy as np

from reference import quality


def table(*cells, **columns):
    """Rows of cells, each given as (id, frames, area per frame); boxes in the middle."""
    rows = [
        {"cell": cell, "frame": t, "area_ch_0": area}
        for cell, frames, areas in cells
        for t, area in zip(frames, areas, strict=True)
    ]
    n = len(rows)
    middle = {"position_x": 50.0, "position_y": 50.0} | dict.fromkeys(("bbox_x0", "bbox_y0"), 40)
    middle |= dict.fromkeys(("bbox_x1", "bbox_y1"), 60)
    result = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    result |= {name: np.full(n, value) for name, value in middle.items()}
    return result | {name: np.array(column) for name, column in columns.items()}


def judge(columns, frames=10, **params):
    params = {"min_frames": 1} | params
    good, flags = quality.judge(columns, shape=(frames, 100, 100), **params)
    return good.tolist(), flags.tolist()


def test_cells_need_half_the_frames_or_thirty():
    columns = table((1, range(5), [9] * 5), (2, range(4), [9] * 4))
    good, flags = judge(columns, min_frames=30)
    assert good == [True] * 5 + [False] * 4
    assert flags[5:] == ["min_frames;broken"] * 4


def test_border_by_box_and_by_centroid():
    columns = table((1, [0, 1, 2], [9] * 3), bbox_x0=[2, 1, 40], bbox_y1=[60, 60, 99])
    assert judge(columns)[1] == ["", "border", "border"]
    columns["position_y"] = np.array([49.0, 50.0, 49.9])
    # x = 50 is 49 px from the right side; a cell without any good row has too few.
    flags = judge(columns, border_measure="centroid", border_px=49.5)[1]
    assert flags == ["min_frames;border"] * 3
    assert judge(columns, border_measure="centroid", border_px=49.0)[1] == ["", "", ""]


def test_fractions_in_any_channel():
    columns = table(
        (1, range(4), [9] * 4),
        saturated_fraction_ch_1=[0, 0.01, 0.02, np.nan],
        invalid_fraction_ch_2=[0, 0, np.nan, 0.1],
    )
    assert judge(columns)[1] == ["", "", "saturation;invalid", "invalid"]


def test_area_jump_against_the_median_around():
    columns = table((1, range(7), [10, 10, 16, 10, 15, 10, 6]))
    # 16 against 10; 10 against 15 and 15 against 10 are just the ratio; at the end 6 against 8.
    flags = judge(columns, area_jump_window=3)[1]
    assert flags == ["", "", "area_jump", "", "", "", ""]
    flags = judge(columns, area_jump_window=3, area_jump_ratio=1.3)[1]
    assert flags == ["", "", "area_jump", "area_jump", "area_jump", "", "area_jump"]


def test_a_merge_lasts_until_the_area_shrinks_or_the_other_is_back():
    swallowing = (1, range(6), [100, 100, 160, 150, 140, 160])
    lost = (2, [0, 1], [100, 100])
    options = {"area_jump_ratio": 9.0}
    flags = judge(table(swallowing, lost), **options)[1]
    assert flags == ["", "", "merge", "merge", "", "", "", ""]
    flags = judge(table(swallowing, (2, [0, 1, 3], [100, 100, 100])), **options)[1]
    assert flags[:6] == ["", "", "merge", "", "", ""]
    assert flags[8] == "gap"
    links = {"cell": np.array([1]), "frame": np.array([5]), "merged": np.array([1])}
    assert judge(table(swallowing, lost), links=links, **options)[1][5] == "merge"


def test_a_gap_over_a_frame_that_was_not_acquired_is_none():
    columns = table((1, [0, 2, 4], [9] * 3))
    assert judge(columns, missing=(1,))[1] == ["", "", "gap"]


def test_focus_rejects_and_lineage_is_noted_only():
    columns = table((1, range(5), [9] * 5), sharpness_ch_0=[4.0, 4.0, 1.0, 4.0, 4.0])
    links = {"cell": np.array([1, 2]), "frame": np.array([0, 5]), "parent": np.array([0, 1])}
    good, flags = judge(columns, links=links)
    assert good == [True, True, False, True, True]
    assert flags == ["lineage", "lineage", "focus;lineage", "lineage", "lineage"]


def test_verdict_per_cell():
    columns = table((1, [0, 1], [9, 9]), (2, [0, 1], [9, 9]), bbox_x0=[0, 40, 40, 40])
    assert judge(columns, verdict="row")[0] == [False, True, True, True]
    good, flags = judge(columns, verdict="cell")
    assert good == [False, False, True, True]
    assert flags[1] == "border"
