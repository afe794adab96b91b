"""Trackers by name, and the tracking of whole stacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.config.methods import TRACKERS
from fovflow.tracking.tracks import COLUMNS, Lineage, Tracker


def get_tracker(method: str = "iou", *, pixel_um: float | None = None, **params: Any) -> Tracker:
    """Return a tracker for one FOV.

    Parameters
    ----------
    method : str
        ``iou``, ``classic``, ``laptrack`` (needs the extra of that name), or the name of a
        plug-in under the entry point group ``fovflow.trackers``.
    pixel_um : float, optional
        Edge length of a pixel (µm); all methods but ``classic`` need it.
    **params
        The method's own parameters; see `fovflow.config.methods`.

    Raises
    ------
    ConfigError
        If there is no such method, or a parameter is unknown or out of bounds.

    Examples
    --------
    >>> frames = np.zeros((2, 8, 8), np.uint16)
    >>> frames[0, 2:5, 2:5] = 1
    >>> frames[1, 3:6, 2:5] = 7
    >>> tracker = get_tracker("iou", pixel_um=1.0)
    >>> for t, labels in enumerate(frames):
    ...     tracker.add(t, labels)
    >>> lineage = tracker.finish()
    >>> lineage.n_cells, lineage.lut(1).tolist()
    (1, [0, 0, 0, 0, 0, 0, 0, 1])
    """
    tracker: Tracker = TRACKERS.make(method, params, pixel_um=pixel_um)
    return tracker


def track_stack(
    seg: NDArray[Any], *, method: str = "iou", pixel_um: float | None = None, **params: Any
) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """Give the objects of a label stack one id per cell over time.

    Parameters
    ----------
    seg : numpy.ndarray
        (T, Y, X) integers; 0 is background, ids differ within each frame.
    method, pixel_um, **params
        See `get_tracker`.

    Returns
    -------
    labeled : numpy.ndarray
        (T, Y, X), uint16 where the ids fit, else uint32; the same masks with cell ids 1..N,
        sorted by first frame, then by raster order of the first pixel.
    links : dict of str to numpy.ndarray
        One row per cell and frame; see `COLUMNS`.
    """
    tracker = get_tracker(method, pixel_um=pixel_um, **params)
    lineage = link_frames(tracker, seg, [False] * len(seg))
    labeled = np.empty(seg.shape, lineage.dtype)
    for t, frame in enumerate(relabel_frames(lineage, seg)):
        labeled[t] = frame
    return labeled, {n: lineage.links[n].astype(kind) for n, kind in COLUMNS.items()}


def link_frames(
    tracker: Tracker, labels: Iterable[NDArray[Any]], missing: Iterable[bool]
) -> Lineage:
    """Send frames through a tracker one by one, and return the lineage.

    Parameters
    ----------
    tracker : Tracker
    labels : iterable of numpy.ndarray
        (Y, X) labels of one FOV's frames, in their order.
    missing : iterable of bool
        Whether each frame was never acquired.
    """
    for t, (frame, absent) in enumerate(zip(labels, missing, strict=True)):
        if not absent:
            tracker.add(t, frame)
    return tracker.finish()


def relabel_frames(lineage: Lineage, labels: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Yield each frame with cell ids in place of labels; see `Lineage.relabel`."""
    for t, frame in enumerate(labels):
        yield lineage.relabel(t, frame)
