"""What a dataset's folder holds, where no results file tells."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_STACK = re.compile(
    r"_fov_\d+_(?P<kind>pc|fl|seg|fl_corrected|seg_labeled)_ch_(?P<channel>\d+)\.npy$"
)


def discover(place: Path) -> dict[str, Any]:
    """Make the content of a results file from the ``fov_*`` folders that there are."""
    fovs: dict[str, Any] = {}
    channels: dict[str, Any] = {"pc": None, "fl": []}
    for folder in sorted(place.glob("fov_*")):
        number = folder.name.removeprefix("fov_")
        if not number.isdecimal():
            continue
        paths: dict[str, Any] = {}
        for file in sorted(folder.iterdir()):
            name = f"{folder.name}/{file.name}"
            match = _STACK.search(file.name)
            if match:
                kind, channel = match["kind"], int(match["channel"])
                if kind in ("fl", "fl_corrected"):
                    paths.setdefault(kind, []).append([channel, name])
                    channels["fl"] = sorted({*channels["fl"], channel})
                else:
                    paths[kind] = [channel, name]
                    channels["pc"] = channel if kind == "pc" else channels["pc"]
            elif file.name.endswith(f"_fov_{number}_traces.csv"):
                paths["traces_csv"] = [[0, name]]
        fovs[str(int(number))] = paths
    return {"dataset": place.name, "channels": channels, "time_units": "", "results_paths": fovs}
