"""CZI files of Zeiss ZEN, through the optional package `pylibCZIrw`."""

from __future__ import annotations

import math
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
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
    MAX_FRAMES,
    check_dtype,
    check_plane,
    check_sizes,
    refuse_rgb,
    unsupported_type,
)
from fovflow.readers.times import choose_times, nominal_times
from fovflow.units import positive, to_um
from fovflow.userfiles import check_regular

_DTYPES = {"Gray8": "uint8", "Gray16": "uint16", "Gray32Float": "float32"}
_READ = frozenset("TCZXYSM")


class CziReader(FileReader[Any]):
    """An open CZI file; each scene is a position.

    A scene of several tiles is composed to its bounding rectangle, tiles in the order of the
    file; pixels that no tile covers are zero. A plane that lacks tiles that others of its channel
    have, such as the last of a stopped acquisition, counts as missing.

    Files that are RGB, or have axes beyond scenes, times, channels, z and tiles, are refused.
    """

    def __init__(self, path: Path, given: Overrides | None = None):
        with self._opening(path, _open) as self._czi:
            blocks = _list_blocks(path, self._czi)
            self._start, sizes = blocks.span(path)
            self._scenes = sorted(blocks.areas.items(), key=lambda each: each[0] or 0)
            sizes["P"] = len(self._scenes)
            metadata = _Metadata(self._czi.raw_metadata)
            dtype = _dtype(path, blocks.types)
            check_sizes(path, sizes)
            shapes = [(y1 - y0, x1 - x0) for _, (y0, x0, y1, x1) in self._scenes]
            for shape in shapes:
                check_plane(path, shape, dtype, path.stat().st_size, "other")
            held = np.zeros([sizes[axis] for axis in "PTCZ"], bool)
            rank = {scene: p for p, (scene, _) in enumerate(self._scenes)}
            partial = blocks.partial()
            for scene, at in blocks.places.keys() - partial:
                first = [self._start[axis] for axis in "TCZ"]
                held[(rank[scene], *np.subtract(at, first))] = True
            frames = held_frames(path, held)
            (height, width), notes = common_shape(shapes)
            if partial:
                notes += (f"{len(partial)} planes lack tiles that others have; they are left out.",)
            info = raw_info(
                "czi",
                long_axes("PTCZ", sizes),
                sizes,
                (height, width, dtype),
                axes_from="indices of the images",
                positions=[metadata.position(scene) for scene, _ in self._scenes],
                channels=[metadata.channel(self._start["C"] + c) for c in range(sizes["C"])],
                edges_um=(metadata.spacing("X"), metadata.spacing("Y")),
                z_um=metadata.spacing("Z") if sizes["Z"] > 1 else None,
                missing=frames.missing,
                missing_planes=frames.missing_planes,
                warnings=notes,
            )
            nominal = nominal_times(sizes["T"], metadata.period_s())
            stamps = metadata.offsets_s() or _time_stamps(path)
            recorded = None
            if len(stamps) >= self._start["T"] + sizes["T"]:
                used = np.array(stamps[self._start["T"] :][: sizes["T"]])
                recorded = np.tile(used - used[0], (sizes["P"], 1))
            super().__init__(path, info, choose_times(recorded, frames.there, nominal), given)

    def _plane(self, p: int, t: int, c: int, z: int) -> NDArray[Any]:
        scene, (y0, x0, y1, x1) = self._scenes[p]
        plane = {axis: self._start[axis] + i for axis, i in (("T", t), ("C", c), ("Z", z))}
        shape = (self.info.height, self.info.width)
        if (y1 - y0, x1 - x0) != shape:
            raise ValueError(f"a scene of {y1 - y0} x {x1 - x0} pixels where others have {shape}")
        area = (x0, y0, x1 - x0, y1 - y0)
        kind = next(kind for kind, dtype in _DTYPES.items() if dtype == self.info.dtype)
        pixels = self._czi.read(roi=area, plane=plane, scene=scene, pixel_type=kind)
        return np.array(pixels[:, :, 0], copy=True)


_Place = tuple[int | None, tuple[int, int, int]]


@dataclass
class _Blocks:
    """What the file's directory lists, without the levels of pyramids.

    `places` are a scene and (T, C, Z), with the corners of their tiles, `areas` the bounding
    rectangle (y0, x0, y1, x1) of each scene in pixels, `odd` first and last index of axes that are
    not read, `types` the kinds of pixels.
    """

    places: dict[_Place, set[tuple[int, int]]] = field(default_factory=dict)
    areas: dict[int | None, tuple[int, int, int, int]] = field(default_factory=dict)
    odd: dict[str, tuple[int, int]] = field(default_factory=dict)
    types: set[str] = field(default_factory=set)

    def partial(self) -> set[_Place]:
        """Return the planes with fewer tiles than others of their scene and channel."""
        most: dict[tuple[int | None, int], int] = {}
        for (scene, (_, c, _)), tiles in self.places.items():
            most[scene, c] = max(most.get((scene, c), 0), len(tiles))
        return {at for at, tiles in self.places.items() if len(tiles) < most[at[0], at[1][1]]}

    def span(self, path: Path) -> tuple[dict[str, int], dict[str, int]]:
        """Return first index and length of T, C and Z; they need not start at 0."""
        odd = [f"{axis} {b - a + 1}" for axis, (a, b) in self.odd.items() if b > a]
        if odd:
            raise FovflowError(
                f"{path} has axes that are not read",
                found=", ".join(sorted(odd)),
                remedy="export one of each (phase, illumination, rotation, view, block) in ZEN",
            )
        if not self.places:
            raise FovflowError(f"{path} holds no images", remedy="check that it is the right file")
        used = dict(zip("TCZ", zip(*(at for _, at in self.places), strict=True), strict=True))
        first = {axis: min(values) for axis, values in used.items()}
        return first, {axis: max(values) - first[axis] + 1 for axis, values in used.items()}


def _list_blocks(path: Path, file: Any) -> _Blocks:
    """List the images of a file; the library's own account of sizes and scenes starts at 0."""
    found = _Blocks()

    def note(_: int, block: Any) -> bool:
        at, rect, size = block.coordinate.to_dict(), block.logicalRect, block.physicalSize
        if (rect.w, rect.h) != (size.w, size.h):  # a level of a pyramid
            return True
        scene = at.get("S")
        found.types.add(block.pixelType.name)
        place = scene, (at.get("T", 0), at.get("C", 0), at.get("Z", 0))
        found.places.setdefault(place, set()).add((rect.y, rect.x))
        y0, x0, y1, x1 = found.areas.get(scene, (rect.y, rect.x, rect.y, rect.x))
        found.areas[scene] = (
            *(min(y0, rect.y), min(x0, rect.x)),
            *(max(y1, rect.y + rect.h), max(x1, rect.x + rect.w)),
        )
        for axis, index in at.items():
            if axis not in _READ:
                low, high = found.odd.get(axis, (index, index))
                found.odd[axis] = min(low, index), max(high, index)
        return True

    file.enumerate_subblocks(note)
    return found


_SEGMENT_BYTES = 32
_ATTACHMENTS_AT = 72
_ENTRY_BYTES, _ENTRIES_AT, _DATA_AT = 128, 256, 256
_MOST_ATTACHMENTS = 10_000


def _time_stamps(path: Path) -> tuple[float, ...]:
    """Return the seconds of the frames from the attachment TimeStamps; empty where there is none.

    Source: the description of the CZI format, segments ZISRAWATTDIR and ZISRAWATTACH, and the
    content type CZTIMS (size and number as int32, then doubles).
    """
    with path.open("rb") as file, suppress(struct.error):

        def unpack(form: str, at: int) -> tuple[Any, ...]:
            file.seek(at)
            return struct.unpack(form, file.read(struct.calcsize(form)))

        (directory,) = unpack("<q", _SEGMENT_BYTES + _ATTACHMENTS_AT)
        if directory <= 0 or unpack("<12s", directory)[0] != b"ZISRAWATTDIR":
            return ()
        (count,) = unpack("<i", directory + _SEGMENT_BYTES)
        for i in range(min(count, _MOST_ATTACHMENTS)):
            entry = directory + _SEGMENT_BYTES + _ENTRIES_AT + i * _ENTRY_BYTES
            at, name = unpack("<12xq28x80s", entry)
            if name.rstrip(b"\0") == b"TimeStamps" and at > 0:
                data = at + _SEGMENT_BYTES + _DATA_AT
                _, number = unpack("<ii", data)
                if 0 < number <= MAX_FRAMES:
                    return unpack(f"<{number}d", data + 8)
    return ()


def _open(path: Path) -> Any:
    """Open a file with the library."""
    with explained(
        f"reading {path} needs the package pylibCZIrw",
        ImportError,
        remedy='pip install --upgrade "fovflow[czi]"',
    ):
        from pylibCZIrw.czi import CziReader as LibraryReader

        if not hasattr(LibraryReader, "enumerate_subblocks"):
            raise ImportError("a version that cannot list the images of a file")
    with explained(
        f"the CZI file {path} is cut off or damaged",
        RuntimeError,
        remedy="copy it again from its source",
    ):
        check_regular(path)
        return LibraryReader(str(path))


def _dtype(path: Path, types: set[str]) -> str:
    if any(name.startswith("Bgr") for name in types):
        refuse_rgb(path, 3)
    if len(types) != 1 or not types <= set(_DTYPES):
        found = ", ".join(sorted(types)) or "none"
        raise unsupported_type(path, found, "export it as grey images of 8 or 16 bits")
    return check_dtype(path, _DTYPES[types.pop()])


class _Metadata:
    """The XML of a CZI file; anything may be absent."""

    def __init__(self, text: str):
        try:
            self._root: ElementTree.Element = ElementTree.fromstring(text)
        except ElementTree.ParseError:
            self._root = ElementTree.Element("ImageDocument")
        self._image = "./Metadata/Information/Image"

    def channel(self, c: int) -> str:
        """Return the name of a channel."""
        found = self._root.findall(f"{self._image}/Dimensions/Channels/Channel")
        named = [each for each in found if each.get("Id") == f"Channel:{c}"] or found[c : c + 1]
        return (named[0].get("Name") or "") if named else ""

    def position(self, scene: int | None) -> tuple[str | None, float | None, float | None]:
        """Return the name and centre (µm) of a scene."""
        for each in self._root.findall(f"{self._image}/Dimensions/S/Scenes/Scene"):
            if scene is not None and each.get("Index") == str(scene):
                numbers = [_number(text) for text in _text(each, "CenterPosition").split(",")]
                x, y = numbers if len(numbers) == 2 else (None, None)
                return each.get("Name") or None, x, y
        return None, None, None

    def spacing(self, axis: str) -> float | None:
        """Return the distance of pixels or planes in µm; the file gives metres."""
        value = _text(self._root, f"./Metadata/Scaling/Items/Distance[@Id='{axis}']/Value")
        return positive(to_um(value, "m"))

    def offsets_s(self) -> tuple[float, ...]:
        """Return the listed times of the frames; empty where there is no list."""
        texts = _text(self._root, f"{self._image}/Dimensions/T/Positions/List/Offsets").split()
        numbers = [number for number in map(_number, texts) if number is not None]
        return tuple(numbers) if len(numbers) == len(texts) else ()

    def period_s(self) -> float | None:
        """Return the announced time between frames."""
        where = f"{self._image}/Dimensions/T/Positions/Interval/Increment"
        return positive(_number(_text(self._root, where)))


def _text(element: ElementTree.Element, where: str) -> str:
    return (element.findtext(where) or "").strip()


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
