"""Sections of the configuration, and those whose key ``method`` chooses the parameters."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag
from pydantic.fields import FieldInfo

from fovflow.config import methods
from fovflow.plugins import Registry


class Section(BaseModel):
    """A part of the configuration: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Plugin(Section):
    """Parameters of a method that another package brings."""

    method: str = Field(min_length=1, description="Name of the plug-in.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="The plug-in's own parameters."
    )


class PluginSegment(Plugin):
    """A segmenter that another package brings."""


class PluginCorrect(Plugin):
    """A corrector that another package brings."""


class PluginTrack(Plugin):
    """A tracker that another package brings."""


def fields_of(kind: Any) -> dict[str, FieldInfo]:
    """Return the fields of a model or of a dataclass of settings; none for other types."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.model_fields
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return {}
    hints = typing.get_type_hints(kind, include_extras=True)
    return {
        field.name: FieldInfo(
            annotation=hints[field.name],
            default=field.default,
            description=field.metadata["description"],
        )
        for field in dataclasses.fields(kind)
    }


def _by_method(registry: Registry[Any], default: str, plugin: str) -> Discriminator:
    """Return what chooses a section's class by its key ``method``.

    `registry`: the methods that the package brings; the name of each is the tag of its class.
    `default`: the method where none is given. `plugin`: tag of the class of all other methods.
    """

    def branch(value: Any) -> str:
        given = (
            value.get("method", default)
            if isinstance(value, Mapping)
            else getattr(value, "method", None)
        )
        return str(given) if given in registry else plugin

    return Discriminator(branch)


SegmentConfig = Annotated[
    Annotated[methods.ClassicSegment, Tag("classic")]
    | Annotated[methods.LogStdSegment, Tag("logstd")]
    | Annotated[methods.ThresholdSegment, Tag("threshold")]
    | Annotated[methods.CellposeSegment, Tag("cellpose")]
    | Annotated[PluginSegment, Tag("PluginSegment")],
    _by_method(methods.SEGMENTERS, "logstd", "PluginSegment"),
]
"""The ``segment`` section."""

CorrectConfig = Annotated[
    Annotated[methods.TilesCorrect, Tag("tiles")]
    | Annotated[methods.ClassicCorrect, Tag("classic")]
    | Annotated[methods.ConstantCorrect, Tag("constant")]
    | Annotated[methods.NoCorrect, Tag("none")]
    | Annotated[PluginCorrect, Tag("PluginCorrect")],
    _by_method(methods.CORRECTORS, "tiles", "PluginCorrect"),
]
"""The ``correct`` section."""

TrackConfig = Annotated[
    Annotated[methods.ClassicTrack, Tag("classic")]
    | Annotated[methods.IouTrack, Tag("iou")]
    | Annotated[methods.LaptrackTrack, Tag("laptrack")]
    | Annotated[PluginTrack, Tag("PluginTrack")],
    _by_method(methods.TRACKERS, "iou", "PluginTrack"),
]
"""The ``track`` section."""
