"""OME-Zarr 0.4 (Zarr v2) and 0.5 (Zarr v3): one image, several series, or a plate."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.readers.base import Given, PlaneReader, most_common_shape, odd_positions
from fovflow.readers.holes import Holes, find_holes
from fovflow.readers.limits import check_sizes
from fovflow.readers.locate import natural_key
from fovflow.readers.protocol import Channel, Position, RawInfo
from fovflow.readers.times import choose_times, nominal_times
from fovflow.readers.zarr_chunks import check_chunks
from fovflow.readers.zarr_metadata import Group, Image, read_group, read_image

_MAX_POSITIONS = 100_000


class ZarrReader(PlaneReader):
    """An open OME-Zarr folder; level 0 of each multiscale image is read.

    Each image of a bioformats2raw layout, and each field of a plate, is a position. A frame of
    which no chunk is on disk is missing: writers leave out chunks that were never filled.

    Parameters
    ----------
    path : Path
        The folder of an image, a bioformats2raw layout or a plate.
    given : Given, optional
    """

    def __init__(self, path: Path, given: Given | None = None):
        self._images = _find_images(path)
        self._arrays: dict[int, Any] = {}
        first = self._images[0]
        n_frames, n_channels, n_z = (first.size(axis) for axis in "TCZ")
        check_sizes(
            path, positions=len(self._images), frames=n_frames, channels=n_channels, n_z=n_z
        )
        holes = find_holes(path, np.stack([_held_frames(image) for image in self._images]))
        times = choose_times(None, holes.whole, nominal_times(n_frames, first.period_s))
        super().__init__(path, _describe(self._images, holes), times, given or Given())

    def _plane(self, p: int, t: int, c: int, z: int) -> NDArray[Any]:
        import zarr

        image = self._images[p]
        if p not in self._arrays:
            self._arrays.clear()
            self._arrays[p] = zarr.open_array(str(image.array), mode="r", zarr_format=image.version)
        at = {"T": t, "C": c, "Z": z}
        key = tuple(at[axis] for axis in image.axes[:-2])
        check_chunks(image, key)
        return np.asarray(self._arrays[p][(*key, slice(None), slice(None))])

    def close(self) -> None:
        """Forget the arrays; no file stays open between reads."""
        super().close()
        self._arrays.clear()


def _describe(images: list[Image], holes: Holes) -> RawInfo:
    first, n_channels = images[0], images[0].size("C")
    shapes = [(image.size("Y"), image.size("X")) for image in images]
    height, width = most_common_shape(shapes)
    names = [*first.channels, *[""] * n_channels][:n_channels]
    long = "".join(axis for axis in first.axes[:-2] if first.size(axis) > 1)
    return RawInfo(
        format="ome-zarr",
        axes=("P" if len(images) > 1 else "") + long + "YX",
        n_frames=first.size("T"),
        n_z=first.size("Z"),
        height=height,
        width=width,
        dtype=first.dtype,
        positions=tuple(
            Position(p, image.name, image.x_um, image.y_um) for p, image in enumerate(images)
        ),
        channels=tuple(Channel(c, name) for c, name in enumerate(names)),
        pixel_um=first.pixel_um,
        z_um=first.z_um if first.size("Z") > 1 else None,
        missing=holes.missing,
        warnings=odd_positions(shapes),
    )


def _find_images(path: Path) -> list[Image]:
    """Return the images of a folder in the order of their positions.

    Raises
    ------
    FovflowError
        If there is none, or they differ in more than height and width.
    """
    group = read_group(path)
    if group is None:
        raise FovflowError(f"{path} is no Zarr group", remedy="name the OME-Zarr folder itself")
    if "multiscales" in group.attributes:
        return [read_image(path, group, None)]
    images = [_child(path, relative, name) for relative, name in _listed(path, group)]
    first = images[0]
    for image in images:
        same = all(image.size(axis) == first.size(axis) for axis in "TCZ")
        if not same or image.dtype != first.dtype:
            raise FovflowError(
                f"the images of {path} differ in frames, channels, z planes or pixel type",
                found=f"{_sizes(first)} and {_sizes(image)}",
                remedy="store each kind in a folder of its own",
            )
    return images


def _child(path: Path, relative: str, name: str | None) -> Image:
    group = read_group(path, relative)
    if group is None:
        raise FovflowError(
            f"the image {relative!r} that {path} lists is not there",
            remedy="copy the dataset again from its source",
        )
    return read_image(path, group, name)


def _listed(path: Path, group: Group) -> list[tuple[str, str | None]]:
    """Return path and name of each image of a plate or of a bioformats2raw layout."""
    found: list[tuple[str, str | None]]
    if "plate" in group.attributes:
        found = _plate(path, group.attributes["plate"])
    elif "bioformats2raw.layout" in group.attributes:
        found = [(name, None) for name in _series(path)]
    else:
        raise FovflowError(
            f"{path} is a Zarr group, but no OME-Zarr image, series or plate",
            found=", ".join(sorted(group.attributes)[:5]) or "no attributes",
            remedy="name the folder that has multiscales, plate or bioformats2raw metadata",
        )
    if not found or len(found) > _MAX_POSITIONS:
        raise FovflowError(f"{path} lists {len(found)} images")
    return found


def _series(path: Path) -> list[str]:
    """Return the images of a bioformats2raw layout: as listed, else by number."""
    listed = read_group(path, "OME")
    if listed is not None and listed.attributes.get("series"):
        return [str(name) for name in listed.attributes["series"]]
    numbers = (str(i) for i in itertools.count())
    return list(itertools.takewhile(lambda name: read_group(path, name) is not None, numbers))


def _plate(path: Path, plate: Any) -> list[tuple[str, str | None]]:
    """Return the fields of a plate, well by well in natural order, with their names."""
    found: list[tuple[str, str | None]] = []
    wells = [str(well["path"]) for well in plate.get("wells", ())]
    for well in sorted(wells, key=natural_key):
        group = read_group(path, well)
        images = ((group.attributes.get("well") or {}) if group else {}).get("images", ())
        for image in images:
            field = str(image["path"])
            name = "".join(well.split("/")) + (f"_{field}" if len(images) > 1 else "")
            found.append((f"{well}/{field}", name))
    return found


def _held_frames(image: Image) -> NDArray[np.bool_]:
    """Return which frames have any chunk on disk, from one listing of the array's folder."""
    n_frames = image.size("T")
    folder = image.array / "c" if image.key_start == "c/" else image.array
    if not image.axes.startswith("T"):
        return np.full(n_frames, folder.is_dir())
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    leading = {name.removeprefix(image.key_start).split(".")[0] for name in names}
    length = image.chunks[0]
    chunks = np.array([str(i) in leading for i in range(-(-n_frames // length))], bool)
    return np.repeat(chunks, length)[:n_frames]


def _sizes(image: Image) -> str:
    return f"{image.axes} {' x '.join(map(str, image.shape))} {image.dtype}"
