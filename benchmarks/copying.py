"""Copy: planes of a raw ND2 file as arrays."""

from __future__ import annotations

from pathlib import Path

from benchmarks.contest import Contest
from benchmarks.measuring import Arrays
from benchmarks.rendering import Scene, stacks, write_raw
from fovflow.readers import open_raw


def contest(scene: Scene, folder: Path) -> Contest:
    """Read every plane of a file that lies in the page cache."""
    path = folder / "copy.nd2"
    write_raw(scene, path)
    raw = open_raw(path)
    phase, light = stacks(scene)

    def own(frames: Arrays) -> None:
        for t in range(len(frames)):
            for c in (0, 1):
                raw.read(0, t, c)

    made = [{"phase": p, "light": f} for p, f in zip(phase, light, strict=True)]
    return Contest("copy", "nd2", own, [{} for _ in made], made)
