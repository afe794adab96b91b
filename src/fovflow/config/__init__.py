"""The configuration: one model, one way to read it."""

from __future__ import annotations

from fovflow.config.load import load_config, parse_config
from fovflow.config.model import Config, DatasetConfig
from fovflow.config.schema import config_schema

__all__ = ["Config", "DatasetConfig", "config_schema", "load_config", "parse_config"]
