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
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from fovflow.config import methods
from fovflow.errors import ConfigError, did_you_mean
from fovflow.plugins import find
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
    def _take_plain(cls, value: Any) -> Any:
        return plain_of(value, cls)


class Truth:
    """A truth value where none is meant; pydantic would take it for 0 or 1."""

    def __init__(self, value: bool):
        self.value = value

    def __repr__(self) -> str:
        return str(self.value)


def plain_of(value: Any, kind: type) -> Any:
    """Return a mapping with values as the keys of `kind` mean them.

    The text ``null`` is null where a key may be null: inside of braces ``--config`` gives text
    only. A truth value is a `Truth` where a key takes none: it is no number.
    """
    if not isinstance(value, Mapping):
        return value
    named = {field.alias or name: field.annotation for name, field in fields_of(kind).items()}
    return {
        key: None
        if item == "null" and _takes(named.get(key), types.NoneType)
        else item
        if key not in named or _takes(named[key], bool)
        else _without_truth(item)
        for key, item in value.items()
    }


def _takes(annotation: Any, kind: type) -> bool:
    """Tell whether a value of a type may be one of `kind`; sections look at their own keys."""
    inner = typing.get_args(annotation)
    own = kind is bool and (annotation is Any or bool(fields_of(annotation)))
    return annotation is kind or own or any(_takes(each, kind) for each in inner)


def _without_truth(value: Any, depth: int = 2) -> Any:
    """Return a value, or what it holds up to a depth, with `Truth` for truth values."""
    if isinstance(value, Mapping) and depth:
        return {key: _without_truth(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple) and depth:
        found = [_without_truth(item, depth - 1) for item in value]
        return found if isinstance(value, list) else tuple(found)
    return Truth(value) if isinstance(value, bool) else value


class Plugin(Section):
    """Parameters of a method that another package brings."""

    method: str = Field(min_length=1, description="Name of the plug-in.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="The plug-in's own parameters."
    )

    @field_validator("method")
    @classmethod
    def _check_method(cls, value: str) -> str:
        """Take a name that is nearly one of this package's for a slip, where nobody has it.

        Another one that is not installed here may be where the jobs run.
        """
        registry = PLUGINS.get(cls)
        near = registry and value.isalpha() and did_you_mean(value.casefold(), registry, 0.75)
        if registry and near:
            try:
                find(registry.kind, value, registry)
            except ConfigError:
                raise ValueError(f"{', '.join(registry)}, or an installed plug-in{near}") from None
        return value


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
        Annotated[kind, BeforeValidator(partial(plain_of, kind=kind)), Tag(name)]
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
