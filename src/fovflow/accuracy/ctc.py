"""Sequences in the form of the Cell Tracking Challenge are written: true and found ids.

``NN/tTTT.tif`` are the frames, ``NN_GT/TRA/man_trackTTT.tif`` ids over time with
``man_track.txt``, ``NN_GT/SEG/man_segTTT.tif`` outlines of single frames, ``NN_RES/maskTTT.tif``
ids of a result with ``res_track.txt``. A line of such a table is ``L B E P``: id, first and last
frame, id of the mother or 0. An id has no gaps.
(https://celltrackingchallenge.net/evaluation-methodology)
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fovflow.atomic import write_text
from fovflow.errors import FovflowError

Labels = NDArray[Any]


class Frames(Protocol):
    """Frames of labels, of which the number is known."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Labels]: ...


def digits(frames: int) -> int:
    """Return how many digits the number of a frame has: as many in all files, three or more."""
    return max(3, len(str(frames - 1)))


def write_sequence(
    folder: str | os.PathLike[str],
    name: str,
    labeled: Frames,
    parents: Mapping[int, int],
    *,
    truth: bool = False,
) -> None:
    """Write ids over time as a result ``{name}_RES``, or as the truth ``{name}_GT``.

    An id that was lost for some frames goes on under a new one, whose mother it is; ids are
    numbered anew. A truth has the same masks under ``TRA`` and ``SEG``.

    Parameters
    ----------
    folder : path-like
        Made if need be.
    name : str
        Number of the sequence: ``01``.
    labeled : iterable of numpy.ndarray with a length
        (Y, X) ids of each frame; 0 is background.
    parents : mapping of int to int
        Mother of each daughter.
    truth : bool
        What is written.

    Raises
    ------
    FovflowError
        If there are more tracks than the form's 16 bits can number.
    """
    import tifffile

    place = Path(folder) / (f"{name}_GT" if truth else f"{name}_RES")
    stem, table = ("TRA/man_track", "TRA/man_track.txt") if truth else ("mask", "res_track.txt")
    copies = [place / stem, *[place / "SEG" / "man_seg"] * truth]
    for copy in copies:
        copy.parent.mkdir(parents=True, exist_ok=True)
    tracks: list[list[int]] = []
    now: dict[int, int] = {}
    for t, frame in enumerate(labeled):
        ids, where = np.unique(frame, return_inverse=True)
        names = np.zeros(ids.size, np.int64)
        for k, cell in enumerate(ids.tolist()):
            if cell == 0:
                continue
            if cell not in now or tracks[now[cell] - 1][2] < t - 1:
                mother = now.get(cell, now.get(parents.get(cell, 0), 0))
                before = mother and tracks[mother - 1][2] < t
                now[cell] = len(tracks) + 1
                tracks.append([now[cell], t, t, mother if before else 0])
            tracks[now[cell] - 1][2] = t
            names[k] = now[cell]
        if len(tracks) > np.iinfo(np.uint16).max:
            raise FovflowError(
                f"{place}: more than 65535 tracks", remedy="export fewer frames or positions"
            )
        image = names.astype(np.uint16)[where.reshape(frame.shape)]
        for copy in copies:
            file = copy.with_name(f"{copy.name}{t:0{digits(len(labeled))}d}.tif")
            tifffile.imwrite(file, image, compression="zlib")
    write_text(place / table, "".join(" ".join(map(str, row)) + "\n" for row in tracks))
