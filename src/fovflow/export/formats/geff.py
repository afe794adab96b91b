"""geff, the graph exchange file format: detections as nodes, links as edges.

https://liveimagetrackingtools.org/geff
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fovflow.export.fov import ExportedFov, Format


def _write(fovs: Sequence[ExportedFov], folder: Path) -> None:
    from geff import GeffMetadata
    from geff.core_io import write_arrays
    from geff_spec import Axis, PropMetadata

    for fov in fovs:
        rows, links = fov.rows, fov.links
        nodes = {
            "t": rows["time_s"].to_numpy(np.float64),
            "y": rows["position_y"].to_numpy(np.float64) * fov.pixel_um,
            "x": rows["position_x"].to_numpy(np.float64) * fov.pixel_um,
            "frame": rows["frame"].to_numpy(np.int64),
            "cell": rows["cell"].to_numpy(np.int64),
            "lineage": fov.lineages,
            "good": rows["good"].to_numpy(bool),
        }
        if "flags" in rows:
            nodes["flags"] = rows["flags"].to_numpy(str)
        about: dict[str, dict[str, Any]] = {"t": {"unit": "second"}}
        about |= {key: {"unit": "micrometer"} for key in "yx"}
        about["cell"] = {"description": "id, as in the stack of labels"}
        about["flags"] = {"description": "why it is not good, or noted"}
        for each in fov.features():
            nodes[each.name] = rows[each.name].to_numpy(np.float64)
            about[each.name] = {"unit": each.unit or None, "description": each.description or None}
        edges = {"division": links["division"].to_numpy(bool)}
        for name in ("iou", "confidence", "distance_px"):
            if name in links:
                edges[name] = links[name].to_numpy(np.float64)
        axes = [("t", "time", "second"), ("y", "space", "micrometer"), ("x", "space", "micrometer")]
        ranges = [
            {"min": float(nodes[n].min()), "max": float(nodes[n].max())} if len(rows) else {}
            for n, _, _ in axes
        ]
        metadata = GeffMetadata(
            directed=True,
            axes=[
                Axis(name=n, type=kind, unit=unit, **ends)
                for (n, kind, unit), ends in zip(axes, ranges, strict=True)
            ],
            node_props_metadata={
                n: PropMetadata(identifier=n, dtype=v.dtype.str, **about.get(n, {}))
                for n, v in nodes.items()
            },
            edge_props_metadata={
                n: PropMetadata(identifier=n, dtype=v.dtype.str) for n, v in edges.items()
            },
            track_node_props={"lineage": "lineage"},
            extra={"fovflow": {"dataset": fov.fov.dataset, "fov": fov.fov.index,
                               "pixel_um": fov.pixel_um, "interval_s": fov.interval_s}},
        )  # fmt: skip
        write_arrays(
            folder / f"{fov.base}.geff",
            np.arange(len(rows), dtype=np.uint64),
            {n: _property(v) for n, v in nodes.items()},
            links[["source", "target"]].to_numpy(np.uint64),
            {n: _property(v) for n, v in edges.items()},
            metadata,
        )


def _property(values: Any) -> dict[str, Any]:
    """Return a property as geff has it: numbers that are not known are marked as missing."""
    unknown = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    return {"values": values, "missing": unknown if unknown.any() else None}


FORMAT = Format(
    "geff graphs of cells and links (motile_tracker, tracksdata, napari)",
    _write,
    (".geff",),
    needs=("traces", "tracks", "pixel_um"),
    package="geff",
    extra="geff",
)
