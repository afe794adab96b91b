"""Readers of raw microscopy files; `open_raw` finds the right one."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from fovflow.errors import ConfigError, FovflowError, explained, reading
from fovflow.plugins import entry_points, find
from fovflow.readers.axes import checked_axes, rename_axes
from fovflow.readers.base import Channel, Overrides, Position, RawInfo, RawReader
from fovflow.readers.locate import OME_XML_MAGIC, TIFF_MAGIC, Location, locate
from fovflow.readers.times import FrameTimes
from fovflow.units import Pattern
from fovflow.userfiles import open_regular

__all__ = ["Channel", "FrameTimes", "Position", "RawInfo", "RawReader", "open_raw", "plugin_of"]

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xda\xce\xbe\x0a", "nd2"),
    (b"\x00\x00\x00\x0cjP  ", "nd2"),
    *((magic, "tiff") for magic in TIFF_MAGIC),
    (b"ZISRAWFILE", "czi"),
    *((magic, "ome-tiff") for magic in OME_XML_MAGIC),
)
_FOREIGN = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89HDF", "an HDF5 file"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x93NUMPY", "an npy file"),
    (b"\x70\x00\x00\x00", "perhaps a Leica LIF file"),
    (b"\xd0\xcf\x11\xe0", "perhaps an Olympus OIB or a Zeiss ZVI file"),
    (b'"NDInfoFile"', "MetaMorph's list of the files of a series: name their folder"),
)
_HEAD_BYTES = 16
_LOOKED_AT = 20


def open_raw(
    path: str | os.PathLike[str],
    *,
    pixel_um: float | None = None,
    interval_s: float | None = None,
    pattern: Pattern | None = None,
    format: str | None = None,
    axes: str | Mapping[str, str] | None = None,
) -> RawReader:
    """Open a raw dataset; what it is, is told from its content.

    Parameters
    ----------
    path : path-like
        A file (ND2, TIFF, ``.companion.ome``, CZI), an OME-Zarr folder, a folder of TIFF files, or
        a glob pattern of a TIFF series such as ``data/t98g/*.tif``.
    pixel_um : float, optional
        Edge length of a pixel in µm, in place of what the files say.
    interval_s : float, optional
        Time between frames in seconds, in place of what the files say.
    pattern : str or sequence of str, optional
        How the names of a TIFF series are made up, such as ``"{position}/{channel}_{time}.tif"``
        (see ``docs/readers.md``); of several, each name takes the first that fits. Without it, the
        names themselves tell the fields.
    format : str, optional
        Name of the reader to use whatever the content: ``nd2``, ``tiff``, ``tiff-series``,
        ``ome-zarr``, ``czi``, or that of a plug-in.
    axes : str or mapping, optional
        What the axes of the file are, where it does not say so or says it wrongly: the letters of
        all that are longer than one, outermost first (``"TCYX"``; P position, T time, C channel,
        Z z plane), or which axis is what (``{"z": "time"}``).

    Returns
    -------
    RawReader
        Use it as a context manager.

    Raises
    ------
    FovflowError
        If there is no such file, or it is empty, damaged, of an unknown or unsupported kind.
    ConfigError
        For a wrong `pattern`, `format`, `axes`, `pixel_um` or `interval_s`.

    Examples
    --------
    >>> import numpy as np, tempfile, tifffile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     name = f"{folder}/cells.ome.tif"
    ...     tifffile.imwrite(name, np.ones((5, 32, 48), np.uint16), metadata={"axes": "TYX"})
    ...     with open_raw(name, pixel_um=0.65, interval_s=300) as raw:
    ...         raw.info.n_frames, raw.read(p=0, t=4, c=0).shape, float(raw.times(0).seconds[4])
    (5, (32, 48), 1200.0)
    """
    named = None if axes is None else checked_axes(axes)
    given = Overrides(pixel_um, interval_s, named if isinstance(named, str) else None)
    location = locate(path)
    opener = find("readers", format, _BUILTIN) if format else _by_content(location, pattern)
    with (
        explained(
            f"{location.root} is damaged, cut off, or of a kind that is not understood",
            remedy="copy it again from its source, or convert it to OME-TIFF",
            name_kind=True,
        ),
        reading(location.root),
    ):
        reader: RawReader = opener(location, given, pattern)
        if named is None:
            return reader
        try:
            return rename_axes(reader, named, given)
        except FovflowError:
            reader.close()
            raise


def plugin_of(path: str | os.PathLike[str], pattern: Pattern | None = None) -> str:
    """Return the name of the plug-in that reads a dataset; empty where the package does itself.

    Raises as `open_raw` does for what nobody reads.
    """
    opener = _by_content(locate(path), pattern)
    if isinstance(opener, _Builtin):
        return ""
    names: list[str] = [each.name for each in entry_points(group="fovflow.readers")]
    return next(name for name in names if find("readers", name, _BUILTIN) is opener)


def _head(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read(_HEAD_BYTES)


def _by_content(location: Location, pattern: Pattern | None) -> Any:
    """Return the reader for what is there: by its first bytes, else the plug-in that accepts it."""
    if location.root.is_dir() and not location.files:
        return _BUILTIN["ome-zarr"]
    path = location.files[0] if location.files else location.root
    if path.is_dir():
        return _BUILTIN["ome-zarr"]
    head = _head(path)
    rest = (_head(each) for each in location.files[1:_LOOKED_AT] if each.is_file())
    kinds = (
        name
        for each in itertools.chain([head], rest)
        for magic, name in _MAGIC
        if each.startswith(magic)
    )
    kind = next(kinds, None)  # the first file of a series may be damaged
    if kind == "tiff" and (location.files or pattern is not None):
        kind = "tiff-series"
    if kind is not None:
        if pattern is not None and kind != "tiff-series":
            raise ConfigError(
                f"pattern: {path} is no file of a TIFF series",
                found=f"a file of kind {kind}",
                remedy="leave the pattern out",
            )
        return _BUILTIN[kind]
    for plugin in entry_points(group="fovflow.readers"):
        opener = find("readers", plugin.name, _BUILTIN)
        accepts = getattr(opener, "accepts", None)
        if accepts is not None and accepts(path, head):
            return opener
    foreign = next((what for magic, what in _FOREIGN if head.startswith(magic)), None)
    raise FovflowError(
        f"{path} is no raw file of a known kind",
        found=f"first bytes {head!r}" + (f", {foreign}" if foreign else ""),
        remedy="use ND2, CZI, TIFF or OME-Zarr, convert it to OME-TIFF, or install a reader for it",
    )


def _single_file(location: Location, pattern: Pattern | None) -> tuple[Path]:
    if len(location.files) == 1:
        return (location.files[0],)
    if location.files or location.root.is_dir():
        raise FovflowError(
            f"{location.root} stands for several files where one is needed",
            found=f"{len(location.files)} files",
            remedy="name one file; several of them are several datasets",
        )
    return (location.root,)


@dataclass(frozen=True)
class _Builtin:
    """A reader of the package, imported when it is needed, and what it takes of a location."""

    module: str
    opener: str
    arguments: Callable[[Location, Pattern | None], tuple[Any, ...]] = _single_file

    def __call__(self, location: Location, given: Overrides, pattern: Pattern | None) -> Any:
        opener = getattr(import_module(f"fovflow.readers.{self.module}"), self.opener)
        return opener(*self.arguments(location, pattern), given)


_BUILTIN: dict[str, Any] = {
    "nd2": _Builtin("nd2", "Nd2Reader"),
    "tiff": _Builtin("tiff", "open_tiff"),
    "ome-tiff": _Builtin("ome_tiff", "OmeTiffReader"),
    "tiff-series": _Builtin("series", "open_series", lambda location, pattern: (location, pattern)),
    "ome-zarr": _Builtin("zarr", "ZarrReader", lambda location, _: (location.root, location.files)),
    "czi": _Builtin("czi", "CziReader"),
}
