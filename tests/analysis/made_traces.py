"""Made-up traces, and folders of results that hold them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from fovflow.layout import Layout
from fovflow.tables import write_csv


def traces(fov: int, cells: int = 2, frames: int = 3, *, bad: int = 0, **more) -> dict:
    """Return the columns of an FOV's traces; the value of a cell is 100 · FOV + 10 · cell + frame.

    `bad`: id of a cell that is not good.
    """
    cell = np.repeat(np.arange(1, cells + 1), frames)
    frame = np.tile(np.arange(frames), cells)
    return {
        "fov": np.full(cell.size, fov),
        "cell": cell,
        "frame": frame,
        "time": 10.0 * frame + 0.1 * fov,
        "good": cell != bad,
        "area_ch_0": 50 + cell,
        "intensity_total_ch_1": 100.0 * fov + 10.0 * cell + frame,
        "area_um2": 0.25 * (50 + cell),
        "flags": np.where(cell == bad, "min_frames", ""),
        **more,
    }


def write_results(outdir: Path, dataset: str, fovs: dict[int, dict | None], **content) -> Path:
    """Write a dataset's folder; an FOV of None has no traces. Returns the folder."""
    layout = Layout(outdir)
    paths: dict[str, dict] = {}
    for fov, columns in fovs.items():
        file = Path(layout.file("traces", dataset, fov))
        file.parent.mkdir(parents=True, exist_ok=True)
        if columns is not None:
            write_csv(file, columns)
        name = file.relative_to(layout.dataset(dataset)).as_posix()
        paths[str(fov)] = {} if columns is None else {"traces_csv": [[1, name]]}
    known = {
        "dataset": dataset,
        "channels": {"pc": 0, "fl": [1]},
        "channel_names": {0: "Phase", 1: "GFP"},
        "time_units": "min",
        "pixel_um": 0.5,
        "results_paths": paths,
        "fovs": {
            fov: {"status": "complete"} if found else {"status": "failed", "error": "no light"}
            for fov, found in paths.items()
        },
    }
    results = Path(layout.results(dataset))
    results.write_text(yaml.safe_dump(known | content), encoding="utf-8")
    return results.parent
