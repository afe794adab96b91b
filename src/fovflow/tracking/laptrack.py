"""Adapter for the laptrack package: linear assignment on centroids (Jaqaman et al. 2008)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.config.methods import LaptrackTrack
from fovflow.errors import ConfigError
from fovflow.labels import FloatArray, IntArray
from fovflow.tracking.tracks import AddedFrames, Lineage, build, number_cells

Edges = list[tuple[int, int]]


class LapTracker:
    """Link centroids with `laptrack.LapTrack`; masks are not looked at.

    `pixel_um`: edge length of a pixel (µm). Raises ConfigError if laptrack is not installed or the
    pixel size is not given.
    """

    def __init__(self, settings: LaptrackTrack, pixel_um: float | None = None):
        if pixel_um is None or not pixel_um > 0:
            raise ConfigError(
                "tracking by laptrack needs the pixel size",
                found=str(pixel_um),
                remedy="give pixel_um above 0",
            )
        try:
            from laptrack import LapTrack
        except ImportError as error:
            raise ConfigError(
                "tracking by laptrack needs the package laptrack",
                found=str(error),
                remedy="install fovflow[laptrack], or choose another method",
            ) from error
        gap, split = settings.gap_distance_um, settings.split_distance_um
        self._linker: Any = LapTrack(  # its cut-offs are squared distances
            cutoff=(settings.max_distance_um / pixel_um) ** 2,
            gap_closing_cutoff=(gap / pixel_um) ** 2 if settings.max_gap else False,
            gap_closing_max_frame_count=settings.max_gap + 1,  # it counts steps, not missed frames
            splitting_cutoff=(split / pixel_um) ** 2 if split else False,
            merging_cutoff=False,
        )
        self._frames = AddedFrames()
        self._centroids: list[FloatArray] = []

    def add(self, t: int, labels: NDArray[Any]) -> None:
        """Take the labels of frame `t`, (Y, X) integers; frames come in ascending order."""
        objects = self._frames.add(t, labels)
        self._centroids.append(np.column_stack([objects.y, objects.x]))

    def finish(self) -> Lineage:
        """Return all cells; ``iou`` and ``confidence`` are NaN."""
        found = self._frames.detections()
        n = found.label.size
        edges: Edges = []
        if sum(len(points) > 0 for points in self._centroids) > 1:
            tree = self._linker.predict(self._centroids)
            edges = [
                (int(found.offsets[s] + i), int(found.offsets[t] + j))
                for (s, i), (t, j) in sorted(tree.edges)
            ]
        before, splits = _backwards(edges, n)
        previous = np.where(splits, -1, before)
        cell, n_cells = number_cells(previous, np.ones(n, bool))
        place = np.concatenate([np.zeros((0, 2)), *self._centroids])
        distance = np.hypot(*(place - place[before]).T)
        distance[before < 0] = np.nan
        columns = {
            "previous": before,
            "parent": np.where(splits, cell[before], 0),
            "distance_px": distance,
        }
        return build(found, cell, n_cells, columns)


def _backwards(edges: Edges, n: int) -> tuple[IntArray, NDArray[np.bool_]]:
    """Return each detection's predecessor, and whether that one has more than one successor."""
    before = np.full(n, -1, np.int64)
    for a, b in edges:
        before[b] = a
    successors = np.bincount(before[before >= 0], minlength=n)
    return before, (before >= 0) & (successors[before] > 1)
