"""Peak memory of each step's job on a long movie, whose stacks repeat a few frames.

The pipeline runs once on a short movie; then its stacks are written anew with so many frames, back
and forth, and the scripts of the jobs that read them run again. At 2048² a stack has 8.4 MB per
frame, and four lie on the disk at a time.

    python -m benchmarks.long [--folder FOLDER] [--size 2048] [--frames 1000] [--cells 200]
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import run_measured
from benchmarks.project import Project
from benchmarks.rendering import Scene, back_and_forth, cells_of
from fovflow.adapter.entry import ALLOCATOR
from fovflow.stacks import StackReader, StackWriter
from fovflow.tables import read_csv, write_csv

JOBS = {
    "segment": ["seg_ch_0.npy", "seg_ch_0_frames.csv"],
    "correct": ["fl_background_ch_1.npz", "fl_corrected_ch_1_frames.csv"],
    "track": ["seg_labeled_ch_0.npy", "tracks.csv"],
    "extract": ["traces.csv"],
    "browse": ["browse.js", "pictures.js"],
}
"""What each job makes, in the order in which they need it of one another."""


def lengthen(stack: Path, frames: int) -> None:
    """Write a stack anew, with its frames back and forth."""
    with (
        StackReader(stack) as images,
        StackWriter(stack, (frames, *images.shape[1:]), images.dtype) as out,
    ):
        for t in range(frames):
            out.append(images.frame(back_and_forth(t, len(images))))


def measure(size: int, frames: int, cells: int, folder: Path) -> None:
    """Print a line per job: what its log says."""
    project = Project(folder, Scene(size, cells, 24))
    project.run(extra=["--skip-script-cleanup"])
    (times,) = project.results.rglob("*_times.csv")
    name = str(times).removesuffix("times.csv")
    for kind in ("pc_ch_0", "fl_ch_1"):
        lengthen(Path(f"{name}{kind}.npy"), frames)
    table = read_csv(times)
    rows = [back_and_forth(t, len(table["frame"])) for t in range(frames)]
    write_csv(times, {**{n: values[rows] for n, values in table.items()}, "frame": range(frames)})
    environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **ALLOCATOR}
    for step, outputs in JOBS.items():
        for output in outputs:
            Path(f"{name}{output}").unlink(missing_ok=True)
        (script,) = project.folder.glob(f".snakemake/scripts/*.{step}.py")
        run_measured(
            [sys.executable, str(script)], project.folder, {**environment, "FOVFLOW_RUN": ""}
        )
        (log,) = project.results.rglob(f"logs/fov_*/{step}*.log")
        found = re.search(r"CPU .*", log.read_text(encoding="utf-8"))
        print(f"{step}: {found[0] if found else 'its log does not say'}", flush=True)
    project.remove()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--size", type=int, default=2048, help="rows and columns of a frame")
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--cells", type=int, help="in a frame; by default as many as usual")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fovflow-bench-", dir=given.folder) as folder:
        cells = given.cells or cells_of(given.size)
        measure(given.size, given.frames, cells, Path(os.path.realpath(folder)))


if __name__ == "__main__":
    main()
