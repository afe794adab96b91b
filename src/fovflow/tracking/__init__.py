"""Tracking: from one id per object and frame to one id per cell over time."""

from __future__ import annotations

from fovflow.labels import relabel
from fovflow.tracking.stack import get_tracker, link_frames, relabel_frames, track_stack
from fovflow.tracking.tracks import COLUMNS, Lineage, Tracker

__all__ = [
    "COLUMNS",
    "Lineage",
    "Tracker",
    "get_tracker",
    "link_frames",
    "relabel",
    "relabel_frames",
    "track_stack",
]
