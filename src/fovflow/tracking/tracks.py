"""The outcome of tracking: which cell each label of each frame is, and the links between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.labels import IntArray, compact, relabel
from fovflow.tracking.overlaps import FrameObjects, encode

Column = NDArray[Any]

COLUMNS: dict[str, type] = {
    "cell": np.int64,
    "frame": np.int64,
    "label": np.int64,
    "previous_frame": np.int64,
    "gap": np.int64,
    "parent": np.int64,
    "iou": np.float64,
    "confidence": np.float64,
    "distance_px": np.float64,
    "merged": np.int64,
    "split": np.int64,
}
"""Columns of the links, in order, and the dtypes that `track_stack` gives them."""


@dataclass(frozen=True)
class Detections:
    """All objects of all frames that were added, in order of frame and raster."""

    frames: tuple[int, ...]
    offsets: IntArray
    """(frames + 1,) where each frame's objects begin."""
    frame_index: IntArray
    """(n,) position of each object's frame in `frames`."""
    label: IntArray
    """(n,) each object's label in its frame."""

    @property
    def frame(self) -> IntArray:
        """The frame of each object."""
        return compact(np.asarray(self.frames, np.int64))[self.frame_index]


class AddedFrames:
    """The frames that a tracker was given: in order, in one shape, each with its objects.

    `last`: the frame added last; -1 before the first.
    """

    def __init__(self) -> None:
        self.last = -1
        self._shape: tuple[int, int] | None = None
        self._labels: dict[int, IntArray] = {}

    def add(self, t: int, labels: NDArray[Any]) -> FrameObjects:
        """Take the labels of frame `t`, (Y, X) integers, and return its objects.

        Raises FovflowError if `labels` is no label frame, `t` is not after the frame before, or
        the shape differs.
        """
        objects = encode(labels)
        if t <= self.last:
            raise FovflowError(
                f"frame {t} was added after frame {self.last}",
                remedy="add frames to a tracker in ascending order, each once",
            )
        if self._shape not in (None, objects.shape):
            raise FovflowError(
                f"frame {t} has another shape than those before",
                found=f"{objects.shape} after {self._shape}",
                remedy="track the frames of one FOV only",
            )
        self._shape, self.last = objects.shape, t
        self._labels[t] = compact(objects.label)
        return objects

    def detections(self) -> Detections:
        """Line up the objects of all frames, each frame's in raster order of first pixels."""
        counts = [labels.size for labels in self._labels.values()]
        return Detections(
            frames=tuple(self._labels),
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            frame_index=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
            label=np.concatenate([np.zeros(0, np.int32), *self._labels.values()]),
        )


def number_cells(previous: IntArray, followed: NDArray[np.bool_]) -> tuple[IntArray, int]:
    """Give the chains of detections the numbers 1..N, by their first detection; return also N.

    `previous`: (n,) index of the detection before, in the same cell; -1 at a cell's first one.
    `followed`: (n,) bool; whether a first detection starts a cell. Other chains get 0.
    """
    first = (previous < 0) & followed
    cell = np.zeros(previous.size, np.int32)
    cell[first] = np.arange(1, np.count_nonzero(first) + 1)
    return cell[chain_heads(previous)], int(np.count_nonzero(first))


def chain_heads(previous: IntArray) -> IntArray:
    """Return the index of the first detection of each detection's chain."""
    return roots(np.where(previous < 0, np.arange(previous.size, dtype=previous.dtype), previous))


def roots(parent: IntArray) -> IntArray:
    """Return where each entry's parents end: at one that is its own parent."""
    # Pointer doubling: a chain of k entries takes log2(k) rounds.
    while True:
        further = parent[parent]
        if np.array_equal(further, parent):
            return parent
        parent = further


@dataclass(frozen=True)
class Lineage:
    """Which cell each label of each frame is.

    Attributes
    ----------
    n_cells : int
        Cells have the ids 1..n_cells, by first frame, then by the raster order of their first
        pixel in it.
    links : dict of str to numpy.ndarray
        One row per cell and frame, sorted by cell, then frame; see `COLUMNS` and the
        definition in docs/algorithms/tracking.md. Integers have four bytes where they fit.
    drift : dict of str to numpy.ndarray
        ``frame``, ``y``, ``x``: where the specimen lies relative to the first frame (px).
    """

    n_cells: int
    links: dict[str, Column]
    drift: dict[str, Column]
    _luts: dict[int, tuple[IntArray, IntArray]] = field(repr=False)

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint16 where the ids fit, uint32 otherwise."""
        return np.dtype(np.uint16 if self.n_cells <= 65_535 else np.uint32)

    def lut(self, t: int) -> Column:
        """Return the table that turns the labels of frame `t` into cell ids; 0 stays 0.

        Its length is the frame's largest label + 1. Objects that belong to no cell become 0. A
        frame that was not added has the table ``[0]``.
        """
        labels, cells = self._luts.get(t, _NOTHING)
        table = np.zeros(int(labels.max(initial=0)) + 1, self.dtype)
        table[labels] = cells
        return table

    def relabel(self, t: int, labels: NDArray[Any]) -> Column:
        """Return frame `t` with cell ids in place of labels: ``lut(t)[labels]``.

        Parameters
        ----------
        t : int
        labels : numpy.ndarray
            (Y, X) the frame that was added as `t`. A frame that was not added becomes empty.

        Returns
        -------
        numpy.ndarray
            (Y, X) of `dtype`.

        Raises
        ------
        FovflowError
            If the frame holds labels that the one added as `t` did not have.
        """
        if t not in self._luts:
            return np.zeros(labels.shape, self.dtype)
        try:
            return relabel(labels, self.lut(t))
        except IndexError:
            raise FovflowError(
                f"frame {t} is not the one that was tracked",
                found=f"the label {int(labels.max())}",
                remedy="relabel the same frames that were added to the tracker",
            ) from None


_NOTHING = (np.zeros(0, np.int64), np.zeros(0, np.int64))


def build(
    found: Detections,
    cell: IntArray,
    n_cells: int,
    columns: dict[str, Column],
    *,
    drift: IntArray | None = None,
    listed: NDArray[np.bool_] | None = None,
) -> Lineage:
    """Put together the links and the tables of a lineage.

    `cell`: (n,) cell of each detection, 0 for none. `columns`: (n,) ``previous`` (index of the
    detection before, or of the parent's last one; -1 for none), ``parent`` (cell), ``iou``,
    ``confidence``, ``distance_px``, ``merged``, ``split``; one that is left out is NaN or 0. They
    are taken out of it, so that memory holds each once. `drift`: (frames, 2) cumulative drift
    (y, x) in pixels. `listed`: (n,) bool; which detections have a row of their own; others are
    pieces of one that has.
    """
    rows = compact(np.flatnonzero((cell > 0) if listed is None else (cell > 0) & listed))
    rows = rows[np.argsort(cell[rows], kind="stable")]
    previous = columns.pop("previous")[rows]
    known = previous >= 0
    before = np.where(known, previous, 0)
    frame = found.frame
    steps = found.frame_index[rows] - found.frame_index[before] if rows.size else rows
    table: dict[str, Column] = {
        "cell": cell[rows],
        "frame": frame[rows],
        "label": found.label[rows],
        "previous_frame": np.where(known, frame[before], -1) if rows.size else rows,
        "gap": np.where(known, steps - 1, 0),
    }
    for name in list(COLUMNS)[len(table) :]:
        unknown = np.nan if COLUMNS[name] is np.float64 else np.int32(0)
        known_values = columns.pop(name, None)
        table[name] = np.full(rows.size, unknown) if known_values is None else known_values[rows]
    if drift is None:
        drift = np.zeros((len(found.frames), 2), np.int64)
    luts = {}
    for k, t in enumerate(found.frames):
        part = slice(int(found.offsets[k]), int(found.offsets[k + 1]))
        luts[t] = (found.label[part], cell[part])
    return Lineage(
        n_cells=n_cells,
        links=table,
        drift={
            "frame": np.asarray(found.frames, np.int64),
            "y": drift[:, 0].astype(np.int64),
            "x": drift[:, 1].astype(np.int64),
        },
        _luts=luts,
    )


class Tracker(Protocol):
    """Follows the cells of one FOV. Masks are never altered, only renamed.

    A plug-in registers a callable under the entry point group ``fovflow.trackers``; it is called
    as ``plugin(pixel_um=…, **options)`` and returns a tracker.
    """

    def add(self, t: int, labels: NDArray[Any]) -> None:
        """Take the labels of frame `t`, (Y, X) integers, 0 = background.

        Frames come in ascending order; a frame that was never acquired is left out.
        """
        ...

    def finish(self) -> Lineage:
        """Return the lineage of all frames that were added."""
        ...
