"""What jobs of a cluster cost, as lines for ``fovflow runs show``."""

from __future__ import annotations

from typing import Any

from fovflow.runs.screen import clock

MOST = 20
"""Number of jobs that are shown: those that took most."""


def format_costs(costs: list[dict[str, Any]]) -> list[str]:
    """Return the costs of a run's cluster jobs as lines; none where there were none."""
    if not costs:
        return []
    hours = sum(cost["core_hours"] or 0.0 for cost in costs)
    lines = ["", f"jobs of the cluster: {len(costs)}, {hours:.2f} core-hours of steps"]
    shown = sorted(costs, key=lambda cost: -(cost["core_hours"] or 0.0))[:MOST]
    lines += [f"  {_line(cost)}" for cost in shown]
    if len(costs) > len(shown):
        lines.append(f"  and {len(costs) - len(shown)} more, in --json")
    return lines


def _line(cost: dict[str, Any]) -> str:
    parts = [f"{cost['id']}  {cost['what']}, attempt {cost['attempt']}: {cost['status']}"]
    if cost["waited_s"] is not None:
        parts.append(f"began after {clock(cost['waited_s'])}")
    if cost["seconds"] is not None:
        place = f" on {cost['node']}" if cost["node"] else ""
        parts.append(f"{clock(cost['seconds'])}{place}")
    if cost["cpu_s"] is not None:
        cores = cost["cpus"] and f" of {cost['cpus']} core{'s' if cost['cpus'] > 1 else ''}"
        parts.append(f"CPU {cost['cpu_s']:.1f} s{cores or ''}")
    if cost["peak_mib"] is not None:
        asked = cost["memory_mb"] and f" of {cost['memory_mb']} MB asked for"
        parts.append(f"at most {cost['peak_mib']:.0f} MiB{asked or ''}")
    return ", ".join(parts)
