"""Objects one by one, each inside its own box: sizes, outlines smoothed, touching cells split."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.segmentation.objects import (
    Components,
    Labels,
    Mask,
    check_number,
    components,
    fill_and_trace,
)
from fovflow.segmentation.pixels import close_mask, disc
from fovflow.segmentation.split import split_component

Window = tuple[slice, slice]
Judge = Callable[[Window, Mask], bool]


@dataclass(frozen=True, slots=True)
class Limits:
    """What an object must be like, in pixels.

    Attributes
    ----------
    least, most : float
        Smallest and greatest area; objects outside are dropped.
    hole : float
        Greatest hole that is filled.
    smoothing : float
        Radius by which outlines are closed, each object for itself.
    split : bool
        Whether touching cells are split.
    ratio, radius, solidity : float
        See `fovflow.segmentation.split.split_component`.
    """

    least: float
    most: float
    hole: float
    smoothing: float
    split: bool
    ratio: float
    radius: float
    solidity: float


def make_objects(
    mask: Mask, room: Mask, limits: Limits, judge: Judge | None = None
) -> tuple[Labels, int]:
    """Turn a mask into labels.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, 0 or 1.
    room : numpy.ndarray
        (Y, X) uint8, 0 or 1: where outlines may grow to when they are smoothed.
    limits : Limits
    judge : callable, optional
        Is given each component's window and mask, before smoothing; False drops it.

    Returns
    -------
    labels : numpy.ndarray
        (Y, X) uint16.
    n_split : int
        Objects that come from splitting.
    """
    n, labels = components(mask)
    boxes, areas, order = measure(labels, n)
    canvas = _Canvas(mask.shape, limits)
    element = disc(limits.smoothing)
    reach = math.ceil(limits.smoothing) + 1
    for index in order[areas[order] >= limits.least].tolist():
        window = _window(boxes[index], reach, mask.shape)
        own = cv2.compare(labels[window], index + 1, cv2.CMP_EQ) & 1
        if judge is not None and not judge(window, own):
            continue
        target = canvas.ids[window]
        grown = close_mask(own, element) & room[window]
        grown &= cv2.compare(labels[window], 0, cv2.CMP_EQ)
        whole, contour = fill_and_trace(own | grown, limits.hole)
        whole &= cv2.compare(target, 0, cv2.CMP_EQ)
        parts = _split(whole, contour, limits)
        canvas.add(window, [whole] if parts is None else parts)
    return canvas.finish()


class _Canvas:
    """Objects as they are found, their sizes and first pixels."""

    def __init__(self, shape: tuple[int, ...], limits: Limits):
        self.ids = np.zeros(shape, np.int32)
        self._limits = limits
        self._first: list[int] = []
        self._split: list[bool] = []

    def add(self, window: Window, parts: list[Mask]) -> None:
        """Add the parts of one component that are neither too small nor too large."""
        target = self.ids[window]
        top, left = window[0].start, window[1].start
        for part in parts:
            if not self._limits.least <= cv2.countNonZero(part) <= self._limits.most:
                continue
            row, column = divmod(int(part.argmax()), part.shape[1])
            self._first.append((top + row) * self.ids.shape[1] + left + column)
            self._split.append(len(parts) > 1)
            np.copyto(target, len(self._first), where=part.view(np.bool_))

    def finish(self) -> tuple[Labels, int]:
        """Return the labels in raster order and how many come from splitting."""
        n = len(self._first)
        check_number(n)
        lut = np.zeros(n + 1, np.uint16)
        lut[np.argsort(self._first, kind="stable") + 1] = np.arange(1, n + 1, dtype=np.uint16)
        return np.take(lut, self.ids), sum(self._split)


def measure(
    labels: Components, n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return boxes, areas and raster order of the components 1..n, the first at index 0.

    A box is first row, last row + 1, first column, last column + 1. Works on the horizontal runs
    of equal ids, of which there are few.
    """
    height, width = labels.shape
    padded = np.zeros((height, width + 1), labels.dtype)
    padded[:, :width] = labels
    flat = padded.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat[0]:
        changes = np.concatenate([[0], changes])
    starts = changes[flat[changes] > 0]
    ends = np.append(changes, flat.size)[np.searchsorted(changes, starts) + 1]
    ids = flat[starts] - 1
    rows, columns = np.divmod(starts, width + 1)
    boxes = np.empty((n, 4), np.int64)
    boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3] = height, 0, width, 0
    np.minimum.at(boxes[:, 0], ids, rows)
    np.maximum.at(boxes[:, 1], ids, rows + 1)
    np.minimum.at(boxes[:, 2], ids, columns)
    np.maximum.at(boxes[:, 3], ids, columns + ends - starts)
    areas = np.bincount(ids, weights=ends - starts, minlength=n).astype(np.int64)
    seen, first = np.unique(ids, return_index=True)
    return boxes, areas, seen[np.argsort(first)].astype(np.int64)


def _window(box: NDArray[np.int64], reach: int, shape: tuple[int, ...]) -> Window:
    top, bottom, left, right = (int(value) for value in box)
    return (
        slice(max(top - reach, 0), min(bottom + reach, shape[0])),
        slice(max(left - reach, 0), min(right + reach, shape[1])),
    )


def _split(mask: Mask, contour: NDArray[np.int32] | None, limits: Limits) -> list[Mask] | None:
    if not limits.split or contour is None:
        return None
    parts = split_component(
        mask,
        contour,
        ratio=limits.ratio,
        min_radius=limits.radius,
        max_solidity=limits.solidity,
    )
    if parts is None or min(cv2.countNonZero(part) for part in parts) < limits.least:
        return None
    return parts
