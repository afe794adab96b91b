"""Classic tracking: bounding boxes of consecutive frames, cells of the first frame only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.config.methods import ClassicTrack
from fovflow.labels import FloatArray, IntArray, run_boxes
from fovflow.tracking.assignment import assign
from fovflow.tracking.overlaps import FrameObjects
from fovflow.tracking.tracks import AddedFrames, Lineage, build, number_cells

_MEASURED = ("iou", "confidence", "distance_px")


class ClassicTracker:
    """Link bounding boxes frame by frame; see docs/algorithms/tracking.md, `classic`."""

    def __init__(self, settings: ClassicTrack, pixel_um: float | None = None):
        self._min_iou = settings.min_iou
        self._frames = AddedFrames()
        self._columns: list[dict[str, NDArray[Any]]] = []
        self._before: tuple[FrameObjects, IntArray, NDArray[np.bool_]] | None = None
        self._count = 0

    def add(self, t: int, labels: NDArray[Any]) -> None:
        """Take the labels of frame `t`, (Y, X) integers."""
        objects = self._frames.add(t, labels)
        n = len(objects)
        box = run_boxes(objects.owner, objects.row, objects.start, objects.stop, n)
        columns = {name: np.full(n, np.nan) for name in _MEASURED}
        columns["previous"] = np.full(n, -1.0)
        followed = np.ones(n, bool) if self._before is None else np.zeros(n, bool)
        if self._before is not None:
            earlier, earlier_box, was_followed = self._before
            table = box_iou(earlier_box, box)
            table[~was_followed] = 0.0
            i, j = np.nonzero((table >= self._min_iou) & (table > 0))
            chosen, margin = assign(i, j, table[i, j])
            i, j = i[chosen], j[chosen]
            away = np.hypot(objects.y[j] - earlier.y[i], objects.x[j] - earlier.x[i])
            columns["previous"][j] = self._count - len(earlier) + i
            for name, values in zip(_MEASURED, (table[i, j], margin[chosen], away), strict=True):
                columns[name][j] = values
            followed[j] = True
        self._columns.append(columns)
        self._before = (objects, box, followed)
        self._count += n

    def finish(self) -> Lineage:
        """Return the cells of the first frame, each as far as it was followed."""
        found = self._frames.detections()
        columns = {
            name: np.concatenate([np.zeros(0), *(part[name] for part in self._columns)])
            for name in ("previous", *_MEASURED)
        }
        columns["previous"] = columns["previous"].astype(np.int64)
        first = found.frame_index == 0
        cell, n_cells = number_cells(columns["previous"], first)
        return build(found, cell, n_cells, columns)


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
