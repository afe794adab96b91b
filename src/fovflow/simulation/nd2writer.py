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
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fovflow.atomic import atomic_open
from fovflow.errors import ConfigError
from fovflow.simulation.litevariant import Signed, encode
from fovflow.simulation.source import Frames, Shape, Source, StagePosition, describe

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
_TIME_LOOP, _POSITION_LOOP, _PHASES_LOOP = 1, 2, 8
_NO_COMPRESSION = Signed(2)
_JULIAN_DAY = 2460310.5  # 2024-01-01 00:00 UT
_CAMERA, _FLUORESCENCE, _PHASE = 0x0100, 0x0001, 0x0012  # phase contrast is bright field

Order = Literal["PT", "TP"]
Phases = Sequence[tuple[int, float]]


def write_nd2(
    path: str | os.PathLike[str],
    frames: Frames,
    *,
    channels: Sequence[str],
    pixel_um: float,
    shape: Shape | None = None,
    positions: Sequence[StagePosition] | None = None,
    times_s: NDArray[Any] | None = None,
    period_s: float = 0.0,
    order: Order = "TP",
    n_written: int | None = None,
    phases: Phases | None = None,
    missing: Iterable[tuple[int, int]] = (),
) -> None:
    """Write an ND2 file, frame by frame.

    Parameters
    ----------
    path : path-like
    frames : callable or numpy.ndarray
        ``frames(p, t) -> (C, Y, X)``, or an array (T, P, C, Y, X); uint8, uint16 or float32.
    channels : sequence of str
        Names of the channels; the first is marked as phase contrast if it is called so.
    pixel_um : float
        Edge length of a pixel (µm).
    shape : tuple of int, optional
        (T, P, C, Y, X); needed for a function of frames.
    positions : sequence of (float, float, str or None), optional
        Stage x and y (µm) and name of each position. Without it, a single position makes a file
        without a loop over positions, and several lie at 0 without names.
    times_s : numpy.ndarray, optional
        (T, P) times of the frames (s). Without it the file holds no times.
    period_s : float
        Period that the time loop announces (s).
    order : {"TP", "PT"}
        Outer loop first: ``TP`` visits all positions at each time.
    n_written : int, optional
        Frames that an aborted acquisition really wrote, in the order of acquisition; the loops
        announce all of them.
    phases : sequence of (int, float), optional
        Count and period (s) of each phase of a time loop with several; the counts sum to T.
    missing : iterable of (int, int)
        (position, frame) pairs whose chunks are left out.

    Raises
    ------
    ConfigError
        If the arguments do not fit together.
    """
    source = describe(
        frames,
        shape=shape,
        channels=channels,
        pixel_um=pixel_um,
        positions=positions,
        times_s=times_s,
        period_s=period_s,
    )
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
            b"ImageAttributesLV!", encode("SLxImageAttributes", _attributes(source, written))
        )
        loop = _loops(source, order, phases)
        if loop is not None:
            chunks.write(b"ImageMetadataLV!", encode("SLxExperiment", loop))
        chunks.write(b"ImageMetadataSeqLV|0!", encode("SLxPictureMetadata", _picture(source)))
        chunks.write(b"ImageTextInfoLV!", encode("SLxImageTextInfo", _TEXT))
        for i, (p, t) in enumerate(sequence[:written]):
            if (p, t) not in absent:
                chunks.write_frame(i, source.frame(p, t), _milliseconds(source, p, t))
        if source.times_s is not None:
            times = [_milliseconds(source, p, t) for p, t in sequence[:written]]
            chunks.write(b"CustomData|AcqTimesCache!", np.asarray(times, "<f8").tobytes())
        chunks.finish()


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


_TEXT = {"TextInfoItem_5": "fovflow simulation", "TextInfoItem_9": "2024-01-01 00:00:00"}


def _attributes(source: Source, written: int) -> dict[str, object]:
    _, _, c, y, x = source.shape
    bits = 8 * source.dtype.itemsize
    return {
        "uiWidth": x,
        "uiWidthBytes": x * c * source.dtype.itemsize,
        "uiHeight": y,
        "uiComp": c,
        "uiBpcInMemory": bits,
        "uiBpcSignificant": bits,
        "uiSequenceCount": written,
        "uiTileWidth": x,
        "uiTileHeight": y,
        "eCompression": _NO_COMPRESSION,
        "dCompressionParam": 0.0,
        "ePixelType": 1,
        "uiVirtualComponents": c,
    }


def _loops(source: Source, order: Order, phases: Phases | None) -> dict[str, object] | None:
    """Return the nested loops, outermost first; None for a single frame without positions."""
    time, place = _time_loop(source, phases), _position_loop(source)
    both = [time, place] if order == "TP" else [place, time]
    loops = [loop for loop in both if loop is not None]
    for outer, inner in pairwise(loops):
        outer["uiNextLevelCount"] = 1
        outer["ppNextLevelEx"] = [inner]
    return loops[0] if loops else None


def _time_loop(source: Source, phases: Phases | None) -> dict[str, object] | None:
    count = source.shape[0]
    if phases is None:
        if count == 1:
            return None
        return {"eType": _TIME_LOOP, "uLoopPars": _period(count, source.period_s, 0.0)}
    if sum(n for n, _ in phases) != count:
        raise ConfigError("the counts of the phases do not sum to the number of frames")
    periods, start = [], 0.0
    for n, period_s in phases:
        periods.append(_period(n, period_s, start))
        start += n * period_s
    parameters = {
        "uiPeriodCount": len(periods),
        "uiCount": count,
        "pPeriod": periods,
        "pPeriodValid": bytes([1] * len(periods)),
    }
    return {"eType": _PHASES_LOOP, "uLoopPars": parameters}


def _period(count: int, period_s: float, start_s: float) -> dict[str, object]:
    return {
        "uiCount": count,
        "dStart": 1000.0 * start_s,
        "dPeriod": 1000.0 * period_s,
        "dDuration": 1000.0 * period_s * max(count - 1, 0),
    }


def _position_loop(source: Source) -> dict[str, object] | None:
    count = source.shape[1]
    if source.positions is None and count == 1:
        return None
    points: list[dict[str, object]] = []
    for x, y, name in source.positions or [(0.0, 0.0, None)] * count:
        point: dict[str, object] = {
            "dPosX": float(x),
            "dPosY": float(y),
            "dPosZ": 0.0,
            "dPFSOffset": 0.0,
        }
        points.append(point if name is None else {**point, "dPosName": name})
    parameters = {"uiCount": count, "bUseZ": False, "Points": points}
    return {"eType": _POSITION_LOOP, "uLoopPars": parameters}


def _picture(source: Source) -> dict[str, object]:
    planes = {f"a{c}": _plane(source, c) for c in range(len(source.channels))}
    return {
        "dTimeAbsolute": _JULIAN_DAY,
        "dTimeMSec": 0.0,
        "dXPos": 0.0,
        "dYPos": 0.0,
        "dZPos": 0.0,
        "bCalibrated": True,
        "dCalibration": source.pixel_um,
        "dAspect": 1.0,
        "dObjectiveMag": 10.0,
        "dObjectiveNA": 0.3,
        "dZoom": 1.0,
        "wsObjectiveName": "Plan 10x",
        "sPicturePlanes": {
            "uiCount": len(planes),
            "uiComponentCount": len(planes),
            "sPlaneNew": planes,
        },
    }


def _plane(source: Source, c: int) -> dict[str, object]:
    red, green, blue = source.color(c)
    color = blue << 16 | green << 8 | red
    name = source.channels[c]
    kind = _PHASE if name.lower().startswith("ph") else _FLUORESCENCE
    return {
        "uiCompCount": 1,
        "uiSampleIndex": 0,
        "uiModalityMask": kind | _CAMERA,
        "uiColor": color,
        "sDescription": name,
        "pFluorescentProbe": {"m_sName": name, "m_uiColor": color},
    }
