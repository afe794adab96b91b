import inspect

import pytest
from pydantic import TypeAdapter, ValidationError

from fovflow.config.track import ClassicTrack, IouTrack, LaptrackTrack, PluginTrack, TrackConfig
from fovflow.tracking.classic import ClassicTracker
from fovflow.tracking.iou import IouTracker
from fovflow.tracking.laptrack_adapter import LapTracker

section = TypeAdapter(TrackConfig)


@pytest.mark.parametrize(
    ("model", "tracker"),
    [(ClassicTrack, ClassicTracker), (IouTrack, IouTracker), (LaptrackTrack, LapTracker)],
)
def test_models_and_trackers_have_the_same_parameters(model, tracker):
    arguments = inspect.signature(tracker).parameters
    defaults = {name: arg.default for name, arg in arguments.items() if name != "pixel_um"}
    fields = {name: field.default for name, field in model.model_fields.items()}
    del fields["method"]
    assert fields == defaults
    assert all(field.description for field in model.model_fields.values())


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
