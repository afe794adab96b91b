"""Pages of TIFF files, read with care, and private tags of NIS-Elements."""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from fovflow.errors import FovflowError, explained
from fovflow.readers.limits import (
    MAX_PLANES,
    check_dtype,
    check_plane,
    refuse_rgb,
    unsupported_type,
)
from fovflow.userfiles import open_regular

_UNCOMPRESSED = 1
_DEFLATE = (8, 32946, 50013)
_PRIVATE_LAYOUTS = (
    *("is_ome", "is_mmstack", "is_ndtiff", "is_lsm", "is_ndpi", "is_scanimage", "is_eer", "is_svs"),
    *("is_scn", "is_bif", "is_qpi", "is_avs", "is_sis", "is_philips", "is_indica", "is_mdgel"),
    *("is_fluoview", "is_nih"),
)
"""Vendors' layouts that make tifffile open further files or believe private headers; what such a
file says of itself in TIFF's own terms is used instead."""

logging.getLogger("tifffile").addHandler(logging.NullHandler())


class TiffPages:
    """An open TIFF file as a sequence of `count` grey pages; `size` is its length in bytes."""

    def __init__(self, path: Path):
        self.path = path
        with damaged_tiff(path):
            self.count = count_pages(path)
            self.tif = _open(path)
        self.size = int(self.tif.filehandle.size)

    def describe(self, index: int = 0) -> tuple[int, int, str]:
        """Return (height, width, dtype) of a page after checking that the file can hold it."""
        page: Any = self.tif.pages[index]
        if page.samplesperpixel != 1:
            refuse_rgb(self.path, int(page.samplesperpixel))
        if page.imagedepth != 1:
            raise FovflowError(
                f"{self.path} stores volumes in its pages",
                found=f"{page.imagedepth} planes in a page",
                remedy="save it with one plane per page",
            )
        if page.dtype is None:
            raise unsupported_type(
                self.path, f"{page.bitspersample} bits, sample format {page.sampleformat}"
            )
        dtype = check_dtype(self.path, page.dtype)
        compression = None
        if page.compression != _UNCOMPRESSED:
            compression = "deflate" if page.compression in _DEFLATE else "other"
        height, width = int(page.imagelength), int(page.imagewidth)
        bits = int(page.bitspersample)
        check_plane(self.path, (height, width), dtype, self.size, compression, bits=bits)
        return height, width, dtype

    def read(self, index: int) -> NDArray[Any]:
        """Return a page as (Y, X); raise ValueError if it is not there whole."""
        self.describe(index)
        page: Any = self.tif.pages[index]
        ends = [a + n for a, n in zip(page.dataoffsets, page.databytecounts, strict=True)]
        if not any(page.databytecounts) or max(ends) > self.size:
            raise ValueError(f"the file ends at byte {self.size}, the image at {max(ends)}")
        pixels = np.asarray(page.asarray(maxworkers=1))
        return pixels.reshape(int(page.imagelength), int(page.imagewidth))

    def read_at(self, offset: int, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return a plane that is stored uncompressed at `offset` without a page of its own."""
        out = np.empty(shape, dtype)
        handle: Any = self.tif.filehandle
        handle.seek(offset)
        if handle.readinto(out) != out.nbytes:
            raise ValueError(f"the file ends before byte {offset + out.nbytes}")
        return out

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self.tif.close()


def _open(path: Path) -> tifffile.TiffFile:
    return tifffile.TiffFile(path, **dict.fromkeys(_PRIVATE_LAYOUTS, False))


def first_description(path: Path) -> str:
    """Return the description in the first page of a TIFF file, of which nothing else is read."""
    with damaged_tiff(path), _open(path) as tif:
        return str(tif.pages[0].description or "")


@contextmanager
def opened_once() -> Iterator[Callable[[Path], TiffPages]]:
    """Yield a function that opens a TIFF file; each is opened once, and all are closed."""
    with ExitStack() as stack:
        yield cache(lambda path: stack.enter_context(closing(TiffPages(path))))


def count_pages(path: Path) -> int:
    """Return the number of pages, following the chain of their headers.

    ValueError tells of a chain that leaves the file, bites its tail, or is absurdly long.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(8)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        version = struct.unpack(f"{order}H", head[2:4])[0] if order else 0
        if order is not None and version == 42:
            entries, pointer, entry_bytes, start = order + "H", order + "I", 12, 4
        elif order is not None and version == 43:
            entries, pointer, entry_bytes, start = order + "Q", order + "Q", 20, 8
        else:
            raise ValueError(f"no TIFF header: {head!r}")
        file.seek(start)
        seen: set[int] = set()
        (offset,) = struct.unpack(pointer, file.read(struct.calcsize(pointer)))
        while offset:
            if offset in seen or len(seen) > MAX_PLANES:
                raise ValueError(f"page {len(seen)} leads back to an earlier one")
            seen.add(offset)
            if offset >= size:
                raise ValueError(f"the header of page {len(seen) - 1} lies beyond the file's end")
            file.seek(offset)
            (n_entries,) = struct.unpack(entries, file.read(struct.calcsize(entries)))
            end = offset + struct.calcsize(entries) + n_entries * entry_bytes
            if end + struct.calcsize(pointer) > size:
                raise ValueError(f"the header of page {len(seen) - 1} is cut off")
            file.seek(end)
            (offset,) = struct.unpack(pointer, file.read(struct.calcsize(pointer)))
        if not seen:
            raise ValueError("the file has no pages")
        return len(seen)


def damaged_tiff(path: Path) -> AbstractContextManager[None]:
    """Turn errors about the content of a TIFF file into a sentence."""
    return explained(
        f"the TIFF file {path} is cut off or damaged",
        *(ValueError, struct.error, tifffile.TiffFileError),
        remedy="copy it again from its source",
    )


_TIME_MS, _PIXEL_UM, _STAGE, _RECORD = 65325, 65326, 65329, 65331
_DOUBLE = 12


@dataclass(frozen=True, slots=True)
class NisTags:
    """What the tags say; None where they say nothing that can be relied on."""

    seconds: float | None = None
    pixel_um: float | None = None
    x_um: float | None = None
    y_um: float | None = None


def read_nis_tags(page: Any) -> NisTags | None:
    """Read the tags of a `tifffile.TiffPage`; None where the record of the ND2 format is absent."""
    tags = page.tags
    if _RECORD not in tags or not isinstance(tags[_RECORD].value, bytes):
        return None
    record = tags[_RECORD].value
    if "SLxPictureMetadata".encode("utf-16-le") not in record[:256]:
        return None
    pixel = _double(tags, _PIXEL_UM)
    repeated = _field(record, "dCalibration", 6, "<d")
    calibrated = _field(record, "bCalibrated", 1, "<B")
    if not calibrated or pixel is None or pixel <= 0 or repeated != pixel:
        pixel = None
    time_ms = _double(tags, _TIME_MS)
    stage = tags[_STAGE].value if _STAGE in tags and tags[_STAGE].dtype == _DOUBLE else ()
    x, y = stage[:2] if isinstance(stage, tuple) and len(stage) >= 2 else (None, None)
    return NisTags(None if time_ms is None else time_ms / 1000, pixel, x, y)


def _double(tags: Any, code: int) -> float | None:
    if code not in tags or tags[code].dtype != _DOUBLE or tags[code].count != 1:
        return None
    return float(tags[code].value)


def _field(record: bytes, name: str, kind: int, form: str) -> float | None:
    """Return a number of the record: type, length of the name, name in UTF-16, value."""
    label = f"{name}\0".encode("utf-16-le")
    at = record.find(bytes([kind, len(label) // 2]) + label)
    if at < 0:
        return None
    try:
        return float(struct.unpack_from(form, record, at + 2 + len(label))[0])
    except struct.error:
        return None
