"""What must lie in a folder before a page is followed there: what its reader has, too."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

from fovflow.simulation import MovieParams, simulate, write_movie

TOLD = "make_demo.txt"
"""File with what ``make demo`` printed."""


def copy(source: str, target: str) -> None:
    """Copy a file; stacks, which are only ever replaced as a whole, by a hard link."""
    (os.link if source.endswith((".npy", ".nd2")) else shutil.copy2)(source, target)


def beside_the_demo(folder: Path, demo: Path) -> Path:
    """Return a folder with the finished demo in it, and the environment of this process."""
    shutil.copytree(demo, folder, dirs_exist_ok=True, copy_function=copy)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def in_the_demo(folder: Path, demo: Path) -> Path:
    """Return the finished demo."""
    return beside_the_demo(folder, demo) / "demo"


def in_an_unfinished_demo(folder: Path, demo: Path) -> Path:
    """Return the demo with its report to be made again, by a run of a given name."""
    project = in_the_demo(folder, demo)
    (project / "results" / "report.html").unlink()
    config = project / "config" / "config.yaml"
    config.write_text(config.read_text() + "\nrun: {name: brave-otter}\n")
    return project


def with_raw_data(folder: Path, demo: Path) -> Path:
    """Return a folder with the finished demo, a small raw file, and a series of TIFF files."""
    beside_the_demo(folder, demo)
    params = MovieParams(positions=2, frames=6, height=128, width=144, cells=3)
    (folder / "data").mkdir()
    write_movie(simulate(params), folder / "data" / "plate1.nd2")
    for name in ("a/phase_001", "a/phase_002", "b/phase_001", "b/phase_002"):
        path = folder / "data" / "t98g" / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, np.full((16, 16), 100, np.uint16))
    return folder


def empty(folder: Path, demo: Path) -> Path:
    """Return an empty folder."""
    return folder


PREPARED: dict[str, Callable[[Path, Path], Path]] = {
    "README.md": with_raw_data,
    "docs/tutorial.md": beside_the_demo,
    "docs/analysis.md": empty,
    "docs/algorithms/features.md": empty,
    "docs/algorithms/segmentation.md": empty,
    "docs/exports.md": in_the_demo,
    "docs/extending.md": in_the_demo,
    "docs/live.md": in_an_unfinished_demo,
    "docs/provenance.md": in_the_demo,
    "docs/readers.md": with_raw_data,
    "docs/report.md": in_the_demo,
    "docs/scaling.md": with_raw_data,
    "docs/simulation.md": empty,
    "docs/statistics.md": empty,
    "docs/tuning.md": with_raw_data,
}
"""Pages whose blocks `test_pages` runs, in order, each in such a folder."""

ELSEWHERE = {
    "docs/README.md": "tests/documents/conftest.py",
    "docs/executions.md": "tests/runs/test_run_docs.py",
    "docs/mapping.md": "tests/workflow/test_documented_code.py",
    "docs/reuse.md": "tests/workflow/test_module_use.py",
    "docs/run-class.md": "tests/runs/test_run_docs.py",
    "docs/steps.md": "tests/workflow/test_documented_code.py",
}
"""Pages whose blocks other tests run, with expectations of their own."""
