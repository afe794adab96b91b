"""ND2 files of Nikon NIS-Elements.

The `nd2` package decodes the metadata; pixels are read straight from the container's chunks, so
that a damaged or absent frame is noticed instead of reading as zeros.
"""

from __future__ import annotations

import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.readers.base import Given, PlaneReader
from fovflow.readers.holes import Holes, find_holes
from fovflow.readers.limits import check_dtype, check_plane, check_sizes, refuse_rgb
from fovflow.readers.nd2_container import LEGACY_MAGIC, ChunkFile
from fovflow.readers.nd2_header import read_header
from fovflow.readers.protocol import Channel, FrameTimes, Position, RawInfo
from fovflow.readers.times import choose_times

_FRAME = b"ImageDataSeq|%d!"
_STAMP_BYTES = 8  # each frame's chunk starts with its time as a float64


class Nd2Reader(PlaneReader):
    """An open ND2 file.

    Channels of one frame are stored interleaved: the last decoded frame is kept, so that reading
    its channels one after another decodes it once.

    Parameters
    ----------
    path : Path
    given : Given, optional

    Raises
    ------
    FovflowError
        For files that are cut off, legacy (JPEG 2000), RGB, or of other loops than positions,
        times and z.
    """

    def __init__(self, path: Path, given: Given | None = None):
        with ExitStack() as stack:
            self._file = _open(path)
            stack.callback(self._file.close)
            header = read_header(path, self._file)
            self._header = header
            self._sizes = {"P": 1, "T": 1, "Z": 1} | dict(header.loops)
            self._check(path)
            holes = find_holes(path, self._held_planes())
            info = self._describe(holes)
            super().__init__(path, info, self._choose(holes.whole), given or Given())
            stack.pop_all()
        self._last: tuple[int, NDArray[Any]] | None = None

    def _check(self, path: Path) -> None:
        header, sizes = self._header, self._sizes
        if header.samples != header.n_channels:
            refuse_rgb(path, header.samples // max(header.n_channels, 1))
        check_sizes(
            path,
            positions=sizes["P"],
            frames=sizes["T"],
            channels=header.n_channels,
            n_z=sizes["Z"],
        )
        if header.compression not in (None, "lossless"):
            raise FovflowError(
                f"the frames of {path} are stored with loss",
                found=f"compression {header.compression!r}",
                remedy="save the file uncompressed or losslessly in the microscope's software",
            )
        dtype = {8: "uint8", 16: "uint16", 32: "float32"}.get(header.bits, f"uint{header.bits}")
        if dtype not in np.sctypeDict:
            raise FovflowError(
                f"{path} has pixels of an unsupported type", found=f"{header.bits} bits"
            )
        self._dtype = np.dtype(check_dtype(path, dtype))
        shape = (header.height, header.width, header.n_channels)
        compression = "deflate" if header.compression == "lossless" else None
        check_plane(path, shape, self._dtype, self._file.size, compression)
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
            for name in self._file.offsets
            if name.startswith(b"ImageDataSeq|") and name[13:-1].isdigit()
        ]
        indices = np.array(present, np.int64)
        self._surplus = int((indices >= flat.size).sum())
        flat[indices[indices < flat.size]] = True
        grid = flat.reshape([count for _, count in loops] or [1])
        letters = "".join(axis for axis, _ in loops)
        order = [letters.index(axis) for axis in "PTZ" if axis in letters]
        shape = [self._sizes[axis] for axis in "PTZ"]
        return grid.transpose(order or [0]).reshape(shape)

    def _describe(self, holes: Holes) -> RawInfo:
        header, notes = self._header, list(holes.notes)
        if self._surplus:
            notes.append(f"The file holds {self._surplus} images more than its loops announce.")
        if not header.has_loops and self._sizes["T"] > 1:
            notes.append("The file does not say what its images are; they are taken as frames.")
        points = header.points or ((None, float("nan"), float("nan")),) * self._sizes["P"]
        return RawInfo(
            format="nd2",
            axes="".join(axis for axis, _ in header.loops)
            + ("C" if header.n_channels > 1 else "")
            + "YX",
            n_frames=self._sizes["T"],
            n_z=self._sizes["Z"],
            height=header.height,
            width=header.width,
            dtype=self._dtype.name,
            positions=tuple(
                Position(
                    i, name, None if np.isnan(x) else float(x), None if np.isnan(y) else float(y)
                )
                for i, (name, x, y) in enumerate(points)
            ),
            channels=tuple(Channel(i, name) for i, name in enumerate(header.names)),
            pixel_um=header.pixel_um,
            z_um=header.z_um,
            missing=holes.missing,
            warnings=tuple(notes),
        )

    def _choose(self, whole: NDArray[np.bool_]) -> tuple[FrameTimes, ...]:
        """Return the times of each position: those of a frame's first z plane."""
        recorded = None
        try:
            data = self._file.read(b"CustomData|AcqTimesCache!")
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
            packed = self._file.read(name, self._file.size)[_STAMP_BYTES:]
            data = zlib.decompressobj().decompress(packed, rows.nbytes)
            if len(data) != rows.nbytes:
                raise ValueError(f"{len(data)} bytes unpacked where {rows.nbytes} belong")
            rows = np.frombuffer(data, np.uint8).reshape(rows.shape)
        else:
            self._file.read_into(name, rows, _STAMP_BYTES)
        used = header.width * header.n_channels * self._dtype.itemsize
        pixels = np.ascontiguousarray(rows[:, :used]).view(self._dtype.newbyteorder("<"))
        return pixels.reshape(header.height, header.width, header.n_channels)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        super().close()
        self._last = None
        self._file.close()


def _open(path: Path) -> ChunkFile:
    with path.open("rb") as file:
        if file.read(len(LEGACY_MAGIC)) == LEGACY_MAGIC:
            raise FovflowError(
                f"{path} is an ND2 file of the old kind (JPEG 2000, before 2007)",
                remedy="open it in NIS-Elements and save it again, or export it as OME-TIFF",
            )
    return ChunkFile(path)
