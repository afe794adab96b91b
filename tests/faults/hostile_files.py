"""Files whose headers lie and whose content explodes; run as a script it reads them all.

``python hostile_files.py FOLDER`` reads each file of the folder with a limit on memory and time and
prints, for each, what came of it. It stands alone so that a crash costs that process only.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import struct
import sys
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

MEMORY = 3 << 30
"""Address space of the reading process, in bytes; its libraries alone take about a third."""

SECONDS = 120
"""Time that one file may take."""

BOMB = 1 << 29
"""Bytes that the bombs unpack to."""

SECRET = "root:x:0:0"
"""What external entities of the XML files ask for, from another file."""


@cache
def deflated(window: int = 15) -> bytes:
    """Return `BOMB` zeros, deflated; a window of 31 makes a gzip file of it."""
    packer = zlib.compressobj(1, wbits=window)
    piece = bytes(1 << 20)
    return b"".join(packer.compress(piece) for _ in range(BOMB >> 20)) + packer.flush()


def tiff(
    path: Path, tags: dict[int, tuple[int, int, int]], data: bytes = bytes(64), next_page: int = 0
) -> None:
    """Write a TIFF of one page whose header says what it likes; data start at byte 4096."""
    entries = b"".join(
        struct.pack("<HHII", code, kind, count, value)
        for code, (kind, count, value) in sorted(tags.items())
    )
    page = struct.pack("<H", len(tags)) + entries + struct.pack("<I", next_page)
    head = b"II*\0" + struct.pack("<I", 8) + page
    path.write_bytes(head.ljust(4096, b"\0") + data)


def grey(height: int, width: int, stored: int, compression: int = 1) -> dict[int, Any]:
    """Return the tags of a grey page of 16 bits in one strip at byte 4096."""
    return {
        256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 16), 259: (3, 1, compression),
        262: (3, 1, 1), 273: (4, 1, 4096), 277: (3, 1, 1), 278: (4, 1, height),
        279: (4, 1, stored),
    }  # fmt: skip


def described(path: Path, text: str) -> None:
    """Write a small TIFF with a description."""
    data = np.ones((8, 8), "<u2").tobytes()
    text_bytes = text.encode() + b"\0"
    tags = grey(8, 8, len(data)) | {270: (2, len(text_bytes), 4096 + len(data))}
    tiff(path, tags, data + text_bytes)


def write_tiffs(folder: Path) -> None:
    tiff(folder / "ten terabytes.tif", grey(2**21, 2**21, 64))
    tiff(folder / "offset outside.tif", grey(8, 8, 128) | {273: (4, 1, 2**31)})
    tiff(folder / "endless strips.tif", grey(64, 64, 64) | {273: (4, 2**31, 8), 279: (4, 2**31, 8)})
    tiff(folder / "cycle.tif", grey(4, 8, 64), next_page=8)
    tiff(folder / "sub pages.tif", grey(4, 8, 64) | {330: (4, 2**30, 8)})
    packed = deflated()
    tiff(folder / "deflate bomb.tif", grey(64, 64, len(packed), 8), packed)
    tiff(folder / "wide deflate bomb.tif", grey(2**13, 2**13, len(packed), 8), packed)
    for code, name in ((5, "lzw"), (50000, "zstd"), (32773, "packbits"), (34925, "lzma")):
        tiff(folder / f"{name} nonsense.tif", grey(2**12, 2**12, 2**16, code), bytes(2**16))
    described(folder / "imagej.tif", "ImageJ=1.54\nimages=2147483647\nframes=2147483647\n")
    described(folder / "imagej many.tif", "ImageJ=1.54\nimages=8\nchannels=100000\nslices=100000")


def ome(body: str, sizes: str = 'SizeT="1" SizeC="1" SizeZ="1"', head: str = "") -> str:
    return (
        f'{head}<OME><Image Name="{"&x;" if head else ""}"><Pixels DimensionOrder="XYCZT" '
        f'SizeX="8" SizeY="8" {sizes}>{body}</Pixels></Image></OME>'
    )


def write_omes(folder: Path) -> None:
    data = '<TiffData IFD="{}" PlaneCount="{}"/>'
    described(folder / "plane 2e31.ome.tif", ome(data.format(2**31 - 1, 1)))
    described(folder / "planes 1e12.ome.tif", ome(data.format(0, 10**12)))
    described(folder / "first -1.ome.tif", ome('<TiffData FirstT="-5" IFD="-3" PlaneCount="-9"/>'))
    described(
        folder / "frames 1e13.ome.tif", ome("<TiffData/>", f'SizeT="{10**13}" SizeC="1" SizeZ="1"')
    )
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 13))
    described(
        folder / "billion laughs.ome.tif",
        ome("<TiffData/>", head=f'<!DOCTYPE OME [<!ENTITY l0 "ha">{laughs}<!ENTITY x "&l12;">]>'),
    )
    quadratic = f'<!DOCTYPE OME [<!ENTITY y "{"a" * 50_000}"><!ENTITY x "{"&y;" * 20_000}">]>'
    described(folder / "quadratic.ome.tif", ome("<TiffData/>", head=quadratic))
    for number, where in enumerate(("file:///etc/passwd", "http://127.0.0.1:9/x")):
        entity = f'<!DOCTYPE OME [<!ENTITY x SYSTEM "{where}">]>'
        described(folder / f"external {number}.ome.tif", ome("<TiffData/>", head=entity))
    deep = ome("<a>" * 100_000 + "</a>" * 100_000 + "<TiffData/>")
    described(folder / "deep.ome.tif", deep)
    for number, name in enumerate(("../../secret.tif", "/etc/passwd", "C:\\secret.tif", "a\0b")):
        uuid = f'<TiffData><UUID FileName="{name}">u</UUID></TiffData><TiffData FirstT="1"/>'
        described(
            folder / f"elsewhere {number}.ome.tif",
            ome(uuid.replace("\0", "&#0;"), 'SizeT="2" SizeC="1" SizeZ="1"'),
        )


def write_zarrs(folder: Path) -> None:
    """Write OME-Zarr images with bombs in their chunks and nonsense in their shapes."""
    squeezed = deflated(31)
    lying = struct.pack("<BBBBIII", 2, 1, 0x21, 2, 2**31 - 17, 2**31 - 17, 64) + bytes(48)
    codecs = {
        "gzip bomb": ({"id": "gzip", "level": 9}, squeezed),
        "blosc header": ({"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}, lying),
        "zlib cut": ({"id": "zlib", "level": 9}, deflated()[:100]),
        "zstd nonsense": ({"id": "zstd", "level": 1}, b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 8),
        "lz4 length": ({"id": "lz4"}, struct.pack("<i", 2**31 - 1) + bytes(20)),
        "plain long": (None, bytes(1 << 24)),
    }
    for name, (compressor, chunk) in codecs.items():
        array = zarr_image(folder / f"{name}.zarr", compressor=compressor)
        (array / "0.0.0").write_bytes(chunk)
    for number, change in enumerate((
        {"shape": [1, 10**9, 10**9]}, {"chunks": [10**9, 8, 8]}, {"shape": [10**12, 8, 8]},
        {"chunks": [1, 2**31, 2**31]}, {"dtype": "|O"}, {"fill_value": "9" * 10**6},
        {"filters": [{"id": "pickle"}]}, {"shape": [1e400, 8, 8]}, {"shape": ["1", "x", 8]},
    )):  # fmt: skip
        zarr_image(folder / f"shape {number}.zarr", **change)
    for number, path in enumerate(
        ("../gzip bomb.zarr/0", "/etc", "0/../../x", "..\\x", "a" * 5000)
    ):
        zarr_image(folder / f"path {number}.zarr", at=path)


def zarr_image(folder: Path, *, at: str = "0", **array: Any) -> Path:
    """Write the metadata of an image of 8 × 8 pixels; return the folder of its chunks."""
    chunks = folder / "0"
    chunks.mkdir(parents=True)
    axes = [{"name": name} for name in "tyx"]
    scales = [{"version": "0.4", "axes": axes, "datasets": [{"path": at}]}]
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    (folder / ".zattrs").write_text(json.dumps({"multiscales": scales}))
    content = {
        "zarr_format": 2, "shape": [1, 8, 8], "chunks": [1, 8, 8], "dtype": "<u2", "order": "C",
        "fill_value": 0, "filters": None, "compressor": None, "dimension_separator": ".",
    } | array  # fmt: skip
    (chunks / ".zarray").write_text(json.dumps(content))
    return chunks


def write_damaged(folder: Path, name: str, whole: bytes, copies: int, seed: int) -> None:
    """Write copies of a good file with random bytes changed, most of them in numbers of headers."""
    rng = random.Random(seed)
    for number in range(copies):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(content) - 8)
            content[at : at + 4] = rng.choice((b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", bytes(4)))
        (folder / name.format(number)).write_bytes(content)


def write_arrays(folder: Path) -> None:
    """Write npy files: a header of 10 TB, pickled objects, and a zip archive in disguise."""
    header = "{'descr': '<u2', 'fortran_order': False, 'shape': (%s,), }"
    for number, shape in enumerate(("100, 300000, 300000", "2, 8, 8", "-1, 8, 8")):
        text = (header % shape).ljust(117) + "\n"
        content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + bytes(16)
        (folder / f"header {number}.npy").write_bytes(content)
    np.save(folder / "pickled.npy", np.array([print], object), allow_pickle=True)
    with (folder / "zip.npy").open("wb") as file:
        np.savez(file, a=np.ones((8, 8)))
    text = "{'descr': __import__('os').system('touch pwned'), 'shape': (1, 8, 8)}".ljust(117) + "\n"
    (folder / "code.npy").write_bytes(
        b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + bytes(128)
    )


def read(path: Path) -> str:
    """Read all that a file has; return what came of it in one line."""
    from fovflow.errors import FovflowError
    from fovflow.readers import open_raw
    from fovflow.stacks import StackReader, read_image

    try:
        if path.suffix == ".npy":
            for open_it in (StackReader, lambda name: read_image(str(name), (8, 8))):
                try:
                    open_it(path)
                except FovflowError as error:
                    said = str(error)
                else:
                    return "read"
            return f"refused: {said}"
        with open_raw(path) as raw:
            if SECRET in repr(raw.info):
                return "leaked"
            for t in range(min(raw.info.n_frames, 3)):
                raw.read(0, t, 0)
    except FovflowError as error:
        return "leaked" if SECRET in str(error) else f"refused: {error}"
    return "read"


def main(folder: Path) -> None:
    """Read every file of a folder; print one JSON object per file."""
    from fovflow.adapter.attempt import peak_memory_mib

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for path in sorted(folder.iterdir()):
        signal.alarm(SECONDS)
        try:
            outcome = read(path)
        except BaseException as error:
            outcome = f"escaped: {type(error).__name__}: {error}"
        signal.alarm(0)
        told = {"name": path.name, "outcome": outcome[:300], "peak_mib": round(peak_memory_mib())}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
