"""Patterns that alerts look for in texts, safe against hostile ones."""

from __future__ import annotations

import subprocess
import sys

import pytest
from runs.alerting import NOW, stamp

from fovflow.config.alerts import TEXT_LENGTH, Alert
from fovflow.errors import ConfigError
from fovflow.runs.alerts import AlertState


def pattern(text):
    return Alert.of({"name": "e", "source": "events", "pattern": text})


def test_a_pattern_over_a_window_fires_until_the_window_is_clear():
    state = AlertState(Alert(name="e", source="events", pattern="bad", window_s=60, frequency_s=1))

    def say(text, at):
        state.feed({"type": "message", "message": text, "time": stamp(at)})

    say("bad 1", 0)
    say("good", 1)
    assert state.evaluate(NOW + 2) == [(None, "bad 1")]
    say("bad 2", 50)
    assert state.evaluate(NOW + 51) == []
    say("good", 111)
    assert state.evaluate(NOW + 112) == []
    say("bad 3", 113)
    assert state.evaluate(NOW + 114) == [(None, "bad 3")]


def test_patterns_match_only_the_beginning_of_long_texts():
    text = "x" * TEXT_LENGTH + "lost"
    assert not pattern("lost").found_in(text)
    assert not pattern("lost+").found_in(text)
    assert pattern("^x+$").found_in(text)


@pytest.mark.parametrize(
    ("expression", "text", "found"),
    [
        ("x+\nü", "xx\nü", True),
        ("ü{2}", "üü", True),
        ("^.$", "ü", True),
        ("(?i)LOST", "lost", True),
        (r"frame \d+ (was|is) lost\b", "frame 12 is lost.", True),
        ("[[:alpha:]]{3}|[^a]", "aa", False),
        ("lost", "a lone surrogate \ud800, lost", True),
        ("\0", "a\0b", True),
    ],
)
def test_patterns_of_many_kinds(expression, text, found):
    assert pattern(expression).found_in(text) is found


@pytest.mark.parametrize("expression", ["(a|a)*b", "(a+a+)+b", "(a*)*b", "a?" * 100 + "b"])
def test_a_pattern_that_could_take_exponential_time_is_answered(expression):
    assert not pattern(expression).found_in("a" * TEXT_LENGTH)


@pytest.mark.parametrize(
    "expression",
    [
        "(?=a)b", "(?<!a)b", r"(a)\1", "(?P<x>a)(?P=x)", r"a\Z", "a++", "x{2000}",
        "(x{1000}){1000}", "(", "[", "*a",
    ],
)  # fmt: skip
def test_patterns_that_are_not_known_are_told_with_what_to_do(expression):
    with pytest.raises(ConfigError) as caught:
        pattern(expression)
    text = str(caught.value)
    assert f"the pattern {expression!r} is no regular expression of RE2: " in text
    assert "write it without look-around, back references, \\Z, and repetitions above" in text


def test_a_pattern_that_is_no_text_is_refused():
    with pytest.raises(ConfigError, match="alert 'e': pattern"):
        pattern("\ud800")


def test_refused_patterns_say_nothing_on_the_error_stream_and_others_load_nothing():
    code = (
        "import sys\nfrom fovflow.config.alerts import Alert\n"
        "Alert(name='a', metric='m', rule='is above', threshold=0)\n"
        "assert 're2' not in sys.modules\n"
        "try:\n    Alert(name='a', source='events', pattern='(')\n"
        "except Exception:\n    print('told')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("told\n", "")


SLOW = [
    "(.?){1000}(.?){1000}z",
    "(|a|b|ab|ba){1000}c",
    ".{1,1000}z",
    "(a|b)*a(a|b){1000}",
    r"(\pL?){20}b",
]


@pytest.mark.parametrize("expression", SLOW)
def test_patterns_that_would_be_slow_are_refused(expression):
    with pytest.raises(ConfigError, match=r"is too large, so that it would be slow|too large"):
        pattern(expression)


@pytest.mark.parametrize(
    "expression",
    ["a{1000}", r"\w{200}", ".{0,200}", r"(?i)(frame|fov) \d{1,6} .{0,200}(lost|gone)"],
)
def test_patterns_of_a_common_size_are_taken(expression):
    assert not pattern(expression).found_in("z" * 100 + "\n" + "-" * 900) or "0," in expression
