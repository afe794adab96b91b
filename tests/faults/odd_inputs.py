"""Raw files that are legal and odd, and raw files that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from fovflow.simulation import MovieParams, simulate

UNITS = {"pixel_um": 0.65, "interval_s": 300}
"""What these files do not say."""

HOSTILE_NAME = "<script>alert(1)</script>"
"""Name of the fluorescence channel in all of these files."""


def movie(frames: int, height: int, width: int, **more: Any) -> np.ndarray:
    """Return simulated cells, (T, 2, Y, X) uint16."""
    settings = {"seed": 3, "positions": 1, "cells": 2, "frames": frames} | more
    made = simulate(MovieParams(height=height, width=width, **settings))
    return np.stack([np.stack(made.frame(0, t)) for t in range(frames)])


def write(path: Path, pixels: np.ndarray, axes: str = "TCYX") -> None:
    """Write an OME-TIFF file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = {"Name": ["Phase", HOSTILE_NAME]}
    tifffile.imwrite(path, pixels, ome=True, metadata={"axes": axes, "Channel": names})


def write_odd_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Write one file of each odd kind; return the configuration of the datasets."""
    rng = np.random.default_rng(1)
    cells = movie(3, 64, 72)
    holed = cells.astype(np.float32)
    holed[:, :, :20, :20] = np.nan
    holed[1] = np.nan
    holed[2, 0, 40, 40] = np.inf
    stack = np.stack([cells // 2, cells, cells // 3], axis=2)  # T, C, Z, Y, X
    files = {
        "flat": np.stack([np.full((2, 64, 72), level, np.uint16) for level in (100, 65_535)]),
        "tiny": rng.integers(90, 110, (2, 2, 8, 8)).astype(np.uint16),
        "one odd frame": movie(1, 57, 83),
        "not a number": holed,
    }
    for name, pixels in files.items():
        write(folder / f"{name}.ome.tif", pixels)
    write(folder / "z stack.ome.tif", stack, "TCZYX")
    far = folder / "ein Ordner" / "Größe µm 数据.ome.tif"
    write(far, cells)
    (folder / "link.tif").symlink_to(far)
    datasets = {name: {"path": f"raw/{name}.ome.tif", **UNITS} for name in [*files, "z stack"]}
    return datasets | {"Zellen Ä 数据": {"path": "raw/link.tif", **UNITS}}


def write_bad_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Write files that are none of the known kinds, or not whole; return their datasets."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "garbage.nd2").write_bytes(np.random.default_rng(2).bytes(5000))
    (folder / "empty.tif").write_bytes(b"")
    write(folder / "cut.ome.tif", movie(2, 64, 72))
    whole = (folder / "cut.ome.tif").read_bytes()
    (folder / "cut.ome.tif").write_bytes(whole[: len(whole) // 2])
    (folder / "folder").mkdir()
    return {
        "garbage": {"path": "raw/garbage.nd2", **UNITS},
        "empty": {"path": "raw/empty.tif", **UNITS},
        "cut": {"path": "raw/cut.ome.tif", **UNITS},
        "folder": {"path": "raw/folder", **UNITS},
    }
