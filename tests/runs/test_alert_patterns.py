"""Patterns that alerts look for in texts, safe against hostile ones."""

from __future__ import annotations

import sys

import pytest
from runs.alerting import NOW, stamp

from fovflow.alertform import Alert
from fovflow.runs import patterns
from fovflow.runs.alertrules import AlertState
from fovflow.runs.patterns import PatternMatcher, PatternTooSlowError


def test_a_pattern_over_a_window_fires_until_the_window_is_clear():
    alert = Alert("e", source="events", pattern="bad", window_s=60, frequency_s=1)
    state = AlertState(alert, PatternMatcher().matches)

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
    matcher = PatternMatcher()
    text = "x" * patterns.TEXT_LENGTH + "lost"
    assert not matcher.matches("lost", text)
    assert not matcher.matches("lost+", text)
    assert matcher.matches("x+\nü", "xx\nü")
    matcher._process.kill()
    matcher._process.wait()
    assert matcher.matches("x+", "x")  # it is started again
    matcher.close()
    matcher.close()


def test_a_matcher_that_cannot_start_is_an_error_of_the_pattern(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    with pytest.raises(PatternTooSlowError, match="cannot be matched"):
        PatternMatcher().matches("a+", "a")
