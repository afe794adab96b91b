"""The pipeline on a rendered movie: what a run costs, and each of its jobs."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import Cost, run_measured
from benchmarks.rendering import Scene, write_raw
from fovflow.adapter.engine import snakemake_command
from fovflow.records import read_json

NAME = "bench"
STEPS = ("copy", "segment", "correct", "track", "extract")
_COST = re.compile(r"CPU (?P<cpu>[\d.]+) s, peak memory (?P<mib>\d+) MiB")
_LAUNCH = (
    "import sys, runpy; import fovflow.adapter.recording as recording; "
    "recorded = sys.argv.pop(1) == 'True'; "
    "listener = recording.EngineListener; "
    "listener._begin = listener._begin if recorded else lambda *_: None; "
    "runpy.run_module('snakemake', run_name='__main__', alter_sys=True)"
)
"""Start Snakemake with or without records: the same program but for that."""
_MOVE = """
import hashlib, json, os, sys
files = json.load(sys.stdin)
buffer = memoryview(bytearray(8 << 20))
for name in files["read"]:
    with open(name, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
for size in files["write"]:
    digest = hashlib.sha256()
    with open("moved", "wb", buffering=0) as file:
        for left in range(size, 0, -len(buffer)):
            digest.update(buffer[: min(left, len(buffer))])
            file.write(buffer[: min(left, len(buffer))])
        os.fsync(file.fileno())
"""
"""Read some files; write, hash and flush others of some sizes."""


@dataclass(frozen=True)
class Job:
    """What one job took: CPU and peak memory by its own log, wall time by the engine."""

    step: str
    cpu_s: float
    peak_mib: int
    wall_s: float


@dataclass(frozen=True)
class Run:
    """A run of the whole pipeline."""

    cost: Cost
    jobs: list[Job]

    @property
    def work_s(self) -> float:
        """Wall time of all jobs together."""
        return sum(job.wall_s for job in self.jobs)

    def cpu_s(self, step: str) -> float:
        """CPU time of all jobs of a step."""
        return sum(job.cpu_s for job in self.jobs if job.step == step)

    def peak_mib(self, step: str) -> int:
        """Peak memory of the largest job of a step."""
        return max(job.peak_mib for job in self.jobs if job.step == step)

    @property
    def largest(self) -> Job:
        """The job of a step, not of the report or the results, that took most memory."""
        return max((job for job in self.jobs if job.step in STEPS), key=lambda job: job.peak_mib)


class Project:
    """A project folder with one raw file; `run` makes its results anew each time."""

    def __init__(self, folder: Path, scene: Scene):
        free = shutil.disk_usage(folder).free
        if free < 1.2 * (scene.raw_bytes + scene.result_bytes):
            raise SystemExit(
                f"{scene} needs {(scene.raw_bytes + scene.result_bytes) / 1e9:.1f} GB in {folder}, "
                f"where {free / 1e9:.1f} GB are free; choose another folder with --folder"
            )
        self.folder = folder / f"{scene.size}-{scene.cells}-{scene.frames}-{scene.fovs}"
        self.scene = scene
        self.raw = self.folder / "raw" / f"{NAME}.nd2"
        write_raw(scene, self.raw)
        (self.folder / "config").mkdir()
        config = self.folder / "config" / "config.yaml"
        config.write_text(f"datasets: {{{NAME}: {{path: raw/{NAME}.nd2}}}}\n", encoding="utf-8")

    def run(self, *, cores: int = 1, recorded: bool = True, extra: Sequence[str] = ()) -> Run:
        """Run the pipeline into an empty output folder; `extra`: options of Snakemake."""
        self.clear()
        command = snakemake_command(["--cores", str(cores), "--quiet", "all", *extra])
        assert command[1:3] == ["-m", "snakemake"]
        command = [sys.executable, "-c", _LAUNCH, str(recorded), *command[3:]]
        cost = run_measured(command, self.folder)
        return Run(cost, list(self._jobs()))

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def clear(self) -> None:
        """Remove results and what the engine remembers."""
        for name in ("results", ".snakemake"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def remove(self) -> None:
        """Remove the whole folder."""
        shutil.rmtree(self.folder)

    def moving_s(self, step: str) -> float:
        """Return the CPU time of reading, hashing and writing what a step's jobs read and write."""
        read, write = [], []
        for path in sorted(self.results.rglob(f"logs/fov_*/{step}*.json")):
            record = read_json(path)
            read += [str(path.parents[2] / name) for name in record["inputs"]]
            write += [output["bytes"] for output in record["outputs"].values()]
        given = json.dumps({"read": [r for r in read if Path(r).exists()], "write": write})
        cost = run_measured([sys.executable, "-c", _MOVE], self.folder, given=given)
        (self.folder / "moved").unlink(missing_ok=True)
        return cost.cpu_s

    def events(self) -> int:
        """Return how many events the last run recorded."""
        files = (self.results / "runs").rglob("*.jsonl")
        return sum(path.read_bytes().count(b"\n") for path in files)

    def _jobs(self) -> list[Job]:
        found = []
        for log in sorted(self.results.rglob("logs/**/*.log")):
            cost = _COST.search(log.read_text(encoding="utf-8"))
            table = log.with_suffix(".tsv")
            if cost is None or not table.exists():
                raise SystemExit(f"{log} does not say what the job took")
            with table.open(encoding="utf-8") as file:
                (row,) = csv.DictReader(file, delimiter="\t")
            step = re.split(r"_ch_|_\d", log.stem)[0]
            found.append(Job(step, float(cost["cpu"]), int(cost["mib"]), float(row["s"])))
        return found
