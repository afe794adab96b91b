"""A run as lines of text: one bar for the whole, one line for each job at work."""

from __future__ import annotations

import time

from fovflow.runs.jobview import JobView
from fovflow.runs.view import RunView

MOST_JOBS = 12
"""Jobs at work that are shown with a line of their own, at most."""

_FULL, _EMPTY = "█", "░"


def render(
    view: RunView, width: int = 80, *, rows: int = 24, now: float | None = None, plain: bool = False
) -> list[str]:
    """Return a run as lines that are no longer than `width`.

    Parameters
    ----------
    view : RunView
    width, rows : int
        Size of the screen.
    now : float, optional
        Seconds since the epoch; the clock's otherwise.
    plain : bool
        Use ASCII only.
    """
    now = time.time() if now is None else now
    bar_width = max(8, min(30, width // 4))
    lines = [f"{view.record.get('name', 'run')} {_whole(view, now, bar_width, plain)}"]
    running = view.running
    shown = running[: max(1, min(MOST_JOBS, rows - 4))]
    name_width = max((len(_name(job)) for job in shown), default=0)
    lines += [_job_line(job, now, name_width, width, plain) for job in shown]
    if len(running) > len(shown):
        lines.append(f"  and {len(running) - len(shown)} more at work")
    return [line[: width - 1] for line in lines]


def summary(view: RunView, now: float | None = None) -> str:
    """Return a run on one line, for places that are no terminal."""
    now = time.time() if now is None else now
    text = f"{view.record.get('name', 'run')}: {_counts(view, now)}"
    jobs = [f"{_name(job)}{_frames(job)}" for job in view.running[:4]]
    return f"{text}; now: {'; '.join(jobs)}" if jobs else text


def clock(seconds: float) -> str:
    """Return a duration as people read it.

    Examples
    --------
    >>> clock(7), clock(83), clock(7384)
    ('7 s', '1:23', '2:03:04')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def bar(share: float, width: int, plain: bool = False) -> str:
    """Return a bar that is filled up to `share` (0 to 1).

    Examples
    --------
    >>> bar(0.5, 8, plain=True)
    '####----'
    """
    full = int(min(1.0, max(0.0, share)) * width)
    return ("#" if plain else _FULL) * full + ("-" if plain else _EMPTY) * (width - full)


def _whole(view: RunView, now: float, width: int, plain: bool) -> str:
    done, total = view.count("completed"), view.total
    return f"{bar(done / total if total else 0.0, width, plain)} {_counts(view, now)}"


def _counts(view: RunView, now: float) -> str:
    done, total = view.count("completed"), view.total
    failed = view.count("failed")
    status = str(view.record.get("status", "running"))
    parts = [f"{done}/{total} jobs", clock(view.elapsed(now))]
    left = view.remaining(now)
    if status in ("created", "running"):
        if left is not None and done < total:
            parts.append(f"about {clock(left)} left")
    else:
        parts.append(status)
    waiting = view.count("submitted")
    if waiting and not view.running and status in ("created", "running"):
        parts.append(f"{waiting} starting")
    stopped = view.count("terminated")
    if stopped:
        parts.append(f"{stopped} stopped")
    if failed:
        parts.append(f"{failed} FAILED")
    if view.alerts:
        parts.append(f"{len(view.alerts)} alert{'s' if len(view.alerts) > 1 else ''}")
    return ", ".join(parts)


def _name(job: JobView) -> str:
    return f"{job.rule} {job.where}".strip()


def _frames(job: JobView) -> str:
    if not job.total:
        return ""
    return f" frame {job.t} of {job.total}{f' ({job.message})' if job.message else ''}"


def _job_line(job: JobView, now: float, name_width: int, width: int, plain: bool) -> str:
    small = max(6, min(16, width // 8))
    share = bar(job.t / job.total, small, plain) if job.total else " " * small
    again = f", attempt {job.attempt}" if job.attempt > 1 else ""
    return (
        f"  {_name(job):<{name_width}} {share}{_frames(job)} "
        f"{clock(job.seconds(now))}{again}".rstrip()
    )
