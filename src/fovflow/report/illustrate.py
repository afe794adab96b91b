"""Which FOVs and frames are shown as pictures, within the size that a report may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.report.markup import without_folders
from fovflow.report.pictures import picture
from fovflow.report.summary import DatasetSummary, FovSummary, Picture
from fovflow.results import FovResult
from fovflow.stacks import StackReader
from fovflow.units import format_ranges

FOVS_PER_DATASET = 12
FOVS_PER_REPORT = 48
BYTES_PER_REPORT = 10_000_000
"""Bytes of all PNG files together; a third more as text in the report."""


class PictureBudget:
    """How many FOVs of each dataset have pictures, and how many bytes are left for them."""

    def __init__(self, datasets: int):
        self.fovs = max(1, min(FOVS_PER_DATASET, FOVS_PER_REPORT // max(datasets, 1)))
        self.bytes = BYTES_PER_REPORT

    def choose(self, dataset: DatasetSummary, fovs: Mapping[int, FovResult]) -> set[int]:
        """Return the FOVs to show, spread evenly; tell in `picture_note` what is left out."""
        able = [
            index
            for index, fov in fovs.items()
            if fov.status == "complete" and _image(fov) and _labels(fov)
        ]
        complete = sum(fov.status == "complete" for fov in fovs.values())
        if complete and not able:
            dataset.picture_note = (
                "No pictures: the stacks were not kept after the run. To see the outlines of the "
                "cells, let the configuration's key keep name pc and seg_labeled, and run again."
            )
        if len(able) > self.fovs:
            able = [able[i * len(able) // self.fovs] for i in range(self.fovs)]
            dataset.picture_note = (
                f"{len(able)} of {complete} complete FOVs are shown, spread evenly: "
                f"{format_ranges(able)}."
            )
        return set(able)


def _image(fov: FovResult) -> list[Any]:
    """Return the path of the stack to draw on: phase contrast, else the first fluorescence."""
    return [path for kind in ("pc", "fl") for path in fov.stacks.get(kind, {}).values()][:1]


def _labels(fov: FovResult) -> list[Any]:
    return [path for kind in ("seg_labeled", "seg") for path in fov.stacks.get(kind, {}).values()][
        :1
    ]


def pictures_of(
    fov: FovResult,
    summary: FovSummary,
    table: Mapping[str, NDArray[Any]] | None,
    budget: PictureBudget,
    notes: list[str],
) -> list[Picture]:
    """Return pictures of the first, the middle and the last frame that were acquired."""
    named = table if "seg_labeled" in fov.stacks else None
    made: list[Picture] = []
    try:
        with StackReader(_image(fov)[0]) as images, StackReader(_labels(fov)[0]) as labels:
            if images.shape != labels.shape:
                notes.append("no pictures: image and labels differ in shape")
                return []
            for t in _chosen_frames(len(images), summary):
                if budget.bytes <= 0:
                    notes.append("no more pictures: the report would be too large")
                    break
                made.append(picture(t, images.frame(t), labels.frame(t), named))
                budget.bytes -= len(made[-1].png)
    except (FovflowError, OSError) as error:
        notes.append(f"no pictures: {without_folders(str(error))}")
    return made


def _chosen_frames(total: int, summary: FovSummary) -> list[int]:
    flags = summary.series[0].flags if summary.series else {}
    acquired = [t for t in range(total) if "missing" not in flags.get(t, "")]
    if not acquired:
        return []
    return sorted({acquired[0], acquired[len(acquired) // 2], acquired[-1]})
