"""Quality of traces: named rules on the finished table. Pure functions on arrays."""

from __future__ import annotations

from fovflow.quality.verdict import ALGORITHM_REVISION, NEEDS, RULES, judge, ledger

__all__ = ["ALGORITHM_REVISION", "NEEDS", "RULES", "judge", "ledger"]
