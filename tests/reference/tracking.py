"""Reference tracking: from one id per frame to one id over time."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

Box = tuple[int, int, int, int]


def bounding_boxes(labels: np.ndarray) -> dict[int, Box]:
    """Half-open bounding box (y0, x0, y1, x1) of each id of one frame."""
    boxes = {}
    for label in np.unique(labels[labels > 0]):
        y, x = np.nonzero(labels == label)
        boxes[int(label)] = (int(y.min()), int(x.min()), int(y.max()) + 1, int(x.max()) + 1)
    return boxes


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


def match_boxes(
    before: dict[int, Box], after: dict[int, Box], min_iou: float = 0.1
) -> dict[int, int]:
    """Best one-to-one assignment by bounding-box IoU; pairs below ``min_iou`` cost 1."""
    old, new = sorted(before), sorted(after)
    if not old or not new:
        return {}
    iou = np.array([[box_iou(before[a], after[b]) for b in new] for a in old])
    allowed = iou >= min_iou
    rows, columns = linear_sum_assignment(np.where(allowed, 1.0 - iou, 1.0))
    return {old[i]: new[j] for i, j in zip(rows, columns, strict=True) if allowed[i, j]}


def track_classic(seg: np.ndarray) -> np.ndarray:
    """Follow the cells of frame 0 by bounding-box IoU; all others become 0."""
    labeled = np.zeros_like(seg)
    labeled[0] = seg[0]
    followed = {label: label for label in bounding_boxes(seg[0])}
    for t in range(1, len(seg)):
        before, after = bounding_boxes(seg[t - 1]), bounding_boxes(seg[t])
        links = match_boxes({label: before[label] for label in followed}, after)
        followed = {links[label]: cell for label, cell in followed.items() if label in links}
        for label, cell in followed.items():
            labeled[t][seg[t] == label] = cell
    return labeled
