"""How a run ended: its status, its counts, what did not succeed."""

from __future__ import annotations

from typing import Any

from fovflow.runs.jobview import OVER
from fovflow.runs.view import RunView

MOST_FAILURES = 1000
"""Longest list of failures in a run's record; jobs' own records hold all."""

_WORDS = {"failed": "failed", "terminated": "were stopped", "not_done": "were not begun"}


def outcome(view: RunView, interrupted: str) -> tuple[str, str | None]:
    """Return the final status of a run, and in words what it comes from.

    Parameters
    ----------
    view : RunView
    interrupted : str
        Who asked the run to stop; empty where nobody did. A run that had done everything by then
        is complete all the same.
    """
    found = counts(view)
    parts = [f"{found[key]} {words}" for key, words in _WORDS.items() if found[key]]
    if not parts:
        return "completed", None
    words = f"of {found['total']} jobs {', '.join(parts)}"
    if interrupted:
        return "terminated", f"{interrupted}; {words}"
    return "failed", words


def counts(view: RunView) -> dict[str, int]:
    """Return the number of jobs: ``total``, ended by status, and ``not_done``."""
    ended = {status: view.count(status) for status in OVER}
    return {
        "total": view.total,
        **ended,
        "not_done": max(0, view.total - sum(ended.values())),
    }


def failures(view: RunView) -> list[dict[str, Any]]:
    """Return which jobs failed or were stopped, and why."""
    keys = ("job", "attempt", "rule", "wildcards", "error", "frame", "log")
    bad = [*view.failed, *view.terminated][:MOST_FAILURES]
    return [{key: getattr(job, key) for key in keys} for job in bad]
