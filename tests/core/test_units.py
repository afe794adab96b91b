"""Ranges, as users write them."""

from __future__ import annotations

from contextlib import suppress

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


spans = st.tuples(st.integers(0, 300), st.integers(0, 40))


@given(st.lists(spans, min_size=1, max_size=8), st.sampled_from(["", " ", "  "]))
def test_any_list_of_ranges_is_the_union_of_its_parts(parts, space):
    text = f"{space},{space}".join(
        f"{first}{space}-{space}{first + more}" if more else str(first) for first, more in parts
    )
    union = {i for first, more in parts for i in range(first, first + more + 1)}
    assert parse_ranges(space + text) == tuple(sorted(union))


@given(st.text(alphabet="0123456789-, .+e", max_size=12))
def test_any_text_is_ranges_or_a_plain_error(text):
    given = all(part.strip().replace("-", "").strip() for part in text.split(","))
    if not given:
        with pytest.raises(ConfigError, match="frames: "):
            parse_ranges(text, "frames")
        return
    with suppress(ConfigError):
        found = parse_ranges(text, "frames")
        assert found == tuple(sorted(set(found)))
        assert found[0] >= 0
