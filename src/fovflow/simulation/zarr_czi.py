"""Writers of OME-Zarr (0.4 and 0.5) and, where pylibCZIrw is installed, CZI."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np

from fovflow.atomic import atomic_files
from fovflow.errors import ConfigError, FovflowError
from fovflow.simulation.source import About, Frames, Source, describe

_ZARR_FORMAT: dict[str, Literal[2, 3]] = {"0.4": 2, "0.5": 3}
_LAYOUT = 3  # version of the bioformats2raw layout


def write_ome_zarr(
    path: str | os.PathLike[str],
    frames: Frames,
    *,
    version: str = "0.5",
    **about: Unpack[About],
) -> list[Path]:
    """Write an OME-Zarr: axes t, c, y, x, one resolution, a chunk per plane; return the folder.

    A single position is the image itself; several lie in groups ``0``, ``1``, … with an ``OME``
    group that lists them (the bioformats2raw layout). It carries pixel size and period (scale),
    stage coordinates (translation), names of positions and channels, but not the times of frames.
    Version 0.4 is stored as Zarr 2, 0.5 as Zarr 3. Parameters as in `source.describe`. A folder
    that exists, or another version, is a ConfigError.
    """
    import zarr

    source = describe(frames, **about)
    folder = Path(path)
    if version not in _ZARR_FORMAT:
        raise ConfigError(f"OME-Zarr {version!r} is neither 0.4 nor 0.5")
    if folder.exists():
        raise ConfigError(f"{folder} exists already", remedy="give another name or remove it")
    count = source.shape[1]
    root = zarr.open_group(str(folder), mode="w-", zarr_format=_ZARR_FORMAT[version])
    if count == 1:
        write_image(root, source, 0, version)
        return [folder]
    _describe(root, {"bioformats2raw.layout": _LAYOUT}, version)
    _describe(root.create_group("OME"), {"series": [str(p) for p in range(count)]}, version)
    for p in range(count):
        write_image(root.create_group(str(p)), source, p, version)
    return [folder]


def _describe(group: Any, attributes: dict[str, Any], version: str) -> None:
    """Set a group's attributes; from 0.5 on they stand under ``ome``."""
    if version == "0.4":
        group.attrs.update(attributes)
    else:
        group.attrs["ome"] = {"version": version, **attributes}


def write_image(group: Any, source: Source, p: int, version: str) -> None:
    """Write a position as the image of a group of Zarr."""
    n_frames, _, n_channels, height, width = source.shape
    named: dict[str, Any] = {"dimension_names": ["t", "c", "y", "x"]} if version != "0.4" else {}
    array = group.create_array(
        "0",
        shape=(n_frames, n_channels, height, width),
        chunks=(1, 1, height, width),
        dtype=source.dtype,
        fill_value=0,
        chunk_key_encoding={"name": "v2" if version == "0.4" else "default", "separator": "/"},
        **named,
    )
    _describe(group, _image_attributes(source, p, version), version)
    for t in source.held(p):
        array[t] = source.frame(p, t)


def _image_attributes(source: Source, p: int, version: str) -> dict[str, Any]:
    time: dict[str, Any] = {"name": "t", "type": "time"}
    axes = [
        {**time, "unit": "second"} if source.period_s > 0 else time,
        {"name": "c", "type": "channel"},
        *({"name": name, "type": "space", "unit": "micrometer"} for name in "yx"),
    ]
    scale = [source.period_s or 1.0, 1.0, source.pixel_um, source.pixel_um]
    transforms: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
    if source.positions is not None:
        x, y, _ = source.positions[p]
        transforms.append({"type": "translation", "translation": [0.0, 0.0, float(y), float(x)]})
    image: dict[str, Any] = {
        "axes": axes,
        "datasets": [{"path": "0", "coordinateTransformations": transforms}],
        **({} if source.name(p) is None else {"name": source.name(p)}),
        **({"version": version} if version == "0.4" else {}),
    }
    top = 1.0 if source.dtype.kind == "f" else float(np.iinfo(source.dtype).max)
    shown = [
        {
            "label": name,
            "color": "{:02X}{:02X}{:02X}".format(*source.color(c)),
            "active": True,
            "window": {"min": 0.0, "max": top, "start": 0.0, "end": top},
        }
        for c, name in enumerate(source.channels)
    ]
    return {"multiscales": [image], "omero": {"channels": shown}}


_BETWEEN_PX = 64
"""Distance between the scenes on the file's canvas (px)."""


def write_czi(path: str | os.PathLike[str], frames: Frames, **about: Unpack[About]) -> list[Path]:
    """Write a CZI, one scene per position; return the file.

    It carries channel names and pixel size; the library writes neither the times of frames nor
    the stage. A CZI holds random identifiers and its date, so two are never the same bytes.
    Parameters as in `source.describe`. FovflowError where pylibCZIrw is not installed.
    """
    source = describe(frames, **about)
    try:
        from pylibCZIrw import czi
    except ImportError as error:
        raise FovflowError(
            "CZI files need the package pylibCZIrw", remedy='install "fovflow[czi]"'
        ) from error
    target = Path(path)
    _, n_positions, _, _, width = source.shape
    with (
        atomic_files({"czi": target}, target.name) as work,
        czi.create_czi(str(work.paths["czi"])) as writer,
    ):
        for p in range(n_positions):
            corner = (p * (width + _BETWEEN_PX), 0)
            for t in source.held(p):
                for c, plane in enumerate(source.frame(p, t)):
                    at = {"C": c, "T": t, "Z": 0}
                    writer.write(plane[..., None], location=corner, plane=at, scene=p)
        writer.write_metadata(
            document_name=target.stem,
            channel_names=dict(enumerate(source.channels)),
            scale_x=source.pixel_um * 1e-6,
            scale_y=source.pixel_um * 1e-6,
        )
    return [target]
