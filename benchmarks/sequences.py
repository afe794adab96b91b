"""Sequences in the form of the Cell Tracking Challenge are read; see `fovflow.accuracy.ctc`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fovflow.accuracy.ctc import Labels
from fovflow.errors import FovflowError


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
