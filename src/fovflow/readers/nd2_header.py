"""The metadata of ND2 files, decoded by the `nd2` package."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nd2 import ND2File
from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.readers.nd2_container import ChunkFile
from fovflow.readers.times import phase_times

_AXES = {"TimeLoop": "T", "NETimeLoop": "T", "XYPosLoop": "P", "ZStackLoop": "Z"}
_METADATA = (
    b"ImageAttributesLV!",
    b"ImageAttributes!",
    b"ImageMetadataLV!",
    b"ImageMetadata!",
    b"ImageMetadataSeqLV|0!",
    b"ImageMetadataSeq|0!",
    b"ImageTextInfoLV!",
    b"ImageTextInfo!",
)


@dataclass(frozen=True)
class Nd2Header:
    """What the metadata say, before it is compared with what the file holds.

    Attributes
    ----------
    loops : tuple of (str, int)
        Axes P, T, Z with their lengths in the file's own order, outermost first.
    has_loops : bool
        Whether the file describes them; without, its images are taken as frames.
    n_channels, samples : int
        Channels, and values stored per pixel; they differ for RGB.
    row_bytes : int
        Bytes from one row of pixels to the next.
    points : tuple of (name, x_um, y_um) or None
        One per position.
    nominal : (T,) float64 or None
        Times from the announced periods, in seconds.
    """

    loops: tuple[tuple[str, int], ...]
    n_channels: int
    names: tuple[str, ...]
    samples: int
    height: int
    width: int
    row_bytes: int
    bits: int
    compression: str | None
    has_loops: bool
    points: tuple[tuple[str | None, float, float], ...] | None
    pixel_um: float | None
    z_um: float | None
    nominal: NDArray[np.float64] | None


def read_header(path: Path, chunks: ChunkFile) -> Nd2Header:
    """Decode the metadata of an ND2 file.

    Parameters
    ----------
    path : Path
    chunks : ChunkFile
        The same file, open.

    Raises
    ------
    FovflowError
        If the metadata are damaged or tell of loops that are not read.
    """
    try:
        chunks.check_metadata(_METADATA)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with ND2File(path) as file:
                return _decode_header(path, file)
    except FovflowError:
        raise
    except Exception as error:
        raise FovflowError(
            f"the metadata of the ND2 file {path} are damaged",
            found=f"{type(error).__name__}: {error}",
            remedy="copy the file again from its source",
        ) from error


def _decode_header(path: Path, file: ND2File) -> Nd2Header:
    attributes = file.attributes
    loops: list[tuple[str, int]] = []
    points = nominal = None
    for loop in file.experiment:
        axis = _AXES.get(loop.type)
        if axis is None or axis in dict(loops):
            raise FovflowError(
                f"{path} has a loop that is not understood",
                found=", ".join(f"{each.type} of {each.count}" for each in file.experiment),
                remedy="split the file by this loop in the microscope's software",
            )
        loops.append((axis, int(loop.count)))
        parameters: Any = loop.parameters
        if axis == "P":
            points = tuple(
                (each.name or None, each.stagePositionUm.x, each.stagePositionUm.y)
                for each in parameters.points
            )
        elif axis == "T":
            nominal = _nominal_times(loop.type, loop.count, parameters)
    metadata: Any = file.metadata
    volume = metadata.channels[0].volume
    pixel = volume.axesCalibration[0] if volume.axesCalibrated[0] else 0.0
    if not loops and attributes.sequenceCount > 1:
        loops = [("T", int(attributes.sequenceCount))]
    if "P" not in dict(loops):
        points = _single_point(file)
    n_channels = int(attributes.channelCount or 1)
    return Nd2Header(
        loops=tuple(loops),
        n_channels=n_channels,
        names=tuple(each.channel.name or "" for each in metadata.channels),
        samples=int(attributes.componentCount),
        height=int(attributes.heightPx),
        width=int(attributes.widthPx or 0),
        row_bytes=int(attributes.widthBytes or 0),
        bits=int(attributes.bitsPerComponentInMemory),
        compression=attributes.compressionType if attributes.compressionType != "none" else None,
        has_loops=bool(file.experiment),
        points=points,
        pixel_um=float(pixel) if pixel > 0 else None,
        z_um=float(volume.axesCalibration[2]) if volume.axesCalibrated[2] else None,
        nominal=nominal,
    )


def _single_point(file: ND2File) -> tuple[tuple[str | None, float, float], ...] | None:
    """Return the stage position of a file without a loop over positions."""
    raw = file.unstructured_metadata(include={"ImageMetadataSeqLV|0", "ImageMetadataSeq|0"})
    found: Any = next(iter(raw.values()), {})
    found = found.get("SLxPictureMetadata", found)
    x, y = found.get("XPos", 0.0), found.get("YPos", 0.0)
    return ((None, float(x), float(y)),) if x or y else None


def _nominal_times(kind: str, count: int, parameters: Any) -> NDArray[np.float64] | None:
    """Return times in seconds from the announced period or periods; None if there is none."""
    phases = parameters.periods if kind == "NETimeLoop" else [parameters]
    if count > 10_000_000:  # refused later by the sizes' check
        return None
    return phase_times(
        [
            (
                int(phase.count) if kind == "NETimeLoop" else int(count),
                float(phase.periodMs) / 1000,
                float(phase.durationMs) / 1000,
            )
            for phase in phases
        ]
    )
