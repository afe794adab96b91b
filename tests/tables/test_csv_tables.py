"""CSV tables: what is written reads back; what is garbage is refused with a sentence."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fovflow.errors import FovflowError
from fovflow.tables import read_csv, write_csv

NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
SIZES = st.integers(0, 6)


@st.composite
def tables(draw):
    rows = draw(SIZES)
    columns, kinds = {}, {}
    for name in draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)):
        kind = draw(st.sampled_from([bool, int, float, str]))
        values = {
            bool: st.booleans(),
            int: st.integers(-(2**63), 2**63 - 1),
            float: st.floats(allow_nan=True, width=64),
            str: TEXT,
        }[kind]
        drawn = draw(st.lists(values, min_size=rows, max_size=rows))
        columns[name] = np.array(
            drawn, {bool: bool, int: np.int64, float: float, str: object}[kind]
        )
        kinds[name] = kind
    return columns, kinds


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tables())
def test_round_trip_is_exact(tmp_path, drawn):
    columns, kinds = drawn
    write_csv(tmp_path / "table.csv", columns)
    back = read_csv(tmp_path / "table.csv", kinds=kinds)
    assert list(back) == list(columns)
    for name, values in columns.items():
        assert back[name].dtype == values.dtype
        if values.dtype.kind == "f":
            assert back[name].tobytes() == np.where(np.isnan(values), np.nan, values).tobytes()
        else:
            assert back[name].tolist() == values.tolist()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tables())
def test_the_csv_module_reads_the_same_text(tmp_path, drawn):
    columns, _ = drawn
    write_csv(tmp_path / "table.csv", columns)
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, strict=True))
    assert rows[0] == list(columns)
    assert len(rows) == 1 + len(next(iter(columns.values())))
    for i, name in enumerate(columns):
        if columns[name].dtype == object:
            assert [row[i] for row in rows[1:]] == columns[name].tolist()


def test_text_of_the_file(tmp_path):
    path = tmp_path / "t.csv"
    write_csv(
        path,
        {
            "cell": np.array([1, 60000], np.uint16),
            "good": np.array([True, False]),
            "time": np.array([0.1, np.nan]),
            "small": np.array([0.1, -np.inf], np.float32),
            "flags": ["", "border;gap"],
            "name": ['a "b", c', None],
        },
    )
    assert path.read_bytes() == (
        b"cell,good,time,small,flags,name\n"
        b'1,True,0.1,0.10000000149011612,,"a ""b"", c"\n60000,False,,-inf,border;gap,\n'
    )
    path.write_bytes(b"# Time units: min\n" + path.read_bytes())
    assert read_csv(path)["flags"].tolist() == ["", "border;gap"]


def test_header_only_table_keeps_kinds(tmp_path):
    path = tmp_path / "empty.csv"
    write_csv(path, {"cell": np.zeros(0, int), "area": np.zeros(0), "flags": np.zeros(0, object)})
    assert path.read_bytes() == b"cell,area,flags\n"
    back = read_csv(path)
    assert [back[name].dtype for name in back] == [np.int64, np.float64, np.dtype(object)]
    assert all(values.size == 0 for values in back.values())


def test_kinds_are_inferred_over_the_whole_column(tmp_path):
    n = 20_000
    values = {
        "int_then_float": ["1"] * n + ["1.5"],
        "float_then_empty": ["1.5"] + [""] * n,
        "int_then_text": ["7"] * n + ["x"],
        "bool_then_int": ["True"] * n + ["7"],
        "zeros": ["007"] + ["1"] * n,
        "big": [str(2**63)] * (n + 1),
    }
    write_csv(tmp_path / "t.csv", {k: np.array(v, object) for k, v in values.items()})
    back = read_csv(tmp_path / "t.csv", kinds={})
    assert back["int_then_float"].dtype == np.float64
    assert math.isnan(back["float_then_empty"][-1])
    assert back["float_then_empty"][0] == 1.5
    for name in ("int_then_text", "bool_then_int", "zeros", "big"):
        assert back[name].tolist() == values[name]


def test_pandas_reads_the_same_numbers(tmp_path):
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    values = rng.normal(size=1000) * 10.0 ** rng.integers(-300, 300, 1000)
    write_csv(tmp_path / "t.csv", {"v": values, "good": values > 0, "name": ["a,b"] * 1000})
    frame = pandas.read_csv(tmp_path / "t.csv")
    np.testing.assert_allclose(frame["v"].to_numpy(), values, rtol=1e-14)
    assert frame["good"].dtype == bool
    assert frame["name"][0] == "a,b"


def test_windows_line_ends_mark_and_blank_lines(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfcell,v\r\n1,2.5\r\n\r\n2,\r\n")
    back = read_csv(tmp_path / "t.csv")
    assert back["cell"].tolist() == [1, 2]
    assert back["v"][0] == 2.5


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty file"),
        (b"# only\n", "empty file"),
        (b"a,b\n1,2\n3\n", "line 3"),
        (b"# c\na,b\n1,2,3\n", "line 3"),
        (b"a,a\n1,2\n", "two columns of one name"),
        (b'a\n"x\n', "not a readable table"),
        (b"a\n\xff\xfe\n", "not a readable table"),
    ],
)
def test_garbage_is_refused(tmp_path, content, words):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(FovflowError, match=words):
        read_csv(tmp_path / "t.csv")


def test_missing_file_and_wrong_columns(tmp_path):
    with pytest.raises(FovflowError, match="cannot open"):
        read_csv(tmp_path / "absent.csv")
    for columns in ({}, {"a": [1], "b": [1, 2]}, {"a": [[1]]}, {"a": [1j]}, {"a": [object()]}):
        with pytest.raises(ValueError):
            write_csv(tmp_path / "t.csv", columns)
    assert list(Path(tmp_path).iterdir()) == []


def test_columns_that_are_not_wanted_are_left_out(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,c\n1,x,2.5\n2,,3\n")
    found = read_csv(path, columns=lambda name: name != "b")
    assert list(found) == ["a", "c"]
    np.testing.assert_array_equal(found["a"], [1, 2])
    np.testing.assert_array_equal(found["c"], [2.5, 3.0])
    assert read_csv(path, columns=lambda name: False) == {}
    path.write_text("a,b\n1\n")
    with pytest.raises(FovflowError, match="line 2: not as many fields"):
        read_csv(path, columns=lambda name: name == "a")


def test_booleans_that_other_programs_saved(tmp_path):
    path = tmp_path / "traces.csv"
    for words in ("TRUE,FALSE", "true,false", "1,0", "T,F", "yes,no"):
        path.write_text("cell,good\n1,{}\n2,{}\n".format(*words.split(",")))
        assert read_csv(path)["good"].tolist() == [True, False], words
    for word in ("", "maybe"):
        path.write_text(f"cell,good\n1,True\n2,{word}\n")
        with pytest.raises(FovflowError, match="the column good is neither true nor false"):
            read_csv(path)
