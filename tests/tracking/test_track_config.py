import dataclasses

import pytest
from pydantic import TypeAdapter, ValidationError

from fovflow.config.methods import TRACKERS, ClassicTrack, IouTrack, LaptrackTrack
from fovflow.config.section import PluginTrack, TrackConfig
from fovflow.plugins import load
from fovflow.tracking.classic import ClassicTracker
from fovflow.tracking.iou import IouTracker
from fovflow.tracking.laptrack import LapTracker

section = TypeAdapter(TrackConfig)


@pytest.mark.parametrize(
    ("method", "settings", "tracker"),
    [
        ("classic", ClassicTrack, ClassicTracker),
        ("iou", IouTrack, IouTracker),
        ("laptrack", LaptrackTrack, LapTracker),
    ],
)
def test_trackers_take_the_settings_of_their_method(method, settings, tracker):
    registered = TRACKERS[method]
    assert registered.settings is settings
    assert load(registered.kernel) is tracker
    fields = dataclasses.fields(settings)
    assert registered.parameters == [field.name for field in fields if field.name != "method"]
    assert all(field.metadata["description"] for field in fields)


def test_the_method_chooses_the_model():
    assert section.validate_python({}) == IouTrack()
    assert section.validate_python({"method": "classic"}) == ClassicTrack()
    assert section.validate_python({"method": "laptrack", "max_gap": 1}).max_gap == 1
    plugin = section.validate_python({"method": "mine", "options": {"speed": 3}})
    assert plugin == PluginTrack(method="mine", options={"speed": 3})


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "classic", "max_gap": 2},
        {"method": "iou", "min_iou": 0},
        {"max_gap": -1},
        {"max_distance_um": -3},
        {"method": "mine", "speed": 3},
        {"method": ""},
        {"method": 3},
        "iou",
        None,
    ],
)
def test_wrong_sections_are_refused(wrong):
    with pytest.raises(ValidationError):
        section.validate_python(wrong)


def test_values_from_the_command_line_are_strings():
    given = section.validate_python({"max_gap": "2", "drift": "false", "min_iou": "0.2"})
    assert given == IouTrack(max_gap=2, drift=False, min_iou=0.2)
