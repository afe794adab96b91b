"""Codecs of Zarr arrays: which are read, and how they pack the chunks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fovflow.errors import FovflowError

_PACKERS = {"blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma"}
_V2 = _PACKERS | {"delta", "shuffle"}
_V3 = {"bytes", "transpose", "blosc", "gzip", "zstd", "crc32c", "sharding_indexed"} | {
    f"numcodecs.{name}" for name in (*_V2, "crc32", "crc32c", "fletcher32")
}
_SHARDS = "sharding_indexed"
_INDEX = (["bytes"], ["bytes", "crc32c"])
_LZMA_FORMATS = (None, 1, 2)
"""Of xz and of the older container; a raw stream does not say how much memory it needs."""


@dataclass(frozen=True)
class Shards:
    """How chunks lie within the files of a sharded array.

    Attributes
    ----------
    chunks : tuple of int
        Shape of a chunk within a shard.
    at_end : bool
        Where the index is; else it is at the beginning.
    checksum : bool
        Whether the index ends with one, of 4 bytes.
    aligned : bool
        Whether the axes of chunks are those of the array.
    """

    chunks: tuple[int, ...]
    at_end: bool
    checksum: bool
    aligned: bool


@dataclass(frozen=True)
class Packing:
    """How the chunks of an array are packed: by which packer, if any, and in shards or not."""

    packer: str = ""
    shards: Shards | None = None


def packing(path: Path, codecs: list[Any], version: int) -> Packing:
    """Return how chunks are packed.

    Parameters
    ----------
    path : Path
        Of the array; named in errors.
    codecs : list
        As the metadata have them.
    version : {2, 3}
        Of Zarr.

    Raises
    ------
    FovflowError
        For codecs that are no plain packers, some of which run code when decoding; and for packers
        one in the other, which unpack to a size that nothing tells.
    """
    allowed = _V2 if version == 2 else _V3
    names = [_name(codec) for codec in codecs]
    unknown = [name for name in names if name not in allowed]
    if unknown:
        raise _refused(path, unknown[0], f"one of {', '.join(sorted(allowed))}")
    if _SHARDS in names:
        return _sharded(path, codecs[names.index(_SHARDS)], names, version)
    packers = [codec for codec in codecs if _plain(codec) in _PACKERS]
    if len(packers) > 1:
        raise _refused(path, " in ".join(map(_name, packers)), "one of them")
    if packers and _plain(packers[0]) == "lzma":
        settings = packers[0].get("configuration") or packers[0]
        if settings.get("format") not in _LZMA_FORMATS:
            raise _refused(path, f"lzma of format {settings['format']}", "another one")
    return Packing(_plain(packers[0]) if packers else "")


def _sharded(path: Path, codec: dict[str, Any], names: list[str], version: int) -> Packing:
    settings = codec["configuration"]
    inner = packing(path, list(settings["codecs"]), version)
    index = [_name(each) for each in settings.get("index_codecs") or ()]
    packers = [name for name in names if name.removeprefix("numcodecs.") in _PACKERS]
    if inner.shards is not None or packers or index not in _INDEX:
        raise _refused(path, f"shards within {', '.join(packers) or 'shards'}", "plain shards")
    shards = Shards(
        tuple(map(int, settings["chunk_shape"])),
        at_end=settings.get("index_location", "end") == "end",
        checksum=index[-1] == "crc32c",
        aligned="transpose" not in names,
    )
    return Packing(inner.packer, shards)


def _name(codec: Any) -> str:
    return str(codec.get("id") or codec.get("name"))


def _plain(codec: Any) -> str:
    return _name(codec).removeprefix("numcodecs.")


def _refused(path: Path, found: str, instead: str) -> FovflowError:
    return FovflowError(
        f"{path} is stored with a codec that is not read",
        found=found,
        remedy=f"write it again with {instead}",
    )
