"""The folder of results that PyAMA reads, in the forms of two of its versions.

``2025-10``: files by FOV and channel under ``results_paths``, one table per fluorescence channel,
features by plain names. ``2025-11``: features named with the channels, files under ``results``, one
table per FOV, and the background itself as a stack. A person's verdicts are in the tables.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fovflow.export.fov import ExportedFov, Format
from fovflow.layout import RESULTS_NAME, fov_name
from fovflow.records import write_yaml
from fovflow.stacks import StackWriter
from fovflow.tables import write_csv
from fovflow.units import SECONDS_PER, TimeUnit

_BASE = ("fov", "cell", "frame", "time", "good", "position_x", "position_y")
_OLD, _NEW = "2025-10", "2025-11"
_UNIT: TimeUnit = "min"
"""Of times, where the results tell none: they are those of the frames then."""


def _write(fovs: Sequence[ExportedFov], folder: Path) -> None:
    about, new = fovs[0].fov.metadata, fovs[0].form == _NEW
    place, channels = folder / fovs[0].fov.dataset, about["channels"]
    place.mkdir()
    files = {str(fov.fov.index): _write_fov(fov, place, new) for fov in map(replace, fovs)}
    if new:
        columns = fovs[0].features()
        pc, *fl = (
            [c, [each.feature for each in columns if each.channel == c]]
            for c in (channels.get("pc"), *channels["fl"])
        )
        channels = {"pc": pc, "fl": fl} if pc[0] is not None else {"fl": fl}
    content = {
        "output_dir": ".",
        "channels": channels,
        "time_units": about.get("time_units") or _UNIT,
    }
    write_yaml(place / RESULTS_NAME, content | {"results" if new else "results_paths": files})


def _write_fov(fov: ExportedFov, place: Path, new: bool) -> dict[str, Any]:
    """Write the files of an FOV; return its entry of the results file."""
    folder = f"fov_{fov_name(fov.fov.index)}"
    (place / folder).mkdir()
    files: dict[str, Any] = {}

    def name(kind: str, channel: int, end: str = "npy") -> str:
        found = f"{folder}/{fov.base}_{kind}_ch_{channel}.{end}"
        if kind in ("pc", "seg", "seg_labeled"):
            files[kind] = [channel, found]
        else:
            files.setdefault(kind, []).append([channel, found])
        return found

    for kind in ("pc", "fl", "seg", "seg_labeled"):
        for channel, path in fov.fov.stacks.get(kind, {}).items():
            shutil.copyfile(path, place / name(kind, channel))
    for channel in fov.fov.channels_of("fl_corrected"):
        if channel in fov.fov.channels_of("fl") or not new:
            kind = "fl_background" if new else "fl_corrected"
            _write_corrected(fov, channel, place / name(kind, channel), kind)
    columns = fov.rows.columns.drop(["parent", "time_s"])
    table = {column: fov.rows[column].to_numpy() for column in columns}
    if not fov.fov.metadata.get("time_units"):
        table["time"] = fov.rows["time_s"].to_numpy() / SECONDS_PER[_UNIT]
    if new:
        files["traces"] = f"{folder}/{fov.base}_traces.csv"
        write_csv(place / files["traces"], table)
        return files
    channels = fov.fov.metadata["channels"]
    for channel in channels["fl"] or [channels["pc"]]:
        own = (f for f in fov.features() if f.channel in (channel, channels.get("pc")))
        plain = {n: table[n] for n in _BASE} | {f.feature: table[f.name] for f in own}
        write_csv(place / name("traces", channel, "csv"), plain)
    files["traces_csv"] = files.pop("traces", [])
    return files


def _write_corrected(fov: ExportedFov, channel: int, path: Path, kind: str) -> None:
    """Write corrected frames, or what the correction took away, as a float32 stack."""
    with (
        fov.fov.reader("fl_corrected", channel) as after,
        StackWriter(path, after.shape, np.float32) as out,
    ):
        if kind == "fl_corrected":
            for flat in after:
                out.append(flat.astype(np.float32, copy=False))
            return
        with fov.fov.reader("fl", channel) as before:
            for image, flat in zip(before, after, strict=True):
                out.append(image.astype(np.float32) - flat.astype(np.float32))


FORMAT = Format(
    "the folder of results that PyAMA reads, of its form 2025-11 or 2025-10",
    _write,
    ("",),
    needs=("traces",),
    per_fov=False,
    forms=(_NEW, _OLD),
)
