"""Times, units and sizes: the small rules that all readers share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovflow.errors import FovflowError
from fovflow.readers.base import (
    check_dtype,
    check_plane,
    check_sizes,
    choose_times,
    phase_times,
    worst_source,
)
from fovflow.units import to_s, to_um

PATH = Path("movie.nd2")


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("1.6E-06", "m", 1.6),
        (0.325, "µm", 0.325),
        (0.325, "μm", 0.325),
        (0.325, "\\u00B5m", 0.325),
        (0.325, "um", 0.325),
        (0.325, "micron", 0.325),
        (0.325, "Micrometers", 0.325),
        (325, "nm", 0.325),
        (325, "nanometre", 0.325),
        (1, "mm", 1000.0),
        (1, "inch", 25400.0),
        (1, "pixel", None),
        (1, "", None),
        (1, None, None),
        (None, "µm", None),
        ("x", "µm", None),
        ("nan", "µm", None),
        ("inf", "µm", None),
    ],
)
def test_lengths(value: float | str | None, unit: str | None, expected: float | None) -> None:
    assert to_um(value, unit) == expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (5, "min", 300.0),
        (5, "minutes", 300.0),
        (1.5, "h", 5400.0),
        (250, "ms", 0.25),
        (250, "milliseconds", 0.25),
        (1, "sec", 1.0),
        (1, "s", 1.0),
        (3, "µs", 3e-6),
        (1, "day", 86400.0),
        (1, "frame", None),
    ],
)
def test_times_in_units(value: float, unit: str, expected: float | None) -> None:
    assert to_s(value, unit) == expected


@given(st.floats(1e-4, 1e4))
def test_metres_and_micrometres_agree(value: float) -> None:
    assert to_um(repr(value), "µm") == value
    assert to_um(f"{value!r}", "mm") == pytest.approx(value * 1000)


def test_the_worst_source_counts() -> None:
    assert worst_source(["measured", "nominal"]) == "nominal"
    assert worst_source(["measured", "unknown", "nominal"]) == "unknown"
    assert worst_source([]) == "unknown"


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        ([(3, 10.0, 20.0)], [0, 10, 20]),
        ([(2, 10.0, 0.0), (2, 60.0, 0.0)], [0, 10, 20, 80]),
        ([(2, 10.0, 100.0), (2, 60.0, 0.0)], [0, 10, 100, 160]),
        ([(2, 10.0, 0.0), (1, 0.0, 0.0)], [0, 10, 20]),
        ([(1, 0.0, 0.0)], [0]),
        ([(2, 0.0, 50.0)], None),
        ([(1, 0.0, 0.0), (2, 5.0, 0.0)], None),
        ([], None),
    ],
)
def test_phases(phases: list[tuple[int, float, float]], expected: list[float] | None) -> None:
    found = phase_times(phases)
    assert (None if found is None else found.tolist()) == expected


def test_stamps_of_held_frames_must_all_be_there() -> None:
    held = np.array([[True, True, False], [True, True, True]])
    stamps = np.array([[1.0, 2.0, 0.0], [1.0, np.nan, 3.0]])
    first, second = choose_times(stamps, held, None)
    assert first.source == "measured"
    np.testing.assert_array_equal(first.seconds, [1, 2, np.nan])
    assert second.source == "unknown"


def test_equal_stamps_are_not_measurements() -> None:
    (found,) = choose_times(np.full((1, 3), 7.0), np.ones((1, 3), bool), np.arange(3.0))
    assert found.source == "nominal"


def test_the_first_of_single_frames_may_be_at_zero() -> None:
    found = choose_times(np.array([[0.0], [2.5]]), np.ones((2, 1), bool), None)
    assert [each.source for each in found] == ["measured", "measured"]


def test_types() -> None:
    assert check_dtype(PATH, ">u2") == "uint16"
    for dtype in ("uint8", "uint16", "float32"):
        assert check_dtype(PATH, dtype) == dtype
    for dtype in ("bool", "int8", "int16", "uint32", "int64", "float16", "float64"):
        with pytest.raises(FovflowError, match="unsupported type"):
            check_dtype(PATH, dtype)


def test_planes_must_fit_the_file() -> None:
    assert check_plane(PATH, (100, 100), "uint16", 20_000) == 20_000
    assert check_plane(PATH, (100, 100), "uint16", 100, "deflate") == 20_000
    for shape, stored, kind in [
        ((100, 100), 19_999, None),
        ((2000, 2000), 100, "deflate"),
        ((2**16, 2**16), 2**40, None),
        ((0, 100), 10**6, None),
        ((-5, 100), 10**6, None),
    ]:
        with pytest.raises(FovflowError, match="cannot hold"):
            check_plane(PATH, shape, "uint16", stored, kind)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"T": 0}, "no images"),
        ({"P": -1}, "no images"),
        ({"T": 3_000_000}, "absurd"),
        ({"C": 300}, "absurd"),
        ({"Z": 60_000_000}, "absurd"),
        ({"P": 2_000, "T": 1_001}, "absurd"),
    ],
)
def test_numbers_of_planes(sizes: dict[str, int], message: str) -> None:
    good = {"P": 1, "T": 1, "C": 1, "Z": 1}
    check_sizes(PATH, good)
    check_sizes(PATH, good | {"P": 300, "T": 1000, "C": 4})
    with pytest.raises(FovflowError, match=message):
        check_sizes(PATH, good | sizes)
