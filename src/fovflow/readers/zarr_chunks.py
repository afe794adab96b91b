"""Chunks of Zarr arrays that would unpack to more than their array says."""

from __future__ import annotations

import bz2
import itertools
import lzma
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fovflow.readers.zarr_codecs import Shards
from fovflow.readers.zarr_metadata import Image

HARMLESS_BYTES = 64 << 10
"""Deflated chunks up to this size unpack to 66 MiB at most: DEFLATE reaches 1032:1."""

MARGIN_BYTES = 64
"""What checksums and the like may add to the pixels of a chunk."""

_DICTIONARY_BYTES = 256 << 20
_PIECE = 1 << 20
_HEAD = 18
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def check_chunks(image: Image, key: tuple[int, ...]) -> None:
    """Refuse chunks of one plane that unpack to more than a chunk of the array holds.

    Parameters
    ----------
    image : Image
    key : tuple of int
        Indices of the plane along the axes before Y and X.

    Raises
    ------
    ValueError
    """
    packer, shards = image.packing.packer, image.packing.shards
    if not packer:
        return
    chunks = shards.chunks if shards is not None else image.chunks
    limit = math.prod(chunks) * np.dtype(image.dtype).itemsize + MARGIN_BYTES
    for path in _files(image, key):
        with path.open("rb") as file:
            size = path.stat().st_size
            pieces = iter([(0, size)]) if shards is None else _inner(file, size, image, key, shards)
            for start, length in pieces:
                _check(file, start, min(length, size - start), packer, limit)


def _files(image: Image, key: tuple[int, ...]) -> Iterator[Path]:
    """Yield the files of the chunks or shards that a plane lies in, as far as they are there."""
    leading = [index // size for index, size in zip(key, image.chunks, strict=False)]
    counts = [-(-n // size) for n, size in zip(image.shape[-2:], image.chunks[-2:], strict=True)]
    for last in itertools.product(*map(range, counts)):
        numbers = [str(number) for number in (*leading, *last)]
        for separator in "./":
            name = image.key_start.rstrip("./") + (separator if image.key_start else "")
            path = image.array / (name + separator.join(numbers))
            if path.is_file():
                yield path


def _inner(
    file: BinaryIO, size: int, image: Image, key: tuple[int, ...], shards: Shards
) -> Iterator[tuple[int, int]]:
    """Yield start and length of the chunks of a plane within a shard, from the shard's index."""
    counts = [n // m for n, m in zip(image.chunks, shards.chunks, strict=True)]
    table, checksum = 16 * math.prod(counts), 4 if shards.checksum else 0
    if table + checksum > size:
        raise ValueError(f"a shard of {size} bytes is shorter than its index")
    file.seek(size - table - checksum if shards.at_end else 0)
    index = np.frombuffer(file.read(table), "<u8").reshape(*counts, 2)
    if shards.aligned:
        at = [t % n // m for t, n, m in zip(key, image.chunks, shards.chunks, strict=False)]
        index = index[tuple(at)]
    for start, length in index.reshape(-1, 2).tolist():
        if start < size:  # else it is marked as empty, or zarr finds nothing there
            yield start, length


def _check(file: BinaryIO, start: int, length: int, packer: str, limit: int) -> None:
    file.seek(start)
    if packer in ("blosc", "zstd", "lz4"):
        announced = _announced(packer, file.read(min(_HEAD, length)))
        if announced is None:
            file.seek(start)
            _unpack_zstd(file.read(length), limit)
        elif announced > limit:
            raise ValueError(f"a chunk unpacks to {announced} bytes, not to {limit} at most")
    elif packer in ("bz2", "lzma") or length > HARMLESS_BYTES:
        _unpack(file, length, packer, limit)


def _announced(packer: str, head: bytes) -> int | None:
    """Return the size that a chunk says of itself, if it does: unpacking stops there."""
    try:
        if packer == "blosc":
            return int(struct.unpack_from("<I", head, 4)[0])
        if packer == "lz4":
            return int(struct.unpack_from("<I", head)[0])
        kind = head[4]
        length, at = (1, 2, 4, 8)[kind >> 6], 5 + (0, 1, 2, 4)[kind & 3]
        if not kind & 32:  # no single segment: there is a window, and perhaps no size
            length, at = (length if kind >> 6 else 0), at + 1
    except (struct.error, IndexError):
        raise ValueError("a chunk is cut off") from None
    if not head.startswith(_ZSTD_MAGIC) or len(head) < at + length:
        raise ValueError("a chunk is damaged")
    if not length:
        return None
    return int.from_bytes(head[at : at + length], "little") + (256 if length == 2 else 0)


def _unpack_zstd(packed: bytes, limit: int) -> None:
    import imagecodecs

    imagecodecs.zstd_decode(packed, out=bytearray(limit))  # stops where it is full


def _unpack(file: BinaryIO, length: int, packer: str, limit: int) -> None:
    """Unpack without keeping it, piece by piece, until it is too much."""
    unpacked = 0
    unpacker = _unpacker(packer)
    while length > 0 and (piece := file.read(min(_PIECE, length))):
        length -= len(piece)
        while piece:
            if unpacker.eof:  # all but zlib go on with the next stream
                if packer == "zlib" or not piece.strip(b"\0"):
                    return
                unpacker = _unpacker(packer)
            unpacked += len(unpacker.decompress(piece, _PIECE))
            piece = _rest(unpacker)
            while not unpacker.eof and not piece and not getattr(unpacker, "needs_input", True):
                unpacked += len(unpacker.decompress(b"", _PIECE))
                piece = _rest(unpacker)
                _refuse_beyond(unpacked, limit)
            _refuse_beyond(unpacked, limit)


def _unpacker(packer: str) -> Any:
    if packer == "bz2":
        return bz2.BZ2Decompressor()
    if packer == "lzma":
        return lzma.LZMADecompressor(memlimit=_DICTIONARY_BYTES)
    return zlib.decompressobj(wbits=47)  # zlib and gzip, told from the first bytes


def _rest(unpacker: Any) -> bytes:
    """Return what the unpacker has not taken in yet, or what follows after the end."""
    return bytes(getattr(unpacker, "unconsumed_tail", b"") or unpacker.unused_data)


def _refuse_beyond(unpacked: int, limit: int) -> None:
    if unpacked > limit:
        raise ValueError(f"a chunk unpacks to more than {limit} bytes")
