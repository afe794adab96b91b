"""Metadata of OME-Zarr folders, read as plain JSON before any array is touched."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fovflow.errors import FovflowError
from fovflow.readers.limits import MAX_PLANE_BYTES, check_dtype, check_plane
from fovflow.readers.scales import positive, to_s, to_um
from fovflow.readers.zarr_codecs import Packing, packing

_AXES = {"t": "T", "c": "C", "z": "Z", "y": "Y", "x": "X"}
_MAX_JSON_BYTES = 64 << 20
_MAX_LOOSE_BYTES = 64 << 20
"""Chunks up to this size may be larger than their array."""


@dataclass(frozen=True)
class Group:
    """A group of an OME-Zarr folder: where it is and its OME attributes."""

    path: Path
    version: int
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Image:
    """Level 0 of one multiscale image, that is, a position.

    Attributes
    ----------
    array : Path
    version : {2, 3}
        Of Zarr.
    key_start : str
        What the names of chunks start with: ``""``, ``"c/"`` or ``"c."``.
    packing : Packing
        How chunks are packed.
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
    pixel_um: float | None
    z_um: float | None
    period_s: float | None
    x_um: float | None
    y_um: float | None

    def size(self, axis: str) -> int:
        """Return the length of an axis, 1 if there is none."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1


def read_group(root: Path, relative: str = "") -> Group | None:
    """Read a group's attributes; None if there is no group.

    Parameters
    ----------
    root : Path
        The folder of the dataset.
    relative : str
        Path of the group below it.
    """
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

    Raises
    ------
    FovflowError
        If axes, sizes, pixel type or codecs are not ones that can be read safely.
    """
    try:
        scales = group.attributes["multiscales"][0]
        dataset = scales["datasets"][0]
        array = below(root, (group.path / str(dataset["path"])).relative_to(root).as_posix())
        axes, units = _axes(scales)
        shape, chunks, dtype, key_start, packed = _array(array)
        if len(axes) != len(shape):
            raise ValueError(f"axes {axes} for an array of shape {shape}")  # noqa: TRY301
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise FovflowError(
            f"the metadata of the OME-Zarr image {group.path} are damaged or incomplete",
            found=f"{type(error).__name__}: {error}",
            remedy="write it again with a current OME-Zarr writer",
        ) from error
    scale, shift = _transforms(scales, dataset, len(axes))

    def spaced(axis: str, convert: Any, values: list[float]) -> float | None:
        if axis not in axes:
            return None
        i = axes.index(axis)
        found: float | None = convert(values[i], units[i])
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
        pixel_um=positive(spaced("X", to_um, scale)),
        z_um=positive(spaced("Z", to_um, scale)),
        period_s=positive(spaced("T", to_s, scale)),
        x_um=spaced("X", to_um, shift) if moved else None,
        y_um=spaced("Y", to_um, shift) if moved else None,
    )


def below(root: Path, relative: str) -> Path:
    """Return a path below `root`.

    Raises
    ------
    FovflowError
        If it leads out of it.
    """
    parts = PurePosixPath(relative.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts:
        raise FovflowError(
            f"{root} refers to a folder outside itself",
            found=repr(relative),
            remedy="put all of the dataset into one folder",
        )
    return root / parts


def _axes(scales: dict[str, Any]) -> tuple[str, list[str | None]]:
    axes = "".join(_AXES[str(axis["name"]).lower()] for axis in scales["axes"])
    if not axes.endswith("YX") or len(set(axes)) != len(axes):
        raise ValueError(f"axes {axes}")
    return axes, [axis.get("unit") for axis in scales["axes"]]


def _transforms(
    scales: dict[str, Any], dataset: dict[str, Any], n_axes: int
) -> tuple[list[float], list[float]]:
    """Return scale and translation of level 0, those of the whole image applied after its own."""
    scale, shift = [1.0] * n_axes, [0.0] * n_axes
    for transforms in (dataset, scales):
        for each in transforms.get("coordinateTransformations") or ():
            values = each.get(each.get("type"), ())
            if len(values) != n_axes:
                continue
            if each["type"] == "scale":
                scale = [a * float(b) for a, b in zip(scale, values, strict=True)]
                shift = [a * float(b) for a, b in zip(shift, values, strict=True)]
            elif each["type"] == "translation":
                shift = [a + float(b) for a, b in zip(shift, values, strict=True)]
    return scale, shift


def _array(
    path: Path,
) -> tuple[tuple[int, ...], tuple[int, ...], str, str, Packing]:
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
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes")  # noqa: TRY301
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FovflowError(
            f"{path} is no readable JSON",
            found=str(error),
            remedy="copy the dataset again from its source",
        ) from error
    if not isinstance(found, dict):
        raise FovflowError(f"{path} is no JSON object", found=type(found).__name__)
    return found
