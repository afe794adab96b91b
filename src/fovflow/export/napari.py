"""The reader plug-in of napari: images with scale, cells as Labels, links as Tracks.

napari finds it by ``napari.yaml``. It opens ``processing_results.yaml``, for which the first
`MOST_FOVS` complete FOVs are shown, or the folder of any FOV. Stacks stay on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from fovflow.errors import FovflowError
from fovflow.export.fov import ExportedFov
from fovflow.layout import RESULTS_NAME
from fovflow.results import load_results

MOST_FOVS = 4

Layer = tuple[Any, dict[str, Any], str]
"""Data, what napari is told of them, and the kind of layer."""

_COLOURS = ("green", "magenta", "cyan", "yellow", "red", "blue")


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[Layer]] | None:
    """Return what reads a path; None where it is neither a results file nor a folder of an FOV."""
    one = Path(path[0] if isinstance(path, list) else path)
    fine = one.name == RESULTS_NAME or (one.is_dir() and _index(one) is not None)
    return _read if fine else None


def _index(folder: Path) -> int | None:
    number = folder.name.removeprefix("fov_")
    return int(number) if number.isdecimal() and folder.name.startswith("fov_") else None


def _read(paths: str | list[str]) -> list[Layer]:
    found: list[Layer] = []
    for path in map(Path, [paths] if isinstance(paths, str) else paths):
        if path.name == RESULTS_NAME:
            found += layers(path.parent)
        elif (index := _index(path)) is not None:
            found += layers(path.parent, [index])
    return found


def layers(folder: str | Path, fovs: Collection[int] | None = None) -> list[Layer]:
    """Return the layers of FOVs, by default the first `MOST_FOVS` that have stacks.

    `folder`: as for `fovflow.load_results`. Raises FovflowError if no FOV has stacks.
    """
    results = load_results(folder)
    able = [fov for i, fov in results.fovs.items() if fov.stacks and (not fovs or i in fovs)]
    if not able:
        raise FovflowError(
            f"{folder}: there is nothing to show",
            found="no stacks of these FOVs",
            remedy="let the configuration's key keep name pc, fl and seg_labeled, and run again",
        )
    shown = able if fovs else able[:MOST_FOVS]
    return [
        (data, {**about, "visible": about.get("visible", True) and fov is shown[0]}, kind)
        for fov in shown
        for data, about, kind in _layers_of(ExportedFov(fov))
    ]


def _layers_of(fov: ExportedFov) -> list[Layer]:
    px = fov.known_pixel_um
    place: dict[str, Any] = {
        "scale": (1.0, px or 1.0, px or 1.0),
        "units": ("pixel", *["µm" if px else "pixel"] * 2),
        "axis_labels": ("frame", "y", "x"),
    }
    name = fov.fov.path.name
    found: list[Layer] = []
    for words, images in (("", fov.images), (" corrected", fov.corrected)):
        for each, kind, channel in images:
            stack = fov.fov.stack(kind, channel)
            low, high = np.percentile(stack[len(stack) // 2], (0.1, 99.9)).tolist()
            colour = "gray" if kind == "pc" else _COLOURS[(channel - 1) % len(_COLOURS)]
            about: dict[str, Any] = {
                "name": f"{name} {each}{words}",
                "colormap": colour,
                "blending": "translucent" if kind == "pc" else "additive",
                "contrast_limits": (low, max(high, low + 1)),
                "visible": not words,
            }
            found.append((stack, place | about, "image"))
    if "seg_labeled" in fov.fov.stacks:
        about = {"name": f"{name} cells", "opacity": 0.4}
        found.append((fov.fov.stack("seg_labeled"), place | about, "labels"))
    if fov.fov.traces_path is not None and len(fov.rows):
        rows = fov.rows
        columns = ["cell", "frame", "position_y", "position_x"]
        kept = ["good", *(each.name for each in fov.features())]
        known = set(rows["cell"])
        graph = {k: [v] for k, v in fov.mothers.items() if {k, v} <= known}
        about = {"name": f"{name} tracks", "features": rows[kept].astype(float), "graph": graph}
        found.append((rows[columns].to_numpy(np.float64), place | about, "tracks"))
    return found
