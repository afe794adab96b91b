"""Errors of the cells' total intensities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_BORDER_PX = 128
_BORDER_SHARE = 8


class IntensityErrors(TypedDict):
    """Result of `intensity_errors`; relative errors are |found - true| / true."""

    median: float
    """Median error of all compared rows; NaN without any."""
    median_centre: float
    """Median error of cells away from the border."""
    median_border: float
    """Median error of cells near it."""
    bias: float
    """Median of (found - true) / true."""
    p90: float
    """90th percentile of the errors."""
    rows: int
    """Rows compared."""
    rows_border: int
    """Of them near the border."""
    rows_true: int
    """True rows that are bright enough to be compared."""


def intensity_errors(
    truth: Mapping[str, ArrayLike],
    traces: Mapping[str, ArrayLike],
    *,
    channel: int,
    height: int,
    width: int,
    least_total: float | None = None,
) -> IntensityErrors:
    """Compare the total intensities of found cells with those of true cells.

    Per frame, a found and a true cell belong together if each is the other's nearest by centroid
    and their distance is at most the radius of the circle of the true area. A cell is near the
    border if its true centroid is less than min(128 px, an eighth of the frame's shorter edge)
    from it.

    Parameters
    ----------
    truth : mapping of str to array-like
        The columns ``frame, x, y, area, total_ch_{channel}`` of `Movie.cells`.
    traces : mapping of str to array-like
        The columns ``frame, position_x, position_y, intensity_total_ch_{channel}`` of the
        traces; a pandas.DataFrame will do.
    channel : int
    height, width : int
        Of the frame (px).
    least_total : float, optional
        Dimmer true cells are left out (counts); by default a tenth of the 95th percentile of all.

    Returns
    -------
    IntensityErrors
    """
    frame, x, y, area, total = (
        np.asarray(truth[name], np.float64)
        for name in ("frame", "x", "y", "area", f"total_ch_{channel}")
    )
    found_frame, found_x, found_y, found_total = (
        np.asarray(traces[name], np.float64)
        for name in ("frame", "position_x", "position_y", f"intensity_total_ch_{channel}")
    )
    if least_total is None:
        least_total = 0.1 * float(np.percentile(total, 95)) if total.size else 0.0
    partner = np.full(frame.size, -1, np.int64)
    for t in np.unique(frame):
        mine, theirs = np.flatnonzero(frame == t), np.flatnonzero(found_frame == t)
        pairs = _mutual(
            np.stack([x[mine], y[mine]], 1),
            np.stack([found_x[theirs], found_y[theirs]], 1),
            np.sqrt(area[mine] / np.pi),
        )
        for a, b in pairs:
            partner[mine[a]] = theirs[b]
    bright = (total >= least_total) & (total > 0)
    used = bright & (partner >= 0)
    signed = found_total[partner[used]] / total[used] - 1.0
    edge = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y))
    near = edge[used] < min(_BORDER_PX, min(height, width) / _BORDER_SHARE)
    errors = np.abs(signed)
    return {
        "median": _quantile(errors, 0.5),
        "median_centre": _quantile(errors[~near], 0.5),
        "median_border": _quantile(errors[near], 0.5),
        "bias": _quantile(signed, 0.5),
        "p90": _quantile(errors, 0.9),
        "rows": int(used.sum()),
        "rows_border": int(near.sum()),
        "rows_true": int(bright.sum()),
    }


def _mutual(true: Floats, found: Floats, reach: Floats) -> list[tuple[int, int]]:
    """Return pairs of mutually nearest points within each true point's reach."""
    if not len(true) or not len(found):
        return []
    distance = np.hypot(*(true[:, None] - found[None]).transpose(2, 0, 1))
    nearest, back = distance.argmin(1), distance.argmin(0)
    return [
        (k, int(n)) for k, n in enumerate(nearest) if back[n] == k and distance[k, n] <= reach[k]
    ]


def _quantile(values: Floats, q: float) -> float:
    return float(np.quantile(values, q)) if values.size else float("nan")
