"""Classic tracking: bounding boxes of consecutive frames, cells of the first frame only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.config.methods import ClassicTrack
from fovflow.labels import FloatArray, IntArray
from fovflow.tracking.assignment import assign
from fovflow.tracking.overlaps import FrameObjects
from fovflow.tracking.tracks import AddedFrames, Lineage, build, number_cells


class ClassicTracker:
    """Link bounding boxes frame by frame; see docs/algorithms/tracking.md, `classic`."""

    def __init__(self, settings: ClassicTrack, pixel_um: float | None = None):
        self._min_iou = settings.min_iou
        self._frames = AddedFrames()
        self._columns: dict[str, list[NDArray[Any]]] = {
            name: [] for name in ("previous", "iou", "confidence", "distance_px")
        }
        self._before: tuple[FrameObjects, IntArray, NDArray[np.bool_]] | None = None
        self._count = 0

    def add(self, t: int, labels: NDArray[Any]) -> None:
        """Take the labels of frame `t`, (Y, X) integers."""
        objects = self._frames.add(t, labels)
        n = len(objects)
        box = bounding_boxes(objects)
        previous = np.full(n, -1, np.int64)
        iou, confidence, distance = (np.full(n, np.nan) for _ in range(3))
        followed = np.ones(n, bool) if self._before is None else np.zeros(n, bool)
        if self._before is not None:
            earlier, earlier_box, was_followed = self._before
            table = box_iou(earlier_box, box)
            table[~was_followed] = 0.0
            i, j = np.nonzero((table >= self._min_iou) & (table > 0))
            chosen, margin = assign(i, j, table[i, j])
            i, j = i[chosen], j[chosen]
            previous[j] = self._count - len(earlier) + i
            iou[j] = table[i, j]
            confidence[j] = margin[chosen]
            distance[j] = np.hypot(objects.y[j] - earlier.y[i], objects.x[j] - earlier.x[i])
            followed[j] = True
        for name, values in (
            ("previous", previous), ("iou", iou), ("confidence", confidence),
            ("distance_px", distance),
        ):  # fmt: skip
            self._columns[name].append(values)
        self._before = (objects, box, followed)
        self._count += n

    def finish(self) -> Lineage:
        """Return the cells of the first frame, each as far as it was followed."""
        found = self._frames.detections()
        columns: dict[str, NDArray[Any]] = {
            name: np.concatenate(parts) if parts else np.zeros(0)
            for name, parts in self._columns.items()
        }
        columns["previous"] = columns["previous"].astype(np.int64)
        first = found.frame_index == 0
        cell, n_cells = number_cells(columns["previous"], first)
        return build(found, cell, n_cells, columns)


def bounding_boxes(objects: FrameObjects) -> IntArray:
    """Return (n, 4) half-open bounding boxes: y0, x0, y1, x1."""
    n = len(objects)
    box = np.empty((n, 4), np.int64)
    box[:, :2], box[:, 2:] = np.iinfo(np.int64).max, 0
    np.minimum.at(box[:, 0], objects.owner, objects.row)
    np.minimum.at(box[:, 1], objects.owner, objects.start)
    np.maximum.at(box[:, 2], objects.owner, objects.row + 1)
    np.maximum.at(box[:, 3], objects.owner, objects.stop)
    return box


def box_iou(a: IntArray, b: IntArray) -> FloatArray:
    """Return the (n, m) intersection over union of bounding boxes (n, 4) and (m, 4)."""
    top, left, bottom, right = (
        side(a[:, None, k], b[None, :, k])
        for k, side in enumerate((np.maximum, np.maximum, np.minimum, np.minimum))
    )
    common = np.maximum(bottom - top, 0) * np.maximum(right - left, 0)
    area_a, area_b = ((c[:, 2] - c[:, 0]) * (c[:, 3] - c[:, 1]) for c in (a, b))
    result: FloatArray = common / (area_a[:, None] + area_b[None] - common)
    return result
