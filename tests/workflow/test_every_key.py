"""Every key of the configuration, changed and changed back: what it concerns is made, no more.

``-m slow_sequences`` does it with runs: one with another value ends with the bytes of a fresh one,
and the same command with the old value with the bytes of before.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forking import snakemake
from workflow.every_key import (
    METHODS,
    OF_SAMPLES,
    SCRIPT,
    changed,
    changes_of,
    concerned,
    configured,
)

import fovflow
from fovflow.cli.run import read_dry_run
from fovflow.config.load import read_config
from fovflow.config.methods import CORRECTORS, SEGMENTERS, TRACKERS
from fovflow.planning.pipeline import Pipeline
from fovflow.results import load_results
from fovflow.runs.verify import verify
from workflow_project import Project, make_project

pytestmark = pytest.mark.workflow

SHAPE = (128, 136)
NOT_HERE = {
    "datasets.sim.axes", "datasets.sim.pattern",  # of other files than ND2: test_there_and_back
    "samples.0.wells", "samples.0.positions",
    *OF_SAMPLES,  # as a whole
}  # fmt: skip
STEPS = ["copy", "flat_field", "segment", "correct", "corrected", "track", "extract", "browse",
         "count", "twice"]  # fmt: skip
ANALYSIS = {"merge", "fit", "merge_everything", "statistics"}
CONCERNED: list[tuple[str, str]] = [
    (r"outdir|datasets\.sim\.path|container|run\..*|samples\.0\.dataset", ""),
    (r"steps\.0\.(mem_mb|runtime_min|threads)", ""),
    (r"datasets\.sim\.(channels|frames)|channels\.|frames\.|copy\.crop", "copy …"),
    (r"datasets\.sim\.interval_s|copy\.z", "copy flat_field"),
    (r"(datasets\.sim\.)?fovs|samples\.0\.(name|fovs)", "…"),
    (r"datasets\.sim\.pixel_um", "flat_field …"),
    (r"keep", "segment corrected track"),
    (r"segment\.", "segment"),
    (r"correct\.", "flat_field correct corrected"),
    (r"track\.method", "track extract"),  # whose confidence is a probability
    (r"track\.", "track"),
    (r"extract\.|qc\.", "extract browse"),
    (r"browse\.", "browse"),
    (r"corrections", "track extract"),
    (r"time_units", "extract …"),
    (r"merge\.", "merge statistics"),
    (r"fit\.", "merge fit statistics"),
    (r"samples\.0\.", "merge_everything statistics"),
    (r"statistics\.", "statistics"),
    (r"steps\.0\.", "count tally twice"),
]
"""Which steps keys concern at most, by pattern; … are all others that can follow."""


def steps_of(key: str) -> set[str]:
    """Return the steps that a key concerns at most."""
    words = next(words for pattern, words in CONCERNED if re.match(pattern, key)).split()
    start = STEPS.index(words[0]) if words[0:1] and words[0] in STEPS else 0
    return {*words} | ({*STEPS[start:], *ANALYSIS} if "…" in words else set())


def step_of(job: str) -> str:
    """Return the step of a job: of those of samples without sample and feature."""
    return re.sub(r".*/(merge|fit).*", r"\1", job)


def keys_of(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the keys that one of `METHODS` alone has, or concerns, and other values."""
    own = METHODS[name]
    for key, changes in changes_of(configured(name)):
        section = key.split(".")[0]
        if key not in NOT_HERE and (section in own if own else section != "merge"):
            yield key, changes


def give(folder: Path) -> None:
    """Put what the configurations name into a project's folder."""
    size = {"seed": 0, "positions": 2, "frames": 4, "height": SHAPE[0], "width": SHAPE[1]}
    make_project(folder, channels=("Phase", "GFP", "RFP"), cells=3, **size)
    for name in ("s.py", "t.py"):
        (folder / name).write_text(SCRIPT)
    np.save(folder / "raw/dark.npy", np.full(SHAPE, 5, np.float32))
    np.save(folder / "raw/flat.npy", np.linspace(0.9, 1.1, np.prod(SHAPE)).reshape(SHAPE))
    (folder / "moved").mkdir()
    shutil.copy2(folder / "raw/sim.nd2", folder / "moved/sim.nd2")
    for network in Path(fovflow.__file__).parent.rglob("*.onnx"):
        for part in (network, network.with_suffix(".json")):
            shutil.copy2(part, (folder / "net").with_suffix(part.suffix))
    (folder / "corrections.csv").write_text("dataset,fov,frame,x,y,action\nsim,0,1,20,20,reject\n")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the raw data; nothing is made there."""
    folder = tmp_path_factory.mktemp("given")
    give(folder)
    return folder


def test_keys_of_all_methods_are_among_them():
    named = {key: {configured(n).get(key, {}).get("method") for n in METHODS}
             for key in ("segment", "correct", "track")}  # fmt: skip
    extras = {"cellpose", "laptrack"}
    assert {*SEGMENTERS} - extras <= {*named["segment"], "logstd"}
    assert {*CORRECTORS} - extras <= {*named["correct"], "tiles", "classic"}
    assert {*TRACKERS} - extras <= {*named["track"], "iou"}


@pytest.mark.parametrize("name", METHODS)
def test_a_key_concerns_the_jobs_of_its_steps(given, monkeypatch, name):
    monkeypatch.chdir(given)
    content = configured(name)
    before = Pipeline(content)
    assert concerned(before, Pipeline(content)) == set()
    for key, changes in keys_of(name):
        if not changes and key.startswith("run."):
            continue
        assert changes, f"another value for {key}"
        most = steps_of(key)
        found = {*map(step_of, concerned(before, Pipeline(changed(content, changes))))}
        assert found <= most, key
        assert bool(found) == bool(most), key


def different(
    made: dict[str, bytes], wanted: dict[str, bytes], but: Iterable[str] = ()
) -> list[str]:
    """Return the files that are not as they should be, in words."""
    names = [name for name in wanted if name not in but and made.get(name) != wanted[name]]
    return [f"{name} is {'another' if name in made else 'not there'}" for name in names]


class Sweep:
    """A project in which one key after the other is changed and changed back."""

    def __init__(self, folder: Path, content: dict[str, Any]):
        self.folder, self.content = folder, content
        give(folder / "work")
        self.project = Project(folder / "work", **content)
        done = self.project.run()
        assert done.status == 0, done.text[-1500:]
        self.before = self.files(self.project)

    def files(self, project: Project) -> dict[str, bytes]:
        """Return the bytes of all that is made of data, by name."""
        place = project.folder / project.config["outdir"]
        return {
            path.relative_to(place).as_posix(): path.read_bytes()
            for path in place.rglob("*")
            if path.is_file()
            and not {"runs", "logs", "provenance"} & {*path.parts}
            and path.name not in (".raw_stamp.json", "ro-crate-metadata.json")
        }

    def try_key(self, key: str, changes: dict[str, Any]) -> list[str]:
        """Change a key and change it back; return what is wrong, in words."""
        content = changed(self.content, changes)
        self.project.config = content
        wrong, planned = self.told()
        status = self.project.run().status
        made = self.files(self.project)
        fresh = Project(self.folder / "fresh", **content)
        made_here = shutil.ignore_patterns("results", "elsewhere", ".snakemake")
        shutil.copytree(self.project.folder, fresh.folder, ignore=made_here)
        if fresh.run().status != status:
            wrong.append(f"another status than {status}")
        wanted = self.files(fresh)
        shutil.rmtree(fresh.folder)
        of_all = ("report.html", "sim/processing_results.yaml") if key.endswith("fovs") else ()
        if not status:
            wrong += different(made, wanted, of_all)
            wrong += [f"after: {each}" for each in self.held()]
        else:
            print(key, "fails", flush=True)
        if planned and not key.startswith("outdir") and wanted == self.before:
            print(key, changes, "the same bytes, though planned:", sorted(planned)[:3], flush=True)
        wrong += [f"after: {each}" for each in self.told()[0]]
        self.project.config = self.content
        if done := self.project.run().status:
            wrong.append(f"back: status {done}")
        again = self.files(self.project)
        wrong += [f"back: {each}" for each in different(again, self.before)]
        told, left = self.told()
        wrong += [f"back: {each}" for each in [*told, *self.held()]]
        return wrong + [f"back: still planned: {each}" for each in left]

    def told(self) -> tuple[list[str], dict[str, str]]:
        """Return where what is said of the FOVs differs, and what would run."""
        self.project.write_config()
        done = snakemake(self.project.folder, "--cores", "2", "--dry-run", "--quiet", "host")
        assert done.status == 0, done.text
        would_run = dict(read_dry_run(done.text.splitlines()))
        os.chdir(self.project.folder)
        pipeline = Pipeline(read_config("config/config.yaml"))
        statuses = {fov: s["status"] for fov, s in pipeline.statuses("sim").items()}
        jobs = [job for job in would_run if "FOV " in job]
        planned = {int(job.split("FOV ")[1].split(":")[0]) for job in jobs}
        differ = {fov for fov, status in statuses.items() if status != "complete"} ^ planned
        wrong = [f"status {statuses} but planned {planned}"] if differ & {*statuses} else []
        return wrong, would_run

    def held(self) -> list[str]:
        place = self.project.folder / self.project.config["outdir"]
        report = verify(place)
        told = {s.status for s in load_results(place / "sim").fovs.values()}
        return [
            *map(str, report.findings),
            *([f"load_results: {told}"] if told != {"complete"} else []),
        ]


@pytest.mark.slow_sequences
@pytest.mark.parametrize("name", METHODS)
def test_every_key_there_and_back(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    content = configured(name)
    sweep, wrong = Sweep(tmp_path, content), dict[str, list[str]]()
    for key, changes in keys_of(name):
        if key.startswith("run."):  # of no output, as the test before says
            continue
        try:
            found = sweep.try_key(key, changes)
        except Exception as error:
            found = [f"{type(error).__name__}: {error}"]
        if found:
            wrong[f"{key} {changes}"] = found
            print(key, changes, *found, sep="\n  ", flush=True)
            shutil.rmtree(tmp_path)
            sweep = Sweep(tmp_path, content)
    assert not wrong
