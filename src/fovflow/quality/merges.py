"""The rule for masks that swallowed a neighbour."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from fovflow.quality.rows import BoolArray, FloatArray, IntArray, Rows


def merged(rows: Rows, gain: float) -> BoolArray:
    """Flag rows whose mask has probably swallowed another cell.

    Cell B is found in a frame and not in the next acquired one; there, the box of cell A holds
    the place of B's centroid, and A's area has grown by at least `gain` times B's area. A is
    flagged from there on, as long as its area stays so great and B stays away.
    """
    flags = np.zeros(len(rows), bool)
    areas = rows.of_feature("area")
    if not areas:
        return flags
    area = areas[0].astype(np.float64)
    lost, now = _disappearances(rows)
    back = np.where(rows.step[lost] > 0, rows.frame[np.minimum(lost + 1, len(rows) - 1)], -1)
    for event, row in _hosts(rows, lost, now):
        if row == 0 or rows.step[row - 1] != 1:  # not found in the acquired frame before
            continue
        least = area[row - 1] + gain * area[lost[event]]
        end = rows.cells.stop[np.searchsorted(rows.cells.stop, row, side="right")]
        following = slice(row, int(end))
        holds = area[following] >= least
        if back[event] >= 0:
            holds &= rows.frame[following] < back[event]
        flags[row : row + (holds.size if holds.all() else int(np.argmin(holds)))] = True
    return flags


def swallowed(rows: Rows, links: Mapping[str, ArrayLike]) -> BoolArray:
    """Flag rows whose object has swallowed other cells according to the tracker's links."""
    if "merged" not in links:
        return np.zeros(len(rows), bool)
    hit = np.asarray(links["merged"]) > 0
    cell, frame = (np.asarray(links[name], np.int64)[hit] for name in ("cell", "frame"))
    frames = rows.shape[0] + 1
    return np.isin(rows.cell * frames + rows.frame, cell * frames + frame)


def _disappearances(rows: Rows) -> tuple[IntArray, IntArray]:
    """Return the rows whose cell is not found in the next acquired frame, and that frame."""
    place = np.searchsorted(rows.acquired, rows.frame)
    lost = np.flatnonzero((rows.step != 1) & (place + 1 < rows.acquired.size))
    return lost, rows.acquired[place[lost] + 1]


def _hosts(rows: Rows, lost: IntArray, now: IntArray) -> list[tuple[int, int]]:
    """Return pairs: an event, and a row of its frame whose box holds the lost cell's centroid."""
    x0, y0, x1, y1 = (rows.column(f"bbox_{edge}") for edge in ("x0", "y0", "x1", "y1"))
    x: FloatArray = rows.column("position_x")[lost]
    y: FloatArray = rows.column("position_y")[lost]
    by_frame = np.argsort(rows.frame, kind="stable")
    sorted_frames = rows.frame[by_frame]
    by_time = np.argsort(now, kind="stable")
    frames, starts = np.unique(now[by_time], return_index=True)
    pairs: list[tuple[int, int]] = []
    for frame, events in zip(frames, np.split(by_time, starts[1:]), strict=False):
        low, high = np.searchsorted(sorted_frames, [frame, frame + 1])
        there = by_frame[low:high]
        # A box covers the pixels x0 to x1 - 1, that is, x0 - 1/2 to x1 - 1/2.
        px, py = x[events, None] + 0.5, y[events, None] + 0.5
        inside = (px >= x0[there]) & (px < x1[there]) & (py >= y0[there]) & (py < y1[there])
        which, host = np.nonzero(inside)
        pairs += zip(events[which].tolist(), there[host].tolist(), strict=True)
    return pairs
