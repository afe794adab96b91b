"""The objects of the frames of a movie, as lists of pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

Shift = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Detection:
    """One object of one frame; ``order`` is its place in raster order of first pixels."""

    frame: int
    order: int
    label: int
    y: np.ndarray
    x: np.ndarray

    @property
    def area(self) -> int:
        return len(self.y)

    @property
    def centroid(self) -> np.ndarray:
        return np.array([self.y.mean(), self.x.mean()])

    @property
    def diameter(self) -> float:
        return math.sqrt(4 * self.area / math.pi)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Half-open bounding box (y0, x0, y1, x1)."""
        y0, x0, y1, x1 = self.y.min(), self.x.min(), self.y.max() + 1, self.x.max() + 1
        return int(y0), int(x0), int(y1), int(x1)


def detections(labels: np.ndarray, frame: int) -> list[Detection]:
    """Objects of a frame in raster order of their first pixel."""
    found = []
    boxes = ndimage.find_objects(labels.astype(np.int64))
    for label, box in enumerate(boxes, start=1):
        if box is not None:
            y, x = np.nonzero(labels[box] == label)
            found.append((label, y + box[0].start, x + box[1].start))
    found.sort(key=lambda item: (item[1][0], item[2][0]))
    return [Detection(frame, order, *item) for order, item in enumerate(found)]


def overlaps(source: Detection, labels: np.ndarray, shift: Shift) -> tuple[int, dict[int, int]]:
    """Visible area of the source moved by the shift, and its common pixels with each label."""
    y, x = source.y + shift[0], source.x + shift[1]
    inside = (y >= 0) & (y < labels.shape[0]) & (x >= 0) & (x < labels.shape[1])
    values, counts = np.unique(labels[y[inside], x[inside]], return_counts=True)
    common = {int(v): int(c) for v, c in zip(values, counts, strict=True) if v}
    return int(inside.sum()), common
