"""What a raw file may ask for: pixel types, plane sizes, numbers of frames.

Headers are believed only as far as the file's own size allows, before any memory is reserved.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from fovflow.errors import FovflowError

DTYPES = ("uint8", "uint16", "float32")
"""Pixel types that are read; they are kept as they are."""

MAX_PLANE_BYTES = 4 << 30
"""No camera frame is larger; larger ones are stitched mosaics that need tiling first."""

MAX_FRAMES = 2_000_000
"""Positions times frames; ten times what 200 FOVs of 1,000 frames need."""

MAX_CHANNELS = 256
MAX_PLANES = 50_000_000
MAX_METADATA_BYTES = 256 << 20

MAX_RATIO = {"deflate": 1100, "other": 40_000}
"""How many times larger decoded pixels can be than their stored form: DEFLATE reaches 1032:1,
run-length blocks of Zstandard about 32,000:1."""


def check_dtype(path: Path, dtype: DTypeLike) -> str:
    """Return the NumPy name of a supported pixel type.

    Raises
    ------
    FovflowError
        For every type but uint8, uint16 and float32.
    """
    name = np.dtype(dtype).newbyteorder("=").name
    if name not in DTYPES:
        raise FovflowError(
            f"{path} has pixels of an unsupported type",
            found=name,
            remedy="convert the file to uint8, uint16 or float32: a conversion of counts needs a "
            "decision about scale and sign that is not made in silence",
        )
    return name


def refuse_rgb(path: Path, samples: int) -> None:
    """Raise the error for colour images of `samples` values per pixel."""
    raise FovflowError(
        f"{path} is a colour (RGB) image",
        found=f"{samples} colour samples per pixel",
        remedy="export the camera's grey channels one by one, without the display colours",
    )


def check_sizes(path: Path, *, positions: int, frames: int, channels: int, n_z: int) -> None:
    """Refuse sizes that are zero, negative or beyond reason.

    Raises
    ------
    FovflowError
    """
    sizes = {"positions": positions, "frames": frames, "channels": channels, "z planes": n_z}
    found = ", ".join(f"{value} {name}" for name, value in sizes.items())
    if min(sizes.values()) < 1:
        raise FovflowError(
            f"{path} announces no images", found=found, remedy="check that it is the right file"
        )
    if (
        positions * frames > MAX_FRAMES
        or channels > MAX_CHANNELS
        or positions * frames * channels * n_z > MAX_PLANES
    ):
        raise FovflowError(
            f"the header of {path} asks for absurd sizes",
            found=found,
            remedy="the file is damaged or no microscopy file; copy it again from its source",
        )


def check_plane(
    path: Path,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    stored_bytes: int,
    compression: str | None = None,
) -> int:
    """Refuse planes that the file cannot hold; return the bytes of one decoded plane.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        Of one stored plane: height, width and whatever is stored interleaved with them.
    dtype : dtype-like
    stored_bytes : int
        Bytes that the whole dataset or file has on disk.
    compression : {None, "deflate", "other"}
        How planes are compressed.

    Raises
    ------
    FovflowError
    """
    size = int(np.dtype(dtype).itemsize)
    for length in shape:
        size *= int(length)
    ratio = 1 if compression is None else MAX_RATIO[compression]
    if min(shape) < 1 or size > MAX_PLANE_BYTES or size > stored_bytes * ratio:
        raise FovflowError(
            f"the header of {path} asks for planes that it cannot hold",
            found=f"{' x '.join(str(n) for n in shape)} pixels of {np.dtype(dtype)} in a file of "
            f"{stored_bytes} bytes",
            remedy="the file is damaged or cut off; copy it again from its source",
        )
    return size
