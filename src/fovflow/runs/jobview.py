"""What is known of one job of a run at one moment, and the words for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

STOPPED = 130
"""Exit status of a job that was told to stop: it is terminated, and has not failed."""

OVER = ("completed", "failed", "terminated")
"""Statuses of jobs that have ended."""


@dataclass(slots=True)
class JobView:
    """One attempt of one job.

    Attributes
    ----------
    status : str
        ``submitted`` (known to the engine, but not begun), ``running``, ``completed``, ``failed``,
        ``terminated``.
    started, ended : float or None
        Seconds since the epoch.
    t, total : int
        Frames done, of how many; 0 of 0 where the job has not told.
    metrics : dict
        Latest numbers by name.
    usage : dict
        ``seconds``, ``cpu_s``, ``peak_mib`` where known.
    cluster : dict
        ``id``, ``node`` and ``cpus`` of the SLURM job that it is part of.
    settled : bool
        Whether the engine has had the last word on how it ended.
    """

    job: str
    attempt: int
    rule: str = ""
    wildcards: dict[str, Any] = field(default_factory=dict)
    status: str = "submitted"
    started: float | None = None
    ended: float | None = None
    t: int = 0
    total: int = 0
    message: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    usage: dict[str, float] = field(default_factory=dict)
    host: str = ""
    pid: int | None = None
    error: str = ""
    frame: int | None = None
    log: str = ""
    cluster: dict[str, Any] = field(default_factory=dict)
    settled: bool = False

    @property
    def where(self) -> str:
        """The job's wildcards in words: ``plate1, FOV 3, channel 1``."""
        return in_words(self.wildcards)

    def seconds(self, now: float) -> float:
        """Return how long the job has been, or was, at work."""
        if "seconds" in self.usage:
            return self.usage["seconds"]
        if self.started is None:
            return 0.0
        return max(0.0, (self.ended or now) - self.started)


def shared_words(wildcards: Sequence[Mapping[str, Any]]) -> str:
    """Return in words what the wildcards of several jobs have in common.

    Examples
    --------
    >>> shared_words([{"dataset": "a", "fov": "003"}, {"dataset": "a", "fov": "003", "channel": 1}])
    'a, FOV 3'
    """
    first, *others = wildcards
    return in_words({k: v for k, v in first.items() if all(one.get(k) == v for one in others)})


def in_words(wildcards: Mapping[str, Any]) -> str:
    """Return a job's wildcards in words.

    Examples
    --------
    >>> in_words({"dataset": "plate1", "fov": "003", "channel": "1"})
    'plate1, FOV 3, channel 1'
    """
    parts = []
    for key, value in wildcards.items():
        text = str(value)
        if key == "dataset":
            parts.append(text)
        elif key == "fov":
            parts.append(f"FOV {int(text) if text.isdecimal() else text}")
        else:
            parts.append(f"{key} {text}")
    return ", ".join(parts)
