"""OME-Zarr 0.5: images with the cells as a label image, and what is known of each cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fovflow.drawing import colour_of
from fovflow.export.fov import ExportedFov, Format
from fovflow.simulation.source import describe
from fovflow.simulation.zarr_czi import write_image, write_ome_zarr


def _write(fovs: Sequence[ExportedFov], folder: Path) -> None:
    for fov in fovs:
        for end, frames, about in fov.pictures():
            path = folder / f"{fov.base}{end}.ome.zarr"
            write_ome_zarr(path, frames, **about)
            if "seg_labeled" in fov.fov.stacks:
                _write_labels(fov, path)


def _write_labels(fov: ExportedFov, path: Path) -> None:
    import zarr

    root = zarr.open_group(str(path), mode="r+")
    labels = root.create_group("labels")
    labels.attrs["ome"] = {"version": "0.5", "labels": ["cells"]}
    cells = labels.create_group("cells")
    with fov.labels() as frames:
        write_image(cells, describe(frames, **fov.ome(["cells"], frames)), 0, "0.5")
    about = dict(cells.attrs["ome"])
    about.pop("omero")
    about["image-label"] = {"source": {"image": "../../"}, **_known(fov)}
    cells.attrs["ome"] = about


def _known(fov: ExportedFov) -> dict[str, Any]:
    """Return colour and mother of each cell, and in how many of its frames it is good."""
    if fov.fov.traces_path is None:
        return {}
    colours, properties = [], []
    for cell, rows in fov.rows.groupby("cell"):
        label = {"label-value": int(str(cell))}
        colours.append({**label, "rgba": [*colour_of(label["label-value"])[::-1], 255]})
        good, parent = int(rows["good"].sum()), int(rows["parent"].iloc[0])
        properties.append({**label, "parent": parent, "frames": len(rows), "good_frames": good})
    return {"colors": colours, "properties": properties} if colours else {}


FORMAT = Format(
    "OME-Zarr 0.5 of images and labels (napari, Fiji, vizarr)",
    _write,
    (".ome.zarr", "_corrected.ome.zarr"),
    needs=("images", "pixel_um"),
    wants=("labels",),
)
