"""The configuration: one model, one way to read it.

Names are imported when they are used: a job that needs the settings of one method does not load
what checks a configuration.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fovflow.config.documents import config_schema
    from fovflow.config.load import load_config, parse_config
    from fovflow.config.model import Config, DatasetConfig

__all__ = ["Config", "DatasetConfig", "config_schema", "load_config", "parse_config"]

_HOMES = {
    "Config": "model",
    "DatasetConfig": "model",
    "config_schema": "documents",
    "load_config": "load",
    "parse_config": "load",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
