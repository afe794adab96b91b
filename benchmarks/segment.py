"""Segment: cells of phase-contrast frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.contest import Contest, reference_available
from benchmarks.measuring import Arrays
from fovflow.segmentation import get_segmenter

METHODS = ("logstd", "classic")


def contest(phase: NDArray[np.uint16], method: str, pixel_um: float) -> Contest:
    """Segment (T, Y, X) frame by frame."""
    plain = None
    if reference_available():
        from reference.segmentation import segment_stack

        def plain(frames: Arrays) -> object:
            stack = np.stack([frame["phase"] for frame in frames])
            return segment_stack(stack, method=method, pixel_um=pixel_um)

    def own(frames: Arrays) -> None:
        segmenter = get_segmenter(method, pixel_um=pixel_um)
        for frame in frames:
            segmenter(frame["phase"])

    frames = [{"phase": image} for image in phase]
    made = [{"labels": np.zeros_like(image)} for image in phase]
    return Contest("segment", method, own, frames, made, plain)
