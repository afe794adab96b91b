"""OME-TIFF: one file or a set of files in one folder, each image a position."""

from __future__ import annotations

import math
import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError, explained
from fovflow.readers.base import (
    FileReader,
    HeldFrames,
    Overrides,
    RawInfo,
    check_sizes,
    choose_times,
    common_shape,
    held_frames,
    long_axes,
    nominal_times,
    raw_info,
    refuse_rgb,
)
from fovflow.readers.locate import path_inside
from fovflow.readers.tiff_pages import TiffPages
from fovflow.units import positive, to_s, to_um


@dataclass(frozen=True, slots=True)
class Block:
    """Planes that are stored one after another: a `TiffData` element.

    `file` is the name of the file that holds them, None for the file with the XML; `page` that of
    the first plane; `count` the number of planes, None for all that the file has; `first` the index
    of the first plane in the image's own order of planes.
    """

    file: str | None
    page: int
    count: int | None
    first: int


@dataclass(frozen=True, slots=True)
class Image:
    """One image of an OME-TIFF file, that is, a position.

    `order` has the axes of its planes, outermost first, such as ``"TCZ"``; `sizes` the lengths of
    T, C, Z, Y and X; `stamps` the seconds of frames, from the first plane of each.
    """

    name: str | None
    order: str
    sizes: dict[str, int]
    channels: tuple[str, ...]
    samples: int
    pixel_um: float | None
    z_um: float | None
    period_s: float | None
    x_um: float | None
    y_um: float | None
    stamps: dict[int, float]
    blocks: tuple[Block, ...]


def parse_ome(path: Path, text: str) -> tuple[Image, ...]:
    """Parse the OME-XML of an OME-TIFF file.

    XML that is damaged, holds no image, or stands in another file is refused.
    """
    with explained(
        f"the OME-XML of {path} is damaged",
        ElementTree.ParseError,
        remedy="copy the file again from its source",
    ):
        root = ElementTree.fromstring(text)
    own = root.get("UUID")
    images = []
    for element in root:
        kind = _local(element)
        if kind == "BinaryOnly":
            raise FovflowError(
                f"{path} is part of a set whose description stands in another file",
                found=f"it points to {element.get('MetadataFile')!r}",
                remedy="name that file, if it is a TIFF; else save the set again as OME-TIFF with "
                "the description inside",
            )
        if kind == "Image":
            images.append(_parse_image(path, element, own))
    if not images:
        raise FovflowError(f"the OME-XML of {path} describes no image", found=text[:80])
    return tuple(images)


def _parse_image(path: Path, element: ElementTree.Element, own: str | None) -> Image:
    pixels = next((child for child in element if _local(child) == "Pixels"), None)
    if pixels is None:
        raise FovflowError(f"an image in the OME-XML of {path} has no pixels")
    with explained(
        f"the OME-XML of {path} is damaged", KeyError, ValueError, remedy=None, name_kind=True
    ):
        sizes = {axis: int(pixels.attrib[f"Size{axis}"]) for axis in "TCZYX"}
        order = pixels.attrib["DimensionOrder"][:1:-1]
        if sorted(order) != ["C", "T", "Z"]:
            raise ValueError(f"dimension order {pixels.attrib['DimensionOrder']!r}")
        channels = [child for child in pixels if _local(child) == "Channel"]
        samples = max((int(c.get("SamplesPerPixel", 1)) for c in channels), default=1)
        check_sizes(path, sizes)
        blocks = tuple(
            _parse_block(child, own, order, sizes)
            for child in pixels
            if _local(child) == "TiffData"
        )
    planes = [child for child in pixels if _local(child) == "Plane"]
    x_um, y_um = _stage(planes)
    return Image(
        name=_name(element),
        order=order,
        sizes=sizes,
        channels=tuple(child.get("Name") or "" for child in channels),
        samples=samples,
        pixel_um=positive(_length(pixels, "PhysicalSizeX", "µm")),
        z_um=positive(_length(pixels, "PhysicalSizeZ", "µm")),
        period_s=positive(to_s(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"))),
        x_um=x_um,
        y_um=y_um,
        stamps=_stamps(planes),
        blocks=blocks,
    )


def _parse_block(
    element: ElementTree.Element, own: str | None, order: str, sizes: dict[str, int]
) -> Block:
    first = 0
    for axis in order:
        index = int(element.get(f"First{axis}", 0))
        if not 0 <= index < sizes[axis]:
            raise ValueError(f"First{axis} {index} of {sizes[axis]}")
        first = first * sizes[axis] + index
    page = element.get("IFD")
    count = element.get("PlaneCount") or element.get("NumPlanes")
    uuid = next((child for child in element if _local(child) == "UUID"), None)
    elsewhere = uuid is not None and (own is None or (uuid.text or "").strip() != own)
    return Block(
        file=uuid.get("FileName") if uuid is not None and elsewhere else None,
        page=int(page or 0),
        count=int(count) if count is not None else (1 if page is not None else None),
        first=first,
    )


def _name(element: ElementTree.Element) -> str | None:
    """Return the stage's label of a position, else the image's name."""
    label = next((child.get("Name") for child in element if _local(child) == "StageLabel"), None)
    return label or element.get("Name") or None


def _stamps(planes: list[ElementTree.Element]) -> dict[int, float]:
    """Return the seconds of each frame: those of its plane with the lowest channel and z."""
    best: dict[int, tuple[int, int, float]] = {}
    for plane in planes:
        seconds = to_s(plane.get("DeltaT"), plane.get("DeltaTUnit", "s"))
        if seconds is None:
            continue
        try:
            t, c, z = (int(plane.attrib[f"The{axis}"]) for axis in "TCZ")
        except (KeyError, ValueError):
            continue
        if t not in best or (c, z) < best[t][:2]:
            best[t] = (c, z, seconds)
    return {t: entry[2] for t, entry in best.items()}


def _stage(planes: list[ElementTree.Element]) -> tuple[float | None, float | None]:
    for plane in planes:
        x, y = (_length(plane, f"Position{axis}", "") for axis in "XY")
        if x is not None or y is not None:
            return x, y
    return None, None


def _length(element: ElementTree.Element, key: str, default_unit: str) -> float | None:
    value = to_um(element.get(key), element.get(f"{key}Unit", default_unit))
    return value if value is not None and math.isfinite(value) else None


def _local(element: ElementTree.Element) -> str:
    """Return an element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


_ABSENT = -1
_ANY_NUMBER = np.iinfo(np.int32).max


class OmeTiffReader(FileReader[TiffPages]):
    """An open OME-TIFF dataset: a file, or any file of a set that carries the description.

    Planes that the description names and no file holds are missing; a frame that lacks some of its
    channels or z planes counts as missing too.
    """

    def __init__(self, path: Path, given: Overrides | None = None):
        with self._opening(path, TiffPages) as pages:
            images = parse_ome(path, _description(pages))
            self._index = _PlaneIndex(path, images, pages.count)
            plane = pages.describe()
            frames = held_frames(path, self._index.held())
            info = _describe(images, self._index, frames, plane)
            recorded = np.full(frames.whole.shape, np.nan)
            for p, image in enumerate(images):
                for t, seconds in image.stamps.items():
                    if 0 <= t < info.n_frames:
                        recorded[p, t] = seconds
            nominal = nominal_times(info.n_frames, images[0].period_s)
            super().__init__(path, info, choose_times(recorded, frames.whole, nominal), given)

    def _plane(self, p: int, t: int, c: int, z: int) -> NDArray[Any]:
        file, page = self._index.find(p, t, c, z)
        pages = self._file(file, TiffPages)
        if page >= pages.count:
            raise ValueError(f"{file.name} has {pages.count} pages, not {page + 1}")
        return pages.read(page)


class _PlaneIndex:
    """In which file and page each plane is."""

    def __init__(self, path: Path, images: tuple[Image, ...], own_pages: int):
        self.path = path
        first = images[0]
        for image in images:
            if image.samples > 1:
                refuse_rgb(path, image.samples)
            if any(image.sizes[axis] != first.sizes[axis] for axis in "TCZ"):
                raise FovflowError(
                    f"the positions of {path} have different numbers of frames, channels or z "
                    "planes",
                    found=f"{_sizes(first)} and {_sizes(image)}",
                    remedy="save each kind in a file of its own",
                )
        self.sizes = first.sizes | {"P": len(images)}
        check_sizes(path, self.sizes)
        self.files: list[Path] = [path]
        self.absent: list[str] = []
        self._own_pages = own_pages
        self._known: dict[str | None, int] = {None: 0, path.name: 0}
        names = {block.file for image in images for block in image.blocks}
        if len(names) == 1:  # a file on its own may have been renamed
            self._known[names.pop()] = 0
        shape = [self.sizes[axis] for axis in "PTCZ"]
        self._file = np.full(shape, _ABSENT, np.int32)
        self._page = np.zeros(shape, np.int32)
        for p, image in enumerate(images):
            self._fill(p, image, alone=len(images) == 1)

    def _fill(self, p: int, image: Image, *, alone: bool) -> None:
        lengths = [image.sizes[axis] for axis in image.order]
        total = int(np.prod(lengths))
        file = np.full(total, _ABSENT, np.int32)
        page = np.zeros(total, np.int32)
        if not image.blocks and alone:
            count = min(total, self._own_pages)
            file[:count], page[:count] = 0, np.arange(count)
        for block in image.blocks:
            number = self._number(block.file)
            if number == _ABSENT:
                continue
            pages = self._own_pages if number == 0 else _ANY_NUMBER  # others are not opened here
            count = total if block.count is None else block.count
            count = max(0, min(count, total - block.first, pages - block.page))
            span = slice(block.first, block.first + count)
            file[span], page[span] = number, block.page + np.arange(count)
        turn = [image.order.index(axis) for axis in "TCZ"]
        self._file[p] = file.reshape(lengths).transpose(turn)
        self._page[p] = page.reshape(lengths).transpose(turn)

    def _number(self, name: str | None) -> int:
        """Return the number of a file of the set, or -1 if it is not there."""
        if name not in self._known:
            sibling = file_of_set(self.path, name or "")
            if sibling.is_file():
                self._known[name] = len(self.files)
                self.files.append(sibling)
            else:
                self._known[name] = _ABSENT
                self.absent.append(name or "")
        return self._known[name]

    def held(self) -> NDArray[np.bool_]:
        """Return which planes there are, (P, T, C, Z)."""
        return np.asarray(self._file != _ABSENT)

    def find(self, p: int, t: int, c: int, z: int) -> tuple[Path, int]:
        """Return file and page of a plane."""
        return self.files[self._file[p, t, c, z]], int(self._page[p, t, c, z])


def file_of_set(path: Path, name: str) -> Path:
    """Return the file called `name` in the folder of `path`, or below it; refuse names outside."""
    found = path_inside(path.parent, name)
    if not name or found is None or re.match(r"^[A-Za-z]:", name):
        raise FovflowError(
            f"{path} refers to a file outside its own folder",
            found=repr(name),
            remedy="put all files of the dataset into one folder and save the set again",
        )
    return found


def set_files(path: Path) -> list[Path]:
    """Return the files of the OME-TIFF set that a file describes, those that are there.

    The named file comes first; the list is empty for TIFF files of other kinds.
    """
    with closing(TiffPages(path)) as pages:
        if not is_ome(pages):
            return []
        images = parse_ome(path, _description(pages))
        return _PlaneIndex(path, images, pages.count).files


def is_ome(pages: TiffPages) -> bool:
    """Tell whether a TIFF file carries OME-XML."""
    text = _description(pages).strip()
    return text[:1] == "<" and text.endswith("OME>")


def _description(pages: TiffPages) -> str:
    return str(pages.tif.pages[0].description or "")


def _describe(
    images: tuple[Image, ...],
    index: _PlaneIndex,
    frames: HeldFrames,
    plane: tuple[int, int, str],
) -> RawInfo:
    first = images[0]
    notes = [f"The file {name!r} of the set is not there." for name in index.absent[:5]]
    notes += frames.notes
    shape, dtype = plane[:2], plane[2]
    shapes = [(image.sizes["Y"], image.sizes["X"]) for image in images]
    if shapes[0] == shape:  # else the description is wrong: the page counts
        shape, odd = common_shape(shapes)
        notes += odd
    return raw_info(
        "ome-tiff",
        long_axes(f"P{first.order}", index.sizes),
        index.sizes,
        (*shape, dtype),
        positions=[(image.name, image.x_um, image.y_um) for image in images],
        channels=first.channels,
        pixel_um=first.pixel_um,
        z_um=first.z_um,
        missing=frames.missing,
        warnings=tuple(notes),
    )


def _sizes(image: Image) -> str:
    return ", ".join(f"{axis} {image.sizes[axis]}" for axis in "TCZ")
