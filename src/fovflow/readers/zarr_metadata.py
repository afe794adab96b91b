"""Metadata of OME-Zarr folders, read as plain JSON, and the codecs of their arrays."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fovflow.errors import FovflowError, explained
from fovflow.readers.limits import MAX_PLANE_BYTES, check_dtype, check_plane
from fovflow.readers.locate import path_inside
from fovflow.units import positive, to_s, to_um
from fovflow.userfiles import read_regular

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

    `chunks` is the shape of a chunk within a shard; the index is at the end or at the beginning of
    a shard, and ends with a checksum of 4 bytes or not. Chunks are `aligned` if their axes are
    those of the array.
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
    """Return how the chunks of the array in `path` are packed, from the codecs in its metadata.

    Codecs that are no plain packers are refused, since some of them run code when decoding; so are
    packers one in the other, which unpack to a size that nothing tells.
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


_VERSIONS = ("0.1", "0.2", "0.3", "0.4", "0.5")
_TYPES = {"time": "T", "channel": "C"}
_NAMES = {"t": "T", "time": "T", "c": "C", "channel": "C", "z": "Z", "y": "Y", "x": "X"}
_MAX_JSON_BYTES = 64 << 20
_MAX_LOOSE_BYTES = 64 << 20
"""Chunks up to this size may be larger than their array."""


_Stored = tuple[tuple[int, ...], tuple[int, ...], str, str, Packing]
_MOST_LEVELS = 32


@dataclass(frozen=True)
class Group:
    """A group of an OME-Zarr folder: where it is and its OME attributes."""

    path: Path
    version: int
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Image:
    """The finest level of one multiscale image, that is, a position.

    `version` is that of Zarr; `key_start` what the names of chunks start with: ``""``, ``"c/"`` or
    ``"c."``.
    """

    array: Path
    version: int
    name: str | None
    axes: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    key_start: str
    packing: Packing
    dtype: str
    channels: tuple[str, ...]
    edges_um: tuple[float | None, float | None]
    z_um: float | None
    period_s: float | None
    x_um: float | None
    y_um: float | None

    def size(self, axis: str) -> int:
        """Return the length of an axis, 1 if there is none."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1


def read_group(root: Path, relative: str = "") -> Group | None:
    """Read the attributes of the group at `relative` in a dataset; None if there is no group."""
    path = below(root, relative)
    if (path / "zarr.json").is_file():
        attributes = _load(path / "zarr.json").get("attributes") or {}
        return Group(path, 3, attributes.get("ome", attributes))
    if any((path / name).is_file() for name in (".zattrs", ".zgroup")):
        attributes = _load(path / ".zattrs") if (path / ".zattrs").is_file() else {}
        return Group(path, 2, attributes)
    return None


def read_image(root: Path, group: Group, name: str | None) -> Image:
    """Read the description of a multiscale image.

    Axes, sizes, pixel types and codecs that cannot be read safely are refused.
    """
    with explained(
        f"the metadata of the OME-Zarr image {group.path} are not understood",
        *(KeyError, IndexError, TypeError, ValueError, AttributeError),
        remedy="write it again with a current OME-Zarr writer",
        name_kind=True,
    ):
        scales = group.attributes["multiscales"][0]
        version = _version(group, scales)
        dataset, array, stored = _finest_level(root, group, scales["datasets"])
        shape, chunks, dtype, key_start, packed = stored
        axes, units = _axes(scales, version, len(shape))
    scale, shift = _transforms(scales, dataset, len(axes))

    def spaced(axis: str, convert: Any, values: list[float]) -> float | None:
        if axis not in axes:
            return None
        i = axes.index(axis)
        found: float | None = convert(values[i], units[i]) if values else None
        return found

    omero = group.attributes.get("omero") or {}
    channels = tuple(str(c.get("label") or "") for c in omero.get("channels", ()))
    moved = any(shift)
    return Image(
        array=array,
        version=3 if (array / "zarr.json").is_file() else 2,
        name=name or scales.get("name") or None,
        axes=axes,
        shape=shape,
        chunks=chunks,
        key_start=key_start,
        packing=packed,
        dtype=dtype,
        channels=channels,
        edges_um=(positive(spaced("X", to_um, scale)), positive(spaced("Y", to_um, scale))),
        z_um=positive(spaced("Z", to_um, scale)),
        period_s=positive(spaced("T", to_s, scale)),
        x_um=spaced("X", to_um, shift) if moved else None,
        y_um=spaced("Y", to_um, shift) if moved else None,
    )


def _finest_level(
    root: Path, group: Group, levels: list[dict[str, Any]]
) -> tuple[dict[str, Any], Path, _Stored]:
    """Return the level with the most pixels, its folder and how it is stored.

    It should be the first one; some writers begin with the smallest. Others that cannot be read
    cost nothing.
    """

    def at(level: dict[str, Any]) -> tuple[dict[str, Any], Path, _Stored]:
        array = below(root, (group.path.relative_to(root) / str(level["path"])).as_posix())
        return level, array, _array(array)

    found = [at(levels[0])]
    for level in levels[1:_MOST_LEVELS]:
        with suppress(FovflowError, OSError, KeyError, TypeError, ValueError):
            found.append(at(level))
    return max(found, key=lambda each: math.prod(each[2][0][-2:]))


def below(root: Path, relative: str) -> Path:
    """Return a path below `root`; refuse one that leads out of it."""
    path = path_inside(root, relative)
    if path is None:
        raise FovflowError(
            f"{root} refers to a folder outside itself",
            found=repr(relative),
            remedy="put all of the dataset into one folder",
        )
    return path


def _version(group: Group, scales: dict[str, Any]) -> str:
    version = str(scales.get("version") or group.attributes.get("version") or "0.4")
    if version not in _VERSIONS:
        raise FovflowError(
            f"{group.path} is OME-Zarr of version {version}, which is not read",
            remedy=f"write it as one of the versions {', '.join(_VERSIONS)}",
        )
    return version


def _axes(scales: dict[str, Any], version: str, n: int) -> tuple[str, list[str | None]]:
    """Return the letters of `n` axes and their units; an axis is told by its type, then its name.

    Version 0.1 and 0.2 have five axes of fixed order, 0.3 has names only.
    """
    given = scales["axes"] if version > "0.2" or "axes" in scales else list("tczyx")
    listed = [axis if isinstance(axis, dict) else {"name": axis} for axis in given]
    if len(listed) != n:
        raise ValueError(f"{len(listed)} axes for an array of {n}")
    letters, space = [], iter("ZYX"[-sum(axis.get("type") == "space" for axis in listed) :])
    for axis in listed:
        name = str(axis["name"]).lower()
        kind = axis.get("type")
        letter = next(space, None) if kind == "space" else _TYPES.get(str(kind), _NAMES.get(name))
        if letter is None or (name in "zyx" and name.upper() != letter):
            raise ValueError(f"an axis {name!r} of type {kind!r}")
        letters.append(letter)
    axes = "".join(letters)
    if not axes.endswith("YX") or len(set(axes)) != len(axes):
        raise ValueError(f"axes {', '.join(str(axis['name']) for axis in listed)}")
    return axes, [axis.get("unit") for axis in listed]


def _transforms(
    scales: dict[str, Any], dataset: dict[str, Any], n_axes: int
) -> tuple[list[float], list[float]]:
    """Return scale and translation of a level, those of the whole image applied after its own.

    The scale is empty where there is none, or one of another number of axes.
    """
    scale, shift = [1.0] * n_axes, [0.0] * n_axes
    known = False
    for transforms in (dataset, scales):
        for each in transforms.get("coordinateTransformations") or ():
            values = each.get(each.get("type"), ())
            if len(values) != n_axes:
                continue
            if each["type"] == "scale":
                known = True
                scale = [a * float(b) for a, b in zip(scale, values, strict=True)]
                shift = [a * float(b) for a, b in zip(shift, values, strict=True)]
            elif each["type"] == "translation":
                shift = [a + float(b) for a, b in zip(shift, values, strict=True)]
    return scale if known else [], shift


def _array(path: Path) -> _Stored:
    """Return shape, chunks, dtype, start of the names of chunks, and how they are packed."""
    if (path / "zarr.json").is_file():
        meta = _load(path / "zarr.json")
        packed = packing(path, list(meta["codecs"]), 3)
        dtype = str(meta["data_type"])
        grid = meta["chunk_grid"]
        if grid["name"] != "regular":
            raise ValueError(f"chunk grid {grid['name']!r}")
        chunks = grid["configuration"]["chunk_shape"]
        encoding = meta.get("chunk_key_encoding") or {"name": "default"}
        separator = (encoding.get("configuration") or {}).get("separator", "/")
        key_start = f"c{separator}" if encoding["name"] == "default" else ""
    elif (path / ".zarray").is_file():
        meta = _load(path / ".zarray")
        codecs = [meta.get("compressor"), *(meta.get("filters") or ())]
        packed = packing(path, [codec for codec in codecs if codec], 2)
        if meta.get("order", "C") not in ("C", "F") or not isinstance(meta["dtype"], str):
            raise ValueError(f"dtype {meta['dtype']!r}, order {meta.get('order')!r}")
        dtype, chunks = meta["dtype"], meta["chunks"]
        key_start = ""
    else:
        raise FovflowError(f"there is no Zarr array in {path}", remedy="copy the dataset again")
    shape, chunks = tuple(map(int, meta["shape"])), tuple(map(int, chunks))
    if len(chunks) != len(shape) or min(chunks) < 1 or min(shape) < 1:
        raise ValueError(f"shape {shape} in chunks of {chunks}")
    name = check_dtype(path, np.dtype(dtype))
    for planes in (shape[-2:], chunks):
        check_plane(path, planes, name, MAX_PLANE_BYTES)
    size = np.dtype(name).itemsize
    if math.prod(chunks) * size > max(_MAX_LOOSE_BYTES, 2 * math.prod(shape) * size):
        raise ValueError(f"shape {shape} in chunks of {chunks}")
    return shape, chunks, name, key_start, packed


def _load(path: Path) -> dict[str, Any]:
    with explained(
        f"{path} is no readable JSON",
        *(ValueError, RecursionError),
        remedy="copy the dataset again from its source",
    ):
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes")
        found = json.loads(read_regular(path))
    if not isinstance(found, dict):
        raise FovflowError(f"{path} is no JSON object", found=type(found).__name__)
    return found
