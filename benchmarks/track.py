"""Track: one id per cell over time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.contest import Contest, reference_available
from benchmarks.measuring import Arrays
from fovflow.tracking import get_tracker

METHODS = ("iou", "classic")


def contest(labels: NDArray[np.uint16], method: str, pixel_um: float) -> Contest:
    """Link and relabel (T, Y, X)."""
    plain = None
    if reference_available():
        from reference.tracking import track_stack

        def plain(frames: Arrays) -> object:
            stack = np.stack([frame["labels"] for frame in frames])
            return track_stack(stack, method=method, pixel_um=pixel_um)

    def own(frames: Arrays) -> None:
        tracker = get_tracker(method, pixel_um=pixel_um)
        for t, frame in enumerate(frames):
            tracker.add(t, frame["labels"])
        lineage = tracker.finish()
        for t, frame in enumerate(frames):
            lineage.relabel(t, frame["labels"])

    frames = [{"labels": image} for image in labels]
    made = [{"labeled": np.zeros_like(image)} for image in labels]
    return Contest("track", method, own, frames, made, plain, plain_frames=len(frames))
