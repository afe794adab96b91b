"""Scores of a segmentation."""

from __future__ import annotations

from typing import TypedDict

from fovflow.simulation.matching import LabelFrames, Matches, match_frames


class DetectionCounts(TypedDict):
    """Objects of all frames, counted."""

    true: int
    """True objects."""
    found: int
    """Found objects."""
    matched: int
    """True objects of which one found object covers more than half."""
    missed: int
    """True objects without."""
    extra: int
    """Found objects that match no true object."""
    merged: int
    """Found objects that match two or more."""
    split: int
    """True objects of which two or more found objects cover at least a tenth each."""


def seg_score(truth: LabelFrames | Matches, found: LabelFrames | None = None) -> float:
    """Return the SEG score of the Cell Tracking Challenge.

    The mean over all true objects R of all frames of |R ∩ S| / |R ∪ S|, where S is the found
    object with |R ∩ S| > |R| / 2, and of 0 where there is none (Maška et al. 2014,
    doi:10.1093/bioinformatics/btu080).

    Parameters
    ----------
    truth, found : LabelFrames
        (Y, X), (T, Y, X), or iterables of frames.

    Returns
    -------
    float
        0 to 1; NaN if there is no true object.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.array([[1, 1, 0, 2]])
    >>> seg_score(truth, np.array([[5, 5, 5, 0]]))
    0.3333333333333333
    """
    matches = match_frames(truth, found)
    return float(matches.jaccard.mean()) if matches.jaccard.size else float("nan")


def detection_counts(
    truth: LabelFrames | Matches, found: LabelFrames | None = None
) -> DetectionCounts:
    """Count found, missed, extra, merged and split objects; see `DetectionCounts`."""
    matches = match_frames(truth, found)
    times, matched = matches.times_matched, int((matches.match >= 0).sum())
    return {
        "true": matches.truth_id.size,
        "found": matches.found_id.size,
        "matched": matched,
        "missed": matches.truth_id.size - matched,
        "extra": int((times == 0).sum()),
        "merged": int((times > 1).sum()),
        "split": int((matches.parts > 1).sum()),
    }
