"""The config's ``correct`` section and the methods' parameters."""

from __future__ import annotations

import dataclasses

import pytest
from pydantic import TypeAdapter, ValidationError

from fovflow.config.methods import (
    CORRECTORS,
    ClassicCorrect,
    ConstantCorrect,
    NoCorrect,
    TilesCorrect,
)
from fovflow.config.section import CorrectConfig, PluginCorrect

MODELS = {
    "tiles": TilesCorrect,
    "classic": ClassicCorrect,
    "constant": ConstantCorrect,
    "none": NoCorrect,
}
SECTION = TypeAdapter(CorrectConfig)


def test_every_method_has_its_model():
    assert {name: CORRECTORS[name].settings for name in CORRECTORS} == MODELS


@pytest.mark.parametrize("method", MODELS)
def test_all_keys_but_that_of_the_step_are_parameters_of_the_method(method):
    tiled = ["tile_px", "tile_um"] if method in ("tiles", "classic") else []
    assert CORRECTORS[method].parameters == ["dark", "flat_field", "dilation_um", *tiled]
    keys = {field.name for field in dataclasses.fields(MODELS[method])}
    assert keys == {*CORRECTORS[method].parameters, "method", "bleach"}


@pytest.mark.parametrize("method", MODELS)
def test_every_key_is_described_and_frozen(method):
    model = MODELS[method]
    assert all(field.metadata["description"] for field in dataclasses.fields(model))
    with pytest.raises(dataclasses.FrozenInstanceError):
        model().method = "other"


@pytest.mark.parametrize("method", MODELS)
def test_the_method_chooses_the_model(method):
    assert type(SECTION.validate_python({"method": method})) is MODELS[method]


def test_defaults_and_plugins():
    assert SECTION.validate_python({}) == TilesCorrect()
    plugin = SECTION.validate_python({"method": "mine", "options": {"a": 1}})
    assert plugin == PluginCorrect(method="mine", options={"a": 1})
    assert SECTION.validate_python(TilesCorrect(tile_px=64)).tile_px == 64


def test_dark_is_a_number_or_a_path():
    assert SECTION.validate_python({"dark": 100}).dark == 100.0
    assert SECTION.validate_python({"dark": "calibration/dark.npy"}).dark == "calibration/dark.npy"
    assert SECTION.validate_python({"flat_field": "estimate"}).flat_field == "estimate"
    assert SECTION.validate_python({"flat_field": "flat.tif"}).flat_field == "flat.tif"


@pytest.mark.parametrize(
    "wrong",
    [
        {"tile_px": 7},
        {"tile_px": 64.5},
        {"tile_um": 0},
        {"dilation_um": -1},
        {"dark": -1},
        {"dark": float("nan")},
        {"dark": ""},
        {"flat_field": 3},
        {"bleach": "linear"},
        {"tyle_px": 64},
        {"method": "constant", "tile_px": 64},
        {"method": ""},
        {"method": "mine", "tile_px": 64},
    ],
)
def test_wrong_values_are_errors(wrong):
    with pytest.raises(ValidationError):
        SECTION.validate_python(wrong)


def test_the_section_has_a_schema():
    text = str(SECTION.json_schema())
    assert "tile_um" in text
    assert "µm" in text
