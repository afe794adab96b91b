"""OME-XML: what it says of the images of a dataset and of the files that hold their planes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from fovflow.errors import FovflowError, explained
from fovflow.readers.limits import check_sizes
from fovflow.readers.locate import TIFF_MAGIC
from fovflow.units import positive, to_s, to_um


@dataclass(frozen=True, slots=True)
class Block:
    """Planes that are stored one after another: a `TiffData` element.

    `file` is the name of the file that holds them, None for the file with the XML; `uuid` that of
    the file; `page` that of the first plane; `count` the number of planes, None for all that the
    file has; `first` the index of the first plane in the image's own order of planes.
    """

    file: str | None
    uuid: str
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
    type: str
    channels: tuple[str, ...]
    samples: int
    edges_um: tuple[float | None, float | None]
    z_um: float | None
    period_s: float | None
    x_um: float | None
    y_um: float | None
    stamps: dict[int, float]
    blocks: tuple[Block, ...]
    beside: int
    """Planes that are placed outside the announced sizes."""


@dataclass(frozen=True)
class Description:
    """The OME-XML of a dataset: the file in which it stands, its text, and the images in it."""

    path: Path
    text: str
    images: tuple[Image, ...]
    notes: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    """Names of the set's files by their UUIDs."""

    def check_name(self, path: Path, text: str) -> None:
        """Raise FovflowError for a file that has the name of another one of the set.

        `text`: its own OME-XML.
        """
        name = self.names.get(own_uuid(text))
        if name not in (None, path.name) and path.name in self.names.values():
            raise FovflowError(
                f"files of the OME-TIFF set in {path.parent} have one another's names",
                found=f"{path.name} is the one that was saved as {name!r}",
                remedy="give the files the names that they were saved with",
            )

    @property
    def in_tiff(self) -> bool:
        """Whether it stands in a TIFF file, and in no file of its own."""
        with self.path.open("rb") as file:
            return file.read(4) in TIFF_MAGIC


_OWN_UUID = re.compile(r"""<(?:\w+:)?OME\b[^>]*?\bUUID=["']([^"']+)""")
_HEAD = 4096
_COMMENTS_BEHIND = re.compile(r"(\s*<!--(?:(?!-->).)*-->)+\s*$", re.DOTALL)
_REFERENCE = re.compile(r"&#(x[0-9a-fA-F]{1,6}|[0-9]{1,7});")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def own_uuid(text: str) -> str:
    """Return the UUID that OME-XML gives the file in which it stands; empty if none."""
    found = _OWN_UUID.search(text[:_HEAD])
    return found[1] if found else ""


def ome_text(text: str) -> str:
    """Return the OME-XML in the description of a TIFF file, empty if it is none.

    Byte order marks, zeros and comments around it do not count.
    """
    bare = text.strip("\ufeff \t\r\n\0").removeprefix("\u00ef\u00bb\u00bf")
    if bare[:1] == "<" and _COMMENTS_BEHIND.sub("", bare[-4096:]).rstrip().endswith("OME>"):
        return bare
    return ""


def parse_xml(path: Path, text: str) -> tuple[ElementTree.Element, tuple[str, ...]]:
    """Return the root of OME-XML; characters that XML does not allow are left out, and told."""

    def kept(match: re.Match[str]) -> str:
        code = match[1]
        number = int(code[1:], 16) if code[0] == "x" else int(code)
        surrogate = 0xD800 <= number < 0xE000
        allowed = number >= 0x20 and not surrogate and number not in (0xFFFE, 0xFFFF)
        return match[0] if number in (9, 10, 13) or allowed else ""

    clean = _CONTROL.sub("", _REFERENCE.sub(kept, text))
    notes = ("Characters that XML does not allow were left out of its OME-XML.",)
    with explained(
        f"the OME-XML of {path} is not understood",
        ElementTree.ParseError,
        remedy="copy the file again from its source, or save it again as OME-TIFF",
    ):
        return ElementTree.fromstring(clean), notes if clean != text else ()


def parse_image(path: Path, element: ElementTree.Element, own: str | None) -> Image:
    """Return what an `Image` element of the XML of a file, whose UUID is `own`, says."""
    pixels = next((child for child in element if local(child) == "Pixels"), None)
    if pixels is None:
        raise FovflowError(f"an image in the OME-XML of {path} has no pixels")
    with explained(
        f"the OME-XML of {path} is not understood",
        *(KeyError, ValueError),
        remedy="save it again as OME-TIFF",
        name_kind=True,
    ):
        sizes = {axis: int(pixels.attrib[f"Size{axis}"]) for axis in "TCZYX"}
        order = pixels.attrib["DimensionOrder"][:1:-1]
        if sorted(order) != ["C", "T", "Z"]:
            raise ValueError(f"dimension order {pixels.attrib['DimensionOrder']!r}")
        channels = [child for child in pixels if local(child) == "Channel"]
        samples = max((int(c.get("SamplesPerPixel", 1)) for c in channels), default=1)
        check_sizes(path, sizes)
        data = [child for child in pixels if local(child) == "TiffData"]
        blocks = [_parse_block(child, own, order, sizes) for child in data]
    planes = [child for child in pixels if local(child) == "Plane"]
    x_um, y_um = _stage(planes)
    return Image(
        name=_name(element),
        order=order,
        sizes=sizes,
        type=pixels.get("Type", ""),
        channels=tuple(child.get("Name") or "" for child in channels),
        samples=samples,
        edges_um=(
            positive(_length(pixels, "PhysicalSizeX", "µm")),
            positive(_length(pixels, "PhysicalSizeY", "µm")),
        ),
        z_um=positive(_length(pixels, "PhysicalSizeZ", "µm")),
        period_s=positive(to_s(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"))),
        x_um=x_um,
        y_um=y_um,
        stamps=_stamps(planes),
        blocks=tuple(block for block in blocks if block is not None),
        beside=blocks.count(None),
    )


def _parse_block(
    element: ElementTree.Element, own: str | None, order: str, sizes: dict[str, int]
) -> Block | None:
    """Return the planes of a `TiffData` element; None where they lie outside the image."""
    first = 0
    for axis in order:
        index = int(element.get(f"First{axis}", 0))
        if not 0 <= index < sizes[axis]:
            return None
        first = first * sizes[axis] + index
    page = element.get("IFD")
    if int(page or 0) < 0:
        raise ValueError(f"page {page} of a file")
    count = element.get("PlaneCount") or element.get("NumPlanes")
    uuid = next((child for child in element if local(child) == "UUID"), None)
    known = "" if uuid is None else (uuid.text or "").strip()
    elsewhere = uuid is not None and (own is None or known != own)
    return Block(
        file=uuid.get("FileName", known) if uuid is not None and elsewhere else None,
        uuid=known,
        page=int(page or 0),
        count=int(count) if count is not None else (1 if page is not None else None),
        first=first,
    )


def _name(element: ElementTree.Element) -> str | None:
    """Return the stage's label of a position, else the image's name."""
    label = next((child.get("Name") for child in element if local(child) == "StageLabel"), None)
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


def local(element: ElementTree.Element) -> str:
    """Return an element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]
