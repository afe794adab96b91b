"""Extract: features of every cell of every frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.contest import Contest, reference_available
from benchmarks.measuring import Arrays
from fovflow.features import DEFAULT_FEATURES, FEATURES, get_extractor

EVERYTHING = {
    kind: [name for name, feature in FEATURES.items() if feature.kind == kind]
    for kind in ("pc", "fl")
}
SETS: dict[str, Mapping[str, Sequence[str]]] = {
    "default features": DEFAULT_FEATURES,
    "all features": EVERYTHING,
}
"""The plain version always measures all features."""


def contest(
    labels: NDArray[np.uint16],
    phase: NDArray[np.uint16],
    light: NDArray[np.uint16],
    method: str,
    pixel_um: float,
) -> Contest:
    """Measure (T, Y, X) frame by frame."""
    plain = None
    if reference_available():
        from reference.features import frame_rows

        def plain(frames: Arrays) -> None:
            for f in frames:
                frame_rows(f["labels"], f["phase"], {1: (f["light"], f["corrected"])})

    def own(frames: Arrays) -> None:
        times = np.arange(len(frames))
        extractor = get_extractor(
            fov=0, pc=0, fl=[1], time=times, features=SETS[method], pixel_um=pixel_um
        )
        for t, f in enumerate(frames):
            extractor.add(t, f["labels"], f["phase"], {1: (f["light"], f["corrected"])})
        extractor.finish()

    frames = [
        {"labels": cells, "phase": p, "light": i, "corrected": i - np.float32(100.5)}
        for cells, p, i in zip(labels, phase, light, strict=True)
    ]
    return Contest("extract", method, own, frames, [], plain)
