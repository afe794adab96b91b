"""OME-TIFF: one file or a set of files in one folder, each image a position."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.readers.base import (
    FileReader,
    HeldFrames,
    Overrides,
    RawInfo,
    channel_order,
    common_shape,
    held_frames,
    long_axes,
    other_channels,
    other_pixels,
    raw_info,
)
from fovflow.readers.limits import MAX_METADATA_BYTES, check_sizes, refuse_rgb
from fovflow.readers.locate import TIFF_MAGIC, TIFF_SUFFIXES, path_inside
from fovflow.readers.ome_xml import (
    Block,
    Description,
    Image,
    local,
    ome_text,
    own_uuid,
    parse_image,
    parse_xml,
)
from fovflow.readers.tiff_pages import TiffPages, first_description, opened_once
from fovflow.readers.times import choose_times, nominal_times


def describe_set(path: Path, open_pages: Callable[[Path], TiffPages]) -> Description | None:
    """Return the description of the dataset to which an OME-TIFF file or a companion file belongs.

    It may stand in another file of the set. None for TIFF files of other kinds; XML that is
    damaged, holds no image, or points to a file that is not there is refused.
    """
    seen: list[Path] = []
    while True:
        text = _text_of(path, open_pages)
        if not text:
            if not seen:
                return None
            raise FovflowError(f"{seen[-1]} points to {path.name}, which holds no OME-XML")
        root, notes = parse_xml(path, text)
        pointer = next((child for child in root if local(child) == "BinaryOnly"), None)
        if pointer is None:
            break
        name = pointer.get("MetadataFile") or ""
        following = file_of_set(path, name)
        if not following.is_file():
            by_uuid = _files_by_uuid(path)
            following = _renamed(path, following) or by_uuid.get(pointer.get("UUID", ""), following)
        if not following.is_file() or following in seen:
            raise FovflowError(
                f"{path} is part of a set whose description stands in another file",
                found=f"it points to {name!r}, which is not there",
                remedy="put that file beside it, with its own name, or save the set again as "
                "OME-TIFF with the description inside",
            )
        seen.append(path)
        path = following
    for inner in root.iter():
        if local(inner).startswith("ModuloAlong"):
            raise FovflowError(
                f"{path} has an axis within another one, which is not read",
                found=f"{local(inner)} of type {inner.get('Type') or 'unknown'} in its OME-XML",
                remedy="export it with each of these as a file or a channel of its own",
            )
    own = root.get("UUID")
    images = tuple(parse_image(path, child, own) for child in root if local(child) == "Image")
    if not images:
        raise FovflowError(
            f"the OME-XML of {path} describes no image",
            found=repr(text[:80]),
            remedy="name the file of the set that holds the images, or save it again as OME-TIFF",
        )
    uuids = (each for each in root.iter() if local(each) == "UUID" and each.text)
    names = {str(each.text).strip(): each.get("FileName") or "" for each in uuids}
    described = Description(path, text, images, notes, names)
    described.check_name(path, text)
    return described


def _text_of(path: Path, open_pages: Callable[[Path], TiffPages]) -> str:
    with path.open("rb") as file:
        if file.read(4) not in TIFF_MAGIC:
            file.seek(0)
            return ome_text(file.read(MAX_METADATA_BYTES).decode("utf-8", "replace"))
    return ome_text(str(open_pages(path).tif.pages[0].description or ""))


def _renamed(path: Path, wanted: Path) -> Path | None:
    """Return the file called `wanted` before a set got a prefix, capitals, or other accents."""

    def plain(file: Path) -> str:
        return normalize("NFC", file.name).casefold()

    ending, own = plain(wanted), plain(path)
    beside = [each for each in wanted.parent.glob("*") if plain(each).endswith(ending)]
    found = [each for each in beside if own.startswith(plain(each).removesuffix(ending))]
    return found[0] if len(found) == 1 and found[0].is_file() else None


def _files_by_uuid(path: Path) -> dict[str, Path]:
    """Return TIFF files beside a described one by their own UUIDs, whatever they are called now."""
    found: dict[str, Path] = {}
    for file in sorted(path.parent.glob("*")):
        if file.name.lower().endswith(TIFF_SUFFIXES) and file != path:
            with suppress(FovflowError, OSError):
                uuid = own_uuid(first_description(file))
                found[uuid] = path if uuid in found else file
    return {uuid: file for uuid, file in found.items() if uuid and file != path}


_ABSENT = -1
_ANY_NUMBER = np.iinfo(np.int32).max


class OmeTiffReader(FileReader[TiffPages]):
    """An open OME-TIFF dataset: any file of a set, or its companion file.

    Planes that the description names and no file holds are missing.
    """

    def __init__(self, path: Path, given: Overrides | None = None):
        with ExitStack() as stack:
            stack.callback(self.close)
            described = describe_set(path, lambda name: self._file(name, TiffPages))
            if described is None:
                raise FovflowError(f"{path} holds no OME-XML", remedy="name an OME-TIFF file")
            own_pages = self._file(described.path, TiffPages).count if described.in_tiff else 0
            self._described, self._checked = described, {described.path}
            self._index = index = _PlaneIndex(described, own_pages)
            first = index.first_file()
            plane = self._file(first, TiffPages).describe(index.first_page())
            frames = held_frames(path, index.held())
            info = _describe(index, frames, plane)
            recorded = np.full(frames.there.shape, np.nan)
            for p, image in enumerate(index.images):
                for t, seconds in image.stamps.items():
                    if 0 <= t < info.n_frames:
                        recorded[p, t] = seconds
            nominal = nominal_times(info.n_frames, *(image.period_s for image in index.images))
            super().__init__(path, info, choose_times(recorded, frames.there, nominal), given)
            stack.pop_all()

    def _plane(self, p: int, t: int, c: int, z: int) -> NDArray[Any]:
        file, page = self._index.find(p, t, c, z)
        pages = self._file(file, TiffPages)
        if file not in self._checked:
            self._described.check_name(file, str(pages.tif.pages[0].description or ""))
            self._checked.add(file)
        if page >= pages.count:
            raise ValueError(f"{file.name} has {pages.count} pages, not {page + 1}")
        return pages.read(page)


class _PlaneIndex:
    """In which file and page each plane is.

    `images` are the positions. Colour images and those with other channels or z planes than most
    are left out: at the end they are no positions; between others they are positions without
    frames. `main` is the first image that is read, `notes` are sentences for the warnings.
    """

    def __init__(self, described: Description, own_pages: int):
        path, images = described.path, list(described.images)
        self.notes = list(described.notes)
        grey = [image for image in images if image.samples == 1]
        if not grey:
            refuse_rgb(path, images[0].samples)
        kinds = Counter(map(_kind, grey))
        common = max(kinds, key=lambda kind: kinds[kind])
        alike = [image.samples == 1 and _kind(image) == common for image in images]
        for i, image in enumerate(images):
            if not alike[i]:
                colour, name = image.samples > 1, image.name or "no name"
                what = "a colour image" if colour else f"of another kind ({_sizes(image)})"
                self.notes.append(f"Image {i} ({name}) is {what}: left out.")
            if image.beside:
                self.notes.append(
                    f"Image {i} places {image.beside} planes outside its announced sizes "
                    f"({_sizes(image)}): left out."
                )
        while not alike[-1]:
            alike.pop()
            images.pop()
        self.images, self.alike = images, alike
        self.main = images[alike.index(True)]
        n_frames = max(image.sizes["T"] for image, same in zip(images, alike, strict=True) if same)
        self.sizes = self.main.sizes | {"P": len(images), "T": n_frames}
        check_sizes(path, self.sizes)
        self._described = described
        self.files: list[Path] = [path]
        self.absent: list[str] = []
        self._own_pages = own_pages
        self._known: dict[str | None, int] = {None: 0 if own_pages else _ABSENT}
        names = {block.file for image in described.images for block in image.blocks}
        if own_pages:
            self._known[path.name] = 0
            if len(names) == 1 and not self._is_beside(described.images):
                self._known[names.pop()] = 0  # a file on its own may have been renamed
        shape = [self.sizes[axis] for axis in "PTCZ"]
        self._file = np.full(shape, _ABSENT, np.int32)
        self._page = np.zeros(shape, np.int32)
        for p, image in enumerate(images):
            if alike[p]:
                self._fill(p, image, alone=len(described.images) == 1)
        if self.absent and not self.held().any():
            raise FovflowError(
                f"the files that the OME-XML of {path} names are not there",
                found=", ".join(map(repr, self.absent[:5])),
                remedy="give the files of the set the names that it was saved with, if they were "
                "renamed, or copy the missing ones",
            )
        self._check_claims()
        claimed = np.unique(self._page[self._file == 0]).size
        if all(alike) and own_pages > claimed:
            self.notes.append(
                f"{own_pages - claimed} of its {own_pages} pages are in no image of its OME-XML: "
                "left out."
            )

    def _fill(self, p: int, image: Image, *, alone: bool) -> None:
        lengths = [image.sizes[axis] for axis in image.order]
        total = int(np.prod(lengths))
        file = np.full(total, _ABSENT, np.int32)
        page = np.zeros(total, np.int32)
        if not image.blocks and not image.beside and alone:
            count = min(total, self._own_pages)
            file[:count], page[:count] = 0, np.arange(count)
        starts = sorted({block.first for block in image.blocks})
        ends = dict(zip(starts, [*starts[1:], total], strict=True))
        for block in image.blocks:
            number = self._number(block)
            if number == _ABSENT:
                continue
            pages = self._own_pages if number == 0 else _ANY_NUMBER  # others are not opened here
            count = ends[block.first] - block.first if block.count is None else block.count
            count = max(0, min(count, total - block.first, pages - block.page))
            span = slice(block.first, block.first + count)
            file[span], page[span] = number, block.page + np.arange(count)
        turn = [image.order.index(axis) for axis in "TCZ"]
        order = channel_order(image.channels, self.main.channels, image.sizes["C"])
        self._file[p, : image.sizes["T"]] = file.reshape(lengths).transpose(turn)[:, order]
        self._page[p, : image.sizes["T"]] = page.reshape(lengths).transpose(turn)[:, order]

    def _number(self, block: Block) -> int:
        """Return the number of a file of the set, or -1 if it is not there."""
        name = block.file
        if name not in self._known:
            path = self._described.path
            sibling = file_of_set(path, name or "")
            if not sibling.is_file():
                sibling = self._renamed(block, sibling) or sibling
            if sibling == path and self._own_pages:
                self._known[name] = 0
            elif sibling.is_file():
                self._known[name] = len(self.files)
                self.files.append(sibling)
            else:
                self._known[name] = _ABSENT
                self.absent.append(name or "")
        return self._known[name]

    def _renamed(self, block: Block, wanted: Path) -> Path | None:
        """Return a file with a prefix before its name that may be of this set, or with the UUID."""
        path = self._described.path
        found = _renamed(path, wanted)
        if found is None or (found != path and not self._may_hold(found, block)):
            found = self._by_uuid.get(block.uuid)
        if found is None:
            return None
        self.notes.append(f"The file {block.file!r} of the set is now called {found.name!r}.")
        return found

    @cached_property
    def _by_uuid(self) -> dict[str, Path]:
        return _files_by_uuid(self._described.path)

    def _may_hold(self, file: Path, block: Block) -> bool:
        """Tell whether a file carries the description of this set, or none."""
        with opened_once() as open_pages:
            text = _text_of(file, open_pages)
        return text in ("", self._described.text) or bool(block.uuid and block.uuid in text)

    def _is_beside(self, images: Sequence[Image]) -> bool:
        """Tell whether the one file that holds all planes is there, and not the described one."""
        block = next(block for image in images for block in image.blocks)
        found = path_inside(self._described.path.parent, block.file or "")
        if found is None or found == self._described.path or not found.is_file():
            return False
        return self._may_hold(found, block)

    def _check_claims(self) -> None:
        """Refuse planes that share a page, or number the pages anew where they add up."""
        held = self.held()
        claims = self._file[held].astype(np.int64) << 32 | self._page[held]
        if np.unique(claims).size == claims.size:
            return
        if len(self.images) == 1 and len(self.files) == 1 and self._own_pages == held.sum():
            turn = [self.main.order.index(axis) for axis in "TCZ"]
            lengths = [self.main.sizes[axis] for axis in self.main.order]
            self._page[0] = np.arange(held.sum()).reshape(lengths).transpose(turn)
            self.notes.append(
                "The OME-XML gives several planes the same page; there are as many pages as "
                "planes, and they are taken in order."
            )
            return
        raise FovflowError(
            f"the OME-XML of {self._described.path} gives several planes the same page",
            found=f"{claims.size} planes on {np.unique(claims).size} pages",
            remedy="save the set again as OME-TIFF from its source",
        )

    def held(self) -> NDArray[np.bool_]:
        """Return which planes there are, (P, T, C, Z)."""
        return np.asarray(self._file != _ABSENT)

    def first_file(self) -> Path:
        """Return the file of the first plane that is there."""
        held = np.flatnonzero(self.held())
        return self.files[self._file.flat[held[0]]] if held.size else self.files[0]

    def first_page(self) -> int:
        """Return the page of the first plane that is there."""
        held = np.flatnonzero(self.held())
        return int(self._page.flat[held[0]]) if held.size else 0

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

    The file with the description comes first; the list is empty for TIFF files of other kinds.
    """
    with opened_once() as open_pages:
        described = describe_set(path, open_pages)
        if described is None:
            return []
        own_pages = open_pages(described.path).count if described.in_tiff else 0
        return _PlaneIndex(described, own_pages).files


def _describe(index: _PlaneIndex, frames: HeldFrames, plane: tuple[int, int, str]) -> RawInfo:
    notes = [f"The file {name!r} of the set is not there." for name in index.absent[:5]]
    read = [image if same else None for image, same in zip(index.images, index.alike, strict=True)]
    notes += index.notes
    sizes_um = [image.edges_um[0] if image else None for image in read]
    notes += other_pixels(sizes_um, index.main.edges_um[0])
    notes += other_channels(
        [image.channels if image else None for image in read], index.main.channels
    )
    shape, dtype = plane[:2], plane[2]
    shapes = [(image.sizes["Y"], image.sizes["X"]) if image else None for image in read]
    if (index.main.sizes["Y"], index.main.sizes["X"]) == shape:  # else the page counts
        shape, odd = common_shape(shapes)
        notes += odd
    return raw_info(
        "ome-tiff",
        long_axes(f"P{index.main.order}", index.sizes),
        index.sizes,
        (*shape, dtype),
        axes_from="OME-XML",
        positions=[(image.name, image.x_um, image.y_um) for image in index.images],
        channels=index.main.channels,
        edges_um=index.main.edges_um,
        z_um=index.main.z_um,
        missing=frames.missing,
        missing_planes=frames.missing_planes,
        warnings=tuple(notes),
    )


def _kind(image: Image) -> tuple[int, int, str]:
    return image.sizes["C"], image.sizes["Z"], image.type


def _sizes(image: Image) -> str:
    lengths = [f"{axis} {image.sizes[axis]}" for axis in "TCZ"]
    return ", ".join([*lengths, image.type] if image.type else lengths)
