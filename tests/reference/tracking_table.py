"""Reference of the table of links of the method ``iou``."""

from __future__ import annotations

from itertools import count

from reference.detections import Detection
from reference.tracking_iou import Division, IouTracker


def link_rows(
    tracker: IouTracker,
) -> tuple[list[dict[str, float | int]], dict[Detection, int]]:
    """Rows of the table of links, sorted by cell, then frame; and the cell of each detection."""
    born = {
        d: division for division in tracker.divisions for d in (division.heir, division.newborn)
    }
    every = [d for objects in tracker.frames for d in objects]
    cell: dict[Detection, int] = {}
    numbers = count(1)
    for detection in every:
        if tracker.is_piece(detection):
            cell[detection] = 0  # once the cells have their numbers
        elif detection in tracker.before and detection not in born:
            cell[detection] = cell[tracker.before[detection].source]
        else:
            cell[detection] = next(numbers)
    rows = [row(tracker, d, cell, born) for d in every if not tracker.is_piece(d)]
    cells = {d: cell[beside(tracker, d)] for d in every}
    return sorted(rows, key=lambda row: (row["cell"], row["frame"])), cells


def beside(tracker: IouTracker, detection: Detection) -> Detection:
    """The detection of the whole cell in the same frame."""
    return next(d for d in tracker.root(detection) if d.frame == detection.frame)


def row(
    tracker: IouTracker,
    detection: Detection,
    cell: dict[Detection, int],
    born: dict[Detection, Division],
) -> dict[str, float | int]:
    """One row of the table of links."""
    row: dict[str, float | int] = {
        "cell": cell[detection],
        "frame": detection.frame,
        "label": detection.label,
        "merged": sum(
            into is detection and tracker.root(source) is not tracker.root(into)
            for source, into in tracker.absorbed
        ),
        "split": split(tracker, detection, born),
    }
    link = tracker.before.get(detection)
    if detection in born:
        previous, confidence = born[detection].parent, born[detection].probability
        row["parent"] = cell[previous]
    elif link is not None:
        previous, confidence = link.source, link.confidence
    else:
        return row
    return row | {
        "previous_frame": previous.frame,
        "gap": detection.frame - previous.frame - 1,
        "iou": link.iou if link is not None else tracker.iou(previous, detection),
        "confidence": confidence,
        "distance_px": tracker.apart(previous, detection),
    }


def split(tracker: IouTracker, detection: Detection, born: dict[Detection, Division]) -> int:
    """Pieces of the cell, and other newborns, no daughters, that the mask before covers."""
    others = [d for d in tracker.frames[detection.frame] if d is not detection]
    pieces = sum(beside(tracker, d) is detection for d in others)
    link = tracker.before.get(detection)
    if link is None:
        return pieces
    return pieces + sum(
        tracker.common(link.source, other) >= 0.5 * other.area
        for other in others
        if other not in tracker.before and other not in born and not tracker.is_piece(other)
    )
