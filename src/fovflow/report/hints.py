"""What to turn, where many measurements carry a flag."""

from __future__ import annotations

from typing import NamedTuple

from fovflow.report.gather import DatasetSummary, FovSummary
from fovflow.units import format_fovs

OFTEN = 0.15
"""Share of measurements, or of an FOV's cells, from which a flag is worth a look."""
HINTS = {
    "min_frames": "tracks are short. See first whether masks merge and fall apart (fovflow try); "
    "then raise track.max_gap, or lower qc.min_frames and qc.min_frames_fraction",
    "border": "cells touch the border of the frame: image sparser cells or larger frames, or lower "
    "qc.border_px",
    "saturation": "the fluorescence is saturated: expose it shorter; qc.max_saturated_fraction is "
    "the share of pixels that may be",
    "invalid": "pixels have no value: look at the raw frames and at correct",
    "area_jump": "masks merge and fall apart: raise segment.neck_ratio where cells are merged, "
    "lower it where they are in pieces, or try method unet (fovflow try)",
    "merge": "masks swallow neighbours: raise segment.neck_ratio, or try method unet (fovflow try)",
    "frame": "the segmentation of whole frames is not reliable: the flags of frames in the table "
    "of FOVs say why",
    "focus": "the focus is lost: look at the frames; qc.focus_ratio is what is sharp enough",
    "size": "objects are much smaller or larger than others: raise segment.min_area_um2 against "
    "dirt, see whether cells are merged; qc.size_ratio is the factor that is allowed",
    "debris": "objects neither move nor change: raise segment.min_contrast and "
    "segment.faint_area_um2 (logstd), or segment.probability (unet)",
    "ragged": "objects are pale and ragged: lower segment.n_sigma where parts of flat cells are "
    "found (logstd), or try method unet (fovflow try)",
    "low_confidence": "links are doubtful: better masks come first; then track.reach_um and "
    "track.max_distance_um, or more frames per hour",
    "fast": "cells move by about their own size between frames: record more often, or raise "
    "track.reach_um and track.max_distance_um",
}  # fmt: skip


class Hint(NamedTuple):
    """A flag that many measurements carry, and what may help."""

    rule: str
    share: float
    words: str
    where: str
    """FOVs where it is frequent, if not in all of them."""


def hints(dataset: DatasetSummary) -> list[Hint]:
    """Return what may be turned for a dataset, the most frequent flag first."""
    rows, found = dataset.ledger.rows, []
    for rule, words in HINTS.items():
        fovs = [fov for fov in dataset.fovs if fov.cells]
        often = [fov for fov in fovs if _share(fov, rule) >= OFTEN]
        share = dataset.ledger.reason_rows[rule] / rows if rows else 0.0
        if rule == "min_frames":  # cells that are lost by other rules carry it, too
            share, often = dataset.ledger.causes[rule] / (dataset.ledger.cells or 1), []
        if share >= OFTEN or (often and max(_share(fov, rule) for fov in often) >= 2 * OFTEN):
            some = often if 0 < len(often) < len(fovs) else []
            where = format_fovs([fov.index for fov in some]) if some else ""
            found.append(Hint(rule, share, words, where))
    return sorted(found, key=lambda hint: -hint.share)


def _share(fov: FovSummary, rule: str) -> float:
    return fov.reasons.get(rule, 0) / (fov.cells or 1)
