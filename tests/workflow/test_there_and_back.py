"""A configuration that is changed and changed back leaves nothing of the time between."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tifffile
from forking import snakemake

from fovflow.cli import main
from fovflow.report import write_report
from fovflow.results import load_results
from fovflow.runs.claim import Claim
from fovflow.runs.verify import verify
from fovflow.tables import read_csv
from fovflow.verdicts import write_verdicts
from workflow_project import Project, make_project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

FOVS = 2
SCRIPT = """
def count(fov, outputs, by=1):
    (path,) = outputs.values()
    path.write_text(f"n\\n{by * len(fov.traces())}\\n")
"""
STEPS = [
    {"name": "count", "script": "s.py", "function": "count", "outputs": ["n.csv"]},
    {"name": "twice", "script": "s.py", "function": "count", "outputs": ["t.csv"],
     "inputs": ["count", "traces"], "args": {"by": 2}},
]  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A finished project of three channels that keeps all stacks; not to be changed."""
    folder = tmp_path_factory.mktemp("base")
    size = {"seed": 0, "positions": FOVS, "frames": 3, "height": 64, "width": 72, "cells": 3}
    make_project(folder, channels=("Phase", "GFP", "RFP"), **size)
    (folder / "s.py").write_text(SCRIPT)
    project = Project(folder, keep="all", qc={"min_frames": 1}, steps=STEPS)
    done = project.run()
    assert done.status == 0, done.text
    return project


@pytest.fixture
def project(base, tmp_path):
    """A copy of it."""
    shutil.copytree(base.folder, tmp_path / "project")
    return Project(tmp_path / "project", **base.config)


def run(project, *options):
    done = project.run(*options)
    assert done.status == 0, done.text
    return done.jobs


def test_cells_of_another_channel_are_no_longer_used(project, base):
    project.config["channels"] = {"seg": 1}
    run(project, "--until", "segment")  # as if it was stopped there
    assert {r.status for r in load_results(project.results).fovs.values()} != {"complete"}
    assert run(project)["correct"] == 2 * FOVS
    made_from = json.loads((project.results / "logs/fov_000/correct_ch_2.json").read_text())
    assert "fov_000/sim_fov_000_seg_ch_1.npy" in made_from["made_from"]
    assert not project.file(0, "seg_labeled_ch_0.npy").exists(), "track makes that of channel 1"
    told = load_results(project.results).fovs[0].table("segment_frames")
    frames = {c: read_csv(project.file(0, f"seg_ch_{c}_frames.csv")) for c in (0, 1)}
    assert frames[0]["n_objects"].tolist() != frames[1]["n_objects"].tolist()
    assert told["n_objects"].tolist() == frames[1]["n_objects"].tolist()
    page = project.folder / "results" / "report.html"
    with_both = page.read_bytes()
    other = project.file(0, "seg_ch_0_frames.csv")
    away = other.rename(project.folder / "away")
    write_report(page, page.parent, ["sim"])
    assert page.read_bytes() == with_both, "it shows what is there of channel 1"
    away.rename(other)
    assert verify(project.folder / "results").findings == []
    del project.config["channels"]
    run(project)
    made = project.outputs()
    assert {name: made.get(name) for name in base.outputs()} == base.outputs()
    assert verify(project.folder / "results").findings == []
    assert run(project) == {}


def test_a_stack_of_other_parameters_is_not_taken_up_again(project, base):
    del project.config["steps"]
    project.config["channels"] = {"fl": [1]}
    crop = {"crop": {"y1": 60, "x1": 70}}
    project.config["copy"] = crop
    run(project)
    assert not project.file(0, "fl_ch_2.npy").exists(), "it is of larger frames"
    shutil.copy2(base.file(0, "fl_ch_2.npy"), project.file(0, "fl_ch_2.npy"))
    project.config["channels"] = {"fl": [1, 2]}
    assert run(project)["copy"] == FOVS
    stacks = [project.file(0, f"fl_ch_{channel}.npy") for channel in (1, 2)]
    assert {np.load(stack, allow_pickle=False).shape for stack in stacks} == {(3, 60, 70)}


def test_a_step_that_has_another_name_is_the_only_maker_of_its_file(project):
    first, second = (dict(step) for step in STEPS)
    first |= {"name": "tally", "args": {"by": 5}}
    second["inputs"] = ["tally", "traces"]
    project.config["steps"] = [first, second]
    jobs = run(project)
    assert (jobs["tally"], jobs["twice"]) == (FOVS, FOVS)
    assert run(project) == {}
    assert verify(project.folder / "results").findings == []
    project.config["steps"] = STEPS
    assert run(project)["count"] == FOVS, "what it had made is gone"
    assert run(project) == {}


def test_what_a_step_no_longer_writes_goes(project):
    project.config["steps"] = [STEPS[0] | {"outputs": ["m.csv"]}]
    project.config["samples"] = [{"name": "a", "fovs": "all"}]
    project.config["fit"] = {"model": "trivial"}
    assert run(project)["count"] == FOVS
    assert not project.file(0, "n.csv").exists()
    assert project.file(0, "t.csv").exists(), "a step that is left out leaves its files"
    project.config["fit"] = {"model": "maturation"}
    run(project)
    names = {path.name for path in (project.folder / "results/analysis").glob("*_fitted_*")}
    assert names == {f"a_intensity_total_ch_{channel}_fitted_maturation.csv" for channel in (1, 2)}
    assert verify(project.folder / "results").findings == []


def test_inputs_of_a_step_that_changed_are_told_by_all(project):
    project.config["steps"] = [STEPS[0] | {"inputs": ["traces", "tracks"]}]
    target = project.file(0, "n.csv").relative_to(project.folder)
    assert run(project, "--", str(target)) == {"count": 1}
    told = {fov: r.status for fov, r in load_results(project.results).fovs.items()}
    assert told == {0: "complete", 1: "outdated"}


def test_verdicts_change_the_report(project, base):
    del project.config["steps"]
    run(project)
    page = project.folder / "results" / "report.html"
    before = page.read_bytes()
    traces = read_csv(project.file(0, "traces.csv"))
    path = write_verdicts(project.file(0, "traces.csv"), traces | {"good": ~traces["good"]})
    assert run(project) == {"report": 1}
    assert page.read_bytes() != before
    assert run(project) == {}
    path.unlink()
    assert run(project) == {"report": 1}
    assert page.read_bytes() == before


def test_samples_are_as_old_as_their_traces(project, capsys, monkeypatch):
    monkeypatch.chdir(project.folder)
    del project.config["steps"]
    project.config["samples"] = [{"name": "a", "fovs": "all"}]
    run(project)
    assert main(["status"]) == 0
    project.config["extract"] = {"erosion_px": 1}
    project.write_config()
    capsys.readouterr()
    assert main(["status"]) == 1
    assert "sample a: outdated at merge" in capsys.readouterr().out
    target = project.file(0, "traces.csv").relative_to(project.folder)
    run(project, "--", str(target))
    main(["status"])
    assert "sample a: outdated at merge" in capsys.readouterr().out


def test_a_file_of_an_fov_that_is_not_selected_is_made_again_by_its_name(project):
    del project.config["steps"]
    project.config |= {"fovs": "0", "extract": {"erosion_px": 1}}
    target = project.file(1, "traces.csv").relative_to(project.folder)
    assert run(project, "--", str(target)) == {"extract": 1}
    assert run(project, "--", str(target)) == {}
    assert run(project)["extract"] == 1, "that of FOV 0"


def test_options_of_snakemake_that_run_nothing_ask_our_records(project):
    claim, made = Claim(project.folder / "results"), project.outputs()
    claim.take()
    for option in ("--delete-all-output", "--delete-temp-output", "--touch"):
        done = snakemake(project.folder, "--cores", "1", option)
        assert done.status == 1
        assert "another run is at work on the output folder results; found: " in done.text
        assert "Traceback" not in done.text
    assert project.outputs() == made
    claim.release()
    done = snakemake(project.folder, "--cores", "1", "--delete-all-output")
    assert done.status == 0, done.text
    assert not project.file(0, "traces.csv").exists()


@pytest.mark.parametrize(("target", "told", "remedy"), [
    ("nonsense", "nothing makes nonsense", "name a file of the output folder, such as {}, or none"),
    ("results/sim/fov_0001/sim_fov_0001_traces.csv", "nothing makes {target}",
     "name a file of the output folder, such as {}, or"),
    ("{folder}/results/sim/fov_001/sim_fov_001_traces.csv", "nothing makes {target}",
     "give its path from here, results/sim/fov_001/sim_fov_001_traces.csv"),
    ("segment", "a step alone is no target", "name a file of the output folder, such as {}, or"),
])  # fmt: skip
def test_a_target_that_nothing_makes_is_told_in_a_sentence(project, target, told, remedy):
    target = target.format(folder=project.folder)
    example = str(project.file(0, "traces.csv").relative_to(project.folder))
    done = project.run("-n", "--", target)
    assert done.status == 1
    sentence = f"{told}; to do: {remedy}".replace("{}", example).replace("{target}", target)
    assert sentence in done.text
    assert "Exception" not in done.text


def test_another_reading_of_the_names_of_a_series_is_other_data(tmp_path):
    """The files are the same, so that their fingerprint is."""
    pixels = np.random.default_rng(1).integers(90, 200, (2, 2, 2, 32, 40)).astype(np.uint16)
    (tmp_path / "raw").mkdir()
    for a, b, c in np.ndindex(pixels.shape[:3]):
        tifffile.imwrite(tmp_path / f"raw/a{a}_b{b}_c{c}.tif", pixels[a, b, c])
    given = {"path": "raw", "pixel_um": 0.65, "interval_s": 60}
    forms = [{"pattern": p} for p in ("a{position}_b{time}_c{channel}.tif",
                                      "a{time}_b{position}_c{channel}.tif")]  # fmt: skip
    project = Project(tmp_path, segment={"method": "threshold"}, correct={"method": "none"})
    for form, axes in zip(forms, ((0, 1), (1, 0)), strict=True):
        project.config["datasets"]["sim"] = given | form
        assert run(project)["copy"] == 2
        copied = np.load(project.file(1, "fl_ch_1.npy"), allow_pickle=False)
        np.testing.assert_array_equal(copied, pixels[:, :, 1].transpose(*axes, 2, 3)[1])


def test_outdated_traces_and_such_that_are_elsewhere_are_warned_of(project, tmp_path):
    del project.config["steps"]
    project.config["extract"] = {"erosion_px": 1}
    run(project, "--", str(project.file(0, "traces.csv").relative_to(project.folder)))
    results = load_results(project.results)
    results.fovs[0].traces()  # only what is drawn of them is older
    with pytest.warns(UserWarning, match="fov_001: the traces are outdated, from step extract on"):
        assert set(results.traces()["fov"]) == {0, 1}
    run(project)
    folder = project.file(1, "traces.csv").parent
    shutil.move(folder, tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.warns(UserWarning, match="fov_001 is left out: its traces are not in the folder"):
        assert set(load_results(project.results).traces()["fov"]) == {0}
