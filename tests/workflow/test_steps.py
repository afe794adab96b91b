"""Steps of the user's own, through the real workflow."""

from __future__ import annotations

import json
import shutil

import pytest

import fovflow
from fovflow.records import read_yaml
from fovflow.tables import read_csv
from workflow_project import POSITIONS, Finished, Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

SCRIPT = '''\
"""Count cells, then sum up."""

import fovflow
from beside import HEADER


def count(fov, outputs, min_frames=1):
    sizes = fov.traces().groupby("cell").size()
    kept = int((sizes >= min_frames).sum())
    fovflow.Run().log_metrics({"kept cells": kept})
    outputs["cells.csv"].write_text(f"{HEADER}\\n{fov.index},{kept}\\n")
    outputs["note.txt"].write_text(f"{fov.name} {fov.metadata['time_units']} {min_frames}\\n")


def sum_up(fov, outputs, factor):
    first = fov.output("count", "cells.csv").read_text().splitlines()[1]
    cells = int(first.split(",")[1]) * factor
    frames = len(fov.stack("seg_labeled"))
    outputs["total.csv"].write_text(f"cells,frames\\n{cells},{frames}\\n")
'''
COUNT = {
    "name": "count",
    "script": "my steps/steps.py",
    "function": "count",
    "outputs": ["cells.csv", "note.txt"],
}
TOTAL = {
    "name": "sum_up",
    "script": "my steps/steps.py",
    "function": "sum_up",
    "inputs": ["seg_labeled", "count/cells.csv"],
    "outputs": ["total.csv"],
    "args": {"factor": 10},
    "fov_args": {1: {"factor": 100}},
}


def jobs(done: Finished) -> dict[str, int]:
    """Return the number of jobs by rule, those left out that run after every change."""
    return {rule: n for rule, n in done.jobs.items() if rule not in ("results", "report")}


@pytest.fixture(scope="module")
def stepped(finished_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A complete project with two steps of its own; not to be changed."""
    project = finished_project.copy_to(tmp_path_factory.mktemp("steps") / "project")
    project.config["steps"] = [COUNT, TOTAL]
    folder = project.folder / "my steps"
    folder.mkdir()
    (folder / "steps.py").write_text(SCRIPT)
    (folder / "beside.py").write_text('HEADER = "fov,cells"\n')
    done = project.run()
    assert done.status == 0, done.text
    assert jobs(done) == {"count": POSITIONS, "sum_up": POSITIONS}
    return project


@pytest.fixture
def own(stepped: Project, tmp_path) -> Project:
    """A copy of the project with steps of its own."""
    return stepped.copy_to(tmp_path / "own")


def test_steps_run_for_every_fov_and_stand_in_the_results(stepped):
    for fov in range(POSITIONS):
        cells = set(read_csv(stepped.file(fov, "traces.csv"))["cell"].tolist())
        assert read_csv(stepped.file(fov, "cells.csv"))["cells"].tolist() == [len(cells)]
        total = read_csv(stepped.file(fov, "total.csv"))
        assert total["cells"].tolist() == [len(cells) * (100 if fov == 1 else 10)]
        assert total["frames"].tolist() == [8]
        assert stepped.file(fov, "note.txt").read_text() == f"sim/fov_00{fov} min 1\n"
    content = read_yaml(stepped.results / "processing_results.yaml")
    assert content["results_paths"]["2"]["steps"] == {
        "count": {
            "cells.csv": "fov_002/sim_fov_002_cells.csv",
            "note.txt": "fov_002/sim_fov_002_note.txt",
        },
        "sum_up": {"total.csv": "fov_002/sim_fov_002_total.csv"},
    }
    assert content["params"]["steps"]["sum_up"]["fov_args"] == {"1": {"factor": 100}}
    assert {entry["status"] for entry in content["fovs"].values()} == {"complete"}
    crate = json.loads((stepped.results / "ro-crate-metadata.json").read_text(encoding="utf-8"))
    (metric,) = [e for e in crate["@graph"] if e["@id"] == "#job/count.fov_002/metric/kept%20cells"]
    assert metric["value"] == str(len(cells))
    assert not list(stepped.results.rglob("*.part"))
    fov = fovflow.load_results(stepped.results).fovs[2]
    assert fov.output("sum_up") == stepped.file(2, "total.csv")
    assert jobs(stepped.run("--dry-run")) == {}


def test_only_what_is_affected_runs_again(own):
    own.file(2, "total.csv").unlink()
    assert jobs(own.run("--dry-run")) == {"sum_up": 1}
    own.config["steps"][1]["fov_args"] = {"sim/fov_001": {"factor": 50}}
    assert jobs(own.run()) == {"sum_up": 2}, "FOV 1, and the file that was removed"
    own.config["steps"][0]["args"] = {"min_frames": 2}
    assert jobs(own.run("--dry-run")) == {"count": 3, "sum_up": 3}
    own.config["steps"][0]["args"] = {}
    script = own.folder / "my steps" / "steps.py"
    script.touch()
    assert jobs(own.run("--dry-run")) == {}, "the content counts, not the time"
    script.write_text(SCRIPT.replace("{kept}", "{kept + 1}"))
    assert jobs(own.run()) == {"count": 3, "sum_up": 3}


def test_verdicts_of_a_person_rerun_the_steps_that_use_traces(own):
    traces = own.file(1, "traces.csv")
    lines = traces.read_text().splitlines(keepends=True)
    traces.with_name("sim_fov_001_traces_inspected.csv").write_text("".join(lines[:2]))
    assert jobs(own.run()) == {"count": 1, "sum_up": 1}
    assert read_csv(own.file(1, "cells.csv"))["cells"].tolist() == [1]


def test_verdicts_on_other_traces_are_told_and_not_given_to_steps(own):
    traces = own.file(1, "traces.csv")
    lines = traces.read_text().splitlines(keepends=True)
    traces.with_name("sim_fov_001_traces_inspected.csv").write_text("".join(lines[:2]))
    own.config["extract"] = {"erosion_px": 3}
    done = own.run()
    assert done.status == 0, done.text
    assert "FOV 1: a person's verdicts are not used: made from other traces: " in done.text
    assert "fovflow verdicts results --carry-over" in done.text
    cells = len(set(read_csv(traces)["cell"].tolist()))
    assert read_csv(own.file(1, "cells.csv"))["cells"].tolist() == [cells]
    assert jobs(own.run("--dry-run")) == {}


def test_each_failure_is_one_sentence_and_other_fovs_go_on(own):
    failing = (
        "import sys\n\n\n"
        "def fail(fov, outputs, how):\n"
        "    outputs['a.csv'].write_text('half')\n"
        "    if how == 'raise':\n"
        "        raise ValueError('no cells')\n"
        "    if how == 'exit':\n"
        "        sys.exit(0)\n"
        "    (outputs['a.csv'].with_name('c.csv') if how else outputs['b.csv']).write_text('x')\n"
    )
    (own.folder / "failing.py").write_text(failing)
    (own.folder / "broken.py").write_text("def f(:\n")
    step = {"script": "failing.py", "function": "fail", "args": {"how": ""}}
    own.config["steps"] = [
        {
            **step,
            "name": "fails",
            "outputs": ["a.csv", "b.csv"],
            "fov_args": {"0": {"how": "raise"}, "2": {"how": "other"}},
        },
        {**step, "name": "quits", "inputs": [], "outputs": ["q.csv"], "function": "absent"},
        {**step, "name": "lost", "outputs": ["l.csv"], "script": "lost.py"},
        {**step, "name": "broken", "outputs": ["x.csv"], "script": "broken.py"},
        {**step, "name": "wrong", "outputs": ["w.csv"], "args": {"who": 1}},
    ]
    done = own.run("--config", "fovs=0-2")
    assert done.status == 1
    for sentence in (
        "warning: step lost: there is no script lost.py",
        "sim, FOV 0: fails failed: the function fail of failing.py raised ValueError: no cells "
        "(line 7); to do: the traceback is in the log",
        "sim, FOV 2: fails failed: the function fail of failing.py did not write its output b.csv;"
        " found: other files: c.csv; to do: let it write to outputs['b.csv']",
        "sim, FOV 1: quits failed: the script failing.py has no function absent; found: fail",
        "sim, FOV 1: lost failed: there is no script lost.py",
        "sim, FOV 1: broken failed: the script broken.py does not load; found: SyntaxError",
        "sim, FOV 1: wrong failed: the function fail of failing.py does not take the arguments; "
        "found: missing a required argument: 'how'",
    ):
        assert sentence in done.text, sentence
    assert "Traceback" not in done.text
    assert own.file(1, "b.csv").read_text() == "x"
    assert not own.file(0, "a.csv").exists()
    assert not own.file(2, "a.csv").exists()
    assert not list(own.results.rglob("*.part"))
    entry = read_yaml(own.results / "processing_results.yaml")["fovs"]["0"]
    assert (entry["status"], entry["step"]) == ("failed", "fails")
    log = own.results / "logs" / "fov_000" / "fails.log"
    assert "raise ValueError('no cells')" in log.read_text()
    assert json.loads(log.with_suffix(".json").read_text())["status"] == "failed"


def test_arguments_for_fovs_that_do_not_exist_are_a_problem(own):
    own.config["steps"][1]["fov_args"] = {7: {"factor": 1}}
    own.file(0, "total.csv").unlink()
    done = own.run()
    assert done.status == 1
    assert "steps.sum_up.fov_args: 7 named; found: 3 FOVs in the file" in done.text
    assert own.file(0, "total.csv").exists()


def test_stacks_that_are_not_kept_stay_until_a_step_has_used_them(finished_project, tmp_path):
    other = Project(tmp_path / "lean", **finished_project.config | {"keep": []}, steps=[
        {"name": "frames", "script": "s.py", "function": "f", "inputs": ["fl", "fl_corrected"],
         "outputs": ["n.txt"]}
    ], fovs="1")  # fmt: skip
    shutil.copytree(finished_project.folder / "raw", other.folder / "raw")
    (other.folder / "s.py").write_text(
        "def f(fov, outputs):\n"
        "    shapes = [fov.stack(kind, 1).shape for kind in ('fl', 'fl_corrected')]\n"
        "    outputs['n.txt'].write_text(f'{shapes} {sorted(fov.stacks)}')\n"
    )
    done = other.run()
    assert done.status == 0, done.text
    shape = (8, 160, 176)
    assert other.file(1, "n.txt").read_text() == f"{[shape, shape]} ['fl', 'fl_corrected']"
    assert not list(other.results.rglob("*_ch_*.npy"))
