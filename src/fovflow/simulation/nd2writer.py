"""A small writer of ND2 files, version 3, for simulated movies and for tests of readers.

Layout, as read by the `nd2` package (BSD-3-Clause). A file is a row of chunks, each starting at a
multiple of 4096 bytes::

    magic 0x0ABECEDA | uint32 length of the name field | uint64 length of the data | name | data

``ND2 FILE SIGNATURE CHUNK NAME01!``  first chunk, holds the version
``ImageAttributesLV!``                size and type of a frame
``ImageMetadataLV!``                  loops of the experiment, outermost first, nested
``ImageMetadataSeqLV|0!``             calibration and channels
``ImageTextInfoLV!``                  description
``ImageDataSeq|{i}!``                 frame i: its time (double, ms), then (Y, X, C) pixels;
                                      the name field is padded to 4072 bytes
``CustomData|AcqTimesCache!``         times of all frames (doubles, ms)
``ND2 FILEMAP SIGNATURE NAME 0001!``  chunk map: name, offset, length of each chunk, then
                                      ``ND2 CHUNK MAP SIGNATURE 0000001!`` and the map's offset

Metadata chunks hold records as in `litevariant`. Frames are counted with the innermost loop
running fastest.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from fovflow.atomic import atomic_open
from fovflow.errors import ConfigError
from fovflow.simulation.litevariant import encode
from fovflow.simulation.nd2records import TEXT, Order, Phases, attributes, loops, picture
from fovflow.simulation.source import About, Frames, Source, describe

MAGIC = 0x0ABECEDA
ALIGNMENT = 4096
SIGNATURE = b"ND2 FILE SIGNATURE CHUNK NAME01!"
VERSION = b"Ver3.0".ljust(64, b"\0")
MAP_NAME = b"ND2 FILEMAP SIGNATURE NAME 0001!"
MAP_SIGNATURE = b"ND2 CHUNK MAP SIGNATURE 0000001!"
_HEADER = struct.Struct("<IIQ")
_ENTRY = struct.Struct("<QQ")
_NAME_RESERVE = 20
_FRAME_NAME_BYTES = 4072


def write_nd2(
    path: str | os.PathLike[str],
    frames: Frames,
    *,
    order: Order = "TP",
    n_written: int | None = None,
    phases: Phases | None = None,
    missing: Iterable[tuple[int, int]] = (),
    **about: Unpack[About],
) -> list[Path]:
    """Write an ND2 file, frame by frame.

    The first channel is marked as phase contrast if it is called so. Without `positions` a single
    position makes a file without a loop over positions, and several lie at 0 without names;
    without `times_s` the file holds no times. Parameters as in `source.describe`, and:

    Parameters
    ----------
    order : {"TP", "PT"}
        Outer loop first: ``TP`` visits all positions at each time.
    n_written : int, optional
        Frames that an aborted acquisition really wrote, in the order of acquisition; the loops
        announce all of them.
    phases : sequence of (int, float), optional
        Count and period (s) of each phase of a time loop with several; the counts sum to T.
    missing : iterable of (int, int)
        (position, frame) pairs whose chunks are left out.

    Returns
    -------
    list of Path
        The file written.

    Raises
    ------
    ConfigError
        If the arguments do not fit together.
    """
    source = describe(frames, **about)
    n_frames, n_positions = source.shape[:2]
    total = n_frames * n_positions
    written = total if n_written is None else n_written
    if order not in ("TP", "PT"):
        raise ConfigError(f"order {order!r} is neither TP nor PT")
    if not 0 <= written <= total:
        raise ConfigError(f"n_written {written} is not within 0 to {total}")
    absent = frozenset(missing)
    sequence = [
        divmod(i, n_positions)[::-1] if order == "TP" else divmod(i, n_frames) for i in range(total)
    ]
    with atomic_open(path, "wb") as file:
        chunks = _Chunks(file)
        chunks.write(
            b"ImageAttributesLV!", encode("SLxImageAttributes", attributes(source, written))
        )
        loop = loops(source, order, phases)
        if loop is not None:
            chunks.write(b"ImageMetadataLV!", encode("SLxExperiment", loop))
        chunks.write(b"ImageMetadataSeqLV|0!", encode("SLxPictureMetadata", picture(source)))
        chunks.write(b"ImageTextInfoLV!", encode("SLxImageTextInfo", TEXT))
        for i, (p, t) in enumerate(sequence[:written]):
            if (p, t) not in absent:
                chunks.write_frame(i, source.frame(p, t), _milliseconds(source, p, t))
        if source.times_s is not None:
            times = [_milliseconds(source, p, t) for p, t in sequence[:written]]
            chunks.write(b"CustomData|AcqTimesCache!", np.asarray(times, "<f8").tobytes())
        chunks.finish()
    return [Path(path)]


class _Chunks:
    """Writes chunks and keeps the map of them."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self._map: list[tuple[bytes, int, int]] = []
        file.write(_HEADER.pack(MAGIC, len(SIGNATURE), len(VERSION)) + SIGNATURE + VERSION)
        self._pad()

    def _pad(self) -> None:
        self._file.write(b"\0" * (-self._file.tell() % ALIGNMENT))

    def _start(self, name: bytes, name_bytes: int, length: int) -> None:
        self._map.append((name, self._file.tell(), length))
        self._file.write(_HEADER.pack(MAGIC, name_bytes, length) + name.ljust(name_bytes, b"\0"))

    def write(self, name: bytes, data: bytes) -> None:
        """Write a chunk."""
        self._start(name, len(name) + _NAME_RESERVE, len(data))
        self._file.write(data)
        self._pad()

    def write_frame(self, i: int, frame: NDArray[Any], time_ms: float) -> None:
        """Write frame `i`, (C, Y, X)."""
        pixels = np.ascontiguousarray(np.moveaxis(frame, 0, -1)).astype(
            frame.dtype.newbyteorder("<"), copy=False
        )
        self._start(b"ImageDataSeq|%d!" % i, _FRAME_NAME_BYTES, 8 + pixels.nbytes)
        self._file.write(struct.pack("<d", time_ms))
        self._file.write(pixels.data.cast("B"))
        self._pad()

    def finish(self) -> None:
        """Write the chunk map, which ends the file."""
        start = self._file.tell()
        entries = b"".join(name + _ENTRY.pack(offset, size) for name, offset, size in self._map)
        data = entries + MAP_SIGNATURE + struct.pack("<Q", start)
        self._file.write(_HEADER.pack(MAGIC, len(MAP_NAME), len(data)) + MAP_NAME + data)


def _milliseconds(source: Source, p: int, t: int) -> float:
    return 0.0 if source.times_s is None else float(source.times_s[t, p]) * 1000.0
