"""The references' defaults, taken from the definitions, are those of the configuration."""

import inspect
from dataclasses import fields

from fovflow.config.methods import ClassicTrack, IouTrack, LogStdSegment, TilesCorrect
from fovflow.features import extract_traces
from fovflow.quality import judge
from reference.background import background_stack
from reference.features import frame_rows
from reference.quality import Settings
from reference.segmentation_logstd import LogStd
from reference.tracking import track_classic
from reference.tracking_iou import IouTracker


def keywords(function):
    """Names and defaults of the parameters that have one."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def configured(model):
    """Names and defaults of a configuration's section, but for the method's name."""
    return {field.name: field.default for field in fields(model) if field.name != "method"}


def test_segmentation():
    defaults = {f.name: f.default for f in fields(LogStd) if f.name != "pixel_um"}
    assert defaults == configured(LogStdSegment)


def test_background():
    settings, slow = configured(TilesCorrect), keywords(background_stack)
    for name in ("dark", "flat_field", "dilation_um", "tile_px", "tile_um"):
        assert settings[name] == slow[name]


def test_tracking():
    assert keywords(IouTracker.__init__) == configured(IouTrack)
    assert keywords(track_classic) == configured(ClassicTrack)


def test_quality():
    settings = {f.name: f.default for f in fields(Settings)}
    assert {name: keywords(judge)[name] for name in settings} == settings


def test_features():
    fast, slow = keywords(extract_traces), keywords(frame_rows)
    assert {name: fast[name] for name in slow} == slow
