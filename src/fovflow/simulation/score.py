"""The former place of `fovflow.accuracy`; scripts that import it from here go on working."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    return getattr(import_module("fovflow.accuracy"), name)
