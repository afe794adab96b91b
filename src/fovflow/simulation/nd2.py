"""A small writer of ND2 files, version 3, for simulated movies and for tests of readers."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import IO, Any, Literal, Unpack

import numpy as np
from numpy.typing import NDArray

from fovflow.atomic import atomic_open
from fovflow.errors import ConfigError
from fovflow.simulation.source import About, Frames, Source, describe

_BOOL, _INT32, _UINT32, _DOUBLE, _STRING, _BYTES, _LEVEL = 1, 2, 3, 6, 8, 9, 11
_TIME_LOOP, _POSITION_LOOP, _PHASES_LOOP = 1, 2, 8
_JULIAN_DAY = 2460310.5  # 2024-01-01 00:00 UT
_CAMERA, _FLUORESCENCE, _PHASE = 0x0100, 0x0001, 0x0012  # phase contrast is bright field
Order = Literal["PT", "TP"]
Phases = Sequence[tuple[int, float]]

TEXT = {"TextInfoItem_5": "fovflow simulation", "TextInfoItem_9": "2024-01-01 00:00:00"}

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


class Signed(int):
    """An integer to be stored as int32; plain ones are stored as uint32."""


def encode(name: str, value: object) -> bytes:
    """Return the record of one named value.

    `name`: at most 254 UTF-16 units; empty for items of a list. `value`: mappings become levels,
    sequences become lists. Raises TypeError for any other kind of value.

    Examples
    --------
    >>> encode("a", 1).hex(" ")
    '03 02 61 00 00 00 01 00 00 00'
    """
    wide = (name + "\0").encode("utf-16-le")

    def record(kind: int, body: bytes) -> bytes:
        return struct.pack("<BB", kind, len(wide) // 2) + wide + body

    for kind, type_, form in _NUMBERS:
        if isinstance(value, type_):
            return record(kind, struct.pack(form, value))
    if isinstance(value, str):
        return record(_STRING, (value + "\0").encode("utf-16-le"))
    if isinstance(value, bytes):
        return record(_BYTES, struct.pack("<Q", len(value)) + value)
    if isinstance(value, Mapping):
        items = [encode(str(key), item) for key, item in value.items()]
    elif isinstance(value, Sequence):
        items = [encode("", item) for item in value]
    else:
        raise TypeError(f"no record for {type(value).__name__}")
    start = len(record(_LEVEL, struct.pack("<IQ", 0, 0)))
    *offsets, end = accumulate(map(len, items), initial=start)
    table = struct.pack(f"<{len(items)}Q", *offsets)
    return record(_LEVEL, struct.pack("<IQ", len(items), end) + b"".join(items) + table)


_NUMBERS: tuple[tuple[int, type, str], ...] = (
    (_BOOL, bool, "<B"),
    (_INT32, Signed, "<i"),
    (_UINT32, int, "<I"),
    (_DOUBLE, float, "<d"),
)


def attributes(source: Source, written: int) -> dict[str, object]:
    """Return size and type of a frame, and how many frames the file holds."""
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
        "eCompression": Signed(2),  # none
        "dCompressionParam": 0.0,
        "ePixelType": 1,
        "uiVirtualComponents": c,
    }


def loops(source: Source, order: Order, phases: Phases | None) -> dict[str, object] | None:
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
        place = {"dPosX": float(x), "dPosY": float(y), "dPosZ": 0.0, "dPFSOffset": 0.0}
        points.append({**place, **({} if name is None else {"dPosName": name})})
    parameters = {"uiCount": count, "bUseZ": False, "Points": points}
    return {"eType": _POSITION_LOOP, "uLoopPars": parameters}


def picture(source: Source) -> dict[str, object]:
    """Return calibration and channels."""
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


def write_nd2(
    path: str | os.PathLike[str],
    frames: Frames,
    *,
    order: Order = "TP",
    n_written: int | None = None,
    phases: Phases | None = None,
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
    sequence = [
        divmod(i, n_positions)[::-1] if order == "TP" else divmod(i, n_frames) for i in range(total)
    ]
    about_file = (
        (b"ImageAttributesLV!", "SLxImageAttributes", attributes(source, written)),
        (b"ImageMetadataLV!", "SLxExperiment", loops(source, order, phases)),
        (b"ImageMetadataSeqLV|0!", "SLxPictureMetadata", picture(source)),
        (b"ImageTextInfoLV!", "SLxImageTextInfo", TEXT),
    )
    with atomic_open(path, "wb") as file:
        chunks = _Chunks(file)
        for chunk, name, content in about_file:
            if content is not None:
                chunks.write(chunk, encode(name, content))
        for i, (p, t) in enumerate(sequence[:written]):
            if (p, t) not in source.missing:
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
