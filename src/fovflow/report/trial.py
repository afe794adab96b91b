"""A page that shows settings of segmentation side by side, on the same frames.

It needs no network. Its one script, which its policy names by its digest, enlarges a picture.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from fovflow.accuracy import match_frames
from fovflow.drawing import stretch
from fovflow.labels import boxes
from fovflow.report.page import rendered, text

if TYPE_CHECKING:
    from fovflow.planning.trials import Attempt, Setting, Subject

MOST_SIDE = 2048
"""Longest side of a picture in the page, in pixels."""

_QUALITY = 88
_SAME = 0.5
"""Two cells are the same where the intersection is a greater part of the union than this."""

_CLOSE_UP = 0.3
"""Side of the close-up, as a part of the frame's."""


@dataclass(frozen=True)
class Outlines:
    """Cells of a frame as SVG paths."""

    same: Markup
    other: Markup
    lost: Markup
    n_other: int
    n_lost: int


@dataclass(frozen=True)
class Row:
    """A setting, what it found in each frame, and how that differs from the first setting."""

    setting: Setting
    line: str
    attempts: Sequence[Attempt]
    outlines: Sequence[Outlines]

    @property
    def seconds(self) -> float:
        """Mean time for a frame, in seconds of a core."""
        return sum(a.seconds for a in self.attempts) / len(self.attempts)


def trial_page(
    settings: Sequence[Setting],
    lines: Sequence[str],
    subject: Subject,
    attempts: Sequence[Sequence[Attempt]],
    better: str | None = None,
) -> str:
    """Return the page; `lines`: each setting in a configuration, `better`: which one, and why."""
    paths = [[_paths(a.labels) for a in row] for row in attempts]
    rows = []
    for setting, line, found, drawn in zip(settings, lines, attempts, paths, strict=True):
        compared = zip(attempts[0], paths[0], found, drawn, strict=True)
        outlines = [_compared(a.labels, p, b.labels, q) for a, p, b, q in compared]
        rows.append(Row(setting, line, found, outlines))
    height, width = subject.images[0].shape
    return rendered(
        "trial.html.j2",
        text("trial.js"),
        subject=subject,
        pictures=[_picture(image) for image in subject.images],
        close_ups=_close_ups([[a.labels for a in row] for row in attempts]),
        height=height,
        width=width,
        rows=rows,
        better=better,
    )


def _picture(image: NDArray[Any]) -> str:
    """Return a frame in grey as a ``data:`` address."""
    grey, most = stretch(image), max(image.shape)
    if most > MOST_SIDE:
        scale = MOST_SIDE / most
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")


def _paths(labels: NDArray[np.uint16]) -> dict[int, str]:
    """Return the outline of each cell as an SVG path, through the middles of its border pixels."""
    found = {}
    for label, box in boxes(labels):
        mask = (labels[box] == label).astype(np.uint8)
        contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        corner = np.array([box[1].start, box[0].start])
        found[label] = "".join(
            _path(cv2.approxPolyDP(contour, 0.5, closed=True)[:, 0] + corner)
            for contour in contours
        )
    return found


def _path(points: NDArray[np.int32]) -> str:
    steps = " ".join(f"{x},{y}" for x, y in np.diff(points, axis=0).tolist())
    return f"M{points[0, 0]}.5,{points[0, 1]}.5l{steps or '0,0'}z"


def _compared(
    first: NDArray[np.uint16],
    paths: dict[int, str],
    second: NDArray[np.uint16],
    own: dict[int, str],
) -> Outlines:
    """Return the cells of `second`: those that are cells of `first`, others, and lost ones."""
    found = match_frames(first, second)
    same = found.jaccard > _SAME
    matched = set(found.truth_id[same].tolist())
    kept = set(found.found_id[found.match[same]].tolist())
    other = [path for label, path in own.items() if label not in kept]
    lost = [path for label, path in paths.items() if label not in matched]
    agreed = Markup("".join(path for label, path in own.items() if label in kept))
    return Outlines(agreed, Markup("".join(other)), Markup("".join(lost)), len(other), len(lost))


def _close_ups(found: Sequence[Sequence[NDArray[np.uint16]]]) -> list[str]:
    """Return for each frame the square in which settings differ most, as the view of a picture."""
    views = []
    for masks in zip(*found, strict=True):
        cells = [(labels > 0).astype(np.float32) for labels in masks]
        share = np.mean(cells, axis=0)
        height, width = share.shape
        side = max(1, min(height, width, max(round(_CLOSE_UP * min(height, width)), 200)))
        doubt = cv2.boxFilter(share * (1 - share), -1, (side, side), borderType=cv2.BORDER_CONSTANT)
        inner = doubt[side // 2 : height - (side - 1) // 2, side // 2 : width - (side - 1) // 2]
        y, x = np.unravel_index(int(inner.argmax()), inner.shape)
        views.append(f"{x} {y} {side} {side}")
    return views
