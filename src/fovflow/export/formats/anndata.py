"""AnnData (h5ad): a row per cell and frame, features as variables, positions as ``spatial``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fovflow.export.fov import Column, ExportedFov, Format


def _write(fovs: Sequence[ExportedFov], folder: Path) -> None:
    import h5py
    from anndata.experimental import concat_on_disk
    from anndata.io import write_elem

    target = folder / f"{fovs[0].fov.dataset}.h5ad"
    with _text_as_objects():
        features: dict[str, Column] = {}
        filled = []
        for fov in fovs:
            if len((read := replace(fov)).rows):
                features |= {each.name: each for each in read.features()}
                filled.append(fov)
        fovs, features = filled or fovs[:1], features or {f.name: f for f in fovs[0].features()}
        parts = [folder / f"{fov.base}.h5ad" for fov in fovs] if len(fovs) > 1 else [target]
        for fov, part in zip(fovs, parts, strict=True):
            _table(replace(fov), [*features.values()]).write_h5ad(part)
        if len(parts) > 1:
            concat_on_disk(parts, target, merge="same", uns_merge="same")
            for part in parts:
                part.unlink()
        with h5py.File(target, "a") as file:  # joining leaves this out
            write_elem(file, "uns", _about(fovs[0]))


@contextmanager
def _text_as_objects() -> Iterator[None]:
    """Let pandas hold text as it did before its release 3: anndata does not write the other yet."""
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pd.option_context("future.infer_string", False):
            yield


def _table(fov: ExportedFov, features: list[Column]) -> Any:
    import pandas as pd
    from anndata import AnnData

    rows = fov.rows
    cells = zip(rows["cell"], rows["frame"], strict=True)
    obs = pd.DataFrame(index=[f"{fov.base}_cell_{cell}_frame_{frame}" for cell, frame in cells])
    obs["dataset"] = pd.Categorical([fov.fov.dataset] * len(rows))
    obs["fov"] = fov.fov.index
    for name in ("cell", "frame", "time", "good", "parent", "flags"):
        if name in rows:
            obs[name] = pd.Categorical(rows[name]) if name == "flags" else rows[name].to_numpy()
    var = pd.DataFrame(features, columns=Column._fields).set_index("name")
    px = fov.known_pixel_um
    return AnnData(
        X=rows.reindex(columns=var.index).to_numpy(np.float64),
        obs=obs,
        var=var,
        obsm={"spatial": rows[["position_x", "position_y"]].to_numpy(np.float64) * (px or 1.0)},
    )


def _about(fov: ExportedFov) -> dict[str, Any]:
    px = fov.known_pixel_um
    return {
        "time_units": str(fov.fov.metadata.get("time_units") or ""),
        "spatial_units": "µm" if px else "px",
        **({"pixel_um": px} if px else {}),
    }


FORMAT = Format(
    "AnnData of all cells and frames (scanpy, squidpy)",
    _write,
    (".h5ad",),
    needs=("traces",),
    wants=("tracks", "pixel_um"),
    per_fov=False,
    package="anndata",
    extra="anndata",
)
