"""A person's verdicts count for the traces that they were made of, and for no others."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pandas as pd
import pytest

from fovflow.atomic import digest_of
from fovflow.cli import main
from fovflow.errors import FovflowError
from fovflow.records import write_yaml
from fovflow.results import load_results
from fovflow.tables import read_csv, write_csv
from fovflow.verdicts import (
    carry_over,
    find_verdicts,
    judged,
    read_traces,
    read_verdicts,
    traces_of,
    write_verdicts,
)

CELLS, FRAMES = 3, 4


def table(shift: float = 0.0, cells=(1, 2, 3), level: float = 5.0, frames: int = FRAMES):
    """Traces of cells that stand 40 pixels apart; the k-th is called cells[k]."""
    rows = [(k, c, t) for k, c in enumerate(cells) for t in range(frames)]
    rows.sort(key=lambda row: (row[1], row[2]))
    return {
        "fov": np.zeros(len(rows), int),
        "cell": np.array([c for _, c, _ in rows]),
        "frame": np.array([t for *_, t in rows]),
        "time": np.array([10.0 * t for *_, t in rows]),
        "good": np.ones(len(rows), bool),
        "position_x": np.array([20.0 + 40 * k + shift for k, _, _ in rows]),
        "position_y": np.array([30.0 for _ in rows]),
        "area_ch_0": np.full(len(rows), 314),
        "intensity_total_ch_1": np.array([level + k + 0.1 * t for k, _, t in rows]),
        "flags": np.array([""] * len(rows), dtype=object),
    }


@pytest.fixture
def folder(tmp_path):
    """A dataset of one FOV with traces."""
    place = tmp_path / "results" / "plate"
    traces = place / "fov_000" / "plate_fov_000_traces.csv"
    write_csv(traces, table())
    name = traces.relative_to(place).as_posix()
    content = {
        "dataset": "plate",
        "channels": {"pc": 0, "fl": [1]},
        "time_units": "min",
        "results_paths": {"0": {"traces_csv": [[1, name]]}},
        "fovs": {"0": {"status": "complete"}},
    }
    write_yaml(place / "processing_results.yaml", content)
    return place


@pytest.fixture
def traces(folder):
    return folder / "fov_000" / "plate_fov_000_traces.csv"


def beside(traces):
    return traces.with_name("plate_fov_000_traces_inspected.csv")


def rejected(columns, cell=2):
    return {**columns, "good": columns["cell"] != cell}


def good_of(folder):
    found = load_results(folder).traces()
    return {cell: set(rows) for cell, rows in found.groupby("cell")["good"]}


def test_verdicts_that_name_their_traces_count_until_these_are_others(folder, traces):
    path = write_verdicts(traces, rejected(table()))
    first = path.read_text().splitlines()[0]
    assert first == f"# of the traces with SHA-256 {digest_of(traces).sha256}"
    assert find_verdicts(traces) == (path, "")
    assert good_of(folder) == {1: {True}, 2: {False}, 3: {True}}
    write_csv(traces, table(level=6.0))
    _, reason = find_verdicts(traces)
    assert reason.startswith("made from other traces (SHA-256 ")
    with pytest.warns(UserWarning, match=r"plate/fov_000: .* are not used: made from other traces"):
        assert load_results(folder).traces()["good"].all()
    assert load_results(folder).fovs[0].traces_path == traces
    assert load_results(folder).fovs[0].stale_verdicts == reason


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (table(), ""),
        (table(level=5.0000001), ""),
        (table(level=5.1), "intensity_total_ch_1 differs in 12 of 12 rows"),
        (table(shift=0.5), "position_x differs"),
        (table(cells=(1, 2, 4)), "these have no cell 3 in frame 0"),
        (table(frames=3), "these have no cell 1 in frame 3"),
        (table(frames=5), ""),
    ],
    ids=["same", "rounded", "other values", "other places", "other cells", "fewer", "more"],
)
def test_the_content_decides_where_verdicts_name_nothing(traces, new, reason):
    write_csv(beside(traces), rejected(table()))
    write_csv(traces, new)
    found = find_verdicts(traces)[1]
    assert (reason in found) if reason else not found


def test_a_table_of_cells_and_verdicts_keeps_all_columns_of_the_traces(folder, traces):
    beside(traces).write_text("cell,good\n2,False\n")
    found = load_results(folder).fovs[0].traces()
    plain = pd.read_csv(traces)
    assert list(found.columns) == list(plain.columns)
    assert found["good"].tolist() == (plain["cell"] != 2).tolist()
    assert found["good"].dtype == bool
    pd.testing.assert_frame_equal(found.drop(columns="good"), plain.drop(columns="good"))
    kept = read_traces(beside(traces), columns=lambda name: name in ("cell", "good"))
    assert set(kept) == {"cell", "frame", "good"}
    assert int(kept["good"].sum()) == 8


def test_a_table_of_cells_that_is_older_than_the_traces_is_not_believed(traces):
    beside(traces).write_text("cell,good\n2,False\n")
    os.utime(beside(traces), ns=(1, traces.stat().st_mtime_ns))
    assert find_verdicts(traces)[1] == ""
    os.utime(beside(traces), ns=(1, traces.stat().st_mtime_ns - 1))
    reason = find_verdicts(traces)[1]
    line = f"# of the traces with SHA-256 {digest_of(traces).sha256}"
    assert reason.endswith(f"put this line before their header: {line}")
    beside(traces).write_text(f"{line}\ncell,good\n2,False\n")
    os.utime(beside(traces), ns=(1, 1))
    assert find_verdicts(traces)[1] == ""
    beside(traces).write_text("cell,good\n7,False\n")
    assert find_verdicts(traces)[1] == "made from other traces: these have no cell 7"


def test_a_table_without_values_needs_the_same_frames(traces):
    columns = table()
    short = {name: columns[name] for name in ("fov", "cell", "frame", "time", "good")}
    write_csv(beside(traces), {name: values[:4] for name, values in short.items()})
    assert find_verdicts(traces)[1] == ""
    write_csv(beside(traces), {name: values[:3] for name, values in short.items()})
    assert find_verdicts(traces)[1] == "made from other traces: cell 1 has other frames in these"


def test_rows_that_a_person_took_out_are_out_and_new_columns_stay(folder, traces):
    columns = {name: values[:6] for name, values in rejected(table(), 1).items()}
    columns["note"] = np.array(["dying", *[""] * 5], dtype=object)
    write_csv(beside(traces), columns)
    found = load_results(folder).fovs[0].traces()
    assert len(found) == 6
    assert found["note"].iloc[0] == "dying"
    assert found["good"].tolist() == [False] * 4 + [True] * 2
    assert pickle.loads(pickle.dumps(load_results(folder).fovs[0])).traces_path == beside(traces)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is an empty file"),
        ("a,good\n1,True\n", "has no column cell"),
        ("cell;good\n1;True\n", "has no column cell"),
        ("cell,good\n1.5,True\n", "has no whole numbers"),
        ("cell,good\n1,perhaps\n", "neither true nor false; found: 'perhaps'"),
        ("cell,good\n1,True\n1,False\n", "judges the same cell twice"),
        ("cell,good\n1\n", "not as many fields"),
    ],
)
def test_what_is_no_table_of_verdicts_is_told_and_not_used(folder, traces, text, words):
    beside(traces).write_text(text)
    assert words in find_verdicts(traces)[1]
    with pytest.warns(UserWarning, match="are not used: they cannot be read"):
        assert len(load_results(folder).traces()) == 12


def test_spellings_of_true_and_false(tmp_path):
    path = tmp_path / "v.csv"
    path.write_bytes(b"\xef\xbb\xbfcell,good\r\n1,TRUE\r\n2,FALSE\r\n")
    assert read_verdicts(path)["good"].tolist() == [True, False]
    path.write_text("cell,good\n1,1\n2,0\n")
    assert read_verdicts(path)["good"].tolist() == [True, False]


def test_no_cells_and_no_verdicts(traces):
    empty = {name: values[:0] for name, values in table().items()}
    write_csv(traces, empty)
    write_csv(beside(traces), empty)
    assert find_verdicts(traces)[1] == ""
    assert len(read_traces(beside(traces))["cell"]) == 0
    write_csv(traces, table())
    assert len(judged(table(), read_verdicts(beside(traces)))["cell"]) == 0
    beside(traces).unlink()
    assert find_verdicts(traces) == (None, "")
    assert traces_of(beside(traces)) == traces
    assert traces_of(traces) == traces


def test_stale_verdicts_are_carried_over_to_the_cells_in_the_same_places(folder, traces, capsys):
    write_csv(beside(traces), rejected(table(), 2))
    write_csv(traces, table(shift=3.0, cells=(7, 5, 4), level=9.0))
    assert main(["verdicts", str(folder)]) == 1
    assert "plate/fov_000: not used: made from other traces" in capsys.readouterr().out
    assert main(["verdicts", str(folder.parent), "--carry-over"]) == 0
    assert capsys.readouterr().out == "plate/fov_000: verdicts on 3 cells were carried over\n"
    assert good_of(folder) == {7: {True}, 5: {False}, 4: {True}}
    assert load_results(folder).fovs[0].traces()["intensity_total_ch_1"].min() == 9.0
    old = beside(traces).with_name("plate_fov_000_traces_inspected_1.csv")
    assert read_csv(old)["cell"].tolist() == table()["cell"].tolist(), "the old file is kept"
    assert main(["verdicts", str(folder)]) == 0
    assert capsys.readouterr().out == "plate/fov_000: used\n"


def test_cells_without_a_counterpart_are_told(folder, traces, capsys):
    write_csv(beside(traces), rejected(table(), 2))
    moved = table(cells=(1, 2, 3))
    moved["position_x"][moved["cell"] == 2] += 15.0  # further than its radius of ten
    write_csv(traces, moved)
    assert main(["verdicts", str(folder), "--carry-over"]) == 0
    assert capsys.readouterr().out == (
        "plate/fov_000: verdicts on 2 cells were carried over; judged cells without a "
        "counterpart: 2; cells with the automatic verdict: 2\n"
    )
    assert good_of(folder) == {1: {True}, 2: {True}, 3: {True}}


def test_verdicts_on_rows_go_to_the_same_frames_and_those_on_cells_to_all(traces):
    columns = table()
    columns["good"] = ~((columns["cell"] == 1) & (columns["frame"] == 2)) & (columns["cell"] != 3)
    write_csv(beside(traces), columns)
    write_csv(traces, table(level=8.0, frames=5))
    assert carry_over(traces).cells == {1: 1, 2: 2, 3: 3}
    found = read_traces(beside(traces))
    good = {c: found["good"][found["cell"] == c].tolist() for c in (1, 2, 3)}
    assert good == {1: [True, True, False, True, True], 2: [True] * 5, 3: [False] * 5}


def moving(frames, cells=12):
    """Traces of cells that move by two pixels a frame."""
    columns = table(cells=tuple(range(1, cells + 1)), frames=frames)
    columns["position_x"] = columns["position_x"] + 2.0 * columns["frame"]
    columns["position_y"] = columns["position_y"] + 7.0 * (columns["cell"] * 37 % 11)
    return columns


@pytest.mark.parametrize("offset", [0, 40, 96])
@pytest.mark.parametrize("change", ["the first frames are left out", "the interval is another"])
def test_verdicts_follow_the_raw_frames_and_another_crop(traces, change, offset):
    before = moving(8)
    before["good"] = ~((before["cell"] == 5) & (before["frame"] < 5))
    write_csv(beside(traces), before)
    after, dropped = moving(8), 0
    if change == "the interval is another":
        after["time"] = 2 * after["time"]
    else:
        dropped = 3
        after = {name: values[after["frame"] >= dropped] for name, values in after.items()}
        after["frame"] = after["frame"] - dropped
    after["position_x"] = after["position_x"] - offset
    after["intensity_total_ch_1"] = after["intensity_total_ch_1"] + 1
    write_csv(traces, after)
    assert carry_over(traces).cells == {cell: cell for cell in range(1, 13)}
    found = read_traces(beside(traces))
    assert found["good"][found["cell"] != 5].all()
    wrong = found["frame"][(found["cell"] == 5) & ~found["good"]]
    assert wrong.tolist() == list(range(5 - dropped))


def test_a_cell_must_be_found_again_in_more_than_half_of_the_frames(traces):
    write_csv(beside(traces), rejected(table(), 1))
    for away, expected in ((1, {1: 1}), (2, {})):
        moved = table(level=8.0)
        moved["position_y"][(moved["cell"] == 1) & (moved["frame"] < away)] += 60
        write_csv(traces, moved)
        found = carry_over(traces)
        assert {a: b for a, b in found.cells.items() if a == 1} == expected
        for path in traces.parent.glob("*_inspected*"):
            path.unlink()
        write_csv(beside(traces), rejected(table(), 1))


def test_the_size_of_a_cell_comes_from_its_area_or_its_box(traces):
    plain = {n: v for n, v in rejected(table(), 1).items() if n != "area_ch_0"}
    box = {f"bbox_{a}{i}": np.full(12, 40 * i) for a in "xy" for i in (0, 1)}
    write_csv(traces, table(shift=15.0, level=8.0))
    for columns, count in ((plain, 0), ({**plain, **box}, 3), ({**box, **table()}, 0)):
        write_csv(beside(traces), columns)
        assert len(carry_over(traces).cells) == count


def test_verdicts_without_positions_cannot_be_carried_over(folder, traces, capsys):
    beside(traces).write_text("cell,good\n9,False\n")
    with pytest.raises(FovflowError, match="no columns frame, position_x, position_y"):
        carry_over(traces)
    assert main(["verdicts", str(folder), "--carry-over"]) == 1
    assert "cannot be carried over" in capsys.readouterr().out
    assert beside(traces).read_text() == "cell,good\n9,False\n"


@pytest.mark.parametrize("options", [[], ["--carry-over"]])
def test_verdicts_whose_traces_are_gone_are_listed(folder, traces, capsys, options):
    write_csv(beside(traces), rejected(table(), 2))
    before = beside(traces).read_bytes()
    traces.unlink()
    assert main(["verdicts", str(folder), *options]) == 1
    told = "plate/fov_000: not used: the traces are not there\n"
    assert capsys.readouterr().out == told
    assert beside(traces).read_bytes() == before


def test_status_and_the_report_tell_of_stale_verdicts(folder, traces, capsys, monkeypatch):
    monkeypatch.chdir(folder.parent.parent)
    write_csv(beside(traces), rejected(table()))
    assert main(["status", "results"]) == 0
    assert "verdicts" not in capsys.readouterr().out
    write_csv(traces, table(level=8.0))
    assert main(["status", "results"]) == 0, "nothing of the pipeline's own is out of date"
    assert "FOV 0: a person's verdicts are not used: made from" in capsys.readouterr().out
    assert main(["report", "results"]) == 0
    assert "verdicts are not used" in (folder.parent / "report.html").read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cell,good\n1,False\n2,\n", "neither true nor false"),
        ("cell,remark\n1,dim\n", "has no column good"),
    ],
)
def test_verdicts_that_say_nothing_are_told_and_cost_no_rows(traces, folder, text, words):
    beside(traces).write_text(text)
    assert words in find_verdicts(traces)[1]
    with pytest.warns(UserWarning, match=words):
        found = load_results(folder).traces()
    assert len(found) == CELLS * FRAMES
    assert found["good"].all()


def test_blanks_around_the_names_of_columns_do_not_matter(traces, folder):
    beside(traces).write_text("cell, good\n2, False\n")
    found = load_results(folder).traces()
    assert found.loc[~found["good"], "cell"].unique().tolist() == [2]


@pytest.mark.parametrize(
    "text", [b"cell,good,who\n1,True,J\xfcrgen\n", b"", b"cell,good\n1,True,x\n"]
)
def test_a_persons_file_that_cannot_be_read_is_to_be_saved_anew_and_never_deleted(tmp_path, text):
    path = tmp_path / "plate_fov_000_traces_inspected.csv"
    path.write_bytes(text)
    with pytest.raises(FovflowError, match="to do: save it as a CSV in UTF-8") as caught:
        read_verdicts(path)
    assert "delete" not in str(caught.value)
