"""ND2 files of Nikon NIS-Elements: container, metadata, planes."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nd2 import ND2File
from numpy.typing import NDArray

from fovflow.errors import FovflowError, explained
from fovflow.readers.base import FileReader, HeldFrames, Overrides, RawInfo, held_frames, raw_info
from fovflow.readers.limits import (
    MAX_METADATA_BYTES,
    check_dtype,
    check_plane,
    check_sizes,
    refuse_rgb,
    unsupported_type,
)
from fovflow.readers.times import FrameTimes, choose_times, phase_times
from fovflow.units import positive
from fovflow.userfiles import open_regular

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
    """An open ND2 file of `size` bytes as a mapping of chunk names to bytes.

    `offsets` tells where each chunk starts. A file that is cut off, or whose map is damaged, is
    refused.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file = open_regular(path)
        try:
            with explained(
                f"the ND2 file {path} is cut off or damaged: the map of its parts, written when "
                "an acquisition ends, cannot be read",
                ValueError,
                struct.error,
                remedy="copy the file again from its source; if the acquisition crashed, open and "
                "save it in the microscope's software",
            ):
                self.size = os.fstat(self._file.fileno()).st_size
                self.offsets = self._read_map()
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
        """Return the data of a chunk; raise KeyError if there is none.

        ValueError tells of a chunk that is damaged or larger than `limit`.
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
        """Raise ValueError for metadata that are damaged or would unpack to absurd sizes."""
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


_Point = tuple[str | None, float | None, float | None]
_AXES = {"TimeLoop": "T", "NETimeLoop": "T", "XYPosLoop": "P", "ZStackLoop": "Z"}
_METADATA = (
    *(b"ImageAttributesLV!", b"ImageAttributes!", b"ImageMetadataLV!", b"ImageMetadata!"),
    *(b"ImageMetadataSeqLV|0!", b"ImageMetadataSeq|0!", b"ImageTextInfoLV!", b"ImageTextInfo!"),
)


@dataclass(frozen=True)
class Nd2Header:
    """What the metadata say, before it is compared with what the file holds.

    `loops` are the axes P, T, Z with their lengths in the file's own order, outermost first;
    without any (`has_loops`) the images are taken as frames. `samples` are the values stored per
    pixel, which differ from `n_channels` for RGB; `row_bytes` lie from one row to the next.
    `points` are name and x and y (µm) of each position, `nominal` (T,) times from the announced
    periods in seconds.
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
    points: tuple[_Point, ...] | None
    edges_um: tuple[float | None, float | None]
    z_um: float | None
    nominal: NDArray[np.float64] | None


def read_header(path: Path, chunks: ChunkFile) -> Nd2Header:
    """Decode the metadata of an ND2 file, which is open as `chunks` too."""
    with explained(
        f"the metadata of the ND2 file {path} are damaged",
        remedy="copy the file again from its source",
        name_kind=True,
    ):
        chunks.check_metadata(_METADATA)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with ND2File(path) as file:
                return _decode_header(path, file)


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
                _point(each.name, each.stagePositionUm.x, each.stagePositionUm.y)
                for each in parameters.points
            )
        elif axis == "T":
            nominal = _nominal_times(loop.type, loop.count, parameters)
    metadata: Any = file.metadata
    volume = metadata.channels[0].volume
    edges = zip(volume.axesCalibration[:2], volume.axesCalibrated[:2], strict=True)
    width, height = (positive(float(um)) if known else None for um, known in edges)
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
        edges_um=(width, height),
        z_um=float(volume.axesCalibration[2]) if volume.axesCalibrated[2] else None,
        nominal=nominal,
    )


def _single_point(file: ND2File) -> tuple[_Point, ...] | None:
    """Return the stage position of a file without a loop over positions."""
    raw = file.unstructured_metadata(include={"ImageMetadataSeqLV|0", "ImageMetadataSeq|0"})
    found: Any = next(iter(raw.values()), {})
    found = found.get("SLxPictureMetadata", found)
    x, y = found.get("XPos", 0.0), found.get("YPos", 0.0)
    return (_point(None, x, y),) if x or y else None


def _point(name: str | None, x_um: Any, y_um: Any) -> _Point:
    """Return a position; what is not a number is not known."""
    x, y = (None if np.isnan(value) else float(value) for value in (x_um, y_um))
    return name or None, x, y


def _nominal_times(kind: str, count: int, parameters: Any) -> NDArray[np.float64] | None:
    """Return times in seconds from the announced period or periods; None if there is none."""
    if count > 10_000_000:  # refused later by the sizes' check
        return None
    phases = [(count, parameters)]
    if kind == "NETimeLoop":
        phases = [(phase.count, phase) for phase in parameters.periods]
    return phase_times(
        [(int(n), float(each.periodMs) / 1000, float(each.durationMs) / 1000) for n, each in phases]
    )


_FRAME = b"ImageDataSeq|%d!"
_STAMP_BYTES = 8  # each frame's chunk starts with its time as a float64


class Nd2Reader(FileReader[ChunkFile]):
    """An open ND2 file.

    Channels of one frame are stored interleaved: the last decoded frame is kept, so that reading
    its channels one after another decodes it once.

    Files that are legacy (JPEG 2000), RGB, or of loops other than positions, times and z are
    refused.
    """

    _last: tuple[int, NDArray[Any]] | None = None

    def __init__(self, path: Path, given: Overrides | None = None):
        with self._opening(path, _open) as self._chunks:
            self._header = header = read_header(path, self._chunks)
            self._sizes = {"P": 1, "T": 1, "Z": 1} | dict(header.loops) | {"C": header.n_channels}
            self._check(path)
            frames = held_frames(path, self._held_planes())
            super().__init__(path, self._describe(frames), self._choose(frames.there), given)

    def _check(self, path: Path) -> None:
        header = self._header
        if header.samples != header.n_channels:
            refuse_rgb(path, header.samples // max(header.n_channels, 1))
        check_sizes(path, self._sizes)
        if header.compression not in (None, "lossless"):
            raise FovflowError(
                f"the frames of {path} are stored with loss",
                found=f"compression {header.compression!r}",
                remedy="save the file uncompressed or losslessly in the microscope's software",
            )
        dtype = {8: "uint8", 16: "uint16", 32: "float32"}.get(header.bits, f"uint{header.bits}")
        if dtype not in np.sctypeDict:
            raise unsupported_type(path, f"{header.bits} bits")
        self._dtype = np.dtype(check_dtype(path, dtype))
        shape = (header.height, header.width, header.n_channels)
        compression = "deflate" if header.compression == "lossless" else None
        check_plane(path, shape, self._dtype, self._chunks.size, compression)
        used = header.width * header.n_channels * self._dtype.itemsize
        if not used <= header.row_bytes <= 2 * used + 4096:
            raise FovflowError(
                f"the header of {path} contradicts itself",
                found=f"rows of {header.row_bytes} bytes for {header.width} pixels",
                remedy="the file is damaged; copy it again from its source",
            )

    def _sequence(self, p: int, t: Any, z: int) -> Any:
        """Return the number of the plane (p, t, z) in the order of acquisition; t may be (T,)."""
        at: dict[str, Any] = {"P": p, "T": t, "Z": z}
        index: Any = np.zeros_like(t)
        for axis, count in self._header.loops:
            index = index * count + at[axis]
        return index

    def _held_planes(self) -> NDArray[np.bool_]:
        """Return which planes the file holds, (P, T, Z)."""
        loops = self._header.loops
        flat = np.zeros(int(np.prod([count for _, count in loops], dtype=np.int64)), bool)
        present = [
            int(name[len(b"ImageDataSeq|") : -1])
            for name in self._chunks.offsets
            if name.startswith(b"ImageDataSeq|") and name[13:-1].isdigit()
        ]
        indices = np.array(present, np.int64)
        self._surplus = int((indices >= flat.size).sum())
        flat[indices[indices < flat.size]] = True
        grid = flat.reshape([count for _, count in loops] or [1])
        letters = "".join(axis for axis, _ in loops)
        order = [letters.index(axis) for axis in "PTZ" if axis in letters]
        shape = [self._sizes[axis] for axis in "PTZ"]
        held = grid.transpose(order or [0]).reshape(shape)  # an image has all channels
        return np.repeat(held[:, :, np.newaxis], self._sizes["C"], axis=2)

    def _describe(self, frames: HeldFrames) -> RawInfo:
        header, notes = self._header, []
        if self._surplus:
            notes.append(f"The file holds {self._surplus} images more than its loops announce.")
        if not header.has_loops and self._sizes["T"] > 1:
            notes.append("The file does not say what its images are; they are taken as frames.")
        return raw_info(
            "nd2",
            "".join(axis for axis, _ in header.loops) + ("C" if header.n_channels > 1 else ""),
            self._sizes,
            (header.height, header.width, self._dtype.name),
            axes_from="loops of the acquisition" if header.has_loops else "order of the images",
            positions=header.points or ((None, None, None),) * self._sizes["P"],
            channels=header.names,
            edges_um=header.edges_um,
            z_um=header.z_um,
            missing=frames.missing,
            missing_planes=frames.missing_planes,
            warnings=tuple(notes),
        )

    def _choose(self, whole: NDArray[np.bool_]) -> tuple[FrameTimes, ...]:
        """Return the times of each position: those of a frame's first z plane."""
        recorded = None
        try:
            data = self._chunks.read(b"CustomData|AcqTimesCache!")
        except (KeyError, ValueError):
            data = b""
        stamps = np.frombuffer(data[: len(data) // 8 * 8], "<f8") / 1000
        if stamps.size:
            n_positions, n_frames = whole.shape
            recorded = np.full(whole.shape, np.nan)
            for p in range(n_positions):
                indices = self._sequence(p, np.arange(n_frames), 0)
                known = indices < stamps.size
                recorded[p, known] = stamps[indices[known]]
        return choose_times(recorded, whole, self._header.nominal)

    def _plane(self, p: int, t: int, c: int, z: int) -> NDArray[Any]:
        sequence = self._sequence(p, t, z)
        if self._last is None or self._last[0] != sequence:
            self._last = None
            frame = self._frame(sequence)
            if self._header.n_channels == 1:
                return frame[:, :, 0]
            self._last = (sequence, frame)
        return self._last[1][:, :, c].copy()

    def _frame(self, sequence: int) -> NDArray[Any]:
        """Decode one stored frame to (Y, X, C)."""
        header, name = self._header, _FRAME % int(sequence)
        rows: NDArray[np.uint8] = np.empty((header.height, header.row_bytes), np.uint8)
        if header.compression == "lossless":
            packed = self._chunks.read(name, self._chunks.size)[_STAMP_BYTES:]
            data = zlib.decompressobj().decompress(packed, rows.nbytes)
            if len(data) != rows.nbytes:
                raise ValueError(f"{len(data)} bytes unpacked where {rows.nbytes} belong")
            rows = np.frombuffer(data, np.uint8).reshape(rows.shape)
        else:
            self._chunks.read_into(name, rows, _STAMP_BYTES)
        used = header.width * header.n_channels * self._dtype.itemsize
        pixels = np.ascontiguousarray(rows[:, :used]).view(self._dtype.newbyteorder("<"))
        return pixels.reshape(header.height, header.width, header.n_channels)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        super().close()
        self._last = None


def _open(path: Path) -> ChunkFile:
    with open_regular(path) as file:
        if file.read(len(LEGACY_MAGIC)) == LEGACY_MAGIC:
            raise FovflowError(
                f"{path} is an ND2 file of the old kind (JPEG 2000, before 2007)",
                remedy="open it in NIS-Elements and save it again, or export it as OME-TIFF",
            )
    return ChunkFile(path)
