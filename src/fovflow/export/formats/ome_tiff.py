"""OME-TIFF: axes, µm, names of channels, times; images, corrected images and labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fovflow.export.fov import ExportedFov, Format
from fovflow.simulation.tiff import write_ome_tiff


def _write(fovs: Sequence[ExportedFov], folder: Path) -> None:
    for fov in fovs:
        for end, frames, about in fov.pictures():
            write_ome_tiff(folder / f"{fov.base}{end}.ome.tif", frames, **about)
        if "seg_labeled" in fov.fov.stacks:
            with fov.labels() as labels:
                about = fov.ome(["cells"], labels)
                write_ome_tiff(folder / f"{fov.base}_labels.ome.tif", labels, **about)


FORMAT = Format(
    "OME-TIFF files of images and labels (Fiji, QuPath, tifffile)",
    _write,
    (".ome.tif", "_corrected.ome.tif", "_labels.ome.tif"),
    needs=("images", "pixel_um"),
    wants=("labels",),
)
