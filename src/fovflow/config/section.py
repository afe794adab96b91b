"""Sections of the configuration, and those whose key ``method`` chooses the parameters."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import partial, reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)
from pydantic.fields import FieldInfo

from fovflow.config import methods
from fovflow.errors import ConfigError
from fovflow.units import parse_ranges

Text = Annotated[str, Field(min_length=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(gt=0, le=1)]


def as_list(value: Any) -> Any:
    """Accept ``GFP`` and ``"GFP, 2"`` where a list of names is meant."""
    if isinstance(value, str) and value != "all":
        return [part.strip() for part in value.split(",") if part.strip()]
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


def _as_fovs(value: Any) -> Any:
    """Check ``all``, ``7`` and ``"0-5, 7"``; return a string."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError('all, or indices and ranges as text, such as "0-5, 7"')  # noqa: TRY004
    if value != "all":
        try:
            parse_ranges(value)
        except ConfigError as error:
            raise ValueError(f"{error.message.removeprefix('fovs: ')}; {error.remedy}") from error
    return str(value)


Fovs = Annotated[str, BeforeValidator(_as_fovs, json_schema_input_type=int | str)]


class Section(BaseModel):
    """A part of the configuration: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _take_null(cls, value: Any) -> Any:
        """Take the text null for null: inside of braces ``--config`` gives text only."""
        return null_of_text(value, cls)


def null_of_text(value: Any, kind: type) -> Any:
    """Return a mapping in which the text ``null`` is null where a key of `kind` may be null."""
    if not isinstance(value, Mapping) or not any(item == "null" for item in value.values()):
        return value
    named = {field.alias or name: field.annotation for name, field in fields_of(kind).items()}
    return {
        key: None if item == "null" and _may_be_null(named.get(key)) else item
        for key, item in value.items()
    }


def _may_be_null(annotation: Any) -> bool:
    return annotation is types.NoneType or any(map(_may_be_null, typing.get_args(annotation)))


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


PLUGINS = {
    PluginSegment: methods.SEGMENTERS,
    PluginCorrect: methods.CORRECTORS,
    PluginTrack: methods.TRACKERS,
}
"""The class for a section's methods from other packages, and the methods of this one."""


def method_of(kind: Any) -> str:
    """Return the method that a class of settings belongs to; empty for other types."""
    method = fields_of(kind).get("method")
    return method.default if method is not None and isinstance(method.default, str) else ""


def _choice(plugin: type[Plugin], default: str) -> Any:
    """Return the type of a section whose key ``method`` chooses the class of its parameters.

    `default`: the method where none is given.
    """
    registry = PLUGINS[plugin]

    def tag(value: Any) -> str:
        given = (
            value.get("method", default)
            if isinstance(value, Mapping)
            else getattr(value, "method", None)
        )
        return str(given) if given in registry else plugin.__name__

    kinds = {name: method.settings for name, method in registry.items()}
    kinds[plugin.__name__] = plugin
    tagged = [
        Annotated[kind, BeforeValidator(partial(null_of_text, kind=kind)), Tag(name)]
        for name, kind in kinds.items()
    ]
    return Annotated[reduce(or_, tagged), Discriminator(tag)]


if TYPE_CHECKING:
    SegmentConfig = Any
    CorrectConfig = Any
    TrackConfig = Any
else:
    SegmentConfig = _choice(PluginSegment, "logstd")
    CorrectConfig = _choice(PluginCorrect, "tiles")
    TrackConfig = _choice(PluginTrack, "iou")
