"""Rows in an unnamed file come back as they would from memory, and memory does not hold them."""

from __future__ import annotations

import errno
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fovflow import rowfile
from fovflow.features.extractor import MemoryRows
from fovflow.quality import judge, ledger, movie, rules, verdict
from fovflow.rowfile import RowFile
from fovflow.tables import read_csv, write_csv

DTYPES = {"cell": np.int64, "frame": np.int64, "value": np.float64, "time": np.float64}


def parts_of(keys, sizes):
    """Cut rows with these keys into parts of these sizes."""
    cell, frame = np.array(keys, np.int64).reshape(-1, 2).T
    value = np.where(cell % 3 == 0, np.nan, cell / 7 - frame)
    cuts = np.minimum(np.cumsum(sizes), cell.size)
    for rows in np.split(np.arange(cell.size), cuts):
        yield {
            "cell": cell[rows], "frame": frame[rows], "time": frame[rows] * 1.5,
            "value": value[rows], "not asked for": cell[rows],
        }  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    keys=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 30)), unique=True, max_size=60),
    sizes=st.lists(st.integers(0, 9), max_size=9),
    block=st.integers(1, 20),
    chunk=st.integers(1, 25),
)
def test_rows_come_back_as_from_memory_whatever_order_and_blocks(
    tmp_path_factory, keys, sizes, block, chunk
):
    beside = tmp_path_factory.getbasetemp() / "rows.csv"
    memory = MemoryRows()
    with RowFile(beside, block=block) as file:
        for part in parts_of(keys, sizes):
            memory.append(part)
            file.append(part)
        expected, found = memory.columns(DTYPES), file.columns(DTYPES)
        assert list(found) == list(expected) == list(DTYPES)
        for name, column in found.items():
            assert (column.size, len(column)) == (len(keys), len(keys))
            whole = np.asarray(column)
            assert whole.dtype == column.dtype == DTYPES[name]
            assert whole.tobytes() == expected[name].tobytes()
        for start in range(0, len(keys) + 2, chunk):  # column by column, as a table is written
            for name, column in found.items():
                rows = slice(start, start + chunk)
                assert column[rows].tobytes() == expected[name][rows].tobytes()


def test_a_table_of_it_is_the_same_file(tmp_path):
    keys = [(cell, frame) for frame in range(50) for cell in range(300, 0, -1)]
    memory, path = MemoryRows(), tmp_path / "rows.csv"
    with RowFile(path, block=4000) as file:
        for part in parts_of(keys, [300] * 50):
            memory.append(part)
            file.append(part)
        write_csv(path, file.columns(DTYPES))
    write_csv(tmp_path / "memory.csv", memory.columns(DTYPES))
    assert path.read_bytes() == (tmp_path / "memory.csv").read_bytes()
    assert read_csv(path)["frame"].tolist() == list(range(50)) * 300


def test_it_has_no_name_so_that_a_killed_process_leaves_nothing(tmp_path):
    (tmp_path / "kept.csv").write_text("x")
    with RowFile(tmp_path / "sub" / "rows.csv", block=1) as file:
        file.append(next(parts_of([(1, 1), (2, 1)], [])))
        assert list((tmp_path / "sub").iterdir()) == []


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    monkeypatch.setattr(rowfile, "unnamed_file", lambda _: Path("/dev/full").open("r+b"))  # noqa: SIM115
    keys = [(cell, 0) for cell in range(2000)]
    with pytest.raises(OSError, match="No space left") as caught, RowFile(tmp_path / "t") as file:
        file.append(next(parts_of(keys, [])))
        file.columns(DTYPES)
    assert caught.value.errno == errno.ENOSPC


def test_values_of_another_kind_are_refused(tmp_path):
    part = next(parts_of([(1, 1), (2, 1)], []))
    with RowFile(tmp_path / "t", block=1) as file:
        file.append({**part, "value": part["value"].astype(np.int64)})
        with pytest.raises(TypeError, match="safe"):
            file.append({**part, "value": np.array([0.5, 0.25])})


CELLS, FEATURES = 100, 12


def frame_rows(t):
    cell = np.arange(1, CELLS + 1)
    x, y = cell * 9.5 + np.sin(t / 9), cell * 7.25 + np.cos(t / 9)
    box = {f"bbox_{n}": v.astype(np.int64) for n, v in
           (("x0", x - 5), ("y0", y - 5), ("x1", x + 5), ("y1", y + 5))}  # fmt: skip
    features = {f"value_ch_{k}": x * k + t for k in range(FEATURES)}
    return {
        "cell": cell, "frame": np.full(CELLS, t), "position_x": x, "position_y": y, **box,
        "area_ch_0": 80 + (cell + t) % 5, "sharpness_ch_0": x / y, **features,
    }  # fmt: skip


def peaks_of_table(frames, path, rows):
    """Return peaks of memory (bytes) until a table is judged, and until it is written."""
    tracemalloc.start()
    try:
        for t in range(frames):
            rows.append(frame_rows(t))
        dtypes = {name: values.dtype for name, values in frame_rows(0).items()}
        links = {"cell": [1], "frame": [1], "iou": [0.5], "merged": [0]}
        table = judge(rows.columns(dtypes), shape=(frames, 1024, 1024), links=links)
        assert ledger(table)["rows"]["detected"] == frames * CELLS
        judged = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        write_csv(path, table)
        return np.array([judged, tracemalloc.get_traced_memory()[1]])
    finally:
        tracemalloc.stop()


def test_memory_hardly_grows_with_the_number_of_frames(tmp_path, monkeypatch):
    for module, name in (
        (rowfile, "_READ"), (rules, "_PART"), (movie, "_SOME"), (verdict, "_PART")
    ):  # fmt: skip
        monkeypatch.setattr(module, name, 2000)
    peaks = []
    for frames in (100, 300):
        with RowFile(tmp_path / "t.csv", block=2000) as rows:
            peaks.append(peaks_of_table(frames, tmp_path / "t.csv", rows))
    judged, written = (peaks[1] - peaks[0]) / (CELLS * 200)
    assert judged < 75, "bytes per row, for the columns that rules compare"
    assert written < 0.2 * 8 * len(frame_rows(0))
