"""The table of cells: one row per cell, with its motion, its growth and its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fovflow.errors import FovflowError
from fovflow.features.cells import Groups
from fovflow.labels import FloatArray, IntArray
from fovflow.units import SECONDS_PER

MSD_SHARE, MOST_LAGS, LEAST_LAGS = 0.25, 10, 2
"""Lags of the mean squared displacement that are fitted: up to this share of the frames from a
cell's first to its last, at most so many, at least so many."""
NEEDED = ("fov", "cell", "frame", "time", "good", "position_x", "position_y",
          "bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1", "area_um2")  # fmt: skip
"""Columns of traces that the table is made of."""
LINKS = ("cell", "frame", "previous_frame", "parent", "distance_px")
"""Columns of the links between detections that it is made of."""


def cell_table(
    traces: Mapping[str, ArrayLike],
    *,
    shape: Sequence[int] | None = None,
    pixel_um: float | None = None,
    time_units: str = "min",
    links: Mapping[str, ArrayLike] | None = None,
) -> dict[str, NDArray[Any]]:
    """Sum up the traces of one FOV: one row per cell, sorted by cell.

    Parameters
    ----------
    traces : mapping of str to array-like
        Columns of a table of traces, as of `extract_traces`, or a pandas.DataFrame.
    shape : sequence of int, optional
        (…, Y, X) of the frames; without it the distance to the edge is NaN.
    pixel_um : float, optional
        Edge length of a pixel (µm); without it the columns in µm are NaN.
    time_units : {"s", "min", "h"}
        Unit of the traces' times.
    links : mapping of str to array-like, optional
        Columns of ``…_tracks.csv``: they tell parents, and the drift that motion is freed of.

    Returns
    -------
    dict of str to numpy.ndarray
        Columns as in ``docs/algorithms/features.md``, "Table of cells".

    Raises
    ------
    FovflowError
        If the traces lack a column.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(4)
    >>> box = {f"bbox_{side}": 10 * t for side in ("x0", "y0", "x1", "y1")}
    >>> traces = {"fov": 0 * t, "cell": t * 0 + 7, "frame": t, "time": 30.0 * t, "good": t < 3,
    ...           "position_x": 3.0 * t, "position_y": 4.0 * t, "area_um2": 100.0 + 0 * t, **box}
    >>> table = cell_table(traces, shape=(100, 100), pixel_um=2.0, time_units="min")
    >>> table["path_um"].tolist(), table["speed_um_h"].tolist(), table["directionality"].tolist()
    ([30.0], [20.0], [1.0])
    """
    for what, given, needed in ("traces", traces, NEEDED), ("links", links, LINKS):
        absent = [name for name in needed if given is not None and name not in given]
        if given is not None and absent:
            raise FovflowError(
                f"a table of cells needs the column {absent[0]!r} of {what}",
                found=", ".join(map(str, given)),
                remedy=f"give {what} that fovflow has extracted",
            )
    cell, frame = (np.asarray(traces[name]).astype(np.int64) for name in ("cell", "frame"))
    order = np.lexsort((frame, cell))
    column = {name: np.asarray(traces[name])[order] for name in NEEDED}
    cell, frame = cell[order], frame[order]
    begins = np.flatnonzero(np.diff(cell, prepend=cell[:1] - 1) != 0)
    cells = Groups(np.diff(begins, append=cell.size))
    ids, first, last = cell[cells.start], cells.start, cells.stop - 1
    hours = column["time"].astype(np.float64) * SECONDS_PER[time_units] / 3600.0
    um = np.nan if pixel_um is None else float(pixel_um)
    drift, parents = _of_links(links, column, frame)
    place = np.stack([column["position_x"], column["position_y"]]).astype(np.float64) - drift
    steps = Steps(cells, frame, place, hours)
    area = column["area_um2"].astype(np.float64)
    edge = np.full(cell.size, np.nan)
    if shape is not None:
        box = column["bbox_x0"], column["bbox_y0"], column["bbox_x1"], column["bbox_y1"]
        edge = edge_distance(box, shape).astype(np.float64)
    rows: dict[str, NDArray[Any]] = {
        "fov": column["fov"][first],
        "cell": ids,
        "parent": np.array([parents.get(i, 0) for i in ids.tolist()], np.int64),
        "first_frame": frame[first],
        "last_frame": frame[last],
        "frames": cells.size,
        "good_frames": cells.count(column["good"].astype(bool)),
        "missed_frames": frame[last] - frame[first] + 1 - cells.size,
        "first_time": column["time"].astype(np.float64)[first],
        "last_time": column["time"].astype(np.float64)[last],
        "duration_h": hours[last] - hours[first],
        **steps.summary(um),
        "area_mean_um2": cells.mean(area),
        "growth_per_h": slopes(cells, hours, _log(area)),
        "edge_distance_px": cells.min(edge),
        "neighbor_distance_um": _means(cells, um * neighbor_distance(place, frame)),
    }
    return rows


class Steps:
    """The steps of cells from each row to the next of the same cell.

    `place`: (2, n) x and y (px), freed of drift. `hours`: (n,) NaN where unknown.
    """

    def __init__(self, cells: Groups, frame: IntArray, place: FloatArray, hours: FloatArray):
        self.cells, self.frame, self.place, self.hours = cells, frame, place, hours
        self.begins = np.delete(np.arange(frame.size), cells.stop - 1)
        self.groups = Groups(np.maximum(cells.size - 1, 0))
        self.vector = place[:, self.begins + 1] - place[:, self.begins]
        self.length: FloatArray = np.hypot(*self.vector)
        self.duration = hours[self.begins + 1] - hours[self.begins]

    def summary(self, um: float) -> dict[str, NDArray[Any]]:
        """Return the columns of motion; NaN for cells that are in one frame only.

        `um`: edge length of a pixel (µm), NaN where unknown.
        """
        groups, cells = self.groups, self.cells
        moved = groups.size > 0
        path = np.where(moved, groups.sum(self.length), np.nan)
        net = np.hypot(*(self.place[:, cells.stop - 1] - self.place[:, cells.start]))
        net = np.where(moved, net, np.nan)
        known = self.duration > 0
        timed = Groups(groups.count(known))
        length, duration = um * self.length[known], self.duration[known]
        angle, cosine = self.turning()
        coefficient, exponent = self.diffusion()
        return {
            "path_px": path,
            "path_um": um * path,
            "displacement_px": net,
            "displacement_um": um * net,
            "directionality": net / _positive(path),
            "speed_um_h": timed.sum(length) / _positive(timed.sum(duration)),
            "speed_max_um_h": timed.max(length / duration),
            "turning_angle_deg": angle,
            "persistence": cosine,
            "diffusion_um2_h": um**2 * coefficient,
            "msd_exponent": exponent,
        }

    def turning(self) -> tuple[FloatArray, FloatArray]:
        """Return per cell the mean turning angle (degrees, 0 to 180) and its mean cosine.

        Between successive steps that both lead from a frame to the very next one and have a length.
        """
        one = np.diff(self.frame)[self.begins] == 1
        whose = self.groups.spread(np.arange(self.groups.size.size))
        pair = np.flatnonzero((whose[1:] == whose[:-1]) & one[1:] & one[:-1])
        a, b = self.vector[:, pair], self.vector[:, pair + 1]
        moved = self.length[pair] * self.length[pair + 1] > 0
        angle = np.abs(np.arctan2(a[0] * b[1] - a[1] * b[0], (a * b).sum(axis=0)))[moved]
        groups = Groups(np.bincount(whose[pair[moved]], minlength=self.groups.size.size))
        return groups.mean(np.degrees(angle)), groups.mean(np.cos(angle))

    def diffusion(self) -> tuple[FloatArray, FloatArray]:
        """Return per cell the diffusion coefficient (px²/h) and the exponent of its MSD.

        Of the first lags: MSD = 4·D·τ through the origin, and the slope of log MSD over log τ.
        """
        tau, value = mean_squared_displacements(self.cells, self.frame, self.place, self.hours)
        used = (tau > 0) & (value > 0)
        enough = np.count_nonzero(used, axis=0) >= LEAST_LAGS
        groups = Groups(np.where(enough, np.count_nonzero(used, axis=0), 0))
        tau, value = (each.T[(used & enough).T] for each in (tau, value))
        coefficient = groups.sum(tau * value) / _positive(4 * groups.sum(tau**2))
        return coefficient, slopes(groups, np.log(tau), np.log(value))


def mean_squared_displacements(
    cells: Groups, frame: IntArray, place: FloatArray, hours: FloatArray, most: int = MOST_LAGS
) -> tuple[FloatArray, FloatArray]:
    """Return the lags and the mean squared displacements of each cell.

    Parameters
    ----------
    cells : Groups
        Which rows belong to which cell.
    frame : numpy.ndarray
        (n,) ascending within a cell; some may be missing.
    place : numpy.ndarray
        (2, n) positions, in any unit of length.
    hours : numpy.ndarray
        (n,) times (h); pairs with an unknown one do not count.
    most : int
        Largest lag in frames; and no cell has lags above a quarter of its frames.

    Returns
    -------
    tau, value : numpy.ndarray
        (most, cells) mean time (h) and mean squared displacement of the pairs of a cell's rows that
        lie 1, 2, … frames apart; NaN where there is no such pair.
    """
    n = cells.size.size
    whose = cells.spread(np.arange(n))
    span = cells.max(frame) - cells.min(frame)
    key = whose * (int(frame.max(initial=0)) + most + 1) + frame
    tau, value = np.full((most, n), np.nan), np.full((most, n), np.nan)
    for lag in range(1, most + 1):
        end = np.minimum(np.searchsorted(key, key + lag), max(key.size - 1, 0))
        passed = hours[end] - hours
        pair = (key[end] == key + lag) & np.isfinite(passed) & (lag <= MSD_SHARE * span[whose])
        groups = Groups(cells.count(pair))
        tau[lag - 1] = groups.mean(passed[pair])
        step = place[:, end[pair]] - place[:, pair]
        value[lag - 1] = groups.mean((step**2).sum(axis=0))
    return tau, value


def slopes(groups: Groups, x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the slope of the line of least squares per group; NaN with fewer than two x."""
    known = np.isfinite(x) & np.isfinite(y)
    kept = Groups(groups.count(known))
    x, y = x[known], y[known]
    x = x - kept.spread(kept.mean(x))
    spread = kept.sum(x * x)
    return np.asarray(kept.sum(x * y) / _positive(spread))


def edge_distance(box: Sequence[NDArray[Any]], shape: Sequence[int]) -> NDArray[np.int64]:
    """Return the pixels between boxes (x0, y0, x1, y1) and the nearest edge of frames (…, Y, X)."""
    x0, y0, x1, y1 = box
    height, width = shape[-2:]
    return np.asarray(np.minimum.reduce([x0, y0, width - x1, height - y1]), np.int64)


def nearest(place: FloatArray) -> FloatArray:
    """Return the distance of each of (2, n) places to the nearest other one; NaN for one alone."""
    order = np.argsort(place[0], kind="stable")
    x, y = place[:, order]
    best = np.full(x.size, np.inf)
    for k in range(1, x.size):  # each with the k-th one to its right, as far as one may be nearer
        across = x[k:] - x[:-k]
        if not (across < np.maximum(best[k:], best[:-k])).any():
            break
        apart = np.hypot(across, y[k:] - y[:-k])
        np.minimum(best[k:], apart, out=best[k:])
        np.minimum(best[:-k], apart, out=best[:-k])
    result = np.full(x.size, np.nan)
    result[order] = np.where(np.isfinite(best), best, np.nan)
    return result


def neighbor_distance(place: FloatArray, frame: IntArray) -> FloatArray:
    """Return the distance of each row to the nearest other cell of its frame."""
    order = np.argsort(frame, kind="stable")
    result = np.full(frame.size, np.nan)
    for rows in np.split(order, np.flatnonzero(np.diff(frame[order])) + 1):
        result[rows] = nearest(place[:, rows])
    return result


def _of_links(
    links: Mapping[str, ArrayLike] | None, traces: Mapping[str, NDArray[Any]], frame: IntArray
) -> tuple[FloatArray, dict[int, int]]:
    """Return (2, n) the drift of each row (px), and the parents by cell."""
    if links is None or not frame.size:
        return np.zeros((2, frame.size)), {}
    cell, at, before, parent, distance = (np.asarray(links[name]) for name in LINKS)
    born = parent > 0
    parents = dict(zip(cell[born].tolist(), parent[born].tolist(), strict=True))
    at, before = at.astype(np.int64), before.astype(np.int64)
    known = np.isfinite(distance) & ~born  # not what a person has linked
    latest = np.full(int(max(frame.max(), at.max(initial=0))) + 1, -1)
    np.maximum.at(latest, at[known], before[known])  # not t - 1 where that was never acquired
    linked = known & (before == latest[at])
    width = latest.size
    key = traces["cell"].astype(np.int64) * width + frame
    keys = cell[linked] * width + at[linked]
    order = np.argsort(keys)
    own = (np.diff(traces["cell"]) == 0) & (frame[:-1] == latest[frame[1:]])
    later = np.flatnonzero(own & np.isin(key[1:], keys)) + 1
    away = distance[linked][order][np.searchsorted(keys[order], key[later])]
    places = np.stack([traces["position_x"], traces["position_y"]]).astype(np.float64)
    step = places[:, later] - places[:, later - 1]
    by_frame = np.argsort(frame[later], kind="stable")
    ends = np.searchsorted(frame[later][by_frame], np.arange(width + 1)).tolist()
    drift = np.zeros((2, width))
    for t in range(1, width):
        now = by_frame[ends[t] : ends[t + 1]]
        base = latest[t] if now.size else t - 1
        drift[:, t] = drift[:, base] + _shift(step[:, now], away[now])
    return drift[:, frame], parents


_TRIED, _SOME = 32, 4
"""Groups of cells that are asked for the shift where not all agree, and cells in each."""


def _shift(step: FloatArray, away: FloatArray) -> FloatArray:
    """Return the whole pixels (x, y) without which most steps have the lengths `away`; 0 for none.

    |step − shift|² = away² for all cells: linear in the shift once the mean is taken off. Cells
    whose middle is another one than the tracker's, as that of a cell with its fragments, do not
    fit: so small groups of cells are asked where the answer of all together fits too few.
    """
    n = step.shape[1]
    if n < 3 or np.allclose(np.hypot(*step), away, atol=1e-3):
        return np.zeros(2)
    square = (step**2).sum(axis=0) - away**2
    starts = np.unique(np.linspace(0, n - 1, min(n, _TRIED)).astype(int))[:, None]
    for some in (np.arange(n), *((starts + np.arange(_SOME)) % n if n > _SOME else ())):
        left, right = 2 * (step[:, some].T - step[:, some].mean(axis=1)), square[some]
        shift = np.rint(np.linalg.lstsq(left, right - right.mean(), rcond=None)[0])
        if np.mean(np.abs(np.hypot(*(step.T - shift).T) - away) < 0.1) > 0.5:
            return np.asarray(shift)
    return np.zeros(2)


def _means(groups: Groups, values: FloatArray) -> FloatArray:
    """Return the mean of each group's values that are known."""
    known = np.isfinite(values)
    return Groups(groups.count(known)).mean(values[known])


def _positive(values: FloatArray) -> FloatArray:
    """Return values with NaN for those that are not above 0."""
    return np.where(values > 0, values, np.nan)


def _log(values: FloatArray) -> FloatArray:
    return np.log(_positive(values))
