"""What the names of a TIFF series say."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovflow.errors import FovflowError
from fovflow.readers.locate import natural_key
from fovflow.readers.names import NameFields, detect_fields, match_pattern


def fields(*names: str) -> list[tuple[str, str, str, str]]:
    return [(f.position, f.time, f.channel, f.z) for f in detect_fields(names)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["20180101ef002xy01t01", "20180101ef002xy01t02"],
            [("xy01", "t01", "", ""), ("xy01", "t02", "", "")],
        ),
        (
            ["20180101xy01t01", "20180101xy02t01"],
            [("xy01", "", "", ""), ("xy02", "", "", "")],
        ),
        (
            ["img_s3_t001_c2", "img_s3_t002_c1"],
            [("", "t001", "c2", ""), ("", "t002", "c1", "")],
        ),
        (
            ["img_s3_t001_c2", "img_s4_t001_c2"],
            [("s3", "", "", ""), ("s4", "", "", "")],
        ),
        (
            ["pos_00/phase_001", "pos_01/phase_002"],
            [("pos_00", "", "", ""), ("pos_01", "", "", "")],
        ),
        (
            ["GFP/frame_10", "Phase/frame_9", "Phase/frame_10"],
            [
                ("", "frame_10", "GFP", ""),
                ("", "frame_9", "Phase", ""),
                ("", "frame_10", "Phase", ""),
            ],
        ),
        (
            ["GFP/gfp_1", "Phase/phase_1"],
            [("", "", "GFP", ""), ("", "", "Phase", "")],
        ),
        (["A1_t1", "B2_t1"], [("A1", "", "", ""), ("B2", "", "", "")]),
        (["ctrl/t1", "drug/t1"], [("ctrl", "", "", ""), ("drug", "", "", "")]),
        (
            ["scan_z1_ch00", "scan_z2_ch01"],
            [("", "", "ch00", "z1"), ("", "", "ch01", "z2")],
        ),
        (["a 7", "a 8"], [("", "a_7", "", ""), ("", "a_8", "", "")]),
        (
            ["pos_00/phase_001", "pos_00/phase_002", "pos_01/phase_001"],
            [
                ("pos_00", "phase_001", "", ""),
                ("pos_00", "phase_002", "", ""),
                ("pos_01", "phase_001", "", ""),
            ],
        ),
        (
            ["x_w1DAPI_s1_t1", "x_w2GFP_s1_t1"],
            [("", "", "w1DAPI", ""), ("", "", "w2GFP", "")],
        ),
    ],
)
def test_fields_told_from_names(names: list[str], expected: list[tuple[str, ...]]) -> None:
    assert fields(*names) == expected


@pytest.mark.parametrize(
    "names",
    [
        ["01_001", "02_001", "01_002", "02_002"],
        ["day1_001", "001"],
        ["t1_time1", "t2_time1", "t1_time2"],
        ["foo_1", "bar_1"],
        ["B2_1/t1", "B2_2/t1"],
        ["001/image", "002/image"],
        ["x1_t5", "x2_t5"],
        ["t01_5", "t02_5", "t01_6"],
    ],
)
def test_names_that_leave_a_choice(names: list[str]) -> None:
    with pytest.raises(FovflowError) as caught:
        detect_fields(names)
    assert "pattern" in str(caught.value.remedy)


def test_time_stamps_beside_numbers_are_ignored() -> None:
    found = fields("a_t1_20180101120000", "a_t2_20180101121003")
    assert [each[1] for each in found] == ["t1", "t2"]


@given(st.lists(st.text("abt019_ ", max_size=8), max_size=6))
def test_natural_key_orders_totally(texts: list[str]) -> None:
    keys = sorted(natural_key(text) for text in texts)
    assert all(a <= b for a, b in itertools.combinations(keys, 2))
    for text in texts:
        assert natural_key(text) == natural_key(text.upper())


@given(st.lists(st.integers(0, 10**6), min_size=2, unique=True))
def test_numbers_sort_as_numbers(numbers: list[int]) -> None:
    names = [f"img_{n}.tif" for n in numbers]
    assert sorted(names, key=natural_key) == [f"img_{n}.tif" for n in sorted(numbers)]


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("{position}_{time}.tif", "x/A_B_3.tif", NameFields("A", "B_3")),
        ("{channel}/*_{time}.tif", "r/GFP/any thing_12.tif", NameFields("", "12", "GFP")),
        ("{position}/{position}_t{time}.tif", "p1/p1_t4.tif", NameFields("p1", "4")),
        ("{position}/{position}_t{time}.tif", "p1/p2_t4.tif", None),
        ("t{time}z{z}.tif", "t1z22.tif", NameFields("", "1", "", "22")),
        ("t{time}z{z}.tif", "t1zx.tif", None),
        ("a+b[{time}].tif", "a+b[7].tif", NameFields("", "7")),
        ("{time}.tif", "a/b/t5.tif", NameFields("", "t5")),
    ],
)
def test_patterns(pattern: str, name: str, expected: NameFields | None) -> None:
    assert match_pattern([name], pattern) == [expected]


@given(
    st.text("abcXYZ0189 ä.+", min_size=1).filter(lambda text: "/" not in text),
    st.integers(0, 10**6),
)
def test_patterns_find_what_was_written(position: str, time: int) -> None:
    (found,) = match_pattern([f"{position}/img_{time:05d}.tif"], "{position}/img_{time}.tif")
    assert found == NameFields(position, f"{time:05d}")
