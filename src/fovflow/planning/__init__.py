"""From configuration and raw headers to what is to be made."""

from __future__ import annotations

from fovflow.planning.dataset import DatasetPlan, plan_dataset
from fovflow.planning.header import RawHeader, RawSource, find_source

__all__ = ["DatasetPlan", "RawHeader", "RawSource", "find_source", "plan_dataset"]
