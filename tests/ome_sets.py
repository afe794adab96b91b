"""OME-TIFF sets of several files, made by hand: what cameras' software writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import tifffile


def write_ome_set(
    folder: Path,
    frames: np.ndarray,
    *,
    channels: Iterable[str],
    pixel_um: float,
    positions: Iterable[tuple[float, float, str]] | None = None,
    times_s: np.ndarray | None = None,
    period_s: float = 0.0,
    missing: Iterable[tuple[int, int]] = (),
    rename: Callable[[str], str] = lambda name: name,
) -> Path:
    """Write one file per position and frame, all described in the first; return that one.

    `rename` changes the names that the description gives.
    """
    folder.mkdir(parents=True, exist_ok=True)
    n_frames, n_positions, n_channels, height, width = frames.shape
    absent = set(missing)
    images = ""
    stage = list(positions or [(0.0, 0.0, f"P{p}") for p in range(n_positions)])
    for p in range(n_positions):
        x, y, label = stage[p]
        blocks = planes = ""
        for t in range(n_frames):
            name = rename(f"set_{p}_{t}.ome.tif")
            for c in range(n_channels):
                blocks += (
                    f'<TiffData FirstT="{t}" FirstC="{c}" FirstZ="0" IFD="{c}" PlaneCount="1">'
                    f"<UUID FileName={quoteattr(name)}>urn:uuid:{p}-{t}</UUID></TiffData>"
                )
                stamp = "" if times_s is None else f'DeltaT="{times_s[t, p] * 1000}" '
                planes += (
                    f'<Plane TheT="{t}" TheC="{c}" TheZ="0" {stamp}DeltaTUnit="ms" '
                    f'PositionX="{x}" PositionXUnit="µm" PositionY="{y}" PositionYUnit="µm"/>'
                )
        named = "".join(
            f'<Channel ID="Channel:{p}:{c}" Name={quoteattr(name)} SamplesPerPixel="1"/>'
            for c, name in enumerate(channels)
        )
        period = f'TimeIncrement="{period_s}" ' if period_s else ""
        kind = {"float32": "float"}.get(frames.dtype.name, frames.dtype.name)
        images += (
            f'<Image ID="Image:{p}" Name={quoteattr(label)}><Pixels ID="Pixels:{p}" '
            f'DimensionOrder="XYCZT" Type="{kind}" SizeX="{width}" SizeY="{height}" '
            f'SizeZ="1" SizeC="{n_channels}" SizeT="{n_frames}" {period}'
            f'PhysicalSizeX="{pixel_um * 1000}" PhysicalSizeXUnit="nm">'
            f"{named}{blocks}{planes}</Pixels></Image>"
        )
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0-0">'
        f"{images}</OME>"
    )
    for p in range(n_positions):
        for t in range(n_frames):
            if (p, t) in absent:
                continue
            with tifffile.TiffWriter(folder / f"set_{p}_{t}.ome.tif") as writer:
                for c in range(n_channels):
                    first = p == t == c == 0
                    writer.write(
                        frames[t, p, c],
                        photometric="minisblack",
                        description=xml.encode() if first else None,
                        metadata=None,
                    )
    return folder / "set_0_0.ome.tif"
