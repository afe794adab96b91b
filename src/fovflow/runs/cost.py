"""What each job of a cluster cost, from the records of the steps in it."""

from __future__ import annotations

from typing import Any

from fovflow.runs.form import seconds_of
from fovflow.runs.jobview import JobView, shared_words
from fovflow.runs.view import RunView


def cluster_costs(view: RunView) -> list[dict[str, Any]]:
    """Return what every job of a cluster took, in the order in which they were handed in.

    Times run from the start of its first step to the end of its last; what the engine needs before
    and after is not among them.

    Returns
    -------
    list of dict
        ``id``, ``scheduler``, ``attempt``, ``jobs`` (names), ``what`` (in words), ``status``
        (``completed``, ``failed``, ``running``, ``waiting``), ``node``, ``waited_s``, ``seconds``,
        ``cpus``, ``core_hours``, ``cpu_s``, ``memory_mb`` (asked for) and ``peak_mib`` (of its
        largest step); None where it is not known.
    """
    return [_cost(view, event) for event in view.handed_in]


def _cost(view: RunView, event: dict[str, Any]) -> dict[str, Any]:
    attempt = int(event["attempt"])
    members = [view.jobs[name, attempt] for name in event["jobs"] if (name, attempt) in view.jobs]
    begun = [job for job in members if job.started is not None]
    about = next((job.cluster for job in begun if job.cluster), {})
    starts = [job.started for job in begun if job.started is not None]
    ends = [job.ended for job in begun if job.ended is not None]
    seconds = round(max(ends) - min(starts), 1) if ends else None
    cpus = about.get("cpus")
    hours = round(seconds * cpus / 3600, 4) if seconds is not None and cpus else None
    return {
        "id": str(event["id"]),
        "scheduler": event["scheduler"],
        "attempt": attempt,
        "jobs": list(event["jobs"]),
        "what": shared_words([job.wildcards for job in members]) if members else "",
        "status": _status(begun, len(event["jobs"])),
        "node": about.get("node") or next((job.host for job in begun if job.host), None),
        "waited_s": round(max(0.0, min(starts) - seconds_of(event["time"])), 1) if starts else None,
        "seconds": seconds,
        "cpus": cpus,
        "core_hours": hours,
        "cpu_s": _added(begun, "cpu_s"),
        "memory_mb": (event.get("asked") or {}).get("mem_mb"),
        "peak_mib": max(
            (job.usage["peak_mib"] for job in begun if "peak_mib" in job.usage), default=None
        ),
    }


def _status(begun: list[JobView], expected: int) -> str:
    statuses = {job.status for job in begun}
    if statuses & {"failed", "terminated"}:
        return "failed"
    if not begun:
        return "waiting"
    return "completed" if statuses == {"completed"} and len(begun) == expected else "running"


def _added(jobs: list[JobView], key: str) -> float | None:
    found = [job.usage[key] for job in jobs if key in job.usage]
    return round(sum(found), 2) if found else None
