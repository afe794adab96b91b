"""TIFF writers: OME-TIFF, ImageJ hyperstacks, series of single planes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Unpack
from xml.sax.saxutils import quoteattr

from numpy.typing import NDArray

from fovflow.atomic import atomic_open
from fovflow.errors import ConfigError
from fovflow.simulation.source import About, Frames, Source, describe

_OME = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
_OME_TYPES = {"uint8": "uint8", "uint16": "uint16", "uint32": "uint32", "float32": "float"}
_UM_PER_CM = 10_000.0
_SOFTWARE = "fovflow"


def write_ome_tiff(
    path: str | os.PathLike[str],
    frames: Frames,
    *,
    split: bool = False,
    **about: Unpack[About],
) -> list[Path]:
    """Write an OME-TIFF, one image (series) per position, planes ordered T, C; return the files.

    It carries names and stage coordinates of positions, channel names and colours, pixel size,
    `TimeIncrement` and each plane's `DeltaT`. With `split` there is one file per position,
    ``{stem}_s{p:02d}.ome.tif``, each complete in itself. Parameters as in `source.describe`.
    """
    import tifffile

    source = describe(frames, **about)
    path, every = Path(path), range(source.shape[1])
    stem = path.name.removesuffix(".tiff").removesuffix(".tif").removesuffix(".ome")
    parts = {path: list(every)}
    if split:
        parts = {path.with_name(f"{stem}_s{p:02d}.ome.tif"): [p] for p in every}
    t, _, c, y, x = source.shape
    position_bytes = t * c * (y * x * source.dtype.itemsize + 1024)
    for target, members in parts.items():
        xml = _ome_xml(source, members).encode()
        big = position_bytes * len(members) > 2**32 - 2**25
        with (
            atomic_open(target, "wb") as file,
            tifffile.TiffWriter(file, bigtiff=big, ome=False) as writer,
        ):
            for p in filter(source.held, members):
                writer.write(
                    _planes(source, p),
                    shape=(len(source.held(p)) * c, y, x),
                    description=xml or None,
                    **_plane_options(source),
                )
                xml = b""
    return list(parts)


def _plane_options(source: Source) -> dict[str, Any]:
    """Return what TiffWriter.write is told of single planes."""
    per_cm = _UM_PER_CM / source.pixel_um
    return {
        "dtype": source.dtype,
        "photometric": "minisblack",
        "metadata": None,
        "resolution": (per_cm, per_cm),
        "resolutionunit": "CENTIMETER",
        "software": _SOFTWARE,
    }


def _planes(source: Source, p: int) -> Iterator[NDArray[Any]]:
    for t in source.held(p):
        yield from source.frame(p, t)


def _ome_xml(source: Source, members: list[int]) -> str:
    """Return the OME-XML of some positions, whose planes follow each other in one file."""
    n_frames, _, n_channels, height, width = source.shape
    parts = [f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{_OME}" Creator="{_SOFTWARE}">']
    ifd = 0
    for k, p in enumerate(members):
        name = source.name(p)
        label = f" Name={quoteattr(name)}" if name is not None else ""
        times = f' TimeIncrement="{source.period_s!r}" TimeIncrementUnit="s"'
        increment = times if source.period_s else ""
        parts.append(
            f'<Image ID="Image:{k}"{label}><Pixels ID="Pixels:{k}" DimensionOrder="XYCZT" '
            f'Type="{_OME_TYPES[source.dtype.name]}" SizeX="{width}" SizeY="{height}" '
            f'SizeC="{n_channels}" SizeZ="1" SizeT="{n_frames}" BigEndian="false" '
            f'PhysicalSizeX="{source.pixel_um!r}" PhysicalSizeXUnit="µm" '
            f'PhysicalSizeY="{source.pixel_um!r}" PhysicalSizeYUnit="µm"{increment}>'
        )
        parts += [_ome_channel(source, k, c) for c in range(n_channels)]
        held = source.held(p)
        if len(held) == n_frames:
            parts.append(f'<TiffData IFD="{ifd}" PlaneCount="{n_frames * n_channels}"/>')
        else:
            parts += [
                f'<TiffData IFD="{ifd + i * n_channels + c}" FirstT="{t}" FirstC="{c}" '
                'FirstZ="0" PlaneCount="1"/>'
                for i, t in enumerate(held)
                for c in range(n_channels)
            ]
        ifd += len(held) * n_channels
        parts += [_ome_plane(source, p, t, c) for t in held for c in range(n_channels)]
        parts.append("</Pixels></Image>")
    return "".join([*parts, "</OME>"])


def _ome_channel(source: Source, k: int, c: int) -> str:
    signed = int.from_bytes([*source.color(c), 255], "big", signed=True)
    return (
        f'<Channel ID="Channel:{k}:{c}" Name={quoteattr(source.channels[c])} '
        f'SamplesPerPixel="1" Color="{signed}"/>'
    )


def _ome_plane(source: Source, p: int, t: int, c: int) -> str:
    more = ""
    if source.times_s is not None:
        more += f' DeltaT="{float(source.times_s[t, p])!r}" DeltaTUnit="s"'
    if source.positions is not None:
        x, y, _ = source.positions[p]
        more += (
            f' PositionX="{float(x)!r}" PositionXUnit="µm"'
            f' PositionY="{float(y)!r}" PositionYUnit="µm"'
        )
    return f'<Plane TheZ="0" TheT="{t}" TheC="{c}"{more}/>'


def write_imagej_tiff(
    path: str | os.PathLike[str], frames: Frames, **about: Unpack[About]
) -> list[Path]:
    """Write ImageJ hyperstacks (axes T, C, Y, X); return the files.

    The format holds a single position: several make one file each, ``{stem}_s{p:02d}.tif``. It
    carries pixel size, period and channel names (as slice labels), but neither the times of
    frames nor the stage. Parameters as in `source.describe`.
    """
    import tifffile

    source = describe(frames, **about)
    if source.missing:
        raise ConfigError(
            "an ImageJ TIFF cannot leave out missing frames", remedy="use OME-TIFF or ND2"
        )
    n_frames, n_positions, n_channels, height, width = source.shape
    path = Path(path)
    written = []
    for p in range(n_positions):
        target = path if n_positions == 1 else path.with_name(f"{path.stem}_s{p:02d}.tif")
        metadata: dict[str, Any] = {
            "axes": "TCYX",
            "unit": "um",
            "mode": "composite" if n_channels > 1 else "grayscale",
            "Labels": list(source.channels) * n_frames,
        }
        if source.period_s > 0:
            metadata |= {"finterval": source.period_s, "fps": 1.0 / source.period_s}
        with atomic_open(target, "wb") as file, tifffile.TiffWriter(file, imagej=True) as writer:
            writer.write(
                _planes(source, p),
                shape=(n_frames, n_channels, height, width),
                dtype=source.dtype,
                resolution=(1.0 / source.pixel_um, 1.0 / source.pixel_um),
                metadata=metadata,
                software=_SOFTWARE,
            )
        written.append(target)
    return written


def write_tiff_series(
    path: str | os.PathLike[str],
    frames: Frames,
    *,
    name: str | None = None,
    **about: Unpack[About],
) -> list[Path]:
    """Write single planes, ``{name}_s{p:02d}_t{t:03d}_c{c}.tif``, into a folder; return the files.

    They carry the pixel size (as resolution) and nothing else. `path` is the folder, made if need
    be; `name` its own name by default. Parameters as in `source.describe`.
    """
    import tifffile

    source = describe(frames, **about)
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for p in range(source.shape[1]):
        for t in source.held(p):
            for c, plane in enumerate(source.frame(p, t)):
                target = folder / f"{name or folder.name}_s{p:02d}_t{t:03d}_c{c}.tif"
                with target.open("wb") as file:
                    tifffile.imwrite(file, plane, **_plane_options(source))
                written.append(target)
    return written
