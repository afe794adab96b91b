"""Times of frames: where they come from, which are used, what is doubtful about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

TimeSource = Literal["measured", "nominal", "config", "unknown"]
"""Where times come from: time stamps of the frames, the period that the file announces, the
user's ``interval_s``, or nowhere (then the seconds are NaN)."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameTimes:
    """Acquisition times of one position.

    Attributes
    ----------
    seconds : numpy.ndarray
        (T,) float64, seconds since the start of the experiment; NaN where unknown.
    source : TimeSource
        Where they come from.
    """

    seconds: NDArray[np.float64]
    source: TimeSource


_ORDER: tuple[TimeSource, ...] = ("measured", "config", "nominal", "unknown")


def regular_times(n_frames: int, interval_s: float, source: TimeSource) -> FrameTimes:
    """Return times t * `interval_s` of `n_frames` frames."""
    return FrameTimes(np.arange(n_frames, dtype=np.float64) * interval_s, source)


def nominal_times(n_frames: int, *periods_s: float | None) -> NDArray[np.float64] | None:
    """Return times t * period, (P, T), of each position that tells one, else of the first."""
    known = [period for period in periods_s if period is not None]
    used = [known[0] if period is None else period for period in periods_s if known]
    return np.outer(used, np.arange(n_frames)) if used else None


def phase_times(phases: Sequence[tuple[int, float, float]]) -> NDArray[np.float64] | None:
    """Return nominal times in seconds of a time loop of several phases (count, period, duration).

    A phase starts when the one before it has lasted its duration, or its number of frames times its
    period where that is longer. None if a phase of several frames, or one that is followed by
    another, has no period.
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

    `recorded` (P, T) float64 or None: time stamps in seconds; NaN where there is none. `held` (P,
    T) bool: which frames the file holds; the measured times of others are NaN. `nominal` (T,) or
    (P, T) float64 or None: times from the announced period, in seconds.
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
            chosen.append(FrameTimes(np.broadcast_to(nominal, held.shape)[p].copy(), "nominal"))
        else:
            chosen.append(FrameTimes(np.full(n_frames, np.nan), "unknown"))
    return tuple(chosen)


def worst_source(sources: Sequence[TimeSource]) -> TimeSource:
    """Return the least trustworthy of several time sources."""
    return max(sources, key=_ORDER.index, default="unknown")


LONG_INTERVAL_S = 12 * 3600
"""Frames that are farther apart are probably not: a writer left out or mistook the unit."""


def odd_interval(times: Sequence[FrameTimes]) -> list[str]:
    """Return a sentence where a file says that frames are too far apart for living cells."""
    steps = [np.diff(each.seconds) for each in times if each.source in ("measured", "nominal")]
    known = np.concatenate([np.zeros(0), *steps])
    known = known[np.isfinite(known)]
    median = float(np.median(known)) if known.size else 0.0
    if median <= LONG_INTERVAL_S:
        return []
    hours = f"{median / 3600:.0f} h"
    return [f"The file says that frames are {hours} apart; give interval_s if it mistook the unit."]
