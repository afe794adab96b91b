"""What a run of one's own, or an execution, has recorded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fovflow.events import check_event, read_events


def events_of(folder: str | os.PathLike[str], kind: str) -> list[dict[str, Any]]:
    """Return the events of one type; all events are of the form."""
    found = read_events(Path(folder) / "events.jsonl")
    for event in found:
        check_event(event)
    return [event for event in found if event["type"] == kind]
