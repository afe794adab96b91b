"""TIFF files: OME-TIFF, ImageJ hyperstacks, and plain stacks of pages."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.readers.base import FileReader, Overrides, long_axes, raw_info
from fovflow.readers.limits import MICROSCOPIC_UM, check_sizes
from fovflow.readers.micromanager import MicroManagerReader, files_of, layout_of
from fovflow.readers.ome_tiff import OmeTiffReader, set_files
from fovflow.readers.ome_xml import ome_text
from fovflow.readers.tiff_pages import NisTags, TiffPages, damaged_tiff, read_nis_tags
from fovflow.readers.times import choose_times, nominal_times
from fovflow.units import positive, to_s, to_um

_VENDORS = {
    "lsm": "Zeiss LSM",
    "fluoview": "Olympus FluoView",
    "scanimage": "ScanImage",
    "micromanager": "Micro-Manager",
    "sis": "Olympus SIS",
    "nih": "NIH Image",
    "mdgel": "Molecular Dynamics",
    "ndpi": "Hamamatsu NDPI",
    "svs": "Aperio SVS",
    "scn": "Leica SCN",
    "bif": "Ventana BIF",
    "qpi": "PerkinElmer QPI",
    "philips": "Philips",
    "indica": "Indica Labs",
    "avs": "Argos AVS",
}
"""Names of tifffile for layouts of files with several pages, whose meaning is not read here."""

_UNEXPLAINED_BYTES = 64 << 10
"""Headers and private tags are smaller."""
_WHITE_IS_ZERO = 0
_STEP = re.compile(r"^[ctz]:\d+/\d+\s*(?:-\s*)?")


def open_tiff(path: Path, given: Overrides | None = None) -> AnyTiff:
    """Open a TIFF file of any of the kinds that are known."""
    with closing(TiffPages(path)) as pages:
        if ome_text(str(pages.tif.pages[0].description or "")):
            return OmeTiffReader(path, given)
    if layout_of(path) and not (given and given.axes):
        return MicroManagerReader(path, given)
    return TiffReader(path, given)


def files_of_set(files: Sequence[Path]) -> list[Path]:
    """Return the files of the set that one of some TIFF or companion files describes.

    It is a companion file beside them that names no others, or the first that is called an OME-TIFF
    file, or the first. It is empty for files of other kinds; a damaged one of several describes
    none.
    """
    path = files[0]
    if len(files) > 1:
        for companion in sorted(path.parent.glob("*.companion.ome")):
            found = _files_described(companion, several=True)
            if len(found) > 1 and {*found[1:]} <= {*files}:
                return found
        path = next((file for file in files if ".ome." in file.name.lower()), path)
    return _files_described(path, several=len(files) > 1)


def _files_described(path: Path, *, several: bool) -> list[Path]:
    try:
        return set_files(path) or (files_of(path, layout) if (layout := layout_of(path)) else [])
    except FovflowError:
        if several:
            return []
        raise


@dataclass(frozen=True)
class _Layout:
    """Axes of the planes, outermost first, with their lengths, and where the planes are."""

    axes: str
    shape: tuple[int, ...]
    source: str
    """How the axes are known."""
    first: int | None = None
    """Offset of the first plane where only that one has a page."""


class TiffReader(FileReader[TiffPages]):
    """An open ImageJ hyperstack or plain TIFF stack.

    Pages of a plain stack are frames, unless the file was written by `tifffile` with named axes.
    """

    def __init__(self, path: Path, given: Overrides | None = None):
        with self._opening(path, TiffPages) as self._pages:
            named = given.axes if given else None
            _refuse_unread(self._pages, named)
            height, width, dtype = self._pages.describe()
            count = _count_alike(self._pages, (height, width, dtype))
            self._dtype = np.dtype(dtype)
            tif: Any = self._pages.tif
            plane_bytes = height * width * self._dtype.itemsize
            self._layout = _layout(self._pages, count, plane_bytes, named)
            axes, shape = self._layout.axes, self._layout.shape
            sizes = dict.fromkeys("PTCZ", 1) | dict(zip(axes, shape, strict=True))
            check_sizes(path, sizes)
            kind = "imagej-tiff" if tif.is_imagej else "metamorph-stk" if tif.is_stk else "tiff"
            header = {"imagej-tiff": _imagej, "metamorph-stk": _stk}.get(kind, _plain)(tif, sizes)
            tags = read_nis_tags(self._pages.tif.pages[0]) or NisTags()
            info = raw_info(
                kind,
                long_axes(axes, sizes),
                sizes,
                (height, width, dtype),
                axes_from=self._layout.source,
                positions=[(None, tags.x_um, tags.y_um)] * sizes["P"],
                channels=header.channels,
                edges_um=(tags.pixel_um, None) if tags.pixel_um else header.edges_um,
                z_um=header.z_um,
                warnings=(
                    *(header.notes if tags.pixel_um is None else ()),
                    *_page_notes(self._pages, count),
                ),
            )
            nominal = nominal_times(sizes["T"], header.period_s)
            recorded = header.recorded
            if tags.seconds is not None and sizes["T"] == sizes["P"] == 1:
                recorded = np.array([[tags.seconds]])
            held = np.ones((sizes["P"], sizes["T"]), bool)
            super().__init__(path, info, choose_times(recorded, held, nominal), given)

    def _plane(self, p: int, t: int, c: int, z: int) -> NDArray[Any]:
        at, index = {"P": p, "T": t, "C": c, "Z": z}, 0
        for axis, count in zip(self._layout.axes, self._layout.shape, strict=True):
            index = index * count + at[axis]
        if self._layout.first is None:
            return self._pages.read(index)
        shape = (self.info.height, self.info.width)
        stored = self._dtype.newbyteorder(self._pages.tif.byteorder)
        offset = self._layout.first + index * shape[0] * shape[1] * stored.itemsize
        return self._pages.read_at(offset, shape, stored)


def _count_alike(pages: TiffPages, first: tuple[int, int, str]) -> int:
    """Return the number of pages up to the last one that is like the `first`.

    A few others behind them are left out: a thumbnail, a colour snapshot, a map of the plate.
    """

    def kind(index: int) -> tuple[int, int, str] | None:
        try:
            return pages.describe(index)
        except FovflowError:
            return None

    last = pages.count - 1
    while kind(last) != first:
        last -= 1
    tail: list[Any] = [pages.tif.pages[i] for i in range(last + 1, pages.count)]
    if sum(not page.is_reduced for page in tail) > last:
        raise FovflowError(
            f"the pages of {pages.path} are not all alike",
            found=f"the first has {first[0]} x {first[1]} pixels of {first[2]}, the last differs",
            remedy="save each kind of image in a file of its own",
        )
    return last + 1


def _page_notes(pages: TiffPages, count: int) -> list[str]:
    """Return what is to be said of the pages, of which the first `count` are read."""
    notes, page = [], cast("Any", pages.tif.pages[0])
    if count < pages.count:
        notes.append(f"The last {pages.count - count} of its pages are of another kind: left out.")
    if page.photometric == _WHITE_IS_ZERO:
        notes.append("The file says that 0 is white; its values are read as they are stored.")
    return notes


def _layout(pages: TiffPages, count: int, plane_bytes: int, given: str | None) -> _Layout:
    """Return how the planes are laid out in the file; `given` are axes that the user names."""
    page: Any = pages.tif.pages[0]
    axes, shape, source = _announced(pages, count)
    if given is not None and len(given) == 1 and math.prod(shape) != count:
        axes, shape = "?", (count,)
    layout = _Layout(
        *_named(pages.path, axes, shape, given), "your configuration" if given else source
    )
    planes = math.prod(layout.shape)
    if planes == count:
        return layout
    start = int(page.dataoffsets[0]) if page.is_contiguous else 0
    if count == 1 and start:
        if start + planes * plane_bytes > pages.size:
            with damaged_tiff(pages.path):
                raise ValueError(f"it announces {planes} planes and holds {count}")
        return replace(layout, first=start)
    raise FovflowError(
        f"{pages.path} is not understood: its header does not fit its pages",
        found=f"{planes} images announced by the {source}, and {count} pages",
        remedy='name the axis that all pages follow, such as axes: "TYX", or save it as OME-TIFF',
    )


def _refuse_unread(pages: TiffPages, named: str | None) -> None:
    """Refuse vendors' layouts, and more pixels than the pages explain, unless axes are `named`."""
    tif, page = pages.tif, cast("Any", pages.tif.pages[0])
    if named is not None or tif.is_imagej or tif.is_stk or tif.is_shaped:
        return
    vendor = next((name for kind, name in _VENDORS.items() if getattr(page, f"is_{kind}")), None)
    vendor = "PerkinElmer Flex" if 65200 in page.tags else vendor
    explained = pages.count * int(page.nbytes)
    plain = page.compression == 1 and not page.subifds and explained
    if pages.path.suffix.lower() == ".vsi":
        what, found = "of Olympus cellSens, whose images lie in .ets files", pages.path.name
    elif vendor is not None and pages.count > 1:
        what, found = f"in the layout of {vendor}, which is not read", f"{pages.count} pages"
    elif plain and pages.size - explained >= max(explained, _UNEXPLAINED_BYTES):
        what = "that holds more than its pages explain"
        found = f"{pages.count} pages of {page.nbytes} bytes in a file of {pages.size} bytes"
    else:
        return
    raise FovflowError(
        f"{pages.path} is a TIFF file {what}",
        found=found,
        remedy="export it as OME-TIFF, or, if its pages follow one axis or several in order, name "
        'these with axes, such as axes: "TYX"',
    )


def _announced(pages: TiffPages, count: int) -> tuple[str, tuple[int, ...], str]:
    """Return axes and lengths of the planes as announced, and by what; ``?`` has no name."""
    tif: Any = pages.tif
    if tif.is_imagej:
        meta = tif.imagej_metadata or {}
        keys = {"T": "frames", "Z": "slices", "C": "channels"}
        counts = {axis: int(meta.get(key, 1)) for axis, key in keys.items()}
        images = int(meta.get("images", 1))
        if images > 1 and set(counts.values()) == {1}:
            counts["T"] = images
        elif counts["T"] == 1 < counts["Z"] and _period(meta):
            counts |= {"T": counts["Z"], "Z": 1}
        order = str(meta.get("order", "czt"))[::-1].upper()  # outermost first
        axes = order if sorted(order) == sorted(keys) else "TZC"
        return axes, tuple(counts[axis] for axis in axes), "header of ImageJ"
    if tif.is_stk:
        meta = tif.stk_metadata
        planes = int(meta["NumberPlanes"])
        distances = np.ravel(meta.get("ZDistance", 0))
        timed = _stk_seconds(meta) is not None
        axis = "T" if timed and not distances.any() else "Z" if distances.any() else "?"
        return axis, (planes,), "tags of MetaMorph"
    if tif.is_shaped and tif.shaped_metadata:
        shapes = {_shaped(meta) for meta in tif.shaped_metadata}
        if len(shapes) == 1:
            names, shape = shapes.pop()
            times = len(tif.shaped_metadata)
            if times > 1:
                names, shape = f"T{names}", (times, *shape)
            return names, shape, "shape that tifffile wrote"
    return "T", (count,), "order of the pages"


def _shaped(meta: dict[str, Any]) -> tuple[str, tuple[int, ...]]:
    """Return axes and lengths of the planes of images that tifffile wrote in one call."""
    shape = tuple(int(n) for n in meta.get("shape", ()))
    names = str(meta.get("axes", ""))
    if len(shape) > 2 and shape[-1] == 1 and names.endswith("S"):
        shape, names = shape[:-1], names[:-1]
    if len(names) == len(shape) and not names.endswith("YX"):
        raise FovflowError(
            "the planes of a TIFF file are not stored by rows and columns",
            found=f"axes {names} of lengths {', '.join(map(str, shape))}",
            remedy='write it anew with the axes Y and X last, such as "TYX"',
        )
    if len(names) != len(shape):
        names = "?" * (len(shape) - 2) + "YX"
    return names[:-2], shape[:-2]


def _named(
    path: Path, axes: str, shape: tuple[int, ...], given: str | None
) -> tuple[str, tuple[int, ...]]:
    """Return the axes that are longer than one; a single one without a name is time."""
    kept = [(axis, n) for axis, n in zip(axes, shape, strict=True) if n != 1]
    names, lengths = "".join(axis for axis, _ in kept), tuple(n for _, n in kept)
    if given is not None and len(given) == len(names):
        return given, lengths
    unnamed = [axis for axis in names if axis not in "TCZ"]
    if len(unnamed) == 1 and "T" not in names:
        names = names.replace(unnamed[0], "T")
        unnamed = []
    if unnamed or len(set(names)) != len(names):
        raise FovflowError(
            f"{path} does not say what all of its axes are",
            found=f"axes {axes}YX of lengths {', '.join(map(str, shape))}",
            remedy='name them with axes, such as axes: "TCYX", or save it as OME-TIFF',
        )
    return names, lengths


@dataclass(frozen=True)
class _Header:
    """What a header says besides the sizes; `recorded` are times (1, T) in seconds."""

    edges_um: tuple[float | None, float | None] = (None, None)
    z_um: float | None = None
    period_s: float | None = None
    channels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    recorded: NDArray[np.float64] | None = None


def _plain(tif: Any, sizes: dict[str, int]) -> _Header:
    """Return the pixel size that a resolution per inch or centimetre amounts to."""
    tags: Any = tif.pages[0].tags
    code = int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 2
    width, height = _edges(tags, {2: "inch", 3: "cm"}.get(code))
    if (pixel := _plausible(width)) is None:
        return _Header()
    note = "The pixel size comes from the resolution of the TIFF file."
    return _Header((pixel, height), notes=(note,))


def _plausible(pixel_um: float | None) -> float | None:
    """Return a pixel size that a microscope makes.

    Screen and print resolutions stand in the same tags.
    """
    low, high = MICROSCOPIC_UM
    return pixel_um if pixel_um is not None and low <= pixel_um <= high else None


def _stk(tif: Any, sizes: dict[str, int]) -> _Header:
    """Return scales and times of a MetaMorph stack."""
    meta = tif.stk_metadata
    unit = str(meta.get("CalibrationUnits", ""))
    used = meta.get("SpatialCalibration", True)
    edges = [meta.get(f"{axis}Calibration") if used else None for axis in "XY"]
    seconds = _stk_seconds(meta)
    steps = np.abs(np.diff(np.ravel(meta.get("ZDistance", 0)).astype(np.float64)))
    return _Header(
        edges_um=(_plausible(to_um(edges[0], unit)), positive(to_um(edges[1], unit))),
        z_um=positive(float(np.median(steps))) if sizes["Z"] > 1 and steps.size else None,
        recorded=seconds[np.newaxis] if seconds is not None and sizes["T"] > 1 else None,
    )


def _stk_seconds(meta: dict[str, Any]) -> NDArray[np.float64] | None:
    """Return when the planes were taken, in seconds since the first; None unless they rise."""
    stamps = np.ravel(meta.get("DatetimeCreated", ())).astype("datetime64[ms]")
    seconds = (stamps - stamps[:1]) / np.timedelta64(1, "s")
    return seconds if seconds.size > 1 and bool(np.all(np.diff(seconds) > 0)) else None


def _edges(tags: Any, unit: str | None) -> tuple[float | None, float | None]:
    """Return width and height of a pixel in µm, where the resolution is per `unit`."""

    def edge(key: str) -> float | None:
        numerator, denominator = tags[key].value if key in tags else (0, 0)
        return positive(to_um(denominator / numerator, unit)) if numerator else None

    return edge("XResolution"), edge("YResolution")


def _period(meta: dict[str, Any]) -> float | None:
    return positive(to_s(meta.get("finterval"), str(meta.get("tunit", "s"))))


def _imagej(tif: Any, sizes: dict[str, int]) -> _Header:
    meta = tif.imagej_metadata or {}
    unit = str(meta.get("unit", ""))
    z_unit = str(meta.get("zunit", unit))
    found, height = _edges(tif.pages[0].tags, unit)
    # With a unit of microscopes a size of any kind is meant; inch may be a screen's resolution.
    pixel = _plausible(found) if unit.strip('"').lower() in ("inch", "inches", "in") else found
    notes = []
    if found is not None and pixel is None:
        notes.append(
            f"A pixel size of {found:.4g} µm, from a resolution per inch, is taken for that of a "
            "screen and not used."
        )
    offset, gain = meta.get("c0", 0), meta.get("c1", 1)
    if (offset, gain) != (0, 1):
        notes.append(
            f"The file says that its values v mean {offset} + {gain} v; they are read as they are "
            "stored."
        )
    if sizes["T"] > 1 and int(meta.get("frames", 1)) == 1 < int(meta.get("slices", 1)):
        notes.append(
            f"The file names its {sizes['T']} images slices (z) and gives a time between frames: "
            "they are read as frames. If they are z planes, say so with axes: {time: z}."
        )
    return _Header(
        edges_um=(pixel, height),
        z_um=positive(to_um(meta.get("spacing"), z_unit)) if sizes["Z"] > 1 else None,
        period_s=_period(meta),
        channels=_channel_names(meta.get("Labels"), sizes),
        notes=tuple(notes),
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
    return tuple(names) if count == 1 or len({*names}) > 1 else ()


def _label(text: str) -> str:
    """Return a label without the counters that ImageJ puts before it."""
    text = text.strip()
    while match := _STEP.match(text):
        text = text[match.end() :]
    return text


AnyTiff = OmeTiffReader | MicroManagerReader | TiffReader
