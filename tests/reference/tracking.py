"""Reference tracking: from one id per frame to one id over time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from reference.assignment import assign
from reference.detections import Detection, detections
from reference.tracking_iou import IouTracker
from reference.tracking_table import link_rows

Box = tuple[int, int, int, int]
Links = dict[str, np.ndarray]
COLUMNS = (
    "cell", "frame", "label", "previous_frame", "gap", "parent", "iou", "confidence",
    "distance_px", "merged", "split",
)  # fmt: skip


def box_iou(a: Box, b: Box) -> float:
    """Area of the common rectangle over the area of the union of both."""
    height = min(a[2], b[2]) - max(a[0], b[0])
    width = min(a[3], b[3]) - max(a[1], b[1])
    if height <= 0 or width <= 0:
        return 0.0
    common = height * width
    area_a = (a[2] - a[0]) * (a[3] - a[1])
    area_b = (b[2] - b[0]) * (b[3] - b[1])
    return common / (area_a + area_b - common)


def box_weights(sources: list[Box], targets: list[Box], min_iou: float = 0.1) -> np.ndarray:
    """IoU of all pairs of boxes, 0 where it is below the limit."""
    iou = np.array([[box_iou(a, b) for b in targets] for a in sources])
    iou = iou.reshape(len(sources), len(targets))
    return np.where(iou >= min_iou, iou, 0.0)


@dataclass
class Row:
    """One cell in one frame."""

    cell: int
    frame: int
    label: int
    previous_frame: int = -1
    gap: int = 0
    parent: int = 0
    iou: float = math.nan
    confidence: float = math.nan
    distance_px: float = math.nan
    merged: int = 0
    split: int = 0


def track_classic(seg: np.ndarray, min_iou: float = 0.1) -> tuple[np.ndarray, list[Row]]:
    """Follow the cells of frame 0 by bounding-box IoU; all others become 0."""
    cells: list[tuple[int, Detection]] = list(enumerate(detections(seg[0], 0), start=1))
    rows = [Row(cell, 0, d.label) for cell, d in cells]
    for t in range(1, len(seg)):
        targets = detections(seg[t], t)
        weights = box_weights([d.box for _, d in cells], [d.box for d in targets], min_iou)
        followed = []
        for (i, j), margin in assign(weights).items():
            (cell, source), target = cells[i], targets[j]
            distance = float(np.hypot(*(target.centroid - source.centroid)))
            rows.append(Row(cell, t, target.label, t - 1, 0, 0, weights[i, j], margin, distance))
            followed.append((cell, target))
        cells = followed
    rows.sort(key=lambda row: (row.cell, row.frame))
    return renamed(seg, rows), rows


def track_iou(
    seg: np.ndarray, pixel_um: float, **params: float | bool
) -> tuple[np.ndarray, list[Row]]:
    """Follow all cells by mask IoU over gaps, with drift and divisions."""
    tracker = IouTracker(seg, pixel_um, **params)
    table, cells = link_rows(tracker)
    rows = [Row(**row) for row in table]
    labeled = renamed(seg, rows)
    for detection, cell in cells.items():
        labeled[detection.frame][detection.y, detection.x] = cell
    return labeled, rows


def renamed(seg: np.ndarray, rows: list[Row]) -> np.ndarray:
    """Label frames with the ids of the cells."""
    cells = max((row.cell for row in rows), default=0)
    labeled = np.zeros(seg.shape, dtype=np.uint16 if cells <= 65535 else np.uint32)
    for t, labels in enumerate(seg):
        lut = np.zeros(int(labels.max()) + 1, dtype=labeled.dtype)
        for row in rows:
            if row.frame == t:
                lut[row.label] = row.cell
        labeled[t] = lut[labels]
    return labeled


def track_stack(
    seg: np.ndarray, *, method: str = "iou", pixel_um: float | None = None, **params: float | bool
) -> tuple[np.ndarray, Links]:
    """Labeled frames and the table of links, with the signature of the fast function."""
    if method == "classic":
        labeled, rows = track_classic(seg, **params)
    else:
        labeled, rows = track_iou(seg, pixel_um, **params)
    return labeled, {name: np.array([getattr(row, name) for row in rows]) for name in COLUMNS}
