"""What a recorder needs to know of a run before it begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fovflow.runs.store import RunFolder

Watch = Callable[[RunFolder, Callable[[str, Any], object]], Any]
"""Makes a watcher from a run's folder and a function of an action and of what fired."""


@dataclass(slots=True)
class RunPlan:
    """What a recorder needs to know of a run.

    Attributes
    ----------
    outdir : str
    name : str or None
    content : dict
        Keys of ``run.json``.
    jobs : dict of str to int
        Number of jobs by rule.
    slow : callable
        Returns further keys of ``run.json`` that take time to find.
    watch : callable
        Makes the watcher for alerts, with ``poll()`` and ``finish()``, from the run's folder and
        from what acts on alerts; None where there are no alerts.
    silent_after_s : float
        Time without a sign of life after which people are told of a job on a cluster; 0 never.
    stop_when_lost : bool
        Whether the run ends where the cluster says that a job is over, and the engine still waits.
    """

    outdir: str
    name: str | None = None
    content: dict[str, Any] = field(default_factory=dict)
    jobs: dict[str, int] = field(default_factory=dict)
    slow: Callable[[], Mapping[str, Any]] = dict
    watch: Watch | None = None
    silent_after_s: float = 0.0
    stop_when_lost: bool = False
