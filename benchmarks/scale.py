"""How planning, running, recording and looking at results grow with the number of FOVs.

For each number of FOVs a stand-in project (`tests/stand_in.py`) is planned before anything is
made, then finished by the library's own writers, and every command that a user would give is run on
it as a process of its own. CPU time and peak memory are those of that process and its children.

    python benchmarks/scale.py [--fovs 100 1000 10000] [--quick] [--real 100] [--json FILE]

`--quick` measures 20 and 200 FOVs. `--real` runs the whole pipeline on that many FOVs besides, and
tells the engine's part of it. `--schedulers` measures only how long each scheduler of the engine
takes to choose the first jobs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from fovflow.adapter.engine import snakemake_command

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from stand_in import DATASET, FRAMES, SIZE, finish, widen_plan, write_project

FOVFLOW = [sys.executable, "-m", "fovflow"]
COMMANDS = {
    "results, report, manifest": snakemake_command(["--cores", "1", "--quiet", "all"]),
    "nothing to be done": snakemake_command(["--cores", "1", "--quiet", "all"]),
    "status": [*FOVFLOW, "status"],
    "why": [*FOVFLOW, "why"],
    "watch --once": [*FOVFLOW, "watch", "--once", "--run", "stand-in"],
    "runs list": [*FOVFLOW, "runs", "list"],
    "runs show": [*FOVFLOW, "runs", "show", "stand-in"],
    "verify": [*FOVFLOW, "verify", "results"],
    "load_results": [
        sys.executable, "-c", f"import fovflow; fovflow.load_results('results/{DATASET}')",
    ],
}  # fmt: skip
_FIRST_ROUND = """
import importlib, os, runpy, sys, time
chosen = importlib.import_module("snakemake.scheduling." + sys.argv.pop(1)).Scheduler
select = chosen.select_jobs
def first(scheduler, jobs, *others):
    start = time.perf_counter()
    answer = select(scheduler, jobs, *others)
    words = "gave up" if answer is None else f"{len(answer)} chosen"
    print(f"{time.perf_counter() - start:.2f} {len(jobs)} {words}")
    sys.stdout.flush()
    os._exit(0)
chosen.select_jobs = first
runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
"""
"""Start Snakemake, and end it when its scheduler has chosen jobs for the first time."""
_ROUND = ("--cores", "8", "--nolock", "--quiet", "all", "--scheduler")
SCHEDULERS = {"greedy": "greedy", "ilp": "milp"}
FILES = {
    "dataset.json": f"results/{DATASET}/dataset.json",
    "processing_results.yaml": f"results/{DATASET}/processing_results.yaml",
    "ro-crate-metadata.json": f"results/{DATASET}/ro-crate-metadata.json",
    "report.html": "results/report.html",
}


def measure(command: list[str], folder: Path) -> dict[str, float]:
    """Run a command in a folder; return its wall and CPU seconds and its peak memory in MiB."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        size = output.tell()
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{command}: {output.read()[-2000:].decode()}")
    return {
        "wall_s": round(wall, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mib": round(usage.ru_maxrss / 1024),
        "printed_kb": round(size / 1000, 1),
    }


def stages(folder: Path, fovs: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield every stage of a project of so many FOVs, by name, with what it costs."""
    write_project(folder)
    widen_plan(folder, fovs)
    yield "dry run", measure(snakemake_command(["--dry-run", "--quiet", "all"]), folder)
    # In a process that ends: a job holds its output folder as long as its process lives.
    made = multiprocessing.get_context("spawn").Process(target=finish, args=(folder, fovs))
    made.start()
    made.join()
    for name, command in COMMANDS.items():
        yield name, measure(command, folder)


def files(folder: Path, fovs: int) -> dict[str, float]:
    """Return the number of files and folders per FOV, and sizes of files that grow, in kB."""
    counted = {"files": 0, "folders": 0}
    for _, below, names in os.walk(folder):
        counted["files"] += len(names)
        counted["folders"] += len(below)
    found = {f"{key} per FOV": round(number / fovs, 1) for key, number in counted.items()}
    found |= {
        f"{name}, kB": round((folder / at).stat().st_size / 1e3) for name, at in FILES.items()
    }
    return found


def real_run(folder: Path, fovs: int, frames: int, size: int) -> dict[str, float]:
    """Run the whole pipeline; return its cost and the part of it that the steps' own work is."""
    write_project(folder, positions=fovs, frames=frames, size=size)
    cost = measure(snakemake_command(["--cores", "1", "--quiet", "all"]), folder)
    own = cpu = 0.0
    jobs = 0
    for path in (folder / "results").glob("runs/*/jobs/*/attempt-*.jsonl"):
        last = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
        own, cpu, jobs = own + last["seconds"], cpu + last["cpu_s"], jobs + 1
    return cost | {
        "jobs": jobs,
        "jobs_cpu_s": round(cpu, 2),
        "jobs_wall_s": round(own, 2),
        "engine_cpu_s_per_job": round((cost["cpu_s"] - cpu) / jobs, 4),
        "wall_s_outside_jobs_per_job": round((cost["wall_s"] - own) / jobs, 4),
        "engine_share_of_cpu": round(1 - cpu / cost["cpu_s"], 3),
    }


def rounds(fovs: int, folder: Path) -> dict[str, dict[str, Any]]:
    """Return what the first round of each scheduler takes with so many jobs ready, 8 cores."""
    write_project(folder)
    widen_plan(folder, fovs)
    found: dict[str, dict[str, Any]] = {}
    for name, module in SCHEDULERS.items():
        command = snakemake_command([*_ROUND, name])
        command = [sys.executable, "-c", _FIRST_ROUND, module, *command[3:]]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        seconds, ready, words = done.stdout.splitlines()[-1].split(" ", 2)
        found[name] = {"seconds": float(seconds), "ready": int(ready), "what": words}
        print(f"{fovs:6d} FOVs  {name:8s} {seconds:>8s} s, {ready} jobs ready: {words}", flush=True)
    return found


def in_folder(call: Callable[[Path], Any], keep: Path | None, name: str) -> Any:
    """Call with a folder that is removed afterwards, or kept where asked."""
    place = Path(tempfile.mkdtemp(prefix="fovflow-scale-")) if keep is None else keep / name
    place.mkdir(parents=True, exist_ok=True)
    try:
        return call(place)
    finally:
        if keep is None:
            shutil.rmtree(place)


def measure_all(fovs: int, place: Path) -> dict[str, Any]:
    """Measure every stage and count files."""
    found: dict[str, Any] = {}
    for name, cost in stages(place, fovs):
        found[name] = cost
        told = f"{cost['cpu_s']:9.2f} s CPU {cost['wall_s']:9.2f} s wall {cost['peak_mib']:7d} MiB"
        print(f"{fovs:6d} FOVs  {name:27s} {told} {cost['printed_kb']:9.1f} kB said", flush=True)
    found["files"] = files(place, fovs)
    for name, number in found["files"].items():
        print(f"{fovs:6d} FOVs  {name:27s} {number:9}", flush=True)
    return found


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fovs", type=int, nargs="*", default=[100, 1000, 10_000])
    parser.add_argument("--quick", action="store_true", help="20 and 200 FOVs")
    parser.add_argument("--real", type=int, help="run the pipeline on so many FOVs, too")
    parser.add_argument(
        "--schedulers", action="store_true", help="only the first round of each scheduler"
    )
    parser.add_argument("--frames", type=int, default=FRAMES, help="frames of the real run")
    parser.add_argument("--size", type=int, default=SIZE, help="rows and columns of the real run")
    parser.add_argument("--keep", type=Path, help="keep the projects in this folder")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    found: dict[str, Any] = {"machine": platform.platform(), "cores": os.cpu_count()}
    for fovs in [20, 200] if given.quick else given.fovs:
        call = rounds if given.schedulers else measure_all
        found[str(fovs)] = in_folder(partial(call, fovs), given.keep, str(fovs))
    if given.real:
        real = in_folder(
            lambda place: real_run(place, given.real, given.frames, given.size), given.keep, "real"
        )
        print(f"real run of {given.real} FOVs × {given.frames} frames of {given.size}²:")
        for name, number in real.items():
            print(f"  {name:30s} {number}")
        found["real"] = real
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
