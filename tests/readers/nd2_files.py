"""ND2 files that are written, changed and damaged for tests."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from fovflow.readers.nd2 import MAGIC, ChunkFile
from fovflow.simulation.nd2 import write_nd2

STAGE = [(10.0, 5.0, "A1"), (20.0, 5.0, None), (30.0, 5.0, "")]


def save(folder: Path, frames: np.ndarray, **kwargs: Any) -> Path:
    path = folder / "movie.nd2"
    names = ["Phase", "GFP", "RFP"][: frames.shape[2]]
    write_nd2(path, frames, channels=names, pixel_um=0.5, **kwargs)
    return path


def patch(path: Path, name: str, value: int, *, which: int = 0) -> None:
    """Overwrite an unsigned number in the metadata of an ND2 file."""
    data = bytearray(path.read_bytes())
    label = f"{name}\0".encode("utf-16-le")
    label = bytes([3, len(label) // 2]) + label
    at = -1
    for _ in range(which + 1):
        at = data.index(label, at + 1)
    struct.pack_into("<I", data, at + len(label), value)
    path.write_bytes(data)


def rewrite(source: Path, target: Path, change: Any) -> None:
    """Write an ND2 file again with chunks changed, or left out where `change` returns None."""
    chunks = ChunkFile(source)
    entries = []
    with target.open("wb") as file:

        def write(name: bytes, data: bytes) -> None:
            entries.append((name, file.tell(), len(data)))
            length = 4096 - 16 if name.startswith(b"ImageDataSeq") else len(name)
            file.write(struct.pack("<4sIQ", MAGIC, length, len(data)) + name.ljust(length, b"\0"))
            file.write(data)

        with source.open("rb") as original:
            file.write(original.read(4096))
        for name in chunks.offsets:
            if name.startswith(b"ND2 FILE"):
                continue
            data = change(name, chunks.read(name))
            if data is not None:
                write(name, data)
        at = file.tell()
        body = b"".join(name + struct.pack("<QQ", offset, n) for name, offset, n in entries)
        body += b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", at)
        file.write(struct.pack("<4sIQ", MAGIC, 32, len(body)) + b"ND2 FILEMAP SIGNATURE NAME 0001!")
        file.write(body)
    chunks.close()
