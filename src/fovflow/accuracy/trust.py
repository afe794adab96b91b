"""How many of the rows that are called good are wrong."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fovflow.accuracy.matching import Matches

Table = Mapping[str, ArrayLike]
FAULTS = ("no cell", "merged", "wrong id", "area", "intensity")
_IN_CELL = 0.3
"""Least share of a found object's pixels in a true cell that it does not cover by half."""
_DIM = 0.02
"""Share of the median true intensity below which an intensity is not judged."""


def faults_of_rows(
    matches: Matches,
    rows: Table,
    *,
    totals: Table | None = None,
    channel: int = 1,
    tolerance: float = 0.2,
) -> dict[str, NDArray[np.bool_]]:
    """Tell of each row of traces whether it is wrong, and how.

    Parameters
    ----------
    matches : Matches
        True and found ids over time.
    rows : mapping of str to array-like
        ``cell``, ``frame``, and with `totals` ``intensity_total_ch_{channel}`` of the traces.
    totals : mapping of str to array-like, optional
        ``cell, frame, total_ch_{channel}`` of the truth; without it intensities are not judged.
    channel : int
    tolerance : float
        Relative error of area and intensity up to which a row is right.

    Returns
    -------
    dict of numpy.ndarray
        For each of `FAULTS` a bool array over the rows: no true cell there; more than one true
        cell in it; another true cell than in most frames of this id; area, intensity off by more
        than `tolerance`.
    """
    m = matches
    covers = np.zeros(m.found_id.size, bool)
    held = m.owner >= 0
    covers[held] = m.match[m.owner[held]] == np.flatnonzero(held)
    truth = np.where(held & (covers | (m.owned >= _IN_CELL)), m.owner, -1)
    cell = np.append(m.truth_id, 0)[truth]
    area = np.append(m.truth_area, np.nan)[truth]
    usual = {one: _mode(cell[(m.found_id == one) & (cell > 0)]) for one in np.unique(m.found_id)}
    wrong = {
        "no cell": cell == 0,
        "merged": m.times_matched > 1,
        "wrong id": (cell > 0) & (cell != [usual[one] for one in m.found_id.tolist()]),
        "area": np.abs(m.found_area / area - 1) > tolerance,
    }
    place = {pair: k for k, pair in enumerate(_pairs(m.found_frame, m.found_id))}
    at = np.array([place[pair] for pair in _pairs(rows["frame"], rows["cell"])], np.int64)
    found = {name: values[at] for name, values in wrong.items()}
    found["intensity"] = np.zeros(at.size, bool)
    if totals is not None:
        name = f"total_ch_{channel}"
        true = np.asarray(totals[name], float)
        known = dict(zip(_pairs(totals["frame"], totals["cell"]), true.tolist(), strict=True))
        wanted = np.array([known.get(p, np.nan) for p in _pairs(m.found_frame[at], cell[at])])
        wanted[~(wanted > _DIM * np.median(true[true > 0]))] = np.nan
        error = np.abs(np.asarray(rows[f"intensity_{name}"], float) / wanted - 1)
        found["intensity"] = error > tolerance
    return found


def _pairs(frame: ArrayLike, cell: ArrayLike) -> list[tuple[int, int]]:
    return list(zip(np.asarray(frame).tolist(), np.asarray(cell).tolist(), strict=True))


def _mode(values: NDArray[np.int64]) -> int:
    """Return the most frequent value, the smallest of several; 0 without any."""
    ids, counts = np.unique(values, return_counts=True)
    return int(ids[counts.argmax()]) if ids.size else 0
