"""Errors say what happened, what was found and what to do."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import pytest

from fovflow.errors import ConfigError, FovflowError, explained
from fovflow.plugins import Method, Registry, Sentences, Settings, find, setting


def test_the_sentence_has_three_parts():
    error = FovflowError("no channel 'GFP'", found="Phase", remedy="name one of these")
    assert str(error) == "no channel 'GFP'; found: Phase; to do: name one of these"
    assert str(FovflowError("plain")) == "plain"


def test_errors_survive_the_way_between_processes():
    error = pickle.loads(pickle.dumps(ConfigError("a", found="b", remedy="c")))
    assert isinstance(error, ConfigError)
    assert str(error) == "a; found: b; to do: c"


def test_errors_are_explained_and_quoted():
    with pytest.raises(FovflowError) as caught, explained("no good", remedy="copy it"):
        raise KeyError("x")
    assert str(caught.value) == "no good; found: 'x'; to do: copy it"
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(FovflowError) as caught, explained("no good", KeyError, name_kind=True):
        raise KeyError("x")
    assert str(caught.value) == "no good; found: KeyError: 'x'"
    with pytest.raises(FovflowError, match=r"no good; found: EOFError"), explained("no good"):
        raise EOFError


def test_errors_of_other_kinds_and_sentences_pass():
    with pytest.raises(IndexError), explained("no good", KeyError):
        raise IndexError
    with pytest.raises(ConfigError, match=r"^told already$"), explained("no good"):
        raise ConfigError("told already")


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


@dataclass(frozen=True, kw_only=True)
class Own(Settings):
    """The parameters of a plug-in's method."""

    speed: float = setting(2.0, "Speed.", gt=0, le=9)
    name: str | None = setting(None, "Name.")


class Kernel:
    """The plug-in's method."""

    def __init__(self, settings, pixel_um):
        self.settings, self.pixel_um = settings, pixel_um


def old_form(*, pixel_um, speed=2.0):
    """Make the same of keywords."""
    return Kernel(Own(speed=speed), pixel_um)


PLUGINS = {
    "described": Method(Kernel, Own, needs_pixel_size=True, revision=7),
    "callable": old_form,
}
SENTENCES = Sentences("{method} has no {unknown}", "{known}", "try again", bounds="{method}")


@pytest.fixture
def registry(monkeypatch):
    entries = [EntryPoint(name, f"{__name__}:x", "fovflow.parts") for name in PLUGINS]
    monkeypatch.setattr(EntryPoint, "load", lambda self: PLUGINS[self.name])
    monkeypatch.setattr("fovflow.plugins.entry_points", lambda group: entries)
    return Registry("parts", {"own": Method("fovflow.units:parse_ranges", Own)}, SENTENCES)


def test_plug_ins_register_what_built_in_methods_do(registry):
    made = registry.make("described", {"speed": 3}, pixel_um=0.5)
    assert (made.settings, made.pixel_um) == (Own(speed=3), 0.5)
    assert registry.needs_pixel_size("described")
    assert registry.revision("described") == 7


def test_a_plug_in_may_be_a_callable_that_takes_keywords(registry):
    made = registry.make("callable", {"speed": 3}, pixel_um=0.5)
    assert (made.settings, made.pixel_um) == (Own(speed=3), 0.5)
    assert not registry.needs_pixel_size("callable")
    assert registry.revision("callable") == registry.revision("absent") == 0


def test_wrong_parameters_of_a_registered_method_are_named(registry):
    for given, sentence in (
        (
            {"tempo": 1, "pace": 2},
            "described has no pace, tempo; found: speed, name; to do: try again",
        ),
        ({"speed": 0}, "described: speed must be above 0; found: speed = 0; to do: correct these"),
        ({"speed": 10}, "described: speed must be 9 or less; found: speed = 10"),
    ):
        with pytest.raises(ConfigError) as caught:
            registry.make("described", given, pixel_um=1.0)
        assert str(caught.value).startswith(sentence)
    with pytest.raises(ConfigError, match="found: callable, described, own"):
        registry.make("absent", {}, pixel_um=1.0)
