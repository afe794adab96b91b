"""Folders of TIFF files that are no series, and ND2 files whose chunks lie about their sizes."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import tifffile

MANY = 5000

ND2_MAGIC = b"\xda\xce\xbe\x0a"
LONG = (2**31, 10**13, 2**63, 2**64 - 1)
MAP_END = b"ND2 CHUNK MAP SIGNATURE 0000001"


def image(path: Path, shape: tuple[int, int] = (8, 8), dtype: str = "uint16") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.ones(shape, dtype), photometric="minisblack", metadata=None)
    return path


def write_series(folder: Path) -> None:
    """Write one folder for each kind of bad series."""
    names = {
        "dots": ("x\\..\\..\\y_t0.tif", "x\\..\\..\\y_t1.tif"),
        "line": ("a\nb_t0.tif", "a\nb_t1.tif"),
        "shapes": ("a_t0.tif", "a_t1.tif"),
        "types": ("a_t0.tif", "a_t1.tif"),
        "empty": ("a_t0.tif", "a_t1.tif"),
        "loop": ("a_t0.tif", "below/a_t1.tif"),
        "folder": ("a_t0.tif", "a_t1.tif/a_t0.tif"),
        "numbers": (f"a_t{'9' * 200}.tif", f"a_t{'1' * 200}.tif"),
    }
    for kind, files in names.items():
        for name in files:
            image(folder / f"series {kind}" / name)
    image(folder / "series shapes" / "a_t1.tif", (64, 64))
    image(folder / "series types" / "a_t1.tif", (8, 8), "float32")
    (folder / "series empty" / "a_t1.tif").write_bytes(b"")
    (folder / "series loop" / "up").symlink_to("..")
    (folder / "series loop" / "a_t2.tif").symlink_to("a_t2.tif")
    (folder / "series pipe").mkdir()
    os.mkfifo(folder / "series pipe" / "a_t0.tif")
    for kind in ("frames", "diagonal"):
        first = image(folder / f"series {kind}" / "s0_t0_c0_z0.tif")
        for i in range(1, MANY if kind == "frames" else 1400):
            rest = f"s{i}_t{i}_c{i % 25}_z0.tif" if kind == "diagonal" else f"s0_t{i}_c0_z0.tif"
            os.link(first, first.with_name(rest))


def write_nd2s(folder: Path, whole: bytes) -> None:
    """Write copies of a good ND2 file with one length or offset made absurd in each."""
    starts = [i for i in range(len(whole)) if whole.startswith(ND2_MAGIC, i)]
    for number, start in enumerate((starts[0], starts[1], starts[-1])):
        for length in LONG:
            content = bytearray(whole)
            struct.pack_into("<Q", content, start + 8, length)
            (folder / f"chunk {number} of {length}.nd2").write_bytes(content)
        content = bytearray(whole)
        struct.pack_into("<I", content, start + 4, 2**32 - 1)
        (folder / f"chunk {number} name.nd2").write_bytes(content)
    signature = whole.rindex(MAP_END)
    for offset in (-1, -(2**63), 2**62, len(whole) - 8, 0):
        content = bytearray(whole)
        struct.pack_into("<q", content, len(whole) - 8, offset)
        (folder / f"map at {offset}.nd2").write_bytes(content)
    first = whole.index(b"!", struct.unpack("<Q", whole[-8:])[0] + 16)
    for offset in (-1, 2**62):
        content = bytearray(whole)
        struct.pack_into("<q", content, first + 1, offset)
        (folder / f"entry at {offset}.nd2").write_bytes(content)
    assert signature > first
