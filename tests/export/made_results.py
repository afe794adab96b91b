"""A small dataset as a run leaves it, whose every number is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fovflow.layout import Layout
from fovflow.resultsform import results_paths, write_results
from fovflow.tables import write_csv

PIXEL_UM, INTERVAL_S, FRAMES, SIZE = 0.65, 600.0, 6, (40, 48)
CHANNELS = {"pc": 0, "fl": [1, 2], "seg": 0}
NAMES = {0: "Phase", 1: "GFP", 2: "mCherry, λ=610"}
KEPT = frozenset({"pc", "fl", "fl_corrected", "seg", "seg_labeled"})

# Cell 1 divides into 3 and 4 after frame 2; cell 2 is missed in frame 2 and lies at the border,
# which is not good, in frame 5.
CELLS = {
    1: {t: (5 + t, 8) for t in range(3)},
    2: dict.fromkeys((0, 1, 3, 4), (20, 36)) | {5: (20, 40)},
    3: {t: (8, 4 + t) for t in range(3, 6)},
    4: {t: (18, 12 - t) for t in range(3, 6)},
}
PARENTS = {3: 1, 4: 1}
EDGES = {
    ((1, 0), (1, 1)), ((1, 1), (1, 2)), ((2, 0), (2, 1)), ((2, 1), (2, 3)), ((2, 3), (2, 4)),
    ((2, 4), (2, 5)), ((3, 3), (3, 4)), ((3, 4), (3, 5)), ((4, 3), (4, 4)), ((4, 4), (4, 5)),
    ((1, 2), (3, 3)), ((1, 2), (4, 3)),
}  # fmt: skip
"""Links as (cell, frame) before and after."""


def labels_of(fov: int) -> np.ndarray:
    """Return the labels of an FOV, squares of 7 pixels, (T, Y, X)."""
    found = np.zeros((FRAMES, *SIZE), np.uint16)
    for cell, places in CELLS.items():
        for t, (y, x) in places.items():
            found[t, y : y + 7, x + fov : x + fov + 7] = cell
    return found


def make_fov(layout: Layout, fov: int) -> None:
    """Write all files of a complete FOV."""
    rng = np.random.default_rng(fov)
    labels = labels_of(fov)
    stacks = {("seg_labeled", 0): labels, ("seg", 0): (labels > 0).astype(np.uint16)}
    for channel in (0, 1, 2):
        image = rng.integers(100, 4000, labels.shape, np.uint16)
        stacks[("fl" if channel else "pc", channel)] = image
        if channel:
            stacks[("fl_corrected", channel)] = image.astype(np.float32) - 90.5
    for (kind, channel), stack in stacks.items():
        path = Path(layout.file(kind, "plate", fov, channel))
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, stack)
    rows: list[dict[str, Any]] = []
    for cell, places in CELLS.items():
        before = None
        for t in sorted(places):
            y, x = np.nonzero(labels[t] == cell)
            good = (cell, t) != (2, 5)
            mother = PARENTS.get(cell, 0) if before is None else 0
            rows.append({
                "cell": cell, "frame": t, "label": cell, "parent": mother,
                "previous_frame": 2 if mother else -1 if before is None else before,
                "iou": np.nan if before is None and not mother else 0.5 + t / 20,
                "fov": fov, "time": t * INTERVAL_S / 60, "good": good,
                "position_x": x.mean(), "position_y": y.mean(),
                "bbox_x0": x.min(), "bbox_y0": y.min(), "bbox_x1": x.max(), "bbox_y1": y.max(),
                "area_ch_0": len(x),
                **{f"intensity_total_ch_{c}": stacks["fl_corrected", c][t, y, x].sum(
                    dtype=np.float64) for c in (1, 2)},
                "flags": "" if good else "border",
            })  # fmt: skip
            before = t
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    tracks = ["cell", "frame", "label", "previous_frame", "parent", "iou"]
    measured = [
        name for name in columns if name not in ("label", "previous_frame", "parent", "iou")
    ]
    measured.insert(0, measured.pop(measured.index("fov")))
    write_csv(layout.file("tracks", "plate", fov), {name: columns[name] for name in tracks})
    write_csv(layout.file("traces", "plate", fov), {name: columns[name] for name in measured})
    frames = np.arange(FRAMES)
    write_csv(
        layout.file("times", "plate", fov),
        {"frame": frames, "time_s": frames * INTERVAL_S, "missing": frames < 0},
    )


def write(layout: Layout, **changes: Any) -> Path:
    """Write the results file of FOVs 0 and 1, complete, and 3, failed; return the folder."""
    content = {
        "dataset": "plate",
        "output_dir": ".",
        "channels": {"pc": 0, "fl": [1, 2]},
        "channel_names": NAMES,
        "time_units": "min",
        "pixel_um": PIXEL_UM,
        "frames": {"count": FRAMES, "first": 0, "last": FRAMES - 1, "step": 1},
        "size": {"height": SIZE[0], "width": SIZE[1], "dtype": "uint16"},
        "results_paths": {
            str(fov): results_paths(layout, "plate", fov, CHANNELS, changes.pop("kept", KEPT))
            for fov in (0, 1, 3)
        },
        "fovs": {
            "0": {"status": "complete"},
            "1": {"status": "complete"},
            "3": {"status": "failed", "step": "segment", "error": "no light"},
        },
    }
    write_results(layout.results("plate"), {**content, **changes})
    return Path(layout.dataset("plate"))
