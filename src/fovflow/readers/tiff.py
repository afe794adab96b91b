"""TIFF files: OME-TIFF, ImageJ hyperstacks, and plain stacks of pages."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.readers.base import (
    FileReader,
    Overrides,
    check_sizes,
    choose_times,
    long_axes,
    nominal_times,
    raw_info,
)
from fovflow.readers.ome_tiff import OmeTiffReader, is_ome
from fovflow.readers.tiff_pages import NisTags, TiffPages, damaged_tiff, read_nis_tags
from fovflow.units import positive, to_s, to_um

_MICROSCOPIC_UM = (0.01, 10.0)
_STEP = re.compile(r"^[ctz]:\d+/\d+\s*(?:-\s*)?")


def open_tiff(path: Path, given: Overrides | None = None) -> OmeTiffReader | TiffReader:
    """Open a TIFF file of any of the kinds that are known."""
    with closing(TiffPages(path)) as pages:
        ome = is_ome(pages)
    return OmeTiffReader(path, given) if ome else TiffReader(path, given)


@dataclass(frozen=True)
class _Layout:
    """Axes of the planes, outermost first, with their lengths, and where the planes are."""

    axes: str
    shape: tuple[int, ...]
    first: int | None  # offset of the first plane where only that one has a page


class TiffReader(FileReader[TiffPages]):
    """An open ImageJ hyperstack or plain TIFF stack.

    Pages of a plain stack are frames, unless the file was written by `tifffile` with named axes.
    """

    def __init__(self, path: Path, given: Overrides | None = None):
        with self._opening(path, TiffPages) as self._pages:
            height, width, dtype = self._pages.describe()
            if self._pages.describe(self._pages.count - 1) != (height, width, dtype):
                raise FovflowError(
                    f"the pages of {path} are not all alike",
                    found=f"the first has {height} x {width} pixels of {dtype}, the last differs",
                    remedy="save each kind of image in a file of its own",
                )
            self._dtype = np.dtype(dtype)
            imagej = bool(self._pages.tif.is_imagej)
            self._layout = _layout(self._pages, height * width * self._dtype.itemsize)
            axes, shape = self._layout.axes, self._layout.shape
            sizes = dict.fromkeys("PTCZ", 1) | dict(zip(axes, shape, strict=True))
            check_sizes(path, sizes)
            header = _imagej(self._pages, sizes) if imagej else _plain(self._pages)
            tags = read_nis_tags(self._pages.tif.pages[0]) or NisTags()
            info = raw_info(
                "imagej-tiff" if imagej else "tiff",
                long_axes(axes, sizes),
                sizes,
                (height, width, dtype),
                positions=[(None, tags.x_um, tags.y_um)],
                channels=header.channels,
                pixel_um=tags.pixel_um or header.pixel_um,
                z_um=header.z_um,
                warnings=header.notes if tags.pixel_um is None else (),
            )
            nominal = nominal_times(sizes["T"], header.period_s)
            recorded = None
            if tags.seconds is not None and sizes["T"] == 1:
                recorded = np.array([[tags.seconds]])
            held = np.ones((1, sizes["T"]), bool)
            super().__init__(path, info, choose_times(recorded, held, nominal), given)

    def _plane(self, p: int, t: int, c: int, z: int) -> NDArray[Any]:
        at, index = {"T": t, "C": c, "Z": z}, 0
        for axis, count in zip(self._layout.axes, self._layout.shape, strict=True):
            index = index * count + at[axis]
        if self._layout.first is None:
            return self._pages.read(index)
        shape = (self.info.height, self.info.width)
        stored = self._dtype.newbyteorder(self._pages.tif.byteorder)
        offset = self._layout.first + index * shape[0] * shape[1] * stored.itemsize
        return self._pages.read_at(offset, shape, stored)


def _layout(pages: TiffPages, plane_bytes: int) -> _Layout:
    """Return how the planes are laid out in the file."""
    axes, shape = _announced(pages)
    planes = int(np.prod([int(n) for n in shape], dtype=object)) if shape else 1
    if planes == pages.count:
        return _Layout(axes, shape, None)
    page: Any = pages.tif.pages[0]
    start = int(page.dataoffsets[0]) if page.is_contiguous else 0
    if pages.count < planes and start and start + planes * plane_bytes <= pages.size:
        return _Layout(axes, shape, start)
    with damaged_tiff(pages.path):
        raise ValueError(f"it announces {planes} planes and holds {pages.count}")


def _announced(pages: TiffPages) -> tuple[str, tuple[int, ...]]:
    """Return axes and lengths of the planes as the file announces them."""
    tif: Any = pages.tif
    if tif.is_imagej:
        meta = tif.imagej_metadata or {}
        keys = {"T": "frames", "Z": "slices", "C": "channels"}
        counts = {axis: int(meta.get(key, 1)) for axis, key in keys.items()}
        images = int(meta.get("images", 1))
        if images > 1 and set(counts.values()) == {1}:
            counts["T"] = images
        order = str(meta.get("order", "czt"))[::-1].upper()  # outermost first
        axes = order if sorted(order) == sorted(keys) else "TZC"
        return _named(pages.path, axes, tuple(counts[axis] for axis in axes))
    if tif.is_shaped and tif.shaped_metadata:
        meta = tif.shaped_metadata[0]
        shape = tuple(int(n) for n in meta.get("shape", ()))
        names = str(meta.get("axes", ""))
        if len(shape) > 2 and shape[-1] == 1 and names.endswith("S"):
            shape, names = shape[:-1], names[:-1]
        if len(names) != len(shape) or not names.endswith("YX"):
            names = "Q" * (len(shape) - 2) + "YX"
        return _named(pages.path, names[:-2], shape[:-2])
    return "T", (pages.count,)


def _named(path: Path, axes: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Return the axes that are longer than one; one without a name is time."""
    kept = [(axis, n) for axis, n in zip(axes, shape, strict=True) if n != 1]
    names = "".join(axis for axis, _ in kept)
    unnamed = [axis for axis in names if axis not in "TCZ"]
    if len(unnamed) == 1 and "T" not in names:
        names = names.replace(unnamed[0], "T")
        unnamed = []
    if unnamed or len(set(names)) != len(names):
        raise FovflowError(
            f"{path} does not say what all of its axes are",
            found=f"axes {axes}YX of lengths {', '.join(map(str, shape))}",
            remedy="save it as OME-TIFF or as an ImageJ hyperstack, with axes T, C and Z",
        )
    return names, tuple(n for _, n in kept)


@dataclass(frozen=True)
class _Header:
    """What a header says besides the sizes."""

    pixel_um: float | None = None
    z_um: float | None = None
    period_s: float | None = None
    channels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def _plain(pages: TiffPages) -> _Header:
    """Return the pixel size that a resolution per inch or centimetre amounts to.

    Screen and print resolutions stand in the same tag: only sizes that a microscope makes count.
    """
    tags: Any = pages.tif.pages[0].tags
    code = int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 2
    unit = {2: "inch", 3: "cm"}.get(code)
    pixel = to_um(_edge(tags), unit)
    if pixel is None or not _MICROSCOPIC_UM[0] <= pixel <= _MICROSCOPIC_UM[1]:
        return _Header()
    return _Header(pixel, notes=("The pixel size comes from the resolution of the TIFF file.",))


def _edge(tags: Any) -> float | None:
    """Return the edge of a pixel in the file's unit of resolution."""
    numerator, denominator = tags["XResolution"].value if "XResolution" in tags else (0, 0)
    return denominator / numerator if numerator and denominator else None


def _imagej(pages: TiffPages, sizes: dict[str, int]) -> _Header:
    meta = pages.tif.imagej_metadata or {}
    unit = str(meta.get("unit", ""))
    return _Header(
        pixel_um=positive(to_um(_edge(pages.tif.pages[0].tags), unit)),
        z_um=positive(to_um(meta.get("spacing"), unit)) if sizes["Z"] > 1 else None,
        period_s=positive(to_s(meta.get("finterval"), str(meta.get("tunit", "s")))),
        channels=_channel_names(meta.get("Labels"), sizes),
    )


def _channel_names(labels: Any, sizes: dict[str, int]) -> tuple[str, ...]:
    """Return names of channels from the labels of slices, where they are the same in all frames."""
    count = sizes["C"]
    if not isinstance(labels, list) or len(labels) != count * sizes["T"] * sizes["Z"]:
        return ()
    names = []
    for c in range(count):
        texts = {_label(text) for text in labels[c::count]}
        names.append(texts.pop() if len(texts) == 1 else "")
    return tuple(names)


def _label(text: str) -> str:
    """Return a label without the counters that ImageJ puts before it."""
    text = text.strip()
    while match := _STEP.match(text):
        text = text[match.end() :]
    return text
