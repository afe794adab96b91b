"""Planes that a dataset announces and does not hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError


@dataclass(frozen=True)
class Holes:
    """Which frames are there whole.

    Attributes
    ----------
    whole : (P, T) bool
    missing : tuple of (int, int)
        (position, frame) pairs that lack any of their planes.
    notes : tuple of str
        A sentence about frames of which only a part is there; they count as missing.
    """

    whole: NDArray[np.bool_]
    missing: tuple[tuple[int, int], ...]
    notes: tuple[str, ...]


def find_holes(path: Path, held: NDArray[np.bool_]) -> Holes:
    """Find the frames that are not whole.

    Parameters
    ----------
    path : Path
        Named in the error.
    held : bool
        (P, T, …): which planes there are.

    Raises
    ------
    FovflowError
        If there is no whole frame at all.
    """
    planes = held.reshape(*held.shape[:2], -1)
    whole = np.asarray(planes.all(axis=2))
    partial = int((planes.any(axis=2) & ~whole).sum())
    notes = (f"{partial} frames lack channels or z planes and count as missing.",) * bool(partial)
    if not whole.any():
        raise FovflowError(
            f"{path} holds no whole frame",
            found=f"{int(planes.sum())} of {planes.size} announced images",
            remedy="record it again, or leave it out",
        )
    missing = tuple((int(p), int(t)) for p, t in np.argwhere(~whole))
    return Holes(whole, missing, notes)
