"""OME-XML: what an OME-TIFF file says of its images, and in which file and page each plane is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from fovflow.errors import FovflowError
from fovflow.readers.limits import check_sizes
from fovflow.readers.scales import positive, to_s, to_um


@dataclass(frozen=True, slots=True)
class Block:
    """Planes that are stored one after another: a `TiffData` element.

    Attributes
    ----------
    file : str or None
        Name of the file that holds them; None for the file with the XML.
    page : int
        Of the first plane.
    count : int or None
        Number of planes; None for all that the file has.
    first : int
        Index of the first plane in the image's own order of planes.
    """

    file: str | None
    page: int
    count: int | None
    first: int


@dataclass(frozen=True, slots=True)
class Image:
    """One image of an OME-TIFF file, that is, a position.

    Attributes
    ----------
    order : str
        Axes of its planes, outermost first, such as ``"TCZ"``.
    sizes : dict
        Lengths of T, C, Z, Y, X.
    stamps : dict of int to float
        Frame to seconds, from the first plane of each frame.
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

    Parameters
    ----------
    path : Path
        The file that the XML comes from; named in errors.
    text : str

    Raises
    ------
    FovflowError
        If the XML is damaged, holds no image, or stands in another file.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise FovflowError(
            f"the OME-XML of {path} is damaged",
            found=str(error),
            remedy="copy the file again from its source",
        ) from error
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
    try:
        sizes = {axis: int(pixels.attrib[f"Size{axis}"]) for axis in "TCZYX"}
        order = pixels.attrib["DimensionOrder"][:1:-1]
        if sorted(order) != ["C", "T", "Z"]:
            raise ValueError(f"dimension order {pixels.attrib['DimensionOrder']!r}")  # noqa: TRY301
        channels = [child for child in pixels if _local(child) == "Channel"]
        samples = max((int(c.get("SamplesPerPixel", 1)) for c in channels), default=1)
        check_sizes(path, positions=1, frames=sizes["T"], channels=sizes["C"], n_z=sizes["Z"])
        blocks = tuple(
            _parse_block(child, own, order, sizes)
            for child in pixels
            if _local(child) == "TiffData"
        )
    except (KeyError, ValueError) as error:
        raise FovflowError(
            f"the OME-XML of {path} is damaged", found=f"{type(error).__name__}: {error}"
        ) from error
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
