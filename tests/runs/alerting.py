"""The time of the tests of alerts."""

from __future__ import annotations

from datetime import UTC, datetime

NOW = 1_700_000_000.0


def stamp(seconds):
    return datetime.fromtimestamp(NOW + seconds, UTC).isoformat(timespec="microseconds")
