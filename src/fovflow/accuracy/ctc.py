"""Sequences in the form of the Cell Tracking Challenge: frames, true and found ids.

``NN/tTTT.tif`` are the frames, ``NN_GT/TRA/man_trackTTT.tif`` ids over time with
``man_track.txt``, ``NN_GT/SEG/man_segTTT.tif`` outlines of single frames, ``NN_RES/maskTTT.tif``
ids of a result with ``res_track.txt``. A line of such a table is ``L B E P``: id, first and last
frame, id of the mother or 0. An id has no gaps.
(https://celltrackingchallenge.net/evaluation-methodology)
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Sequence:
    """A sequence of a folder; what is absent is empty or None."""

    folder: Path
    name: str
    """Its number: ``01``."""

    @property
    def frames(self) -> dict[int, Path]:
        """The files of its frames, by number."""
        return _numbered(self.folder / self.name, "t")

    @property
    def outlines(self) -> dict[int, Path]:
        """Files of true outlines: made by people, or else computed from several results."""
        places = (self.folder / f"{self.name}_{kind}" / "SEG" for kind in ("GT", "ST"))
        return next(filter(None, (_numbered(place, "man_seg") for place in places)), {})

    def truth(self) -> tuple[Labels, dict[int, int]] | None:
        """Return the true ids (T, Y, X), mostly marks within cells, and mothers."""
        return _tracked(self.folder / f"{self.name}_GT" / "TRA", "man_track", "man_track.txt")

    def result(self) -> tuple[Labels, dict[int, int]] | None:
        """Return the ids (T, Y, X) and mothers of the result beside the sequence."""
        return _tracked(self.folder / f"{self.name}_RES", "mask", "res_track.txt")


def find_sequences(folder: str | os.PathLike[str]) -> list[Sequence]:
    """Return the sequences of a folder that have a truth.

    Raises
    ------
    FovflowError
        If there is none.
    """
    place = Path(folder)
    names = [re.fullmatch(r"(\d+)_[GS]T", each.name) for each in sorted(place.glob("*_?T"))]
    found = [Sequence(place, name) for name in sorted({match[1] for match in names if match})]
    if not found:
        raise FovflowError(
            f"{place} holds no sequence with a truth in the Cell Tracking Challenge's form",
            found="nothing" if not place.is_dir() else "no folder such as 01_GT",
            remedy="give the folder that holds 01 and 01_GT",
        )
    return found


def read_frame(path: Path, shape: tuple[int, ...] | None = None) -> Labels:
    """Return a (Y, X) image; of this `shape`, if given, or a FovflowError names the file."""
    import tifffile

    try:
        image = np.asarray(tifffile.imread(path))
    except (ValueError, OSError, tifffile.TiffFileError) as error:
        raise FovflowError(f"{path} cannot be read as an image", found=str(error)) from error
    if image.ndim != 2 or shape not in (None, image.shape):
        wanted = "a (Y, X) image" if shape is None else f"an image of {shape}, as the others"
        raise FovflowError(f"{path} is not {wanted}", found=f"an image of {image.shape}")
    return image


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


def _numbered(folder: Path, stem: str) -> dict[int, Path]:
    """Return the files ``{stem}{number}.tif`` of a folder by their numbers."""
    pattern = re.compile(rf"{stem}(\d+)\.tiff?", re.IGNORECASE)
    found = [(pattern.fullmatch(path.name), path) for path in folder.glob(f"{stem}*")]
    return dict(sorted((int(match[1]), path) for match, path in found if match))


def _tracked(folder: Path, stem: str, table: str) -> tuple[Labels, dict[int, int]] | None:
    files = _numbered(folder, stem)
    if not files:
        return None
    return np.stack(list(_of_one_shape(files.values()))), _mothers(folder / table)


def _of_one_shape(files: Iterable[Path]) -> Iterator[Labels]:
    shape = None
    for path in files:
        image = read_frame(path, shape)
        shape = image.shape
        yield image


def _mothers(path: Path) -> dict[int, int]:
    """Return the mother of each id of a table of tracks."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        rows = [[int(word) for word in line.split()] for line in lines if line.strip()]
        return {cell: mother for cell, _, _, mother in rows if mother > 0}
    except (OSError, ValueError) as error:
        raise FovflowError(
            f"{path} is no table of tracks",
            found=str(error),
            remedy="each line has four whole numbers: id, first frame, last frame, mother or 0",
        ) from error
