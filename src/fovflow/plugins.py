"""Exchangeable parts by name: built-ins first, then third-party entry points."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from fovflow.errors import ConfigError


def find(kind: str, name: str, builtin: Mapping[str, Any]) -> Any:
    """Return the part called `name`.

    Parameters
    ----------
    kind : str
        Plural of the kind; third parties register under the entry point group ``fovflow.<kind>``.
    name : str
        Name of the part, as in the config's ``method``.
    builtin : mapping
        The parts that the package brings.

    Raises
    ------
    ConfigError
        If there is no such part; names those that there are. Also if a plug-in fails to load.
    """
    if name in builtin:
        return builtin[name]
    plugins = entry_points(group=f"fovflow.{kind}")
    for plugin in plugins:
        if plugin.name == name:
            try:
                return plugin.load()
            except Exception as error:
                raise ConfigError(
                    f"the plug-in {name!r} of {plugin.value} does not load",
                    found=f"{type(error).__name__}: {error}",
                    remedy="install what it needs, or choose another method",
                ) from error
    known = sorted({*builtin, *(plugin.name for plugin in plugins)})
    raise ConfigError(
        f"there is no {name!r} among the {kind}",
        found=", ".join(known),
        remedy="use one of these, or install the plug-in that brings it",
    )
