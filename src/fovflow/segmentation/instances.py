"""Objects one by one, each inside its own box: sizes, outlines smoothed, touching cells split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from fovflow.config.methods import LogStdSegment, ThresholdSegment
from fovflow.segmentation.masks import (
    Components,
    Labels,
    Mask,
    check_number,
    disc,
    fill_and_trace,
    first_pixels,
)
from fovflow.segmentation.sheet import Sheet, Window
from fovflow.segmentation.split import Necks, hull_pixels, split_component

Judge = Callable[[Window, Mask], bool]


@dataclass(frozen=True, slots=True)
class Limits:
    """What an object must be like, in pixels. Objects outside `least` to `most` are dropped."""

    least: float
    least_cut: float
    """Smallest area of an object that the frame's border cuts, at most `least`."""
    most: float
    hole: float
    """Greatest hole that is filled."""
    smoothing: float
    """Radius by which outlines are closed, each object for itself."""
    split: bool
    """Whether touching cells are split."""
    necks: Necks

    @classmethod
    def of(
        cls,
        settings: LogStdSegment | ThresholdSegment,
        px: float,
        *,
        smoothing_um: float = 0.0,
        new_ratio: float = 1.0,
    ) -> Limits:
        """Turn a method's settings, in µm, into pixels of the edge length `px` (µm)."""
        most, least_cut = settings.max_area_um2, settings.min_cut_area_um2
        return cls(
            least=max(1.0, settings.min_area_um2 / px**2),
            least_cut=max(1.0, min(least_cut, settings.min_area_um2) / px**2),
            most=math.inf if most is None else most / px**2,
            hole=settings.max_hole_um2 / px**2,
            smoothing=smoothing_um / px,
            split=settings.split,
            necks=Necks(
                settings.neck_ratio,
                max(settings.neck_ratio, settings.kept_neck_ratio),
                settings.min_radius_um / px,
                settings.max_solidity,
                new_ratio,
            ),
        )

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
    *,
    judge: Judge | None = None,
    before: Labels | None = None,
    sheet: Sheet | None = None,
) -> tuple[Labels, int]:
    """Turn a mask into labels; return also how many objects come from splitting.

    `room`: (Y, X) uint8, 0 or 1: where outlines may grow to when they are smoothed. `judge` is
    given each component's window on the sheet and its mask, before smoothing; False drops it.
    `before`: labels of the frame before, which tell where touching cells are. `sheet`: on which
    `mask` and `room` lie, with a margin of at least the smoothing's radius + 1 around all
    components; without it they are frames.
    """
    sheet = sheet or Sheet.of_frame(mask.shape)
    if before is not None and before.shape != sheet.frame:
        before = None
    reach = math.ceil(limits.smoothing) + 1
    _, labels = cv2.connectedComponents(mask, connectivity=8, ltype=cv2.CV_32S)
    found = []
    for index, place, window in _components(mask, labels, limits.least_cut, reach, sheet):
        own = (labels[place] == index).view(np.uint8)
        if not limits.too_small(own, window, sheet.frame) and (judge is None or judge(place, own)):
            found.append((own, place, window))
    slots = Sheet([window for _, _, window in found], sheet.frame, reach)
    wholes = slots.lay([own for own, _, _ in found])
    element = disc(limits.smoothing)
    if element.size > 1:
        free = cv2.bitwise_and(room, (labels == 0).view(np.uint8))
        wholes |= slots.close(wholes, element) & slots.lay([free[place] for _, place, _ in found])
    hulls = _fill_and_measure(wholes, slots, limits.hole)
    ids = np.zeros(sheet.frame, np.uint16)
    windows: list[Window] = []
    first: list[int] = []  # pixels, flat
    n_split = 0
    for place, window, hull in zip(slots.places, slots.windows, hulls, strict=True):
        whole, target = wholes[place], ids[window]
        if cv2.countNonZero(target):
            whole &= (target == 0).view(np.uint8)
        earlier = None if before is None else before[window]
        parts = None
        if limits.split and hull > 0:
            parts = split_component(whole, hull, earlier, limits.necks)
        if parts is None or any(limits.too_small(part, window, sheet.frame) for part in parts):
            parts = [whole]
        for part in parts:
            too_large = cv2.countNonZero(part) > limits.most
            if too_large or limits.too_small(part, window, sheet.frame):
                continue
            row, column = divmod(int(part.argmax()), part.shape[1])
            first.append((window[0].start + row) * ids.shape[1] + window[1].start + column)
            windows.append(window)
            n_split += len(parts) > 1
            check_number(len(first))
            np.copyto(target, len(first), where=part.view(np.bool_))
    _sort_ids(ids, windows, first)
    return ids, n_split


def _fill_and_measure(wholes: Mask, slots: Sheet, hole: float) -> list[float]:
    """Fill small holes; return the pixels in each object's hull, 0 where it is several pieces."""
    contours, is_hole = fill_and_trace(wholes, hole)
    outer = [contours[i] for i in np.flatnonzero(~is_hole).tolist()]
    slot = slots.find(*first_pixels(outer))
    pieces = np.bincount(slot, minlength=len(slots.places))
    hulls = np.zeros(len(slots.places))
    hulls[slot] = hull_pixels(outer)
    alone: list[float] = np.where(pieces == 1, hulls, 0.0).tolist()
    return alone


def _components(
    mask: Mask, labels: Components, least: float, reach: int, sheet: Sheet
) -> Iterator[tuple[int, Window, Window]]:
    """Yield id, window on the sheet and in the frame of the components.

    They come in raster order of their first pixels in the frame. Those whose boxes are smaller
    than `least` are left out.
    """
    contours, tree = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if tree is None:
        return
    outer = [contours[i] for i in np.flatnonzero(tree[0, :, 3] < 0).tolist()]  # no edges of holes
    boxes = np.array([cv2.boundingRect(contour) for contour in outer], np.int64)
    large = boxes[:, 2] * boxes[:, 3] >= least
    y, x = (at[large] for at in first_pixels(outer))
    boxes, move = boxes[large], sheet.shift(y, x)
    height, width = sheet.frame
    left, top = boxes[:, 0] + move[:, 1], boxes[:, 1] + move[:, 0]
    edges = [
        np.maximum(top - reach, 0),
        np.minimum(top + boxes[:, 3] + reach, height),
        np.maximum(left - reach, 0),
        np.minimum(left + boxes[:, 2] + reach, width),
    ]
    table = np.stack([labels[y, x], *edges, move[:, 0], move[:, 1]], axis=1)
    for index, y0, y1, x0, x1, down, right in table[
        np.lexsort((x + move[:, 1], y + move[:, 0]))
    ].tolist():
        place = slice(y0 - down, y1 - down), slice(x0 - right, x1 - right)
        yield index, place, (slice(y0, y1), slice(x0, x1))


def _sort_ids(ids: Labels, windows: list[Window], first: list[int]) -> None:
    """Renumber objects, each in its window, in the order of their first pixels."""
    order = np.argsort(first, kind="stable").tolist()
    moved = [
        (windows[old], new + 1, ids[windows[old]] == old + 1)
        for new, old in enumerate(order)
        if new != old
    ]
    for window, label, mask in moved:
        np.copyto(ids[window], label, where=mask)
