"""CZI files of Zeiss ZEN, through the optional package `pylibCZIrw`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError, explained
from fovflow.readers.base import (
    FileReader,
    Overrides,
    check_dtype,
    check_plane,
    check_sizes,
    choose_times,
    common_shape,
    held_frames,
    long_axes,
    nominal_times,
    raw_info,
    refuse_rgb,
    unsupported_type,
)
from fovflow.units import positive, to_um

_DTYPES = {"Gray8": "uint8", "Gray16": "uint16", "Gray32Float": "float32"}
_READ = frozenset("TCZXYSM")


class CziReader(FileReader[Any]):
    """An open CZI file; each scene is a position.

    A scene of several tiles is composed to its bounding rectangle, tiles in the order of the
    file; pixels that no tile covers are zero.

    Files that are RGB, or have axes beyond scenes, times, channels, z and tiles, are refused.
    """

    def __init__(self, path: Path, given: Overrides | None = None):
        with self._opening(path, _open) as self._czi:
            self._start, sizes = _sizes(path, self._czi)
            scenes = dict(self._czi.scenes_bounding_rectangle_no_pyramid)
            whole = self._czi.total_bounding_rectangle_no_pyramid
            self._scenes: list[tuple[int | None, Any]] = sorted(scenes.items()) or [(None, whole)]
            sizes["P"] = len(self._scenes)
            metadata = _Metadata(self._czi.raw_metadata)
            dtype = _dtype(path, self._czi)
            check_sizes(path, sizes)
            shapes = [(area.h, area.w) for _, area in self._scenes]
            for shape in shapes:
                check_plane(path, shape, dtype, path.stat().st_size, "other")
            frames = held_frames(path, self._held(sizes))
            (height, width), notes = common_shape(shapes)
            info = raw_info(
                "czi",
                long_axes("PTCZ", sizes),
                sizes,
                (height, width, dtype),
                positions=[metadata.position(scene) for scene, _ in self._scenes],
                channels=[metadata.channel(c) for c in range(sizes["C"])],
                pixel_um=metadata.spacing("X"),
                z_um=metadata.spacing("Z") if sizes["Z"] > 1 else None,
                missing=frames.missing,
                warnings=(*notes, *frames.notes),
            )
            nominal = nominal_times(sizes["T"], metadata.period_s())
            super().__init__(path, info, choose_times(None, frames.whole, nominal), given)

    def _plane(self, p: int, t: int, c: int, z: int) -> NDArray[Any]:
        scene, area = self._scenes[p]
        plane = {axis: self._start[axis] + i for axis, i in (("T", t), ("C", c), ("Z", z))}
        shape = (self.info.height, self.info.width)
        if (area.h, area.w) != shape:
            raise ValueError(f"a scene of {area.h} x {area.w} pixels where others have {shape}")
        pixels = self._czi.read(roi=area, plane=plane, scene=scene)
        return np.array(pixels[:, :, 0], copy=True)

    def _held(self, sizes: dict[str, int]) -> NDArray[np.bool_]:
        """Return which planes the file's directory lists, (P, T, C, Z)."""
        held = np.zeros((len(self._scenes), sizes["T"], sizes["C"], sizes["Z"]), bool)
        rank = {scene: p for p, (scene, _) in enumerate(self._scenes)}

        def note(_: int, block: Any) -> bool:
            at = block.coordinate.to_dict()
            p = rank.get(at.get("S"), 0) if len(rank) > 1 else 0
            held[(p, *(at.get(axis, 0) - self._start[axis] for axis in "TCZ"))] = True
            return True

        self._czi.enumerate_subblocks(note)
        return held


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
        return LibraryReader(str(path))


def _sizes(path: Path, file: Any) -> tuple[dict[str, int], dict[str, int]]:
    """Return first index and length of T, C and Z."""
    box = {axis: (int(a), int(b)) for axis, (a, b) in file.total_bounding_box.items()}
    odd = [f"{axis} {b - a}" for axis, (a, b) in box.items() if axis not in _READ and b - a > 1]
    if odd:
        raise FovflowError(
            f"{path} has axes that are not read",
            found=", ".join(odd),
            remedy="export one of each (phase, illumination, rotation, view, block) in ZEN",
        )
    start = {axis: box.get(axis, (0, 1))[0] for axis in "TCZ"}
    return start, {axis: box.get(axis, (0, 1))[1] - start[axis] for axis in "TCZ"}


def _dtype(path: Path, file: Any) -> str:
    types = set(file.pixel_types.values())
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
        return (found[c].get("Name") or "") if c < len(found) else ""

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
