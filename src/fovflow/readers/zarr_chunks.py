"""Chunks of Zarr arrays that would unpack to more than their array says."""

from __future__ import annotations

import itertools
import math
import zlib
from pathlib import Path

import numpy as np

from fovflow.readers.zarr_metadata import Image

HARMLESS_BYTES = 64 << 10
"""Deflated chunks up to this size unpack to 66 MiB at most: DEFLATE reaches 1032:1."""

_PIECE = 1 << 20


def check_chunks(image: Image, key: tuple[int, ...]) -> None:
    """Refuse deflated chunks of one plane that unpack to more than a chunk of the array holds.

    Other codecs write the unpacked size into the chunk and stop there. Chunks inside shards are
    not looked at.

    Parameters
    ----------
    image : Image
    key : tuple of int
        Indices of the plane along the axes before Y and X.

    Raises
    ------
    ValueError
    """
    if not image.deflated:
        return
    limit = math.prod(image.chunks) * np.dtype(image.dtype).itemsize
    leading = [index // size for index, size in zip(key, image.chunks, strict=False)]
    counts = [-(-n // size) for n, size in zip(image.shape[-2:], image.chunks[-2:], strict=True)]
    for last in itertools.product(*map(range, counts)):
        numbers = [str(number) for number in (*leading, *last)]
        for separator in "./":
            name = image.key_start.rstrip("./") + (separator if image.key_start else "")
            path = image.array / (name + separator.join(numbers))
            if path.is_file() and path.stat().st_size > HARMLESS_BYTES:
                _check_file(path, limit)


def _check_file(path: Path, limit: int) -> None:
    unpacker = zlib.decompressobj(wbits=47)  # zlib and gzip, told from the first bytes
    unpacked = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            while piece and not unpacker.eof:
                unpacked += len(unpacker.decompress(piece, _PIECE))
                piece = unpacker.unconsumed_tail
                if unpacked > limit:
                    raise ValueError(f"a chunk unpacks to more than {limit} bytes")
