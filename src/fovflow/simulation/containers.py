"""All container writers under one roof; a movie written by the file's suffix."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import ConfigError
from fovflow.simulation.movie import Movie
from fovflow.simulation.nd2 import write_nd2
from fovflow.simulation.tiff import write_imagej_tiff, write_ome_tiff, write_tiff_series
from fovflow.simulation.zarr_czi import write_czi, write_ome_zarr

__all__ = [
    "FORMATS",
    "format_of",
    "write_czi",
    "write_imagej_tiff",
    "write_movie",
    "write_nd2",
    "write_ome_tiff",
    "write_ome_zarr",
    "write_tiff_series",
]

_WRITERS: dict[str, Callable[..., list[Path]]] = {
    "nd2": write_nd2,
    "ome-tiff": write_ome_tiff,
    "imagej-tiff": write_imagej_tiff,
    "tiff-series": write_tiff_series,
    "ome-zarr": write_ome_zarr,
    "czi": write_czi,
}
FORMATS = tuple(_WRITERS)
"""Names of the formats, as readers call them."""
_SUFFIXES = {
    ".nd2": "nd2",
    ".ome.tif": "ome-tiff",
    ".ome.tiff": "ome-tiff",
    ".tif": "imagej-tiff",
    ".tiff": "imagej-tiff",
    ".zarr": "ome-zarr",
    ".czi": "czi",
}


def format_of(path: str | os.PathLike[str]) -> str:
    """Return the format that a name stands for; a name without a suffix is a TIFF series.

    Examples
    --------
    >>> format_of("movie.ome.tif"), format_of("movie.tif"), format_of("folder")
    ('ome-tiff', 'imagej-tiff', 'tiff-series')
    """
    name = Path(path).name.lower()
    for suffix, kind in _SUFFIXES.items():
        if name.endswith(suffix):
            return kind
    if "." not in name:
        return "tiff-series"
    raise ConfigError(
        f"no format for the name {Path(path).name!r}",
        remedy=f"give a format ({', '.join(FORMATS)}) or one of the suffixes "
        f"{', '.join(_SUFFIXES)}",
    )


def write_movie(
    movie: Movie,
    path: str | os.PathLike[str],
    format: str | None = None,
    on_frame: Callable[[], None] = lambda: None,
    **options: Any,
) -> list[Path]:
    """Write a simulated movie to a raw file, frame by frame.

    Parameters
    ----------
    movie : Movie
    path : path-like
        A file; a folder for ``ome-zarr`` and ``tiff-series``.
    format : str, optional
        One of `FORMATS`; by default what the suffix says.
    on_frame : callable
        Called after each frame that was rendered, to show progress.
    **options
        Handed to the format's writer, such as ``order="PT"`` for ND2.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    ConfigError
        For an unknown format or suffix, or if the format cannot leave out missing frames.
    """
    kind, params = format or format_of(path), movie.params
    if kind not in _WRITERS:
        raise ConfigError(f"unknown format {kind!r}", remedy=f"use one of {', '.join(FORMATS)}")
    times = np.stack([movie.times(p) for p in range(params.positions)], axis=1)
    rendered: set[tuple[int, int]] = set()  # the first frame is asked for twice

    def render(p: int, t: int) -> NDArray[np.uint16]:
        frame = movie.frame(p, t)
        if (p, t) not in rendered:
            rendered.add((p, t))
            on_frame()
        return frame

    return _WRITERS[kind](
        path,
        render,
        shape=movie.shape,
        channels=movie.channels,
        pixel_um=params.pixel_um,
        positions=movie.positions(),
        times_s=times,
        period_s=params.interval_s,
        **{"missing": params.missing, **options},
    )
