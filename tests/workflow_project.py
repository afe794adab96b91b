"""A small simulated project, and Snakemake run on it as a user does."""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from forking import Finished, snakemake

from fovflow.runs.store import RunFolder, list_runs
from fovflow.simulation import MovieParams, simulate, write_movie
from paths import ROOT

POSITIONS = 3
FRAMES = 8


def damage_in_secret(stack: Path) -> None:
    """Let a stack's header announce another number of frames, with the size and time it had.

    Runs notice other changes, and make the stack again.
    """
    state, content = stack.stat(), stack.read_bytes()
    stack.write_bytes(re.sub(rb"\((\d*)\d, ", rb"(\g<1>9, ", content, count=1))
    os.utime(stack, ns=(state.st_atime_ns, state.st_mtime_ns))


class Project:
    """A folder with raw data, configuration and results."""

    before = ""
    """See `forking.snakemake`."""

    def __init__(self, folder: Path, **config: Any):
        self.folder = folder
        self.config: dict[str, Any] = {
            "outdir": "results",
            "datasets": {"sim": {"path": "raw/sim.nd2"}},
            **copy.deepcopy(config),
        }

    @property
    def results(self) -> Path:
        """The dataset's folder."""
        return self.folder / self.config["outdir"] / "sim"

    def only_run(self) -> RunFolder:
        """Return the record of the one run that there was."""
        (run,) = list_runs(self.folder / self.config["outdir"])
        return run

    def write_config(self) -> None:
        """Write the configuration where Snakemake looks for it."""
        (self.folder / "config").mkdir(exist_ok=True)
        text = yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True)
        (self.folder / "config" / "config.yaml").write_text(text, encoding="utf-8")

    def run(self, *options: str, cores: int = 2) -> Finished:
        """Run ``snakemake --cores N`` in the folder, in forks: see `forking`."""
        self.write_config()
        return snakemake(self.folder, "--cores", str(cores), *options, before=self.before)

    def run_program(self, *options: str, cores: int = 2, timeout: float = 1800) -> Finished:
        """Run ``snakemake --cores N`` in the folder as the program that it is."""
        self.write_config()
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(ROOT / "Snakefile"),
            "--cores",
            str(cores),
            "--nocolor",
            *options,
        ]
        done = subprocess.run(
            command,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, "PYTHONWARNINGS": "default"},
        )
        return Finished(done.returncode, f"{done.stdout}\n{done.stderr}")

    def copy_to(self, folder: Path) -> Project:
        """Copy the project with all its files and their times."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Project(folder, **self.config)

    def file(self, fov: int, rest: str) -> Path:
        """Return a file of an FOV."""
        return self.results / f"fov_{fov:03d}" / f"sim_fov_{fov:03d}_{rest}"

    def outputs(self) -> dict[str, bytes]:
        """Return every output file's bytes; logs, times and what tells of the run left out."""
        return {
            str(path.relative_to(self.results)): path.read_bytes()
            for path in sorted(self.results.rglob("*"))
            if path.is_file()
            and not {"logs", "provenance"} & set(path.parts)
            and path.name not in (".raw_stamp.json", "ro-crate-metadata.json")
        }


def make_project(folder: Path, **movie: Any) -> Project:
    """Simulate a movie of three FOVs and return a project on it that keeps all stacks."""
    settings: dict[str, Any] = {
        "seed": 5,
        "positions": POSITIONS,
        "frames": FRAMES,
        "height": 160,
        "width": 176,
        "cells": 4,
    }
    raw = folder / "raw" / "sim.nd2"
    raw.parent.mkdir(parents=True)
    write_movie(simulate(MovieParams(**(settings | movie))), raw)
    return Project(folder, keep="all")
