"""Quality of traces: named rules on the finished table. Pure functions on arrays."""

from __future__ import annotations

from fovflow.config.findings import NOTE
from fovflow.quality.verdict import NEEDS, PEOPLE, REASONS, RULES, judge, ledger

__all__ = ["NEEDS", "NOTE", "PEOPLE", "REASONS", "RULES", "judge", "ledger"]
