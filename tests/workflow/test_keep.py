"""Stacks that are kept: what may be asked for later, and what a folder of before needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fovflow.atomic import temporary_name
from fovflow.cli import main
from fovflow.results import load_results
from fovflow.runs.verify import verify
from fovflow.states import states_of_folder
from workflow_project import Project, make_project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

FOVS = 2
STACKS = {"pc_ch_0", "fl_ch_1", "seg_ch_0", "fl_corrected_ch_1", "seg_labeled_ch_0"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return what runs a project of a `keep`, and of further settings, in a folder of its own."""
    base = tmp_path_factory.mktemp("base")
    make_project(base, positions=FOVS, frames=4, height=96, width=104)

    def run(name, **config):
        folder = tmp_path_factory.mktemp(name)
        shutil.copytree(base, folder, dirs_exist_ok=True)
        project = Project(folder, **config)
        done = project.run()
        assert done.status == 0, done.text
        return project

    return run


@pytest.fixture(scope="module")
def whole(run):
    """A run that keeps all stacks."""
    return run("whole", keep="all", correct={"bleach": "exponential", "flat_field": "estimate"})


@pytest.fixture(scope="module")
def lean(run):
    """The same with the default."""
    return run("lean", correct={"bleach": "exponential", "flat_field": "estimate"})


def copied(project, folder):
    shutil.copytree(project.folder, folder, dirs_exist_ok=True)
    return Project(folder, **project.config)


def stacks_of(project):
    files = project.results.glob("fov_000/*.npy")
    return {path.stem.removeprefix("sim_fov_000_") for path in files}


def same(project, other):
    """Hold what there is of FOVs against a project that has all."""
    files = [p for p in project.results.glob("fov_*/*") if p.name != "processing_results.yaml"]
    for path in files:
        expected = other.results / path.relative_to(project.results)
        assert path.read_bytes() == expected.read_bytes(), path.name
    return len(files)


def settled(project, notes=()):
    """Hold that nothing is left to do, and that all agree; `notes`: files that verify notes."""
    assert project.run().jobs == {}
    assert {state["status"] for state in states_of_folder(project.results).values()} == {"complete"}
    report = verify(project.results)
    assert report.findings == []
    assert [note.file for note in report.notes] == [*notes]


def test_the_default_keeps_what_cannot_be_made_again_cheaply(lean, whole):
    assert stacks_of(whole) == STACKS
    assert stacks_of(lean) == STACKS - {"seg_ch_0", "fl_corrected_ch_1"}
    assert same(lean, whole) == FOVS * 11
    settled(lean)


def test_all_that_is_asked_for_later_is_made_and_nothing_else(lean, whole, tmp_path):
    project = copied(lean, tmp_path)
    project.config["keep"] = "all"
    again = project.run()
    made = {"segment": FOVS, "corrected": FOVS, "results": 1, "report": 1}
    assert (again.status, again.jobs) == (0, made)
    assert stacks_of(project) == STACKS
    same(project, whole)
    assert len(load_results(project.results).fovs[0].stacks) == 5
    settled(project)
    project.config["keep"] = ["seg_labeled"]  # what is there stays, and is of no use
    assert project.run().jobs in ({}, {"results": 1, "report": 1})
    settled(project)


def test_stacks_that_were_removed_come_back_for_the_step_that_needs_them(run, whole, tmp_path):
    project = run("leanest", **{**whole.config, "keep": ["seg_labeled"]})
    assert stacks_of(project) == {"seg_labeled_ch_0"}
    project.config["extract"] = {"erosion_px": 1}
    again = project.run()
    made = {"copy": FOVS, "extract": FOVS, "browse": FOVS, "results": 1, "report": 1}
    assert (again.status, again.jobs) == (0, made)
    assert stacks_of(project) == {"seg_labeled_ch_0"}
    settled(project)
    project.config["keep"] = "all"
    made = {"copy": FOVS, "segment": FOVS, "corrected": FOVS, "results": 1, "report": 1}
    assert project.run().jobs == made
    other = copied(whole, tmp_path)
    other.config["extract"] = {"erosion_px": 1}
    assert other.run().jobs == {"extract": FOVS, "browse": FOVS, "results": 1, "report": 1}
    same(project, other)


def test_a_run_that_does_not_fit_ends_before_it_begins(lean, tmp_path):
    project = copied(lean, tmp_path)
    shutil.rmtree(project.folder / "results")
    project.before = "import fovflow.planning.space as s; s.free_bytes = lambda _: 100_000"
    done = project.run()
    assert done.status == 1
    assert "found: 0.6 MB are to be written, 0.1 MB are free; to do: choose fewer FOVs" in done.text
    assert not list(project.folder.glob("results/sim/*"))
    project.config["run"] = {"check_disk": False}
    assert project.run().status == 0


def test_one_stack_is_a_target(lean, whole, tmp_path):
    project = copied(lean, tmp_path)
    names = ["results/sim/fov_000/sim_fov_000_fl_corrected_ch_1.npy",
             "results/sim/fov_001/sim_fov_001_seg_ch_0.npy"]  # fmt: skip
    again = project.run(*names)
    assert (again.status, again.jobs) == (0, {"corrected": 1, "segment": 1})
    same(project, whole)
    settled(project)


@pytest.mark.parametrize(
    ("status", "words", "options", "stays"),
    [
        ("terminated", "snakemake --cores 2", [], False),
        ("running", "snakemake --cores 2", [], False),  # killed: it could not say how it ended
        ("completed", "snakemake --cores 2", [], True),
        ("terminated", "snakemake sim_fov_001_seg_ch_0.npy", [], True),
        ("terminated", "snakemake --until segment", [], True),
        ("terminated", "snakemake --cores 2", ["--notemp"], True),
        ("terminated", "snakemake --cores 2", ["--dry-run"], True),
    ],
)
def test_a_killed_run_leaves_no_stack_behind(lean, tmp_path, status, words, options, stays):
    project = copied(lean, tmp_path)
    stack = project.file(1, "seg_ch_0.npy")
    assert project.run(str(stack.relative_to(project.folder))).jobs == {"segment": 1}
    run = max(project.folder.glob("results/runs/*/run.json"))
    about = json.loads(run.read_text())
    run.write_text(json.dumps({**about, "status": status, "command": words}))
    project.run(*options)
    assert stack.exists() == stays
    if not stays:
        settled(project)


def test_what_a_killed_run_had_half_written_goes_where_nothing_is_made_anew(lean, tmp_path):
    project = copied(lean, tmp_path)
    with subprocess.Popen(["true"]) as dead:
        pass
    wholes = [
        project.results / "processing_results.yaml",
        project.file(1, "traces.csv"),
        project.results / "logs/fov_001/extract.json",
        project.results.parent / "report.html",
    ]
    for whole in wholes:
        assert whole.exists()
        name = temporary_name(whole.name).replace(f"-{os.getpid()}-", f"-{dead.pid}-")
        whole.with_name(name).write_text("half")
    assert len(list(project.results.parent.rglob(".*.part"))) == len(wholes)
    assert project.run("--dry-run").jobs == {}
    assert len(list(project.results.parent.rglob(".*.part"))) == len(wholes)
    assert project.run().jobs == {}
    assert list(project.results.parent.rglob(".*.part")) == []
    settled(project)


def test_a_stack_of_a_killed_run_stays_while_its_fov_is_not_complete(lean, tmp_path):
    project = copied(lean, tmp_path)
    stack = project.file(1, "seg_ch_0.npy")
    project.run(str(stack.relative_to(project.folder)))
    run = max(project.folder.glob("results/runs/*/run.json"))
    about = json.loads(run.read_text())
    run.write_text(json.dumps({**about, "status": "terminated", "command": "snakemake"}))
    project.config["extract"] = {"erosion_px": 1}
    traces = project.file(0, "traces.csv")
    assert project.run(str(traces.relative_to(project.folder))).jobs == {"extract": 1}
    assert stack.exists()
    project.run()
    assert not stack.exists()
    settled(project)


def test_corrected_frames_that_are_not_kept_can_be_looked_at_and_exported(lean, whole, tmp_path):
    fov, other = (load_results(p.results).fovs[1] for p in (lean, whole))
    assert "fl_corrected" not in fov.stacks
    frames, expected = fov.stack("fl_corrected"), other.stack("fl_corrected")
    assert (frames.shape, frames.dtype, frames.ndim) == (expected.shape, expected.dtype, 3)
    assert np.array_equal(np.asarray(frames), expected)
    assert np.array_equal(frames[1:, 3:5, 7], expected[1:, 3:5, 7])
    found = {}
    for project in (lean, whole):
        for number, (form, *more) in enumerate(FORMS):
            out = tmp_path / project.folder.name / str(number)
            assert main(["export", form, str(project.results), *more, "--out", str(out)]) == 0
            for path in out.rglob("*corrected*") if number else out.rglob("*background*"):
                key = str(path.relative_to(tmp_path / project.folder.name))
                found.setdefault(key, []).append(path.read_bytes())
    assert len(found) == 3 * FOVS
    assert all(
        len(each) == 2 and (each[0] == each[1] or "tif" in key) for key, each in found.items()
    )


FORMS = (["pyama"], ["pyama", "--form", "2025-10"], ["ome-tiff"])


def as_before(project):
    """Make a folder what the version before wrote: no models, and step correct made the stacks."""
    for record in project.results.glob("logs/fov_*/corrected_ch_1.json"):
        made, correct = json.loads(record.read_text()), record.with_name("correct_ch_1.json")
        content = json.loads(correct.read_text())
        for key in list(content["outputs"]):
            if key.endswith(".npz"):
                del content["outputs"][key]
                (project.results / key).unlink()
        content["outputs"] |= made["outputs"]
        correct.write_text(json.dumps(content))
        extract = json.loads(record.with_name("extract.json").read_text())
        extract["made_from"] = {
            name: sha for name, sha in extract["made_from"].items() if not name.endswith(".npz")
        } | {name: _sha(digest) for name, digest in made["outputs"].items()}
        record.with_name("extract.json").write_text(json.dumps(extract))
        for path in (record, record.with_suffix(".log"), record.with_suffix(".tsv")):
            path.unlink(missing_ok=True)
    shutil.rmtree(project.results / "provenance", ignore_errors=True)
    shutil.rmtree(project.folder / "results" / "runs")
    for name in ("ro-crate-metadata.json", "logs/.wanted"):
        Path(project.results, name).unlink()


def _sha(digest):
    return digest["sha256"] if isinstance(digest, dict) else digest


@pytest.mark.parametrize("keep", ["all", None])
def test_a_folder_of_before_goes_on_without_being_made_again(keep, whole, tmp_path):
    project = copied(whole, tmp_path)
    as_before(project)
    if keep is None:
        del project.config["keep"]
    again = project.run()
    assert (again.status, again.jobs) in ((0, {"results": 1, "report": 1}), (0, {"results": 1}))
    project.config["extract"] = {"erosion_px": 1}
    again = project.run()
    made = {"correct": FOVS, "extract": FOVS, "browse": FOVS, "results": 1, "report": 1}
    made |= {"corrected": FOVS} if keep else {}
    assert (again.status, again.jobs) == (0, made)
    notes = [] if keep else [f"fov_00{i}/sim_fov_00{i}_fl_corrected_ch_1.npy" for i in range(FOVS)]
    settled(project, notes)
