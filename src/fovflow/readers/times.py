"""Times of frames: recorded ones where there are any, never a guess under their name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fovflow.readers.protocol import FrameTimes, TimeSource

_ORDER: tuple[TimeSource, ...] = ("measured", "config", "nominal", "unknown")


def regular_times(n_frames: int, interval_s: float, source: TimeSource) -> FrameTimes:
    """Return times t * `interval_s` of `n_frames` frames."""
    return FrameTimes(np.arange(n_frames, dtype=np.float64) * interval_s, source)


def nominal_times(n_frames: int, period_s: float | None) -> NDArray[np.float64] | None:
    """Return times t * `period_s`; None without a period."""
    return None if period_s is None else np.arange(n_frames, dtype=np.float64) * period_s


def phase_times(phases: Sequence[tuple[int, float, float]]) -> NDArray[np.float64] | None:
    """Return nominal times of an experiment whose time loop has several phases.

    Parameters
    ----------
    phases : sequence of (count, period_s, duration_s)
        A phase starts when the one before it has lasted its duration, or its number of frames
        times its period where that is longer.

    Returns
    -------
    numpy.ndarray or None
        (sum of counts,) float64 in seconds; None if a phase of several frames, or one that is
        followed by another, has no period.
    """
    parts = []
    start = 0.0
    for i, (count, period, duration) in enumerate(phases):
        if period <= 0 and (count > 1 or i < len(phases) - 1):
            return None
        parts.append(start + np.arange(count, dtype=np.float64) * period)
        start += max(duration, count * period)
    return np.concatenate(parts) if parts else None


def choose_times(
    recorded: NDArray[np.float64] | None,
    held: NDArray[np.bool_],
    nominal: NDArray[np.float64] | None,
) -> tuple[FrameTimes, ...]:
    """Choose the times of each position.

    Recorded times are used where every frame that the file holds has one and they rise from frame
    to frame; times that are zero throughout the file count as not recorded. Otherwise the nominal
    ones are used, and where there are none, the times are unknown (NaN). The only frame of a
    dataset without times is at 0 s, nominally.

    Parameters
    ----------
    recorded : (P, T) float64 or None
        Time stamps in seconds; NaN where there is none.
    held : (P, T) bool
        Which frames the file holds.
    nominal : (T,) float64 or None
        Times from the announced period, in seconds.

    Returns
    -------
    tuple of FrameTimes
        One per position. Measured times of missing frames are NaN.
    """
    n_positions, n_frames = held.shape
    if nominal is None and n_frames == 1:
        nominal = np.zeros(1)
    if recorded is not None and not np.any(np.nan_to_num(recorded) != 0):
        recorded = None
    chosen = []
    for p in range(n_positions):
        if recorded is not None:
            stamps = recorded[p, held[p]]
            if stamps.size and np.isfinite(stamps).all() and (np.diff(stamps) > 0).all():
                chosen.append(FrameTimes(np.where(held[p], recorded[p], np.nan), "measured"))
                continue
        if nominal is not None:
            chosen.append(FrameTimes(nominal.copy(), "nominal"))
        else:
            chosen.append(FrameTimes(np.full(n_frames, np.nan), "unknown"))
    return tuple(chosen)


def worst_source(sources: Sequence[TimeSource]) -> TimeSource:
    """Return the least trustworthy of several time sources."""
    return max(sources, key=_ORDER.index, default="unknown")
