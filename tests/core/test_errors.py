"""Errors say what happened, what was found and what to do."""

from __future__ import annotations

import pickle

import pytest

from fovflow.errors import ConfigError, FovflowError
from fovflow.plugins import find


def test_the_sentence_has_three_parts():
    error = FovflowError("no channel 'GFP'", found="Phase", remedy="name one of these")
    assert str(error) == "no channel 'GFP'; found: Phase; to do: name one of these"
    assert str(FovflowError("plain")) == "plain"


def test_errors_survive_the_way_between_processes():
    error = pickle.loads(pickle.dumps(ConfigError("a", found="b", remedy="c")))
    assert isinstance(error, ConfigError)
    assert str(error) == "a; found: b; to do: c"


def test_an_unknown_part_names_the_known_ones():
    with pytest.raises(
        ConfigError, match="no 'magic' among the segmenters; found: classic, logstd"
    ):
        find("segmenters", "magic", {"logstd": 1, "classic": 2})
    assert find("segmenters", "logstd", {"logstd": 1}) == 1


def test_a_plugin_is_found_by_its_entry_point_and_its_failure_is_told(tmp_path, monkeypatch):
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[fovflow.segmenters]\nmine = other_segmenter:make\nbroken = absent_module:make\n"
    )
    (tmp_path / "other_segmenter.py").write_text("def make():\n    return 'made'\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert find("segmenters", "mine", {})() == "made"
    with pytest.raises(ConfigError, match=r"plug-in 'broken'.*does not load.*absent_module"):
        find("segmenters", "broken", {})
