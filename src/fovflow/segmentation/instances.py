"""Objects one by one, each inside its own box: sizes, outlines smoothed, touching cells split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from fovflow.segmentation.objects import (
    Components,
    Labels,
    Mask,
    check_number,
    fill_and_trace,
)
from fovflow.segmentation.pixels import close_mask, disc
from fovflow.segmentation.split import Necks, split_component

Window = tuple[slice, slice]
Judge = Callable[[Window, Mask], bool]


@dataclass(frozen=True, slots=True)
class Limits:
    """What an object must be like, in pixels.

    Attributes
    ----------
    least, most : float
        Smallest and greatest area; objects outside are dropped.
    least_cut : float
        Smallest area of an object that the frame's border cuts, at most `least`.
    hole : float
        Greatest hole that is filled.
    smoothing : float
        Radius by which outlines are closed, each object for itself.
    split : bool
        Whether touching cells are split.
    necks : Necks
        Where touching cells come apart.
    """

    least: float
    least_cut: float
    most: float
    hole: float
    smoothing: float
    split: bool
    necks: Necks

    def too_small(self, part: Mask, window: Window, shape: tuple[int, ...]) -> bool:
        """Whether an object is too small for its place, in the frame or cut by its border."""
        area = cv2.countNonZero(part)
        if area >= self.least or area < self.least_cut:
            return area < self.least
        rows, columns = window
        edges = (
            (rows.start == 0, part[0]),
            (rows.stop == shape[0], part[-1]),
            (columns.start == 0, part[:, 0]),
            (columns.stop == shape[1], part[:, -1]),
        )
        return not any(at_border and line.any() for at_border, line in edges)


def make_objects(
    mask: Mask,
    room: Mask,
    limits: Limits,
    judge: Judge | None = None,
    before: Labels | None = None,
) -> tuple[Labels, int]:
    """Turn a mask into labels.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, 0 or 1.
    room : numpy.ndarray
        (Y, X) uint8, 0 or 1: where outlines may grow to when they are smoothed.
    limits : Limits
    before : numpy.ndarray, optional
        (Y, X) uint16: labels of the frame before, which tell where touching cells are.
    judge : callable, optional
        Is given each component's window and mask, before smoothing; False drops it.

    Returns
    -------
    labels : numpy.ndarray
        (Y, X) uint16.
    n_split : int
        Objects that come from splitting.
    """
    _, labels = cv2.connectedComponents(mask, connectivity=8, ltype=cv2.CV_32S)
    canvas = _Canvas(mask.shape, limits)
    element = disc(limits.smoothing)
    reach = math.ceil(limits.smoothing) + 1
    for index, window in _components(mask, labels, limits.least_cut, reach):
        own = (labels[window] == index).view(np.uint8)
        if limits.too_small(own, window, mask.shape):
            continue
        if judge is not None and not judge(window, own):
            continue
        target = canvas.ids[window]
        grown = close_mask(own, element) & room[window]
        grown &= (labels[window] == 0).view(np.uint8)
        whole, contour = fill_and_trace(own | grown, limits.hole)
        whole &= (target == 0).view(np.uint8)
        earlier = None if before is None else before[window]
        parts = None
        if limits.split and contour is not None:
            parts = split_component(whole, contour, earlier, limits.necks)
        if parts is None or any(limits.too_small(part, window, mask.shape) for part in parts):
            parts = [whole]
        canvas.add(window, parts)
    return canvas.finish()


def _components(
    mask: Mask, labels: Components, least: float, reach: int
) -> Iterator[tuple[int, Window]]:
    """Yield id and window of the components in raster order of their first pixels.

    Those whose boxes are smaller than `least` are left out.
    """
    contours, tree = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    found = []
    for contour, (_, _, _, parent) in zip(contours, [] if tree is None else tree[0], strict=True):
        if parent >= 0:
            continue  # the edge of a hole
        left, top, width, height = cv2.boundingRect(contour)
        if width * height >= least:
            x, y = contour[0, 0].tolist()  # the topmost pixel, and of these the leftmost
            rows = slice(max(top - reach, 0), min(top + height + reach, mask.shape[0]))
            columns = slice(max(left - reach, 0), min(left + width + reach, mask.shape[1]))
            found.append((y, x, (rows, columns)))
    for y, x, window in sorted(found, key=lambda entry: entry[:2]):
        yield int(labels[y, x]), window


class _Canvas:
    """Objects as they are found, their windows and first pixels."""

    def __init__(self, shape: tuple[int, ...], limits: Limits):
        self.ids = np.zeros(shape, np.uint16)
        self._limits = limits
        self._windows: list[Window] = []
        self._first: list[int] = []
        self._n_split = 0

    def add(self, window: Window, parts: list[Mask]) -> None:
        """Add the parts of one component that are neither too small nor too large."""
        top, left = window[0].start, window[1].start
        for part in parts:
            too_large = cv2.countNonZero(part) > self._limits.most
            if too_large or self._limits.too_small(part, window, self.ids.shape):
                continue
            row, column = divmod(int(part.argmax()), part.shape[1])
            self._first.append((top + row) * self.ids.shape[1] + left + column)
            self._windows.append(window)
            self._n_split += len(parts) > 1
            check_number(len(self._first))
            np.copyto(self.ids[window], len(self._first), where=part.view(np.bool_))

    def finish(self) -> tuple[Labels, int]:
        """Return the labels in raster order and how many come from splitting."""
        order = np.argsort(self._first, kind="stable").tolist()
        moved = [(old, new) for new, old in enumerate(order) if new != old]
        if moved:
            out = self.ids.copy()
            for old, new in moved:
                window = self._windows[old]
                np.copyto(out[window], new + 1, where=self.ids[window] == old + 1)
            return out, self._n_split
        return self.ids, self._n_split
