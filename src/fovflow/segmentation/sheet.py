"""Windows of a frame side by side on one sheet: what lies between them costs nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fovflow.segmentation.masks import Mask

Window = tuple[slice, slice]
Boxes = NDArray[np.int64]

_MOST_WINDOWS = 512
_MOST_OF_FRAME = 0.5


class Sheet:
    """Windows of a frame laid beside one another, with background between them.

    Erosion, opening and growth inside the mask give on each place what they give in the frame, and
    closing what it gives for the window's pixels alone. They may reach no farther than `reach`,
    and every component of the mask lies in one window, with a line of background around it (for
    closing, one line more than it reaches) except where the window ends at the frame's border.

    `windows`, `places`: the same windows in the frame and on the sheet. Even rows and columns of
    the frame are even ones of the sheet where the windows begin at even ones. `frame`, `shape`:
    (Y, X) of the frame and of the sheet. `reach`: pixels between two places, and up to the
    sheet's border.
    """

    def __init__(self, windows: list[Window], frame: tuple[int, ...], reach: int):
        self.windows, self.frame = windows, frame
        self.shape, self.places = _shelves(windows, reach)
        self._beyond = self._beyond_border(reach)

    @classmethod
    def of_frame(cls, frame: tuple[int, ...]) -> Sheet:
        """Return the sheet that is the frame itself."""
        sheet = cls([], frame, 0)
        sheet.windows = sheet.places = [(slice(0, frame[0]), slice(0, frame[1]))]
        sheet.shape = frame[0], frame[1]
        return sheet

    @classmethod
    def around(cls, mask: Mask, margin: int, reach: int) -> Sheet:
        """Return the sheet of a mask's components, or the frame itself where they fill it.

        `mask`: (Y, X) uint8, 0 or 1. `margin`: pixels around the components' boxes that belong to
        their windows, at least 1. `reach`: see `Sheet`.
        """
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        if len(contours) > _MOST_WINDOWS:
            return cls.of_frame(mask.shape)
        boxes = np.array([cv2.boundingRect(c) for c in contours], np.int64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        windows = separate_windows(boxes, margin, mask.shape)
        area = np.prod(windows[:, 2:] - windows[:, :2], axis=1).sum()
        if area > _MOST_OF_FRAME * mask.size:
            return cls.of_frame(mask.shape)
        slices = [(slice(y0, y1), slice(x0, x1)) for x0, y0, x1, y1 in windows.tolist()]
        return cls(slices, mask.shape, reach)

    def _beyond_border(self, reach: int) -> Mask | None:
        """Return 1 where the sheet shows what lies beyond the frame's border."""
        height, width = self.frame[:2]
        beyond: Mask | None = None
        for (rows, columns), (y, x) in zip(self.windows, self.places, strict=True):
            edges = rows.start == 0, rows.stop == height, columns.start == 0, columns.stop == width
            if not any(edges):
                continue
            if beyond is None:
                beyond = np.zeros(self.shape, np.uint8)
            above, under, before, after = (reach * edge for edge in edges)
            beyond[y.start - above : y.stop + under, x.start - before : x.stop + after] = 1
            beyond[y, x] = 0
        return beyond

    def gather(self, frame: NDArray[Any]) -> NDArray[Any]:
        """Return what the windows show of a frame; 0 between them."""
        if self.places is self.windows:
            return frame
        return self.lay([frame[window] for window in self.windows], frame.dtype)

    def lay(self, parts: Iterable[NDArray[Any]], dtype: Any = np.uint8) -> NDArray[Any]:
        """Return a sheet with one array on each place; 0 between them."""
        sheet = np.zeros(self.shape, dtype)
        for place, part in zip(self.places, parts, strict=True):
            sheet[place] = part
        return sheet

    def find(self, y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of the place that each pixel of the sheet lies on."""
        if len(self.places) < 2:
            return np.zeros(y.size, np.int64)
        corner = np.array([(r.start, c.start) for r, c in self.places])
        order = np.lexsort((corner[:, 1], corner[:, 0]))
        width = self.shape[1]
        shelf = np.unique(corner[:, 0])
        row = shelf[np.searchsorted(shelf, y, side="right") - 1]
        key = corner[order, 0] * width + corner[order, 1]
        return np.asarray(order[np.searchsorted(key, row * width + x, side="right") - 1])

    def shift(self, y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return (n, 2) what leads from pixels of the sheet to the frame's: rows and columns."""
        moves = [
            (at[0].start - on[0].start, at[1].start - on[1].start)
            for at, on in zip(self.windows, self.places, strict=True)
        ]
        return np.array(moves, np.int64).reshape(-1, 2)[self.find(y, x)]

    def erode(self, mask: Mask, element: Mask) -> Mask:
        """Erode a mask; what lies beyond the frame does not erode it."""
        if self._beyond is None:
            return np.asarray(cv2.erode(mask, element))
        return self._inside(cv2.erode(cv2.bitwise_or(mask, self._beyond), element))

    def open(self, mask: Mask, element: Mask) -> Mask:
        """Open a mask; what lies beyond the frame neither erodes nor grows it."""
        if element.size == 1:
            return mask
        return self._inside(cv2.dilate(self.erode(mask, element), element))

    def close(self, mask: Mask, element: Mask) -> Mask:
        """Close each place for itself; what lies beyond the frame neither erodes nor grows it."""
        if element.size == 1:
            return mask
        return self.erode(np.asarray(cv2.dilate(mask, element)), element)

    def _inside(self, mask: Any) -> Mask:
        if self._beyond is not None:
            mask &= 1 - self._beyond
        return np.asarray(mask)


def separate_windows(boxes: Boxes, margin: int, frame: tuple[int, ...]) -> Boxes:
    """Join boxes until no window, a box with its margin, meets the box of another window.

    Boxes and windows are (n, 4) x0, y0, x1, y1; the ends are not included. Windows stay inside the
    frame, (Y, X), and begin at even rows and columns.
    """
    while True:
        low, high = boxes[:, :2] - margin, boxes[:, 2:] + margin
        windows = np.maximum(np.concatenate([low - low % 2, high], axis=1), 0)
        windows[:, 2:] = np.minimum(windows[:, 2:], [frame[1], frame[0]])
        pairs = np.argwhere(_meet(windows, boxes))
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        if not pairs.size:
            return np.asarray(windows, np.int64)
        boxes = _join(boxes, pairs.tolist())


def _meet(windows: Boxes, boxes: Boxes) -> NDArray[np.bool_]:
    """Return (n, n): whether a window holds a pixel of a box."""
    left, top, right, bottom = windows.astype(np.int32).T
    x0, y0, x1, y1 = boxes.astype(np.int32).T
    meet: NDArray[np.bool_] = left[:, None] < x1
    meet &= x0 < right[:, None]
    meet &= top[:, None] < y1
    meet &= y0 < bottom[:, None]
    return meet


def _join(boxes: Boxes, pairs: Iterable[list[int]]) -> Boxes:
    """Return the boxes around all boxes that are connected by pairs."""
    joined: dict[int, list[int]] = dict(enumerate(boxes.tolist()))
    into = list(range(len(boxes)))
    for pair in pairs:
        i, j = (_end(into, k) for k in pair)
        if i != j:
            one, other = joined[i], joined.pop(j)
            joined[i] = [*map(min, one[:2], other[:2]), *map(max, one[2:], other[2:])]
            into[j] = i
    return np.array(list(joined.values()), np.int64)


def _end(into: list[int], i: int) -> int:
    while into[i] != i:
        i = into[i]
    return i


def _shelves(windows: list[Window], reach: int) -> tuple[tuple[int, int], list[Window]]:
    """Place windows in rows, the highest first; return the sheet's shape and the places."""
    gap = max(2, reach + reach % 2)
    sizes = [(r.stop - r.start, c.stop - c.start) for r, c in windows]
    total = sum((height + gap) * (width + gap) for height, width in sizes)
    widest = max((width for _, width in sizes), default=0) + 2 * gap
    limit = max(widest, math.ceil(math.sqrt(total)))
    places: list[Window] = [(slice(0), slice(0))] * len(windows)
    top = left = gap
    below = top
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i][0]):
        height, width = sizes[i]
        if left + width + gap > limit:
            top, left = below, gap
        places[i] = slice(top, top + height), slice(left, left + width)
        left += width + width % 2 + gap
        below = max(below, top + height + height % 2 + gap)
    return (below, limit), places
