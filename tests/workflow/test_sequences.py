"""Random edits, kills and partial runs: one more command ends with the bytes of a fresh run.

Before and after it, what tells of the FOVs agrees. ``-m slow_sequences`` runs all of them. Runs are
forks of this process, but for those that are killed.
"""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from faults.killing import Running
from forking import snakemake

from fovflow.cli.run import read_dry_run
from fovflow.config.load import read_config
from fovflow.layout import RESULTS_NAME
from fovflow.planning.pipeline import Pipeline
from fovflow.results import load_results
from fovflow.runs.verify import verify
from fovflow.simulation import MovieParams, simulate, write_movie
from fovflow.verdicts import write_verdicts
from workflow_project import Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

SEED, SEQUENCES, SAMPLE, EDITS = 9, 300, 3, 3
SHAPE = (64, 72)
GIVEN = {"raw": "sim.nd2", "dark": "dark.npy", "flat": "flat.npy", "script": "script.py",
         "said": "said.csv"}  # fmt: skip
"""What a user gives, and the name that it has in the project."""

SCRIPT = """
def count(fov, outputs):
    (path,) = outputs.values()
    path.write_text(f"n\\n{{{} + len(fov.traces())}}\\n")
"""

FAILS = """
import fovflow.processing
from fovflow.errors import FovflowError


def fails(job):
    raise FovflowError("it fails")


fovflow.processing.{} = fails
"""


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw files and dark frames, and results of fresh runs by configuration."""
    folder = tmp_path_factory.mktemp("store")
    for number in range(2):
        params = MovieParams(
            seed=number, positions=2, frames=4, height=SHAPE[0], width=SHAPE[1], cells=3
        )
        write_movie(simulate(params), folder / f"raw{number}.nd2")
        np.save(folder / f"dark{number}.npy", np.full(SHAPE, 10 + 50 * number, np.float32))
        flat = np.linspace(1 - 0.1 * number, 1 + 0.1 * number, SHAPE[0] * SHAPE[1])
        np.save(folder / f"flat{number}.npy", flat.reshape(SHAPE))
        (folder / f"script{number}.py").write_text(SCRIPT.format(number))
        said = "sim,1,2,30,30,reject\n" * number
        (folder / f"said{number}.csv").write_text(f"dataset,fov,frame,x,y,action\n{said}")
    for name in ("dark1.npy", "flat1.npy", "script1.py", "said1.csv"):
        os.utime(folder / name, (1e9, 1e9))
    return folder


class Machine:
    """A project that is edited at random."""

    def __init__(self, folder: Path, store: Path, chance: random.Random):
        self.store, self.chance, self.contents = store, chance, dict.fromkeys(GIVEN, 0)
        (folder / "raw").mkdir(parents=True)
        step = {"name": "count", "script": "raw/script.py", "function": "count"}
        self.project = Project(
            folder, correct={"dark": "raw/dark.npy", "flat_field": "raw/flat.npy"},
            corrections="raw/said.csv", steps=[{**step, "outputs": ["n.csv"]}],
        )  # fmt: skip
        self.verdicts: dict[str, bytes] = {}
        self.begun: Any = None
        for what in GIVEN:
            self.give(what, 0)

    @property
    def now(self) -> Any:
        """What decides the outputs."""
        return json.loads(json.dumps([self.project.config, self.contents], sort_keys=True))

    def give(self, what: str, number: int) -> None:
        """Put a raw file or a dark frame in place, with its own, perhaps older, time."""
        source = next(self.store.glob(f"{what}{number}.*"))
        shutil.copy2(source, self.project.folder / "raw" / GIVEN[what])
        self.contents[what] = number

    def outputs(self) -> list[Path]:
        files = self.project.results.glob("fov_*/*")
        return sorted(path for path in files if "_inspected" not in path.name)

    # ---- edits

    def edit_config(self) -> None:
        key, values = self.chance.choice(
            [("segment", [{}, {"n_sigma": 7}]), ("extract", [{}, {"erosion_px": 2}]),
             ("frames", ["all", "0-2"]), ("interval_s", [None, 60])]
        )  # fmt: skip
        config = self.project.config
        where = config["datasets"]["sim"] if key == "interval_s" else config
        where[key] = self.chance.choice(values)

    def edit_raw(self) -> None:
        self.give("raw", 1 - self.contents["raw"])

    def edit_given(self) -> None:
        what = self.chance.choice([name for name in GIVEN if name != "raw"])
        self.give(what, 1 - self.contents[what])

    def delete_output(self) -> None:
        if files := self.outputs():
            self.chance.choice(files).unlink()

    def change_output(self) -> None:
        if files := self.outputs():
            path = self.chance.choice(files)
            data = bytearray(path.read_bytes())
            data[self.chance.randrange(len(data))] ^= 1
            path.write_bytes(data)

    def judge_cells(self) -> None:
        """Write a person's verdicts on the traces that there are, in one of the forms."""
        for path in self.project.results.glob("fov_*/*_traces.csv"):
            good = pd.read_csv(path)[["cell", "good"]].drop_duplicates("cell")
            file = path.with_name(f"{path.stem}_inspected.csv")
            if self.chance.random() < 0.5:
                write_verdicts(path, {"cell": good["cell"], "good": ~good["good"]})
            elif self.chance.random() < 0.5:
                good.to_csv(file, index=False)
            else:
                shutil.copy2(path, file)
            self.verdicts[file.name] = file.read_bytes()

    def lose_metadata(self) -> None:
        shutil.rmtree(self.project.folder / ".snakemake", ignore_errors=True)

    def damage_records(self) -> None:
        for path in sorted(self.project.folder.glob("results/sim/logs/**/*.json")):
            if self.chance.random() < 0.3:
                path.write_text("{")

    def delete_records(self) -> None:
        """Delete records of jobs, and perhaps what they tell of."""
        for path in sorted(self.project.folder.glob("results/sim/logs/**/*.json")):
            if self.chance.random() < 0.2:
                path.unlink()
        for path in self.outputs():
            if self.chance.random() < 0.05:
                path.unlink()

    def run_that_fails(self) -> None:
        """Change a parameter so that a step fails, and perhaps change it back."""
        before = copy.deepcopy(self.project.config)
        self.edit_config()
        self.begun = self.now
        step = self.chance.choice(["copy", "segment", "correct", "track", "extract", "browse"])
        self.project.before = FAILS.format(step)
        self.project.run()
        self.project.before = ""
        if self.chance.random() < 0.7:
            self.project.config = before

    def jump_clock(self) -> None:
        for path in [*self.outputs(), *self.project.folder.glob("raw/*")]:
            if self.chance.random() < 0.5:
                shift = self.chance.choice([-1e7, 1e7])
                os.utime(path, (path.stat().st_mtime + shift,) * 2)

    def copy_project(self) -> None:
        folder = self.project.folder.with_name(f"{self.project.folder.name}-copy")
        links = shutil.ignore_patterns("elsewhere")
        shutil.copytree(self.project.folder, folder, copy_function=shutil.copyfile, ignore=links)
        self.project = Project(folder, **self.project.config)

    def run_without_raw(self) -> None:
        """What was copied stays, whatever is asked for while the raw file is away."""
        self.begun = None  # what the file will be, once it is back, the run cannot know
        stacks = {p: p.read_bytes() for p in self.outputs() if p.suffix == ".npy"}
        raw = self.project.folder / "raw" / "sim.nd2"
        away = raw.rename(raw.with_name("away"))
        self.project.run()
        away.rename(raw)
        copied = [path for path in stacks if "_pc_" in path.name or "_fl_ch" in path.name]
        assert {p: p.read_bytes() for p in copied} == {p: stacks[p] for p in copied}

    def run_part(self) -> None:
        self.begun = self.now
        fov = self.chance.randrange(2)
        target = self.project.file(fov, "traces.csv").relative_to(self.project.folder)
        assert self.project.run("--", str(target)).status == 0

    def run_and_kill(self) -> None:
        self.begun = self.now
        running, jobs = Running(self.project), self.chance.randrange(1, 9)
        if running.wait_until(lambda: running.started() >= jobs):
            running.kill_group()
        running.process.wait()
        running.clear()
        self.project.run("--unlock")

    def run_elsewhere(self) -> None:
        self.begun = self.now
        other = self.project.folder / "elsewhere"
        other.mkdir(exist_ok=True)
        for name in ("raw", "results"):
            if not (other / name).exists():
                (self.project.folder / name).mkdir(exist_ok=True)
                (other / name).symlink_to(self.project.folder / name)
        done = Project(other, **self.project.config).run()
        assert done.status == 0, done.text

    # ---- what is said

    def statuses(self) -> dict[int, str]:
        os.chdir(self.project.folder)
        self.project.write_config()
        pipeline = Pipeline(read_config("config/config.yaml"))
        return {fov: state["status"] for fov, state in pipeline.statuses("sim").items()}

    def would_run(self) -> set[int]:
        """Return the FOVs of which `why` says that something runs."""
        self.project.write_config()
        done = snakemake(self.project.folder, "--cores", "2", "--dry-run", "--quiet", "host")
        assert done.status == 0, done.text
        jobs = [job for job, _ in read_dry_run(done.text.splitlines())]
        return {int(job.split("FOV ")[1].split(":")[0]) for job in jobs if "FOV " in job}

    def check(self) -> None:
        """What commands say of the FOVs agrees."""
        before = self.files()
        statuses, planned = self.statuses(), self.would_run()
        assert {fov for fov, status in statuses.items() if status != "complete"} == planned
        if self.begun == self.now and self.project.results.is_dir():
            results = load_results(self.project.results)
            told = {fov: each.status for fov, each in results.fovs.items()}
            assert told == statuses
            noted = [n for n in verify(self.project.results).notes if n.file.endswith(RESULTS_NAME)]
            unlike = {int(n.problem.split()[1]): n.problem.split()[3] for n in noted}
            assert dict.fromkeys(told, "complete") | unlike == statuses
        assert self.files() == before, "questions write nothing"

    def files(self) -> dict[str, int]:
        place = self.project.folder / "results"
        return {str(p): p.stat().st_mtime_ns for p in place.rglob("*") if p.is_file()}

    def finish(self) -> None:
        """One more command makes what a fresh run makes."""
        done = self.project.run()
        assert done.status == 0, done.text
        self.begun = self.now
        assert set(self.statuses().values()) == {"complete"}
        self.check()
        report = verify(self.project.folder / "results")
        assert report.ok, report.findings
        made = {Path(name).name: content for name, content in self.project.outputs().items()}
        assert {name: made.pop(name) for name in self.verdicts if name in made} == self.verdicts
        kept = {name for name in made if "_inspected" in name}
        assert {name: made[name] for name in made if name not in kept} == self.fresh()

    def fresh(self) -> dict[str, bytes]:
        config = json.dumps(self.project.config, sort_keys=True)
        name = f"{hash(config)}-{'-'.join(map(str, self.contents.values()))}"
        folder = self.store / name
        fresh = Project(folder, **self.project.config)
        if not folder.exists():
            shutil.copytree(self.project.folder / "raw", folder / "raw")
            done = fresh.run()
            if done.status:
                shutil.rmtree(folder)
            assert done.status == 0, done.text
        return {Path(name).name: content for name, content in fresh.outputs().items()}


def sequence(number: int, folder: Path, store: Path) -> None:
    """Do one sequence of edits, some of them before anything was run."""
    chance = random.Random(f"{SEED}-{number}")
    machine = Machine(folder / "project", store, chance)
    edits: list[Callable[[Machine], None]] = [
        Machine.edit_config, Machine.edit_raw, Machine.edit_given, Machine.delete_output,
        Machine.delete_records, Machine.run_that_fails,
        Machine.change_output, Machine.lose_metadata, Machine.damage_records,
        Machine.jump_clock, Machine.copy_project, Machine.run_part, Machine.run_and_kill,
        Machine.run_elsewhere, Machine.run_without_raw, Machine.judge_cells,
    ]  # fmt: skip
    if chance.random() < 0.8:
        machine.run_elsewhere()
    chosen = chance.sample(edits, EDITS)
    try:
        for edit in chosen:
            edit(machine)
        machine.check()
        machine.finish()
    except AssertionError as error:
        error.add_note(f"sequence {number}: {', '.join(edit.__name__ for edit in chosen)}")
        raise


@pytest.mark.parametrize("number", range(SAMPLE))
def test_a_sequence_ends_with_the_bytes_of_a_fresh_run(tmp_path, store, monkeypatch, number):
    monkeypatch.chdir(tmp_path)
    sequence(number, tmp_path, store)


@pytest.mark.slow_sequences
@pytest.mark.parametrize("number", range(SAMPLE, SEQUENCES))
def test_all_sequences(tmp_path, store, monkeypatch, number):
    monkeypatch.chdir(tmp_path)
    sequence(number, tmp_path, store)
    shutil.rmtree(tmp_path, ignore_errors=True)
