"""Where the CPU time of each step's job and of a whole run goes, in milliseconds per frame.

The pipeline runs on a rendered movie; then the script of each step's job runs again, in a
process of its own, several times, with clocks around what it calls. Times are exclusive: what a
kernel waits for while a frame is read counts as reading. A second table adds up the parts of all
jobs and of the engine beside the whole run's time.

    python -m benchmarks.breakdown [--folder FOLDER] [--size 2048] [--frames 24] [--fovs 1]
                                   [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import wraps
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.project import Run
    from benchmarks.rendering import Scene

CALLS = {
    "read": ["stacks.StackReader.frame", "copying.read_frame"],
    "write": ["atomic._Writer.write"],
    "hash": ["atomic.hashlib.sha256"],
    "flush": ["atomic.os.fsync"],
    "tables": ["tables.read_csv", "tables.write_csv"],
    "records": [
        "adapter.job.Job.__init__", "adapter.job.Job.start", "adapter.job.Job.succeed",
        "adapter.job.Job.frames", "adapter.job.Job.measure", "adapter.job.open_log",
    ],
    "kernel": [
        "segmentation.segment_frames", "background.correct_frames", "background.get_corrector",
        "tracking.link_frames", "tracking.relabel_frames", "features.measure_frames",
        "quality.judge", "quality.ledger", "copying.frame_table",
    ],
}  # fmt: skip
"""What is clocked, below the package ``fovflow``."""

COLUMNS = ("kernel", "read", "write", "hash", "flush", "tables", "records", "python", "start")


class Clock:
    """CPU time of this process, shared among what is at work; the innermost has it."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._open = ["start"]
        self._since = 0.0

    def turn(self) -> None:
        """Give the time since the last turn to what is at work."""
        now = time.process_time()
        self.spent[self._open[-1]] += now - self._since
        self._since = now

    def enter(self, name: str) -> None:
        """Let something begin its work."""
        self.turn()
        self._open.append(name)

    def leave(self) -> None:
        """Let it end."""
        self.turn()
        self._open.pop()

    def clocked(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose calls, or whose iterators' steps, are clocked."""

        @wraps(call)
        def clocked_call(*words: Any, **keys: Any) -> Any:
            self.enter(name)
            try:
                result = call(*words, **keys)
            finally:
                self.leave()
            return self._steps(name, result) if isinstance(result, Iterator) else result

        return clocked_call

    def _steps(self, name: str, steps: Iterator[Any]) -> Iterator[Any]:
        while True:
            self.enter(name)
            try:
                each = next(steps)
            except StopIteration:
                return
            finally:
                self.leave()
            yield each


def run_clocked(script: str) -> None:
    """Run a job's script in this process; print what was spent, in seconds, as JSON."""
    clock = Clock()
    job = import_module("fovflow.adapter.job")
    for name, paths in CALLS.items():
        for path in paths:
            owner, _, attribute = path.rpartition(".")
            place = _resolve(owner)
            if path.endswith("sha256"):
                place.sha256 = _clocked_hash(clock, place.sha256)
            else:
                setattr(place, attribute, clock.clocked(name, getattr(place, attribute)))
    body = job.run

    def run(snakemake: Any, work: Callable[[Any], None]) -> None:
        clock.turn()
        clock._open[0] = "python"
        body(snakemake, work)

    def leave(_: int) -> None:
        clock.turn()
        print(json.dumps(clock.spent))
        sys.stdout.flush()
        leave_at_once(0)

    leave_at_once, os._exit = os._exit, leave  # type: ignore[assignment]
    job.run = run
    runpy.run_path(script, run_name="__main__")


def _resolve(path: str) -> Any:
    """Return a module or class below ``fovflow``."""
    found: Any = import_module("fovflow")
    for word in path.split("."):
        if not hasattr(found, word):
            import_module(f"{found.__name__}.{word}")
        found = getattr(found, word)
    return found


def _clocked_hash(clock: Clock, make: Callable[..., Any]) -> Callable[..., Any]:
    class Clocked:
        """A SHA-256 whose updates are clocked."""

        def __init__(self, *data: bytes) -> None:
            self._hash = make(*data)
            self.update = clock.clocked("hash", self._hash.update)
            self.hexdigest = self._hash.hexdigest

    return Clocked


def page_fault_ns(megabytes: int = 64) -> float:
    """Return what the system takes to hand out one page of memory, in ns."""
    import mmap

    pages = megabytes << 8
    area = mmap.mmap(-1, pages << 12)
    start = time.process_time_ns()
    for place in range(0, pages << 12, 1 << 12):
        area[place] = 1
    spent = time.process_time_ns() - start
    start = time.process_time_ns()
    for place in range(0, pages << 12, 1 << 12):
        area[place] = 1
    return (spent - (time.process_time_ns() - start)) / pages


Spent = dict[str, dict[str, float]]
"""By step CPU seconds of each part of its job, and of the whole."""


def measure(scene: Scene, folder: Path, rounds: int) -> tuple[Spent, Run, float]:
    """Return what the parts of each step's job take, the quickest run, and moving its bytes (s)."""
    from benchmarks.end_to_end import move_bytes
    from benchmarks.measuring import run_measured
    from benchmarks.project import STEPS, Project
    from fovflow.adapter.entry import ALLOCATOR

    project = Project(folder, scene)
    runs = [project.run(extra=["--skip-script-cleanup", "--notemp"]) for _ in range(rounds)]
    sizes = [path.stat().st_size for path in project.results.rglob("*") if path.is_file()]
    moved = min(move_bytes(project.raw, sizes, project.folder / "floor") for _ in range(rounds))
    found = {}
    for step in STEPS:
        script = min(project.folder.glob(f".snakemake/scripts/*.{step}.py"))
        command = [sys.executable, "-m", "benchmarks.breakdown", "--script", str(script)]
        here = {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        here |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **ALLOCATOR}  # as in a run
        rows: list[dict[str, float]] = []
        for _ in range(rounds):
            cost = run_measured(command, project.folder, {**here, "FOVFLOW_RUN": ""})
            spent = json.loads(cost.said.splitlines()[-1])
            rest = cost.cpu_s - sum(spent.values())
            rows.append({**spent, "whole": cost.cpu_s, "rest": rest, "faults": float(cost.faults)})
        names = {name for row in rows for name in row}
        found[step] = {name: median(row.get(name, 0.0) for row in rows) for name in names}
    project.remove()
    return found, min(runs, key=lambda run: run.cost.cpu_s), moved


def whole(found: Spent, run: Run, scene: Scene) -> str:
    """Return what the parts of a run take beside its whole time, as a table."""
    steps, others = [*found], sorted({job.step for job in run.jobs} - found.keys())
    parts = {
        name: scene.fovs * sum(spent.get(name, 0.0) for spent in found.values()) for name in COLUMNS
    }
    counts = {name: len(steps) * scene.fovs for name in parts}
    for step in others:
        parts[step], counts[step] = run.cpu_s(step), sum(job.step == step for job in run.jobs)
    parts["engine"] = run.cost.cpu_s - sum(job.cpu_s for job in run.jobs)
    parts["unexplained"] = run.cost.cpu_s - sum(parts.values())
    lines = ["part | jobs | CPU ms per frame and channel pair | share", "--- | --- | --- | ---"]
    for name, seconds in [*parts.items(), ("whole run", run.cost.cpu_s)]:
        per_pair = 1e3 * seconds / (scene.frames * scene.fovs)
        share = f"{100 * seconds / run.cost.cpu_s:.0f}%"
        lines.append(f"{name} | {counts.get(name, '')} | {per_pair:.1f} | {share}")
    return "\n".join(f"| {line} |" for line in lines)


def table(found: Spent, frames: int, fault_ns: float) -> str:
    """Return the figures as a table."""
    heads = ["step", "whole job", *COLUMNS, "unexplained", "of it all: page faults"]
    lines = [" | ".join(heads), " | ".join(["---"] * len(heads))]
    for step, spent in found.items():
        per_frame = {name: 1e3 * value / frames for name, value in spent.items()}
        figures = [f"{per_frame.get(name, 0.0):.1f}" for name in ("whole", *COLUMNS)]
        faults = spent["faults"] * fault_ns / 1e6 / frames
        rest, share = per_frame["rest"], 100 * per_frame["rest"] / per_frame["whole"]
        lines.append(" | ".join([step, *figures, f"{rest:.1f} ({share:.0f}%)", f"{faults:.1f}"]))
    return "\n".join(f"| {line} |" for line in lines)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--size", type=int, default=2048, help="rows and columns of a frame")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--fovs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--script", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.script:
        run_clocked(given.script)
        return
    from benchmarks.rendering import Scene, cells_of

    scene = Scene(given.size, cells_of(given.size), given.frames, given.fovs)
    with tempfile.TemporaryDirectory(prefix="fovflow-bench-", dir=given.folder) as folder:
        found, run, moved = measure(scene, Path(folder), given.rounds)
    print(f"CPU ms per frame of {given.size}², {given.frames} frames, one core; start spread over")
    print(table(found, given.frames, page_fault_ns()), whole(found, run, scene), sep="\n\n")
    wall, ratio = run.cost.wall_s, run.cost.wall_s / moved
    print(f"\nWall time {wall:.1f} s; moving its bytes takes {moved:.2f} s, the run {ratio:.1f} ×")


if __name__ == "__main__":
    main()
