"""Correct: fluorescence less its background."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.contest import Contest, reference_available
from benchmarks.measuring import Arrays
from fovflow.background import get_corrector

METHODS = ("tiles", "classic")
CLASSIC_FROM_PX = 513
"""Least edge of a frame that the classic method takes."""


def methods(size: int) -> tuple[str, ...]:
    """Return the methods that take frames of this size."""
    return METHODS if size >= CLASSIC_FROM_PX else METHODS[:1]


def contest(
    light: NDArray[np.uint16], labels: NDArray[np.uint16], method: str, pixel_um: float
) -> Contest:
    """Correct (T, Y, X) frame by frame."""
    shape = light.shape[1:]
    plain = None
    if reference_available():
        from reference.background import correct_stack

        def plain(frames: Arrays) -> object:
            image = np.stack([frame["light"] for frame in frames])
            cells = np.stack([frame["labels"] for frame in frames])
            return correct_stack(image, cells, method=method, pixel_um=pixel_um)

    corrector = get_corrector(method, shape=shape, pixel_um=pixel_um)
    out = np.zeros(shape, np.float32)

    def own(frames: Arrays) -> None:
        for frame in frames:
            corrector(frame["light"], frame["labels"], out=out)

    frames = [{"light": i, "labels": cells} for i, cells in zip(light, labels, strict=True)]
    made = [{"corrected": np.zeros(shape, np.float32)} for _ in frames]
    return Contest("correct", method, own, frames, made, plain)
