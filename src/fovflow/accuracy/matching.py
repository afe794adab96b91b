"""Which true cell is which found cell, frame by frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.integer]
LabelFrames = NDArray[np.integer] | Iterable[Labels]
"""One (Y, X) label image, a (T, Y, X) stack, or anything that yields (Y, X) label images."""
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Matches:
    """True and found objects of all frames, and which belong together.

    A true object is matched by the found object that covers more than half of its area; so each
    true object has at most one, and a found object can match several (the rule of the Cell
    Tracking Challenge, Maška et al. 2014, doi:10.1093/bioinformatics/btu080).

    Attributes
    ----------
    truth_frame, truth_id : numpy.ndarray
        (N,) frame and id of each true object, sorted by frame, then id.
    match : numpy.ndarray
        (N,) index of the found object that matches it, or -1.
    jaccard : numpy.ndarray
        (N,) |R ∩ S| / |R ∪ S| of the match, 0 without one.
    parts : numpy.ndarray
        (N,) number of found objects that cover at least a tenth of it.
    found_frame, found_id : numpy.ndarray
        (M,) the same of the found objects.
    owner : numpy.ndarray
        (M,) index of the true object that a found object shares most pixels with, or -1.
    owned : numpy.ndarray
        (M,) share of the found object's pixels that lie in its owner.
    truth_area, found_area : numpy.ndarray
        (N,) and (M,) sizes (px).
    """

    truth_frame: Ints
    truth_id: Ints
    match: Ints
    jaccard: Floats
    parts: Ints
    found_frame: Ints
    found_id: Ints
    owner: Ints
    owned: Floats
    truth_area: Ints
    found_area: Ints

    @property
    def times_matched(self) -> Ints:
        """(M,) number of true objects that each found object matches."""
        return np.bincount(self.match[self.match >= 0], minlength=self.found_id.size)


def match_frames(truth: LabelFrames | Matches, found: LabelFrames | None = None) -> Matches:
    """Match the objects of each frame.

    Parameters
    ----------
    truth, found : LabelFrames
        Label images of the same shapes; 0 is background. A `Matches` in place of `truth` is
        returned as it is.

    Raises
    ------
    ValueError
        If numbers of frames or shapes differ.
    """
    if isinstance(truth, Matches):
        return truth
    if found is None:
        raise ValueError("found is missing")
    frames = [
        _match(t, np.asarray(a), np.asarray(b))
        for t, (a, b) in enumerate(zip(_frames(truth), _frames(found), strict=True))
    ]
    if not frames:
        return _match(0, np.zeros((0, 0), np.int64), np.zeros((0, 0), np.int64))
    truths = founds = 0
    for part in frames:
        part.match[part.match >= 0] += founds
        part.owner[part.owner >= 0] += truths
        truths, founds = truths + part.truth_id.size, founds + part.found_id.size
    names = [field.name for field in fields(Matches)]
    return Matches(*(np.concatenate([getattr(part, name) for part in frames]) for name in names))


def _frames(frames: LabelFrames) -> Iterable[Labels]:
    if isinstance(frames, np.ndarray) and frames.ndim == 2:
        return [frames]
    return frames


def _match(t: int, truth: Labels, found: Labels) -> Matches:
    if truth.shape != found.shape:
        raise ValueError(f"frame {t}: truth of shape {truth.shape}, found of {found.shape}")
    truth_ids, truth_index, truth_area = _objects(truth)
    found_ids, found_index, found_area = _objects(found)
    width = found_ids.size + 1
    pairs = truth_index.astype(np.int64) * width + found_index
    joint = np.bincount(pairs, minlength=(truth_ids.size + 1) * width)
    overlap = joint.reshape(truth_ids.size + 1, width)[1:, 1:]
    best = np.full(truth_ids.size, -1, np.int64)
    jaccard = np.zeros(truth_ids.size)
    owner, owned = np.full(found_ids.size, -1, np.int64), np.zeros(found_ids.size)
    if overlap.size:
        shared = overlap.max(0)
        owner[shared > 0] = overlap.argmax(0)[shared > 0]
        owned = shared / found_area
        largest = overlap.argmax(1)
        common = overlap[np.arange(truth_ids.size), largest]
        covered = 2 * common > truth_area
        best[covered] = largest[covered]
        union = truth_area + found_area[largest] - common
        jaccard[covered] = (common / union)[covered]
    parts = (10 * overlap >= truth_area[:, None]).sum(1)
    return Matches(
        np.full(truth_ids.size, t, np.int64),
        truth_ids,
        best,
        jaccard,
        parts.astype(np.int64),
        np.full(found_ids.size, t, np.int64),
        found_ids,
        owner,
        owned,
        truth_area,
        found_area,
    )


def _objects(labels: Labels) -> tuple[Ints, Ints, Ints]:
    """Return ids, each pixel's place among them (0 is background), and areas."""
    flat = labels.ravel()
    counts = np.bincount(flat, minlength=1)
    counts[0] = 0
    ids = np.flatnonzero(counts)
    place = np.zeros(counts.size, np.int64)
    place[ids] = np.arange(1, ids.size + 1)
    return ids.astype(np.int64), place[flat], counts[ids]
