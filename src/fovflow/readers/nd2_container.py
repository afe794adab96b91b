"""The ND2 container: named chunks and the map of them at the file's end.

Layout as documented by the `nd2` package (BSD-3-Clause): each chunk starts with a magic number,
the length of its name and the length of its data; the last 40 bytes of the file point at a chunk
that lists name, offset and size of all others.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.readers.limits import MAX_METADATA_BYTES

MAGIC = b"\xda\xce\xbe\x0a"
LEGACY_MAGIC = b"\x00\x00\x00\x0cjP  "
_MAP_MARK = b"ND2 CHUNK MAP SIGNATURE 0000001!"
_MAP_NAME = b"ND2 FILEMAP SIGNATURE NAME 0001!"
_HEADER = struct.Struct("<4sIQ")
_FOOTER = struct.Struct("<32sQ")
_ENTRY = struct.Struct("<QQ")
_MAX_NAME = 65536
_COMPRESSED = 76  # first byte of metadata that is packed with zlib


class ChunkFile:
    """An open ND2 file as a mapping of chunk names to bytes.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    offsets : dict of bytes to int
        Where each chunk starts.
    size : int
        Bytes of the file.

    Raises
    ------
    FovflowError
        If the file is cut off or its map is damaged.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file = path.open("rb")
        try:
            self.size = os.fstat(self._file.fileno()).st_size
            self.offsets = self._read_map()
        except (ValueError, struct.error) as error:
            self.close()
            raise FovflowError(
                f"the ND2 file {path} is cut off or damaged: the map of its parts, written when "
                "an acquisition ends, cannot be read",
                found=str(error),
                remedy="copy the file again from its source; if the acquisition crashed, open and "
                "save it in the microscope's software",
            ) from error
        except BaseException:
            self.close()
            raise

    def _read_map(self) -> dict[bytes, int]:
        if self.size < _FOOTER.size:
            raise ValueError(f"only {self.size} bytes")
        self._file.seek(-_FOOTER.size, os.SEEK_END)
        mark, location = _FOOTER.unpack(self._file.read(_FOOTER.size))
        if mark != _MAP_MARK:
            raise ValueError("no chunk map signature at the end of the file")
        data = self._chunk(location, _MAP_NAME, MAX_METADATA_BYTES)
        offsets: dict[bytes, int] = {}
        position = 0
        while True:
            end = data.index(b"!", position) + 1
            name = data[position:end]
            if name == _MAP_MARK:
                return offsets
            offset, _ = _ENTRY.unpack_from(data, end)
            offsets[name] = offset
            position = end + _ENTRY.size

    def _seek(self, offset: int, name: bytes) -> int:
        """Go to the data of the chunk at `offset`; return their length."""
        if not 0 <= offset <= self.size - _HEADER.size:
            raise ValueError(f"{_text(name)} lies beyond the end of the file")
        self._file.seek(offset)
        magic, name_length, length = _HEADER.unpack(self._file.read(_HEADER.size))
        if magic != MAGIC or name_length > _MAX_NAME:
            raise ValueError(f"no chunk of the file starts where {_text(name)} should")
        found = self._file.read(name_length)
        if not found.startswith(name):
            raise ValueError(f"{_text(found[:40])} stands in the place of {_text(name)}")
        if length > self.size - self._file.tell():
            raise ValueError(f"{_text(name)} reaches beyond the end of the file")
        return int(length)

    def _chunk(self, offset: int, name: bytes, limit: int) -> bytes:
        length = self._seek(offset, name)
        if length > limit:
            raise ValueError(f"{_text(name)} of {length} bytes")
        return self._file.read(length)

    def read(self, name: bytes, limit: int = MAX_METADATA_BYTES) -> bytes:
        """Return the data of a chunk of at most `limit` bytes.

        Raises
        ------
        KeyError
            If there is no such chunk.
        ValueError
            If it is damaged or larger.
        """
        return self._chunk(self.offsets[name], name, limit)

    def read_into(self, name: bytes, out: NDArray[Any], skip: int) -> None:
        """Fill the contiguous array `out` with a chunk's data after the first `skip` bytes."""
        length = self._seek(self.offsets[name], name)
        if length < out.nbytes + skip:
            raise ValueError(f"{length} bytes where {out.nbytes + skip} belong")
        self._file.seek(skip, os.SEEK_CUR)
        if self._file.readinto(out.data.cast("B")) != out.nbytes:
            raise ValueError("the file ends inside the frame")

    def check_metadata(self, names: tuple[bytes, ...]) -> None:
        """Refuse metadata chunks that are damaged or would unpack to absurd sizes.

        Raises
        ------
        ValueError
        """
        for name in names:
            if name not in self.offsets:
                continue
            data = self.read(name)
            if data[:1] == bytes([_COMPRESSED]):
                unpacker = zlib.decompressobj()
                unpacker.decompress(data[12:], MAX_METADATA_BYTES)
                if not unpacker.eof:
                    raise ValueError(f"{_text(name)} unpacks to more than it can need")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _text(name: bytes) -> str:
    return repr(name.split(b"\0")[0].decode("latin-1"))
