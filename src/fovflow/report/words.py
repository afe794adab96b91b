"""Statuses, steps and rules as people say them."""

from __future__ import annotations

from fovflow.quality import RULES
from fovflow.report.summary import FovSummary

STEPS = {
    "copy": "copying the frames",
    "segment": "finding the cells",
    "correct": "correcting the background",
    "track": "following the cells over time",
    "extract": "measuring the cells",
}


def status_words(fov: FovSummary) -> str:
    """Return what became of an FOV as a sentence without its end."""
    doing = STEPS.get(fov.step, fov.step)
    if fov.status == "complete":
        return "complete"
    if fov.status == "failed":
        at = "" if fov.at_frame is None else f", at frame {fov.at_frame}"
        return f"failed while {doing} (step {fov.step}{at}): {fov.error}"
    if fov.status == "outdated":
        return f"made with other parameters from the step {fov.step} on; run again"
    if fov.status == "incomplete":
        return f"not made yet from the step {fov.step} on; run again"
    return fov.status


def rule_words(rule: str) -> str:
    """Return what a quality rule says of a cell."""
    return RULES.get(rule, rule).rstrip(".")


def plural(number: int, one: str, many: str | None = None) -> str:
    """Return the word that fits the number.

    Examples
    --------
    >>> plural(1, "cell"), plural(0, "cell")
    ('cell', 'cells')
    """
    return one if number == 1 else many or f"{one}s"
