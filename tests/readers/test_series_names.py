"""What the names of a TIFF series say."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovflow.errors import ConfigError, FovflowError
from fovflow.readers.clocks import frames_of
from fovflow.readers.locate import natural_key
from fovflow.readers.names import (
    NameFields,
    detect_fields,
    match_pattern,
    pattern_of,
    read_names,
)


def fields(*names: str) -> list[tuple[str, str, str, str]]:
    return [(f.position, f.time, f.channel, f.z) for f in detect_fields(names).fields if f]


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
        ["control/t1", "siGFP/t1"],
        ["region1", "region2"],
        ["wellA1", "wellA2"],
        [f"F{n}" for n in range(1, 31)],
        ["x_area 1", "x_area 2"],
        [f"C{n:02d}" for n in range(1, 13)],
        [f"w{n}" for n in range(1, 25)],
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
        ("{position}/{position}_t{time}.tif", "p1/p2_t4.tif", NameFields("p1_p2", "4")),
        ("{well}_s{site}_{time}.tif", "B02_s3_7.tif", NameFields("B02_3", "7")),
        ("{channel}{time}.tif", "gfp001.tif", NameFields("", "001", "gfp")),
        ("{position}_{time:d}.tif", "a_b_12.tif", NameFields("a_b", "12")),
        ("{position}_{time:d}.tif", "a_b12.tif", None),
        ("{ignore}_{time}[_old].tif", "x_3_old.tif", NameFields("", "3")),
        ("{ignore}_{time:d}[_old].tif", "x_3.tif", NameFields("", "3")),
        ("{time:%Y%m%d}/{time:%H%M}.tif", "20240131/2024.tif", NameFields("", "20240131_2024")),
        ("{time:elapsed}.tif", "01d02h30m.tif", NameFields("", "01d02h30m")),
        ("t{time}z{z}.tif", "t1z22.tif", NameFields("", "1", "", "22")),
        ("t{time}.tif", "t7.TIF", NameFields("", "7")),
        ("t{time}_GFP.tif", "t7_gfp.tif", None),
        ("Z\u00fcrich_{time}.tif", "Zu\u0308rich_7.tif", NameFields("", "7")),
        ("t{time}z{z}.tif", "t1zx.tif", None),
        ("a+b[{time}].tif", "a+b[7].tif", NameFields("", "7")),
        ("{time}.tif", "a/b/t5.tif", NameFields("", "t5")),
    ],
)
def test_patterns(pattern: str, name: str, expected: NameFields | None) -> None:
    assert match_pattern([name], pattern).fields == [expected]


@given(
    st.text("abcXYZ0189 ä.+", min_size=1).filter(lambda text: "/" not in text),
    st.integers(0, 10**6),
)
def test_patterns_find_what_was_written(position: str, time: int) -> None:
    names = [f"{position}/img_{time:05d}.tif"]
    (found,) = match_pattern(names, "{position}/img_{time}.tif").fields
    assert found == NameFields(position, f"{time:05d}")


@pytest.mark.parametrize(
    ("scheme", "name", "expected"),
    [
        ("Operetta", "r02c03f01p04-ch1sk5fk1fl1", ("r02c03_f01", "5", "ch1", "04")),
        ("Operetta", "Images/r16c24f09p01-ch3sk12fk1fl1", ("r16c24_f09", "12", "ch3", "01")),
        ("CQ1", "W0001F0002T0003Z004C5", ("W0001_F0002", "0003", "C5", "004")),
        ("CellVoyager", "W1F001T0001Z00C1", ("W1_F001", "0001", "C1", "00")),
        ("CV7000", "run_D08_T0001F002L01A03Z04C05", ("D08_F002", "0001", "C05", "04")),
        ("CV8000", "a_b_P24_T0010F001L01A01Z01C01", ("P24_F001", "0010", "C01", "01")),
        (
            "ImageXpress",
            "TimePoint_3/x_B02_s4_w2A1B2C3D4-0000-1111-2222-0123456789AB",
            ("B02_s4", "3", "w2", ""),
        ),
        ("Incucyte", "Phase_B4_2_2019y05m09d_12h30m", ("B4_2", "2019y05m09d_12h30m", "Phase", "")),
        ("Incucyte", "VID7_A12_1_01d02h30m", ("A12_1", "01d02h30m", "VID7", "")),
        ("Incucyte archive", "2405/05/2405/181/A1-2-Ph", ("181_A1_2", "2405_05_2405", "Ph", "")),
        (
            "Leica",
            "image--L0000--S00--U01--V02--J08--E00--O00--X03--Y04--T0005--Z06--C07",
            ("U01--V02_X03--Y04", "0005", "C07", "06"),
        ),
        ("Micro-Manager", "Pos0/img_000000012_GFP_003", ("Pos0", "000000012", "GFP", "003")),
        ("Gen5", "A1_01_2_7_Phase Contrast_003", ("A1_7", "003", "Phase Contrast", "")),
        ("Gen5", "ID_E10/E10_-1_1_1_Tsf[GFP 1,2]_001", ("E10_1", "001", "Tsf[GFP 1,2]", "")),
        ("Gen5", "A1ROI2_01_1_3Z4_Confocal RFP_001", ("A1_ROI2_3", "001", "Confocal RFP", "4")),
    ],
)
def test_naming_rules_of_microscopes(scheme: str, name: str, expected: tuple[str, ...]) -> None:
    found = read_names([name])
    assert scheme in found.scheme
    (each,) = found.fields
    assert each is not None
    assert (each.position, each.time, each.channel, each.z) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["r1c1f1_t1", "r1c2f1_t1"], [("c1", "", "", ""), ("c2", "", "", "")]),
        (["x_c1_ch1_t1", "x_c2_ch2_t1"], [("c1", "", "ch1", ""), ("c2", "", "ch2", "")]),
        (
            ["w1f1t1", "w1f2t1", "w2f1t2"],
            [("w1_f1", "t1", "", ""), ("w1_f2", "t1", "", ""), ("w2_f1", "t2", "", "")],
        ),
        (["C1_t1", "C2_t1"], [("", "", "C1", ""), ("", "", "C2", "")]),
        (
            ["phase1", "gfp1", "phase2"],
            [("", "1", "phase", ""), ("", "1", "gfp", ""), ("", "2", "phase", "")],
        ),
        (["p1/phase1", "p2/gfp1"], [("p1", "", "phase", ""), ("p2", "", "gfp", "")]),
        (["B02_t1", "B03_t1"], [("B02", "", "", ""), ("B03", "", "", "")]),
        (["time_point_1", "time_point_2"], [("", "point_1", "", ""), ("", "point_2", "", "")]),
        (["Time Point3 x", "Time Point4 x"], [("", "Point3", "", ""), ("", "Point4", "", "")]),
        (["t1_z_pos_3", "t2_z_pos_4"], [("", "t1", "", "pos_3"), ("", "t2", "", "pos_4")]),
        (["t1_zpos3", "t1_zpos4"], [("", "", "", "zpos3"), ("", "", "", "zpos4")]),
        (["s1_z step 3", "s1_z step 4"], [("", "", "", "step_3"), ("", "", "", "step_4")]),
        (
            ["pos 3_01", "pos 3_02", "pos 4_01"],
            [(f"pos_{p}", t, "", "") for p, t in ((3, "01"), (3, "02"), (4, "01"))],
        ),
        (["Time_1_s1", "Time_1_s2"], [("s1", "", "", ""), ("s2", "", "", "")]),
        (
            ["Cy3_1", "Cy5_1", "Cy3_2"],
            [("", t, c, "") for c, t in (("Cy3", "1"), ("Cy5", "1"), ("Cy3", "2"))],
        ),
        (["s1_Alexa488", "s1_Alexa561"], [("", "", "Alexa488", ""), ("", "", "Alexa561", "")]),
        (["t1_488nm", "t1_561nm"], [("", "", "488", ""), ("", "", "561", "")]),
        (["pos (1)", "pos (2)"], [("pos_1", "", "", ""), ("pos_2", "", "", "")]),
        (["XY[1]_T[5]", "XY[2]_T[6]"], [("XY_1", "T_5", "", ""), ("XY_2", "T_6", "", "")]),
        (["x_0.5h", "x_1h"], [("", "0.5h", "", ""), ("", "1h", "", "")]),
        (["x 0,25h", "x 0,50h"], [("", "0,25h", "", ""), ("", "0,50h", "", "")]),
        (["x.1.5min.s1", "x.3.0min.s1"], [("", "1.5min", "", ""), ("", "3.0min", "", "")]),
        (["x_v1.2_t1", "x_v1.2_t2"], [("", "t1", "", ""), ("", "t2", "", "")]),
        (["t1 (GFP)", "t1 (Phase)"], [("", "", "GFP", ""), ("", "", "Phase", "")]),
        (["mock/t1", "transfected/t1"], [("mock", "", "", ""), ("transfected", "", "", "")]),
        (["dish/t1", "transwell/t1"], [("dish", "", "", ""), ("transwell", "", "", "")]),
        (["Trans/t1", "Transmitted/t1"], [("", "", "Trans", ""), ("", "", "Transmitted", "")]),
        (["anaphase/t1", "prophase/t1"], [("anaphase", "", "", ""), ("prophase", "", "", "")]),
        (["Phase/t1", "calcein/t1"], [("", "", "Phase", ""), ("", "", "calcein", "")]),
    ],
)
def test_letters_and_words_decide_each_other(
    names: list[str], expected: list[tuple[str, ...]]
) -> None:
    assert fields(*names) == expected


def test_small_pictures_for_the_screen_are_left_out() -> None:
    mark = "A1B2C3D4-0000-1111-2222-0123456789AB"
    found = read_names([f"x_B02_s1_w1{mark}", f"x_B02_s1_w1_thumb{mark}"])
    assert [each is None for each in found.fields] == [False, True]


def test_folders_tell_apart_what_a_naming_rule_calls_alike() -> None:
    names = [f"{c}/x_A1_1_00d{h:02d}h00m" for c in ("Phase", "Green") for h in (0, 2)]
    found = read_names([*names, "Phase/dark"])
    assert "Incucyte" in found.scheme
    assert [each and (each.position, each.channel) for each in found.fields] == [
        *(("A1_1", channel) for channel in ("Phase", "Phase", "Green", "Green")),
        None,
    ]
    rows = [f"{p}/{c}_A1_1_00d00h00m" for p in ("ctrl", "drug") for c in ("Phase", "Green")]
    fields = [(each.position, each.channel) for each in read_names(rows).fields if each]
    assert fields == [(f"{p}_A1_1", c) for p in ("ctrl", "drug") for c in ("Phase", "Green")]
    with pytest.raises(FovflowError, match="not clear"):
        read_names([f"exp_{n}/Pos0/img_000000000_GFP_000" for n in (1, 2)])


def clock(start: int, step: int, n: int, skip: tuple[int, ...] = ()) -> list[str]:
    minutes = [start + step * i for i in range(n) if i not in skip]
    return [f"{m // 60 % 24:02d}{m % 60:02d}" for m in minutes]


@pytest.mark.parametrize("step", [1, 2, 5, 10, 15, 20, 30, 45])
@pytest.mark.parametrize("start", [0, 530, 600, 1390])
def test_clock_times_in_any_step_and_past_midnight(step: int, start: int) -> None:
    found = frames_of(clock(start, step, 24))
    assert found.frames == list(range(24))
    if (start % 60) + 24 * step > 60:  # else they are numbers in steps as well
        assert [found.seconds[t] for t in range(24)] == [60.0 * step * t for t in range(24)]


@pytest.mark.parametrize("late", [0, 2])
def test_times_of_day_all_round_the_clock_do_not_tell_the_first(late: int) -> None:
    texts = [*clock(0, 30, 47), f"23{30 + late}"]
    for form in (None, "%H%M") if not late else ("%H%M",):
        with pytest.raises(FovflowError, match=r"which comes first.*48 times.*\{time:d\}"):
            frames_of(texts, form)
    assert frames_of(texts, "d").frames == list(range(48))


def test_a_hole_in_clock_times_is_a_missing_frame() -> None:
    found = frames_of(clock(600, 10, 12, skip=(3, 7)))
    assert found.frames == [t for t in range(12) if t not in (3, 7)]
    assert found.seconds[11] == 6600


@pytest.mark.parametrize(
    ("texts", "frames", "last_s"),
    [
        (["20240131235000", "20240201000000", "20240201001000"], [0, 1, 2], 1200),
        (["202401312350", "202402010000", "202402010020"], [0, 1, 3], 1800),
        (["t2340", "t2350", "t0000", "t0020"], [0, 1, 2, 4], 2400),
        (["2024-01-31_23-50-00", "2024-02-01_00-00-00"], [0, 1], 600),
        (["00d01h30m", "00d02h00m", "00d03h00m"], [0, 1, 3], 5400),
        (["0h", "12h", "24h"], [0, 1, 2], 86400),
        (["2019y05m09d_23h30m", "2019y05m10d_00h00m"], [0, 1], 1800),
        (["0min", "5min", "15min"], [0, 1, 3], 900),
        (["0h", "0.5h", "1.5h"], [0, 1, 3], 5400),
        (["0,25h", "0,50h"], [0, 1], 900),
        (["20240131", "20240201", "20240203"], [0, 1, 3], 259200),
        (["240131235000", "240201000000", "240201001000"], [0, 1, 2], 1200),
        (["20240131100000", "20240131101000", "20240131102000"], [0, 1, 2], 1200),
    ],
)
def test_clocks_and_durations(texts: list[str], frames: list[int], last_s: float) -> None:
    found = frames_of(texts)
    assert found.frames == frames
    assert found.seconds[frames[-1]] == last_s


@pytest.mark.parametrize(
    ("texts", "frames"),
    [
        (["1", "2", "4"], [0, 1, 3]),
        (["0000", "0010", "0020"], [0, 1, 2]),
        (["t001", "t002"], [0, 1]),
        (["1", "1000", "1001"], [0, 1, 2]),
        (["a", "b", "b"], [0, 1, 1]),
        (["0001", "0002", "0004"], [0, 1, 3]),
        (["0000", "0010", "0030", "0040"], [0, 1, 3, 4]),
        (["000000", "000001", "000003"], [0, 1, 3]),
        (["20121015", "20121016", "20121018"], [0, 1, 3]),  # days, or hours of a day
        (["1701010600", "1701011200", "1701011800"], [0, 1, 2]),
    ],
)
def test_numbers_stay_numbers(texts: list[str], frames: list[int]) -> None:
    found = frames_of(texts)
    assert (found.frames, found.seconds) == (frames, {})


def test_a_form_of_the_times_that_does_not_fit_is_told() -> None:
    for form in ("elapsed", "%Y%m%d%H%M"):
        with pytest.raises(FovflowError, match="not of the form"):
            frames_of(["x1", "x2"], form)
    assert frames_of(["1000", "1001", "1010"], "d").seconds == {}


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["pos1_1000.tif", "pos1_1010.tif", "pos2_1000.tif"], "pos{position}_{time}.tif"),
        (["gfp001.tif", "phase001.tif", "phase002.tif"], "{channel}{time}.tif"),
        (["xy1t1.tif", "xy1t2.tif"], "xy1t{time}.tif"),
        (
            ["r02c03f01p01-ch1sk1fk1fl1.tiff", "r02c04f01p01-ch1sk2fk1fl1.tiff"],
            "{position}f{position}p01-ch1sk{time}fk1fl1.tiff",
        ),
        (
            ["Pos0/img_000000012_GFP_003.tif", "Pos1/img_000000013_GFP_003.tif"],
            "Pos{position}/img_{time}_GFP_003.tif",
        ),
    ],
)
def test_the_pattern_that_was_found(names: list[str], pattern: str) -> None:
    read = read_names([name.rpartition(".")[0] for name in names])
    assert pattern_of(names, read) == pattern


def test_no_pattern_is_shown_where_none_reads_the_names_alike() -> None:
    names = ["GFP/gfp_1.tif", "Phase/phase_1.tif"]
    assert pattern_of(names, read_names([name[:-4] for name in names])) == ""


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*a*a*a*a*a*a*a*a*a*a*{time}b", "a" * 250),
        ("{position}*{time}*{channel}*{z}*c", "1_" * 120),
        ("{position}_{position}_{time}_{channel}_{position}x", "_" * 250),
        ("{time}{time}{position}{position}{channel}{channel}b", "a" * 250),
        ("[{position}][{time}_][*_][*_][*_][*_][*_]b", "_" * 250),
        ("{time:elapsed}{position}b", "1a" * 120),
    ],
)
def test_no_pattern_of_a_series_takes_exponential_time(pattern, name):
    assert match_pattern([name], pattern).fields == [None]


def test_names_that_are_no_utf8_are_read_by_a_pattern():
    assert match_pattern(["\udcff_1.tif"], "{position}_{time}.tif").fields == [
        NameFields(position="\udcff", time="1")
    ]


@pytest.mark.parametrize("pattern", ["*.tif", "a.tif", "", "**/*"])
def test_a_pattern_without_fields_is_refused(pattern):
    with pytest.raises(ConfigError, match="it names no field"):
        match_pattern(["a.tif"], pattern)


def test_one_name_and_names_of_different_parts():
    assert detect_fields(["xy01_t2"]).fields == [NameFields(position="xy01")]
    with pytest.raises(FovflowError, match="found: 'a_t1' and 't2'"):
        detect_fields(["a_t1", "t2"])


@pytest.mark.parametrize("letter", ["a", "x", "r", "d", "e", "h"])
def test_a_single_letter_before_a_number_is_asked_about(letter: str) -> None:
    names = [f"img_{letter}1", f"img_{letter}2"]
    with pytest.raises(FovflowError, match=f"'{letter}1', '{letter}2'"):
        detect_fields(names)


def test_an_elapsed_time_that_all_names_share_is_no_time() -> None:
    names = [f"a_01d00h00m_s{site}" for site in (1, 2)]
    assert fields(*names) == [("s1", "", "", ""), ("s2", "", "", "")]


def test_many_channels_that_are_called_so_are_channels() -> None:
    assert len({each[2] for each in fields(*(f"t1_ch{c}" for c in range(1, 9)))}) == 8
