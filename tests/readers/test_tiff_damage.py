"""TIFF files that are damaged, or whose headers ask for too much."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import fovflow
from fovflow.errors import FovflowError


def bare_tiff(path: Path, tags: dict[int, tuple[int, int, int]], *, next_page: int = 0) -> Path:
    """Write a classic TIFF of one page whose header says what it likes."""
    entries = b"".join(
        struct.pack("<HHI", code, kind, count) + struct.pack("<I", value)
        for code, (kind, count, value) in sorted(tags.items())
    )
    page = struct.pack("<H", len(tags)) + entries + struct.pack("<I", next_page)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + page + bytes(64))
    return path


def grey(height: int, width: int, **more: Any) -> dict[int, tuple[int, int, int]]:
    return {
        256: (4, 1, width),
        257: (4, 1, height),
        258: (3, 1, 16),
        259: (3, 1, more.get("compression", 1)),
        262: (3, 1, 1),
        273: (4, 1, 8),
        277: (3, 1, 1),
        278: (4, 1, height),
        279: (4, 1, more.get("stored", 64)),
    }


@pytest.mark.parametrize(
    ("height", "width", "more"),
    [
        (2**21, 2**21, {}),
        (2**21, 2**21, {"stored": 0}),
        (2**21, 2**21, {"compression": 8}),
        (2**31, 2**31, {"compression": 5}),
        (100_000, 1000, {"compression": 8}),
        (2**15, 2**15, {"stored": 2**31}),
        (0, 10, {}),
    ],
)
def test_terabytes_in_a_header(
    height: int, width: int, more: dict[str, int], tmp_path: Path
) -> None:
    path = bare_tiff(tmp_path / "huge.tif", grey(height, width, **more))
    with pytest.raises(FovflowError, match=r"cannot hold|damaged"):
        fovflow.open_raw(path)


def test_tables_of_a_billion_offsets(tmp_path: Path) -> None:
    tags = grey(64, 64) | {273: (4, 2**30, 8), 279: (4, 2**30, 8)}
    with pytest.raises(FovflowError):
        fovflow.open_raw(bare_tiff(tmp_path / "table.tif", tags))


def test_pages_that_bite_their_tail(tmp_path: Path) -> None:
    path = bare_tiff(tmp_path / "loop.tif", grey(4, 8), next_page=8)
    with pytest.raises(FovflowError, match="leads back"):
        fovflow.open_raw(path)


@pytest.mark.parametrize("content", [b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*" + bytes(20)])
def test_headers_that_lead_nowhere(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "nowhere.tif"
    path.write_bytes(content)
    with pytest.raises(FovflowError, match="cut off or damaged"):
        fovflow.open_raw(path)


def test_random_damage_never_escapes(stack: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "noisy.ome.tif"
    tifffile.imwrite(path, stack, ome=True, metadata={"axes": "TYX"}, compression="zlib")
    whole = path.read_bytes()
    rng = np.random.default_rng(8)
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        noise = rng.bytes(int(rng.integers(1, 30)))
        start = int(rng.integers(0, len(data)))
        data[start : start + len(noise)] = noise
        path.write_bytes(data[: len(whole)])
        try:
            with fovflow.open_raw(path) as raw:
                raw.read(0, 0, 0)
        except FovflowError:
            refused += 1
    assert refused > 10
