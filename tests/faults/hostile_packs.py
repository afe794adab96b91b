"""OME-Zarr images whose chunks unpack to far more than they should, alone and in shards."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import struct
from pathlib import Path
from typing import Any

from faults.hostile_files import BOMB, deflated, zarr_image

_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}


BOMBS = ("bz2", "gzip", "lz4", "lzma", "lzma dictionary", "zstd", "zstd silent")


def bombs() -> dict[str, tuple[str, bytes]]:
    """Return packer and chunk of each bomb: streams one after another, and long runs."""
    zeros, times = bytes(1 << 24), BOMB >> 24
    block, last = ((end | 1 << 1 | 1 << 20).to_bytes(3, "little") + b"a" for end in (0, 1))
    run = block * ((BOMB >> 17) - 1) + last  # of 128 KiB each
    greedy = bytearray(lzma.compress(bytes(128), lzma.FORMAT_ALONE))
    greedy[1:5] = b"\xff" * 4  # asks for a dictionary of 4 GiB
    return {
        "bz2": ("bz2", bz2.compress(zeros, 1) * times),
        "lzma": ("lzma", lzma.compress(zeros, preset=0) * times),
        "lzma dictionary": ("lzma", bytes(greedy)),
        "gzip": ("gzip", gzip.compress(bytes(128)) + deflated(31)),
        "zstd": ("zstd", b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", BOMB) + run),
        "zstd silent": ("zstd", b"\x28\xb5\x2f\xfd\x00\x38" + run),
        "lz4": ("lz4", struct.pack("<i", BOMB) + bytes(20)),
    }


def write_packed(folder: Path) -> None:
    """Write the bombs, plain and in shards, and packers that are put one in the other."""
    made = bombs()
    for name in BOMBS:
        packer, chunk = made.pop(name)
        array = zarr_image(folder / f"packed {name}.zarr", compressor={"id": packer})
        (array / "0.0.0").write_bytes(chunk)
        known = packer if packer in ("gzip", "zstd") else f"numcodecs.{packer}"
        settings = {"level": 5} if packer in ("gzip", "bz2") else {}
        settings |= {"level": 0, "checksum": False} if packer == "zstd" else {}
        codec = {"name": known, "configuration": settings}
        shard(folder / f"shard {name}.zarr", chunk, [_BYTES, codec])
    assert not made
    two = [{"id": "bz2", "level": 1}]
    zarr_image(folder / "packed twice.zarr", compressor={"id": "gzip", "level": 1}, filters=two)
    raw = {"id": "lzma", "format": lzma.FORMAT_RAW, "filters": [{"id": lzma.FILTER_LZMA2}]}
    zarr_image(folder / "packed raw.zarr", compressor=raw)
    zarr_image(folder / "loose chunk.zarr", chunks=[1, 2**14, 2**14])
    nested = {"name": "sharding_indexed", "configuration": _sharding([_BYTES])}
    shard(folder / "shard in shard.zarr", bytes(128), [nested])
    shard(folder / "shard short.zarr", b"", [_BYTES], index=b"\0" * 7)
    shard(folder / "shard far.zarr", b"", [_BYTES], index=struct.pack("<QQ", 2**63, 2**62))


def _sharding(codecs: list[Any]) -> dict[str, Any]:
    return {
        "chunk_shape": [1, 8, 8], "codecs": codecs, "index_codecs": [_BYTES],
        "index_location": "end",
    }  # fmt: skip


def shard(folder: Path, chunk: bytes, codecs: list[Any], index: bytes | None = None) -> None:
    """Write an image of 8 × 8 pixels in Zarr 3: one shard with one chunk."""
    place = folder / "0" / "c" / "0" / "0"
    place.mkdir(parents=True)
    axes = [{"name": "t", "type": "time"}, *({"name": n, "type": "space"} for n in "yx")]
    scales = [{"axes": axes, "datasets": [{"path": "0"}]}]
    group = {"zarr_format": 3, "node_type": "group"}
    group["attributes"] = {"ome": {"version": "0.5", "multiscales": scales}}
    (folder / "zarr.json").write_text(json.dumps(group))
    array = {
        "zarr_format": 3, "node_type": "array", "shape": [1, 8, 8], "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 8, 8]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0, "attributes": {}, "storage_transformers": [],
        "codecs": [{"name": "sharding_indexed", "configuration": _sharding(codecs)}],
    }  # fmt: skip
    (folder / "0" / "zarr.json").write_text(json.dumps(array))
    table = struct.pack("<QQ", 0, len(chunk)) if index is None else index
    (place / "0").write_bytes(chunk + table)
