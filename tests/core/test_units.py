"""Ranges, as users write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovflow.errors import ConfigError
from fovflow.units import format_ranges, parse_ranges


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0-5, 7, 9-11", (0, 1, 2, 3, 4, 5, 7, 9, 10, 11)),
        ("3", (3,)),
        (4, (4,)),
        ("2-2", (2,)),
        ("5,1,5", (1, 5)),
        (" 0 - 1 ", (0, 1)),
    ],
)
def test_ranges_are_inclusive_sorted_and_distinct(text, expected):
    assert parse_ranges(text) == expected


@pytest.mark.parametrize(
    "text", ["", "-1", "3-", "5-2", "a", "1;2", "1.5", "1--2", "0-99999999999"]
)
def test_wrong_ranges_are_named(text):
    with pytest.raises(ConfigError, match="fovs: "):
        parse_ranges(text)


@given(st.sets(st.integers(0, 400), min_size=1))
def test_formatting_is_the_inverse_of_parsing(indices):
    assert parse_ranges(format_ranges(sorted(indices))) == tuple(sorted(indices))
