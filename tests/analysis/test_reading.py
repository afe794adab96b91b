"""Analysis CSVs of this program and of others."""

from __future__ import annotations

import numpy as np
import pytest

import fovflow
from fovflow.errors import FovflowError

TIDY = "time,fov,cell,value\n0,0,1,5\n30,0,1,6.5\n"


@pytest.fixture
def read(tmp_path):
    """Read a text as an analysis CSV."""

    def read(text: str, **options):
        path = tmp_path / "table.csv"
        path.write_bytes(text.encode())
        return fovflow.read_analysis(path, **options)

    return read


@pytest.mark.parametrize(
    ("line", "hours"),
    [("# Time units: min\n", 0.5), ("#time unit: S\r\n", 30 / 3600), ("# Time units: hours\n", 30)],
)
def test_the_unit_of_times_is_read(read, line, hours, capsys):
    assert read(line + TIDY).to_dict("list") == {
        "time": [0.0, hours], "fov": [0, 0], "cell": [1, 1], "value": [5.0, 6.5],
    }  # fmt: skip
    assert not capsys.readouterr().err


def test_without_a_unit_times_are_hours_and_it_is_said(read, capsys):
    assert read(TIDY).time.tolist() == [0, 30]
    assert "no line '# Time units: …': times are taken as hours" in capsys.readouterr().err
    assert read(TIDY, time_units="min").time.tolist() == [0, 0.5]


def test_a_wide_table(read):
    table = read("# Time units: h\ntime,fov_000_cell_7,fov_012_cell_3\n0,1,2\n1,,4\n\n")
    assert table.fov.tolist() == [0, 0, 12, 12]
    assert table.cell.tolist() == [7, 7, 3, 3]
    np.testing.assert_array_equal(table.value, [1, np.nan, 2, 4])


def test_names_with_commas_and_without_numbers(read):
    table = read('# Time units: h\n"Time (h)","A, 1 nM","B, 2 nM"\n0,1,2\n1,3,NA\n')
    assert table.fov.tolist() == [0] * 4
    assert table.cell.tolist() == [1, 1, 2, 2]
    np.testing.assert_array_equal(table.value, [1, 3, 2, np.nan])


def test_further_columns_other_cases_and_words(read):
    table = read('Cell,Value,Sample,Time,FOV\ncell 2,3,"a, b",1,fov_003\n', time_units="h")
    assert table.to_dict("list") == {"time": [1.0], "fov": [3], "cell": [2], "value": [3.0]}


def test_rows_are_sorted_and_numbers_exact(read):
    value = 0.1 + 0.2
    table = read(f"time,fov,cell,value\n2,1,1,{value!r}\n1,1,1,1\n5,0,9,2\n", time_units="h")
    assert table.time.tolist() == [5, 1, 2]
    assert table.value[2] == value


def test_a_table_without_rows(read):
    table = read("time,fov,cell,value\n", time_units="h")
    assert (len(table), table.cell.dtype, table.value.dtype) == (0, np.int64, np.float64)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty file"),
        ("time\n1\n", "lacks columns of an analysis CSV; found: time"),
        ("time,fov,cell,intensity\n", "found: time, fov, cell, intensity"),
        ("sample,dataset\na,b\n", "lacks columns of an analysis CSV"),
        ("time,value\n1,2\n", "lacks cell, fov of an analysis CSV; found: time, value"),
        (",time,fov_0_cell_1\n0,0,5\n1,30,6\n", "not in its first column; found: , time"),
        ("time,A, 1 nM\n1,2\n", "line 2: not as many fields as the header.*double quotes"),
        ("time,a,a\n1,2,3\n", "two columns of one name; found: a"),
        (TIDY + "30,0,1,7\n", "two values at one time; found: FOV 0, cell 1 at 30 h"),
        (TIDY + "40,0,1,x\n", "not a number in row 3 of the column value; found: 'x'"),
        (TIDY + ",0,1,7\n", "not a number in row 3 of the column time"),
        (TIDY + "40,left,1,7\n", "not a number in row 3 of the column fov; found: 'left'"),
        ("# Time units: fortnight\n" + TIDY, "unknown unit of times; found: fortnight"),
        ("time,fov,cell,value\n0,0,1,\x00\n", "not a number"),
        (TIDY + "40,0,1.5,7\n", "not a whole number in row 3 of the column cell; found: '1.5'"),
        (TIDY + "40,inf,1,7\n", "not a whole number in row 3 of the column fov; found: 'inf'"),
        (TIDY + ",,,\n", "not a number in row 3 of the column time; found: ''"),
        ("time;fov;cell;value\n0;0;1;2\n", "to do: .*separated by commas"),
        ("time;fov;cell;value\n0,5;0;1;2,5\n", "separated by commas.*decimal points"),
    ],
)
def test_what_is_no_analysis_csv(read, text, expected):
    with pytest.raises(FovflowError, match=f"table.csv.*{expected}"):
        read(text)


def test_a_missing_file():
    with pytest.raises(FovflowError, match=r"cannot open nowhere\.csv"):
        fovflow.read_analysis("nowhere.csv")


@pytest.mark.parametrize("text", ["# Zeit µ\ntime,fov,cell,value\n", "time (µs),a\n0,1\n"])
def test_a_table_in_another_encoding_is_to_be_saved_anew_and_never_deleted(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(FovflowError, match=r"not UTF-8.*\(byte 0xb5\).*in UTF-8") as caught:
        fovflow.read_analysis(path)
    assert "delete" not in str(caught.value)
