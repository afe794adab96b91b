"""Reference of the global drift between two frames: voting of displacements."""

from __future__ import annotations

import numpy as np

from reference.detections import Detection, Shift


def frame_shift(before: list[Detection], after: list[Detection], limit: float) -> Shift:
    """Shift (row, column) of ``after`` against ``before``, at most about ``limit`` pixels."""
    n = min(len(before), len(after))
    if n < 3:
        return 0, 0
    displacements = np.array(
        [
            b.centroid - a.centroid
            for a in before
            for b in after
            if min(a.area, b.area) >= 0.7 * max(a.area, b.area)
            and (np.abs(b.centroid - a.centroid) <= limit).all()
        ]
    ).reshape(-1, 2)
    side = max(2.0, float(np.median([d.diameter for d in (*before, *after)])) / 4)
    reach = int(np.floor(limit / side + 0.5))
    bins = np.floor(displacements / side + 0.5).astype(int)
    votes = {}
    for k in {(a + i, b + j) for a, b in bins for i in (-1, 0, 1) for j in (-1, 0, 1)}:
        if max(abs(k[0]), abs(k[1])) <= reach:
            votes[k] = int((np.abs(bins - k) <= 1).all(axis=1).sum())
    most = max(votes.values(), default=0)
    if most < max(3, n / 2):
        return 0, 0
    near = [k for k, count in votes.items() if count >= 0.8 * most]
    best = min(near, key=lambda k: (k[0] ** 2 + k[1] ** 2, k[0], k[1]))
    middle = np.median(displacements[(np.abs(bins - best) <= 1).all(axis=1)], axis=0)
    close = (np.abs(displacements - middle) <= 1.5 * side).all(axis=1)
    row, column = np.rint(np.median(displacements[close], axis=0)).astype(int)
    return int(row), int(column)


def cumulative_drift(frames: list[list[Detection]], limit: float) -> list[Shift]:
    """Position of each frame's field relative to the first one."""
    drift: list[Shift] = []
    last: int | None = None
    for t, objects in enumerate(frames):
        here = drift[last] if last is not None else (0, 0)
        if objects:
            if last is not None:
                row, column = frame_shift(frames[last], objects, limit)
                here = here[0] + row, here[1] + column
            last = t
        drift.append(here)
    return drift
