"""What a header may ask for: types of pixels, sizes, and what a file of its size can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from fovflow.errors import FovflowError


def unsupported_type(path: Path, found: str, remedy: str | None = None) -> FovflowError:
    """Return the error for pixels that are not read."""
    return FovflowError(f"{path} has pixels of an unsupported type", found=found, remedy=remedy)


MICROSCOPIC_UM = (0.01, 10.0)
"""Sizes of pixels that a microscope makes; resolutions of screens and printers lie beyond."""

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
    """Return the NumPy name of a pixel type; refuse all but uint8, uint16 and float32."""
    name = np.dtype(dtype).newbyteorder("=").name
    if name not in DTYPES:
        raise unsupported_type(
            path,
            name,
            "convert the file to uint8, uint16 or float32: a conversion of counts needs a "
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


def check_sizes(path: Path, sizes: Mapping[str, int]) -> None:
    """Refuse lengths of P, T, C and Z that are zero, negative or beyond reason."""
    positions, frames, channels, n_z = (sizes.get(axis, 1) for axis in "PTCZ")
    found = f"{positions} positions, {frames} frames, {channels} channels, {n_z} z planes"
    if min(positions, frames, channels, n_z) < 1:
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
    *,
    bits: int | None = None,
) -> int:
    """Refuse planes that a file of `stored_bytes` cannot hold; return the bytes of a decoded one.

    `shape` is that of a stored plane: height, width and whatever is interleaved with them.
    `compression` is None, ``"deflate"`` or ``"other"``; `bits` those of a stored value, where they
    are packed more tightly than the type.
    """
    size = math.prod(map(int, shape)) * np.dtype(dtype).itemsize
    stored = size if bits is None else math.prod(map(int, shape)) * bits // 8
    ratio = 1 if compression is None else MAX_RATIO[compression]
    if min(shape) < 1 or size > MAX_PLANE_BYTES or stored > stored_bytes * ratio:
        raise FovflowError(
            f"the header of {path} asks for planes that it cannot hold",
            found=f"{' x '.join(str(n) for n in shape)} pixels of {np.dtype(dtype)} in a file of "
            f"{stored_bytes} bytes",
            remedy="the file is damaged or cut off; copy it again from its source",
        )
    return size
