"""Quality of traces: named rules on the finished table. Pure functions on arrays."""

from __future__ import annotations

from fovflow.quality.verdict import NEEDS, PEOPLE, RULES, judge, ledger

__all__ = ["NEEDS", "PEOPLE", "RULES", "judge", "ledger"]
