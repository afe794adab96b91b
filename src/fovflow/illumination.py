"""Files of dark frames and flat-fields, and the frames that a flat-field is estimated from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.copying import choose_z, crop_plane, read_plane
from fovflow.errors import FovflowError
from fovflow.readers.base import RawReader

MAX_FRAMES = 96
"""Frames, spread evenly over FOVs and time, that a flat-field is estimated from."""


def read_image(path: str, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Read a dark frame or a flat-field from an npy or TIFF file.

    Parameters
    ----------
    path : str
        File of one (Y, X) image.
    shape : tuple of int
        The shape that it must have, as frames have it after cropping.

    Returns
    -------
    numpy.ndarray
        (Y, X) float32.

    Raises
    ------
    FovflowError
        If the file cannot be read, has another shape, or holds values that are not finite.
    """
    try:
        found, image = _open_image(Path(path), tuple(shape))
    except Exception as error:
        raise FovflowError(
            f"cannot read the image {path}", found=str(error), remedy="give an npy or TIFF file"
        ) from error
    finite = image is None or bool(np.isfinite(image).all())
    if image is None or not finite:
        raise FovflowError(
            f"the image {path} does not fit",
            found=f"shape {found}" + ("" if finite else ", not finite"),
            remedy=f"give an image of finite numbers of shape {tuple(shape)}",
        )
    return image


def _open_image(
    path: Path, shape: tuple[int, ...]
) -> tuple[tuple[int, ...], NDArray[np.float32] | None]:
    """Return the shape that a file announces, and its pixels where it is the one that is wanted.

    No header makes more memory be reserved than an image of `shape` takes.
    """
    if path.suffix == ".npy":
        from numpy.lib.format import open_memmap

        mapped: NDArray[Any] = open_memmap(path, mode="r")
        found = tuple(n for n in mapped.shape if n != 1 or mapped.shape == shape)
        return found, mapped.reshape(shape).astype(np.float32) if found == shape else None
    from fovflow.readers.tiff_pages import TiffPages

    pages = TiffPages(path)
    try:
        page: Any = pages.tif.pages[0]
        size = (page.imagelength, page.imagewidth) if page.samplesperpixel == 1 else page.shape
        found = (*((pages.count,) if pages.count > 1 else ()), *map(int, size))
        return found, page.asarray().reshape(shape).astype(np.float32) if found == shape else None
    finally:
        pages.close()


def sampled_frames(
    raw: RawReader, channel: int, options: Mapping[str, Any], note: Callable[[str], None]
) -> Iterator[NDArray[Any]]:
    """Yield at most `MAX_FRAMES` frames of a channel, spread evenly over FOVs and time.

    Missing frames and frames that cannot be read are left out; `note` is told of the latter.
    """
    first, last, step = options["frames"]
    positions = range(len(raw.info.positions))
    per_fov = max(1, MAX_FRAMES // len(positions))
    source = range(first, last + 1, step)
    chosen = sorted({round(i) for i in np.linspace(0, len(source) - 1, min(per_fov, len(source)))})
    stride = -(-len(positions) * len(chosen) // MAX_FRAMES)
    pairs = [(p, source[i]) for p in positions for i in chosen][::stride]
    missing = set(raw.info.missing)
    z = choose_z(options["z"], channel, raw.info.channels[channel].name)
    for p, t in pairs:
        if (p, t) in missing:
            continue
        try:
            plane = read_plane(raw, p, t, channel, z)
        except FovflowError as error:
            note(f"left out: {error}")
            continue
        yield crop_plane(plane, options["crop"])
