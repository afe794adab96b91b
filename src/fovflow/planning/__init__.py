"""From configuration and raw headers to what is to be made."""

from __future__ import annotations

from fovflow.planning.dataset import DatasetPlan, plan_dataset
from fovflow.planning.header import RawHeader, refresh_header

__all__ = ["DatasetPlan", "RawHeader", "plan_dataset", "refresh_header"]
