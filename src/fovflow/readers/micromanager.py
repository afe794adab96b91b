"""Micro-Manager's own layouts without OME-XML: NDTiff folders and MMStack files."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from fovflow.errors import FovflowError, explained
from fovflow.readers.base import (
    FileReader,
    Overrides,
    common_shape,
    held_frames,
    long_axes,
    raw_info,
)
from fovflow.readers.limits import (
    MAX_METADATA_BYTES,
    check_plane,
    check_sizes,
    refuse_rgb,
    unsupported_type,
)
from fovflow.readers.locate import natural_key, path_inside
from fovflow.readers.tiff_pages import TiffPages
from fovflow.readers.times import choose_times, nominal_times
from fovflow.units import positive
from fovflow.userfiles import open_regular

_INDEX = "NDTiff.index"
_MMSTACK, _NDTIFF = 54773648, 483729
_ROW_AXES = {"position": "P", "time": "T", "channel": "C", "z": "Z"}
_COLOUR = 2
_TYPES = {0: "uint8", 1: "uint16", 3: "uint16", 4: "uint16", 5: "uint16", 6: "uint16"}
_MAP = ("channel", "z", "time", "position")


@dataclass(frozen=True)
class _Plane:
    """Where a plane is: its file, where it starts (a page's number in an MMStack), its kind.

    `meta` are the numbers in its metadata that are used.
    """

    file: Path
    at: int
    shape: tuple[int, int]
    dtype: str
    meta: dict[str, float]


def layout_of(path: Path) -> str:
    """Return ``ndtiff`` or ``mmstack`` for a TIFF file in one of these layouts, else nothing."""
    with open_regular(path) as file:
        head = file.read(12)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    mark = struct.unpack_from(f"{order}I", head, 8)[0] if order and len(head) == 12 else 0
    if mark == _NDTIFF and (path.parent / _INDEX).is_file():
        return "ndtiff"
    return "mmstack" if mark == _MMSTACK and _settings(path).get("IndexMap") is not None else ""


def files_of(path: Path, layout: str) -> list[Path]:
    """Return the files of the dataset to which a file belongs."""
    if layout == "ndtiff":
        named = {name for _, name, *_ in tifffile.read_ndtiff_index(path.parent / _INDEX)}
        inside = [found for name in named if (found := path_inside(path.parent, name))]
        return [path.parent / _INDEX, *sorted(file for file in inside if file.is_file())]
    stem, mark, _ = path.name.partition("_MMStack")
    beside = sorted(path.parent.glob("*_MMStack*.tif"), key=lambda file: natural_key(file.name))
    same = [file for file in beside if mark and file.name.startswith(f"{stem}{mark}")]
    return [file for file in same if file == path or layout_of(file) == layout] or [path]


class MicroManagerReader(FileReader[TiffPages]):
    """An open dataset of Micro-Manager; planes that its index does not list are missing."""

    def __init__(self, path: Path, given: Overrides | None = None):
        layout = layout_of(path)
        summary = _settings(path).get("Summary", {})
        rows = [*(_ndtiff_rows(path) if layout == "ndtiff" else _mmstack_rows(path))]
        if not rows:
            raise FovflowError(f"{path} lists no images", remedy="copy the dataset again")
        values: dict[str, Sequence[Any]]
        values = {axis: _distinct([at[axis] for at, _ in rows]) for axis in _ROW_AXES}
        sizes = {letter: len(values[axis]) for axis, letter in _ROW_AXES.items()}
        for axis, begin in (("time", None), ("position", 0)):  # those that were never recorded
            if all(isinstance(step, int) for step in values[axis]):
                first = values[axis][0] if begin is None else begin
                values[axis] = range(first, values[axis][-1] + 1)
                sizes[_ROW_AXES[axis]] = len(values[axis])
        check_sizes(path, sizes)
        self._planes: dict[tuple[int, ...], _Plane] = {}
        held = np.zeros([sizes[axis] for axis in "PTCZ"], bool)
        recorded = np.full(held.shape[:2], np.nan)
        ranks = {
            axis: {value: i for i, value in enumerate(found)} for axis, found in values.items()
        }
        for at, plane in rows:
            key = tuple(ranks[axis][at[axis]] for axis in _ROW_AXES)
            self._planes[key] = plane
            held[key] = True
            if not np.isfinite(recorded[key[:2]]):
                recorded[key[:2]] = plane.meta.get("ElapsedTime-ms", np.nan) / 1000
        shapes = [
            next((plane.shape for key, plane in self._planes.items() if key[0] == p), None)
            for p in range(sizes["P"])
        ]
        shape, notes = common_shape(shapes)
        first = next(plane for plane in self._planes.values() if plane.shape == shape)
        check_plane(path, shape, first.dtype, first.file.stat().st_size)
        frames = held_frames(path, held)
        meta = {**summary, **first.meta}
        stage = meta.get("StagePositions") or meta.get("InitialPositionList") or ()
        labels = [each.get("Label") if isinstance(each, dict) else None for each in stage]
        if len(labels) != sizes["P"]:
            labels = [place if isinstance(place, str) else None for place in values["position"]]
        names = [str(v) if isinstance(v, str) else "" for v in values["channel"]]
        listed = [str(name) for name in meta.get("ChNames") or ()]
        info = raw_info(
            layout,
            long_axes("PTCZ", sizes),
            sizes,
            (*shape, first.dtype),
            axes_from=f"index of {'NDTiff' if layout == 'ndtiff' else 'Micro-Manager'}",
            positions=[(label, None, None) for label in labels],
            channels=names if any(names) or len(listed) != sizes["C"] else listed,
            edges_um=(positive(_number(meta, "PixelSizeUm", "PixelSize_um")), None),
            z_um=positive(_number(meta, "z-step_um")) if sizes["Z"] > 1 else None,
            missing=frames.missing,
            missing_planes=frames.missing_planes,
            warnings=notes,
        )
        period = positive(_number(meta, "Interval_ms"))
        nominal = nominal_times(sizes["T"], period and period / 1000)
        super().__init__(path, info, choose_times(recorded, frames.there, nominal), given)

    def _plane(self, p: int, t: int, c: int, z: int) -> NDArray[Any]:
        plane = self._planes[p, t, c, z]
        if plane.shape != (self.info.height, self.info.width):
            raise ValueError(f"an image of {plane.shape[0]} x {plane.shape[1]} pixels")
        pages = self._file(plane.file, TiffPages)
        if self.info.format == "mmstack":
            return pages.read(plane.at)
        stored = np.dtype(plane.dtype).newbyteorder(pages.tif.byteorder)
        return pages.read_at(plane.at, plane.shape, stored)


_Row = tuple[dict[str, Any], _Plane]


def _ndtiff_rows(path: Path) -> Iterator[_Row]:
    """Yield the axes and the place of each image that the index lists."""
    known = dict.fromkeys(_ROW_AXES, 0)
    for row in tifffile.read_ndtiff_index(path.parent / _INDEX):
        at, name, offset, width, height, kind, packed, meta, length, meta_packed = row
        file = path_inside(path.parent, name)
        if file is None:
            raise FovflowError(
                f"{path.parent / _INDEX} refers to a file outside its own folder",
                found=repr(name),
                remedy="put all files of the dataset into one folder",
            )
        if beyond := {axis for axis, value in at.items() if axis not in known and value}:
            raise FovflowError(
                f"{path.parent} has axes that are not read",
                found=", ".join(sorted(beyond)),
                remedy="export each of their values as OME-TIFF",
            )
        if kind == _COLOUR:
            refuse_rgb(path, 3)
        if kind not in _TYPES or packed:
            raise unsupported_type(path, f"kind {kind}, packing {packed} of NDTiff")
        if file.is_file():
            text = b"" if meta_packed else _bytes_at(file, meta, length)
            place = known | {axis: value for axis, value in at.items() if axis in known}
            yield place, _Plane(file, offset, (height, width), _TYPES[kind], _numbers(_json(text)))


def _mmstack_rows(path: Path) -> Iterator[_Row]:
    """Yield the axes and the page of each image that the maps in the files list."""
    for file in files_of(path, "mmstack"):
        rows = _settings(file)["IndexMap"]
        rows = rows[np.argsort(rows[:, 4], kind="stable")]
        pages = TiffPages(file)
        try:
            if len(rows) > pages.count:
                raise FovflowError(
                    f"{file} lists more images than it holds",
                    found=f"{len(rows)} images on {pages.count} pages",
                    remedy="copy it again, or, if the acquisition crashed, name its axes",
                )
            height, width, dtype = pages.describe()
            for number, row in enumerate(rows.tolist()):
                tag = pages.tif.pages[number].tags.get(51123)
                meta = _numbers(tag.value if tag is not None else {})
                at = dict(zip(_MAP, row[:4], strict=True))
                yield at, _Plane(file, number, (height, width), dtype, meta)
        finally:
            pages.close()


def _settings(path: Path) -> dict[str, Any]:
    """Return what stands in the file before its first page: Summary, IndexMap."""
    with (
        open_regular(path) as file,
        explained(
            f"the header of Micro-Manager in {path} is not understood",
            remedy="copy it again, or export it as OME-TIFF",
            name_kind=True,
        ),
    ):
        return dict(tifffile.read_micromanager_metadata(file, keys={"Summary", "IndexMap"}))


def _bytes_at(path: Path, start: int, length: int) -> bytes:
    with open_regular(path) as file:
        file.seek(start)
        return file.read(max(0, min(length, MAX_METADATA_BYTES)))


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _numbers(meta: Any) -> dict[str, float]:
    """Return the numbers in a plane's metadata that are used."""
    values = meta if isinstance(meta, dict) else {}
    return {
        key: float(values[key])
        for key in ("ElapsedTime-ms", "PixelSizeUm")
        if isinstance(values.get(key), int | float)
    }


def _number(meta: Mapping[str, Any], *keys: str) -> float | None:
    found = [meta[key] for key in keys if isinstance(meta.get(key), int | float)]
    return float(found[0]) if found else None


def _distinct(values: list[Any]) -> list[Any]:
    """Return numbers in their order, names in that of their first image."""
    found = list(dict.fromkeys(values))
    return sorted(found) if all(isinstance(value, int) for value in found) else found
