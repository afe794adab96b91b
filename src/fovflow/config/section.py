"""What the parts of the configuration have in common."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field


class Section(BaseModel):
    """A part of the configuration: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Plugin(Section):
    """Parameters of a method that another package brings."""

    method: str = Field(min_length=1, description="Name of the plug-in.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="The plug-in's own parameters."
    )


def by_method(builtin: Collection[str], default: str, plugin: str) -> Discriminator:
    """Return what chooses a section's model by its key ``method``.

    Parameters
    ----------
    builtin : collection of str
        The methods that the package brings; each is the tag of its model.
    default : str
        The method where none is given.
    plugin : str
        Tag of the model of all other methods.
    """

    def branch(value: Any) -> str:
        given = (
            value.get("method", default)
            if isinstance(value, Mapping)
            else getattr(value, "method", None)
        )
        return str(given) if given in builtin else plugin

    return Discriminator(branch)
