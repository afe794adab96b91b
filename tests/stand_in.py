"""Stand-in projects for measurements: many FOVs of small frames, to be run or already finished.

The raw file holds one FOV; the plan says that there are many. What a run leaves behind for the
others is written by the library itself (tables, stacks, logs, records, events), as a job of each
step would do it.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from fovflow.adapter.engine import snakemake_command
from fovflow.adapter.job import job
from fovflow.atomic import atomic_open, write_text
from fovflow.layout import Layout, fov_name
from fovflow.planning import RawHeader
from fovflow.planning.pipeline import Pipeline
from fovflow.readers.fingerprint import stamp
from fovflow.records import read_yaml, write_json
from fovflow.runs.store import ENVIRONMENT, RunFolder
from fovflow.simulation import MovieParams, simulate, write_movie
from fovflow.stacks import StackReader, StackWriter
from fovflow.tables import read_csv, write_csv

DATASET, RAW = "sim", "raw/sim.nd2"
LAYOUT = Layout("results")
PC, FL = 0, 1
FRAMES, SIZE = 3, 64
"""Frames, and rows and columns, of a stand-in."""

TIMED_OUT_S = 3600


def write_project(
    folder: Path, *, positions: int = 1, frames: int = FRAMES, size: int = SIZE, cells: int = 2
) -> None:
    """Write a raw file of that many real FOVs, and a configuration."""
    params = MovieParams(
        seed=5, positions=positions, frames=frames, height=size, width=size, cells=cells
    )
    (folder / RAW).parent.mkdir(parents=True)
    write_movie(simulate(params), folder / RAW)
    (folder / "config").mkdir()
    configure(folder)


def configure(folder: Path, **more: Any) -> None:
    """Write the configuration, with further keys."""
    lines = [f"{key}: {value}" for key, value in more.items()]
    text = "\n".join([f"datasets: {{{DATASET}: {{path: {RAW}}}}}", *lines]) + "\n"
    (folder / "config" / "config.yaml").write_text(text, encoding="utf-8")


def widen_plan(folder: Path, fovs: int) -> None:
    """Let the plan say that the raw file holds `fovs` FOVs."""
    with working_in(folder):
        header = RawHeader.read(RAW)
        names = tuple(f"XY{fov:05d}" for fov in range(fovs))
        write_json(LAYOUT.plan(DATASET), dataclasses.replace(header, positions=names).to_json())
        mark = {"path": RAW, "pattern": None, "files": stamp(RAW, None)}
        write_json(LAYOUT.stamp(DATASET), mark)


def finish(folder: Path, fovs: int) -> None:
    """Run the first FOV, and make what a run leaves behind for all others up to `fovs`."""
    widen_plan(folder, fovs)
    configure(folder, fovs='"0"')
    run_snakemake(folder, "--cores", "1", "--quiet", "all")
    configure(folder)
    with working_in(folder), _hasty():
        for name in (LAYOUT.results(DATASET), LAYOUT.report()):
            Path(name).unlink()
        pipeline = Pipeline(read_yaml("config/config.yaml"))
        run = RunFolder.create(LAYOUT.outdir, name="stand-in", kind="pipeline", jobs={})
        run.set_status("running")
        run.beat()
        os.environ[ENVIRONMENT] = str(run.path)
        try:
            writers = _writers()
            for fov in range(1, fovs):
                for step, write in writers.items():
                    with job(_snakemake(pipeline, step, fov_name(fov))):
                        write(fov_name(fov))
        finally:
            del os.environ[ENVIRONMENT]
        run.set_status("completed")


def run_snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake on this package's workflow in a folder; its output is captured."""
    return subprocess.run(
        snakemake_command(arguments),
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        timeout=TIMED_OUT_S,
    )


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Change the working directory for a block."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _hasty() -> Iterator[None]:
    """Leave out flushing to disk: a stand-in need not outlive a power cut."""
    flush, handler = os.fsync, signal.getsignal(signal.SIGTERM)
    os.fsync = lambda _: None
    try:
        yield
    finally:
        os.fsync = flush
        signal.signal(signal.SIGTERM, handler)


class _Named(list[str]):
    """A list of files some of which have names, as Snakemake gives them to scripts."""

    def items(self) -> list[tuple[str, str]]:
        return []


def _snakemake(pipeline: Pipeline, step: str, fov: str) -> Any:
    """Return what Snakemake would give to the script of a step."""
    channel = {"segment": PC, "correct": FL}.get(step)
    wildcards = {"dataset": DATASET, "fov": fov}
    wildcards |= {} if channel is None else {"channel": str(channel)}
    rest = "" if channel is None else f"_ch_{channel}"
    files = _files(fov)
    return SimpleNamespace(
        rule=step,
        wildcards=wildcards,
        threads=1,
        params={"step": step, "options": pipeline.parameters(step, DATASET)},
        log=[LAYOUT.log(step, DATASET, fov, rest)],
        input=_Named(name for made in files[step].values() for name in made[:1] if step != "copy"),
        output=_Named(files[step]),
        config={"run": {"resources_interval_s": 0}},
    )


def _files(fov: str) -> dict[str, dict[str, list[str]]]:
    """Return the outputs of each step, each with the inputs that are told of it."""

    def stack(kind: str, channel: int) -> str:
        return LAYOUT.file(kind, DATASET, fov, channel)

    times = LAYOUT.file("times", DATASET, fov)
    return {
        "copy": {
            name: [LAYOUT.plan(DATASET)] for name in (stack("pc", PC), stack("fl", FL), times)
        },
        "segment": {LAYOUT.file("segment_frames", DATASET, fov, PC): [stack("pc", PC), times]},
        "correct": {
            LAYOUT.file("fl_background", DATASET, fov, FL): [stack("fl", FL)],
            LAYOUT.file("correct_frames", DATASET, fov, FL): [times],
        },
        "track": {
            stack("seg_labeled", PC): [times],
            LAYOUT.file("tracks", DATASET, fov): [times],
        },
        "extract": {LAYOUT.file("traces", DATASET, fov): [stack("seg_labeled", PC)]},
        "browse": {
            LAYOUT.file("browse_numbers", DATASET, fov): [LAYOUT.file("traces", DATASET, fov)],
            LAYOUT.file("browse_pictures", DATASET, fov): [stack("seg_labeled", PC)],
        },
    }


def _writers() -> Mapping[str, Any]:
    """Return for each step a function that writes its outputs for one FOV, like the first one."""
    contents: dict[str, dict[str, Any]] = {}
    for step, outputs in _files("000").items():
        contents[step] = {}
        for name in outputs:
            if name.endswith(".csv"):
                contents[step][name] = read_csv(name)
            elif name.endswith(".js"):
                contents[step][name] = Path(name).read_text("utf-8")
            elif name.endswith(".npz"):
                contents[step][name] = Path(name).read_bytes()
            else:
                with StackReader(name) as reader:
                    contents[step][name] = np.stack([reader.frame(t) for t in range(len(reader))])

    def writer(step: str) -> Any:
        def write(fov: str) -> None:
            for name, content in contents[step].items():
                _write(name.replace("fov_000", f"fov_{fov}"), content, int(fov))

        return write

    return {step: writer(step) for step in contents}


def _write(name: str, content: Any, fov: int) -> None:
    if isinstance(content, str):
        write_text(name, content)
        return
    if isinstance(content, bytes):
        with atomic_open(name, "wb") as file:
            file.write(content)
        return
    if isinstance(content, dict):
        own = {"fov": np.full_like(content["fov"], fov)} if "fov" in content else {}
        write_csv(name, content | own)
        return
    with StackWriter(name, content.shape, content.dtype) as out:
        for frame in content:
            out.append(frame)
