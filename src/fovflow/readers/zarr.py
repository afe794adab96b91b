"""OME-Zarr 0.4 (Zarr v2) and 0.5 (Zarr v3): one image, several series, or a plate."""

from __future__ import annotations

import bz2
import itertools
import lzma
import math
import os
import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.readers.base import (
    Overrides,
    PlaneReader,
    channel_order,
    common_shape,
    held_frames,
    long_axes,
    other_channels,
    other_pixels,
    raw_info,
)
from fovflow.readers.limits import check_sizes
from fovflow.readers.locate import natural_key
from fovflow.readers.times import choose_times, nominal_times
from fovflow.readers.zarr_metadata import Group, Image, Shards, read_group, read_image
from fovflow.userfiles import check_regular, open_regular

HARMLESS_BYTES = 64 << 10
"""Deflated chunks up to this size unpack to 66 MiB at most: DEFLATE reaches 1032:1."""

MARGIN_BYTES = 64
"""What checksums and the like may add to the pixels of a chunk."""

_DICTIONARY_BYTES = 256 << 20
_MOST_STREAMS = 100
_HEAD = 18
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def check_chunks(image: Image, key: tuple[int, ...]) -> None:
    """Raise ValueError for chunks of one plane that are cut off, or unpack to more than they hold.

    The plane is told by its indices along the axes before Y and X. A chunk that is a pipe, a device
    or a broken link is an OSError.
    """
    packer, shards = image.packing.packer, image.packing.shards
    chunks = shards.chunks if shards is not None else image.chunks
    limit = math.prod(chunks) * np.dtype(image.dtype).itemsize + MARGIN_BYTES
    for path in _files(image, key):
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            pieces = iter([(0, size)]) if shards is None else _inner(file, size, image, key, shards)
            for start, length in pieces:
                if length > size - start:
                    raise ValueError(f"a chunk of {length} bytes is cut off")
                if packer:
                    _check(file, start, length, packer, limit)


def _files(image: Image, key: tuple[int, ...]) -> Iterator[Path]:
    """Yield the files of the chunks or shards that a plane lies in, as far as they are there."""
    leading = [index // size for index, size in zip(key, image.chunks, strict=False)]
    counts = [-(-n // size) for n, size in zip(image.shape[-2:], image.chunks[-2:], strict=True)]
    for last in itertools.product(*map(range, counts)):
        numbers = [str(number) for number in (*leading, *last)]
        for separator in "./":
            name = image.key_start.rstrip("./") + (separator if image.key_start else "")
            path = image.array / (name + separator.join(numbers))
            if os.path.lexists(path):
                yield path


def _inner(
    file: BinaryIO, size: int, image: Image, key: tuple[int, ...], shards: Shards
) -> Iterator[tuple[int, int]]:
    """Yield start and length of the chunks of a plane within a shard, from the shard's index."""
    counts = [n // m for n, m in zip(image.chunks, shards.chunks, strict=True)]
    table, checksum = 16 * math.prod(counts), 4 if shards.checksum else 0
    if table + checksum > size:
        raise ValueError(f"a shard of {size} bytes is shorter than its index")
    file.seek(size - table - checksum if shards.at_end else 0)
    index = np.frombuffer(file.read(table), "<u8").reshape(*counts, 2)
    if shards.aligned:
        at = [t % n // m for t, n, m in zip(key, image.chunks, shards.chunks, strict=False)]
        index = index[tuple(at)]
    for start, length in index.reshape(-1, 2).tolist():
        if start < size:  # else it is marked as empty, or zarr finds nothing there
            yield start, length


def _check(file: BinaryIO, start: int, length: int, packer: str, limit: int) -> None:
    file.seek(start)
    if packer in ("blosc", "zstd", "lz4"):
        announced = _announced(packer, file.read(min(_HEAD, length)), length)
        if announced is None:
            file.seek(start)
            _unpack_zstd(file.read(length), limit)
        elif announced > limit:
            raise ValueError(f"a chunk unpacks to {announced} bytes, not to {limit} at most")
    elif packer in ("bz2", "lzma") or length > HARMLESS_BYTES:
        _unpack(file.read(length), packer, limit)


def _announced(packer: str, head: bytes, packed: int) -> int | None:
    """Return the size that a chunk says of itself, if it does: unpacking stops there.

    `packed`: the bytes that there are. The library for blosc reads beyond them without an error.
    """
    try:
        if packer == "blosc":
            unpacked, _, said = struct.unpack_from("<III", head, 4)
            if said > packed:
                raise ValueError(f"a chunk of {said} bytes is cut off after {packed}")
            return int(unpacked)
        if packer == "lz4":
            return int(struct.unpack_from("<I", head)[0])
        kind = head[4]
        length, at = (1, 2, 4, 8)[kind >> 6], 5 + (0, 1, 2, 4)[kind & 3]
        if not kind & 32:  # no single segment: there is a window, and perhaps no size
            length, at = (length if kind >> 6 else 0), at + 1
    except (struct.error, IndexError):
        raise ValueError("a chunk is cut off") from None
    if not head.startswith(_ZSTD_MAGIC) or len(head) < at + length:
        raise ValueError("a chunk is damaged")
    if not length:
        return None
    return int.from_bytes(head[at : at + length], "little") + (256 if length == 2 else 0)


def _unpack_zstd(packed: bytes, limit: int) -> None:
    import imagecodecs

    imagecodecs.zstd_decode(packed, out=bytearray(limit))  # stops where it is full


def _unpack(packed: bytes, packer: str, limit: int) -> None:
    """Raise ValueError where more than `limit` bytes are unpacked; no more than these are kept."""
    for _ in range(_MOST_STREAMS):
        if packer == "bz2":
            unpacker: Any = bz2.BZ2Decompressor()
        elif packer == "lzma":
            unpacker = lzma.LZMADecompressor(memlimit=_DICTIONARY_BYTES)
        else:
            unpacker = zlib.decompressobj(wbits=47)  # zlib and gzip, told from the first bytes
        limit -= len(unpacker.decompress(packed, limit + 1))
        packed = unpacker.unused_data
        if limit < 0:
            break
        if packer == "zlib" or not packed.strip(b"\0"):  # others go on with the next stream
            return
    raise ValueError("a chunk unpacks to more than it can hold")


_MAX_POSITIONS = 100_000
_MOST_LISTINGS = 20_000
"""Of an image with more frames, chunks are not looked for channel by channel."""


class ZarrReader(PlaneReader):
    """An open OME-Zarr folder of an image, a bioformats2raw layout or a plate.

    The finest level of each multiscale image is read. Each image of a layout, and each field of a
    plate, is a position. What has no chunk on disk is missing, by frame and channel: writers leave
    out chunks that were never filled. A position with fewer frames misses its last ones; one that
    cannot be read costs itself. No file stays open between reads.
    """

    def __init__(self, path: Path, folders: tuple[Path, ...] = (), given: Overrides | None = None):
        notes: list[str] = []
        self._images: list[Image | None] = []
        self._broken: dict[int, FovflowError] = {}
        names: list[str | None] = []
        for folder, prefix in zip(folders or (path,), _names_of(folders), strict=True):
            for image, name in _find_images(folder, notes, alone=len(folders) < 2):
                if isinstance(image, FovflowError):
                    self._broken[len(names)] = image
                    notes.append(f"Position {len(names)} cannot be read: {image}.")
                found = image if isinstance(image, Image) else None
                own = found.name if found is not None else name
                names.append(f"{prefix}/{own}" if prefix and own else own or prefix)
                self._images.append(found)
        there = [image for image in self._images if image is not None]
        if not there:
            raise FovflowError(
                f"no image of {path} can be read",
                found=" ".join(notes[:3]),
                remedy="copy the dataset again from its source",
            )
        self._last: tuple[int, Any] | None = None
        common = _common_kind(path, there)
        for p, image in enumerate(self._images):
            if image is not None and _kind(image) != common:
                notes.append(f"Position {p} ({names[p]}) is of another kind ({_sizes(image)}).")
                self._images[p] = None
        there = [image for image in there if _kind(image) == common]
        first = there[0]
        self._usual = first.channels
        sizes = {axis: first.size(axis) for axis in "CZ"} | {"P": len(self._images)}
        sizes["T"] = max(image.size("T") for image in there)
        check_sizes(path, sizes)
        held = np.zeros([sizes[axis] for axis in "PTCZ"], bool)
        for p, image in enumerate(self._images):
            if image is not None:
                order = channel_order(image.channels, first.channels, sizes["C"])
                held[p, : image.size("T")] = _held_planes(image)[:, order, np.newaxis]
        held[[*self._broken]] = True  # reading them tells why
        frames = held_frames(path, held)
        shape, odd = common_shape(
            [(image.size("Y"), image.size("X")) if image else None for image in self._images]
        )
        pixels = [image.edges_um[0] if image else None for image in self._images]
        called = [image.channels if image else None for image in self._images]
        unlike = other_pixels(pixels, first.edges_um[0]) + other_channels(called, first.channels)
        info = raw_info(
            "ome-zarr",
            long_axes(f"P{first.axes[:-2]}", sizes),
            sizes,
            (*shape, first.dtype),
            axes_from="metadata of OME-Zarr",
            positions=[
                (name, None, None) if image is None else (name, image.x_um, image.y_um)
                for name, image in zip(names, self._images, strict=True)
            ],
            channels=first.channels,
            edges_um=first.edges_um,
            z_um=first.z_um if sizes["Z"] > 1 else None,
            missing=frames.missing,
            missing_planes=frames.missing_planes,
            warnings=(*notes, *odd, *unlike),
        )
        nominal = nominal_times(sizes["T"], *(i.period_s if i else None for i in self._images))
        super().__init__(path, info, choose_times(None, frames.there, nominal), given)

    def _plane(self, p: int, t: int, c: int, z: int) -> NDArray[Any]:
        import zarr

        image = self._images[p]
        if image is None:
            raise self._broken[p]
        if self._last is None or self._last[0] != p:
            for name in ("zarr.json", ".zarray", ".zattrs"):
                with suppress(FileNotFoundError):
                    check_regular(image.array / name)
            array = zarr.open_array(str(image.array), mode="r", zarr_format=image.version)
            self._last = p, array
        order = channel_order(image.channels, self._usual, image.size("C"))
        at = {"T": t, "C": order[c], "Z": z}
        key = tuple(at[axis] for axis in image.axes[:-2])
        check_chunks(image, key)
        return np.asarray(self._last[1][(*key, slice(None), slice(None))])


def _find_images(
    path: Path, notes: list[str], *, alone: bool
) -> list[tuple[Image | FovflowError | None, str | None]]:
    """Return the images of a folder by position, with their names.

    One that is listed and not there is None, and told in `notes`; of several, one that cannot be
    read is the error.
    """
    try:
        group = _root(path)
        is_image = "multiscales" in group.attributes
        listed = [("", None)] if is_image else _listed(path, group)
    except FovflowError as error:
        if alone:
            raise
        return [(error, None)]
    found: list[tuple[Image | FovflowError | None, str | None]] = []
    for relative, name in listed:
        image: Image | FovflowError | None = None
        try:
            child = read_group(path, relative)
            if child is None:
                notes.append(
                    f"The image {relative!r} that the folder lists is not there: left out."
                )
            else:
                image = read_image(path, child, name)
        except FovflowError as error:
            if alone and is_image:
                raise
            image = error
        found.append((image, name or relative or None))
    return found


def _root(path: Path) -> Group:
    group = read_group(path)
    if group is None:
        raise FovflowError(f"{path} is no Zarr group", remedy="name the OME-Zarr folder itself")
    return group


def _names_of(folders: tuple[Path, ...]) -> tuple[str | None, ...]:
    """Return the names of OME-Zarr folders that are positions of one dataset."""
    return tuple(re.sub(r"(\.ome)?\.zarr$", "", path.name) for path in folders) or (None,)


def _kind(image: Image) -> tuple[int, int, str]:
    return image.size("C"), image.size("Z"), image.dtype


def _common_kind(path: Path, images: list[Image]) -> tuple[int, int, str]:
    """Return the kind of most images; refuse them where that leaves a choice."""
    kinds = Counter(map(_kind, images))
    common, count = kinds.most_common(1)[0]
    if 2 * count <= len(images):
        odd = next(image for image in images if _kind(image) != _kind(images[0]))
        raise FovflowError(
            f"the images of {path} differ in channels, z planes or pixel type",
            found=f"{_sizes(images[0])} and {_sizes(odd)}",
            remedy="store each kind in a folder of its own",
        )
    return common


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


def _held_planes(image: Image) -> NDArray[np.bool_]:
    """Return which frames and channels have any chunk on disk, (T, C), from listings of folders."""
    shape = image.size("T"), image.size("C")
    folder = image.array / "c" if image.key_start == "c/" else image.array
    entries = list(os.scandir(folder)) if folder.is_dir() else []
    if not image.axes.startswith("T"):
        return np.full(shape, bool(entries))
    of_channels = image.axes.startswith("TC") and len(entries) <= _MOST_LISTINGS
    places = set()
    for entry in entries:
        first, *rest = entry.name.removeprefix(image.key_start).split(".")
        if rest or not of_channels or not entry.is_dir():
            places.add((first, rest[0] if rest and of_channels else ""))
        else:
            places |= {(first, name.split(".")[0]) for name in os.listdir(entry)}  # noqa: PTH208
    chunk_t, chunk_c = image.chunks[0], image.chunks[1] if of_channels else shape[1]
    counts = -(-shape[0] // chunk_t), -(-shape[1] // chunk_c)
    held = np.array(
        [
            [(str(t), str(c) if of_channels else "") in places for c in range(counts[1])]
            for t in range(counts[0])
        ],
        bool,
    )
    return held.repeat(chunk_t, 0)[: shape[0]].repeat(chunk_c, 1)[:, : shape[1]]


def _sizes(image: Image) -> str:
    return f"{image.axes} {' x '.join(map(str, image.shape))} {image.dtype}"
