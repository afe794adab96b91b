"""How good a result is, measured against the truth.

Segmentation: `seg_score`, `f1_score`, `detection_counts`. Tracking: `complete_tracks`, `tra_score`,
`division_f1`. Traces: `intensity_errors`. A whole result: `compare`, `format_comparison`. Fits and
comparisons of an experiment: `fit_errors`, `describe_answers`.
Functions that take ``truth, found`` also take the `Matches` of `match_frames` in place of
`truth`, so that several scores share one pass over the pixels.
"""

from __future__ import annotations

from fovflow.accuracy.comparison import (
    compare,
    describe_answers,
    fit_errors,
    format_comparison,
)
from fovflow.accuracy.matching import Matches, match_frames
from fovflow.accuracy.scores import (
    DetectionCounts,
    complete_tracks,
    detection_counts,
    division_f1,
    f1_score,
    intensity_errors,
    match_divisions,
    match_tracks,
    parents_of,
    seg_score,
    tra_score,
)

__all__ = [
    "DetectionCounts",
    "Matches",
    "compare",
    "complete_tracks",
    "describe_answers",
    "detection_counts",
    "division_f1",
    "f1_score",
    "fit_errors",
    "format_comparison",
    "intensity_errors",
    "match_divisions",
    "match_frames",
    "match_tracks",
    "parents_of",
    "seg_score",
    "tra_score",
]
