"""One clear message, an exit status that is not 0, and everything else finished."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import fovflow
from fovflow.records import read_yaml
from workflow_project import POSITIONS, Project, damage_in_secret

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def statuses(project: Project) -> dict[str, str]:
    content = read_yaml(project.results / "processing_results.yaml")
    return {fov: entry["status"] for fov, entry in content["fovs"].items()}


def with_second_dataset(finished: Project, project: Project, **second) -> Project:
    """Add a dataset with a problem to a project whose first dataset is complete."""
    project.config["datasets"] = {**project.config["datasets"], "other": second}
    project.file(0, "traces.csv").unlink()  # so that there is something to do in the first one
    return project


def test_a_wrong_channel_costs_its_dataset_only(finished_project, project):
    with_second_dataset(
        finished_project, project, path="raw/sim.nd2", channels={"pc": "Phase", "fl": ["mCherry"]}
    )
    done = project.run()
    assert done.status == 1
    assert (
        "other: cannot be processed: channels.fl: the channel 'mCherry' is not in the file"
        in done.text
    )
    assert "0 = Phase" in done.text
    assert statuses(project) == {str(i): "complete" for i in range(POSITIONS)}
    assert "Traceback" not in done.text


def test_a_missing_file_costs_its_dataset_only(finished_project, project):
    with_second_dataset(finished_project, project, path="raw/absent.nd2")
    done = project.run()
    assert done.status == 1
    assert "raw/absent.nd2" in done.text
    assert statuses(project) == {str(i): "complete" for i in range(POSITIONS)}
    assert "Traceback" not in done.text


def test_a_truncated_nd2_costs_its_dataset_only(finished_project, project):
    whole = (project.folder / "raw" / "sim.nd2").read_bytes()
    (project.folder / "raw" / "cut.nd2").write_bytes(whole[: len(whole) * 2 // 3])
    with_second_dataset(finished_project, project, path="raw/cut.nd2")
    done = project.run()
    assert done.status == 1
    assert "raw/cut.nd2" in done.text
    assert "truncated" in done.text
    assert statuses(project) == {str(i): "complete" for i in range(POSITIONS)}
    assert "Traceback" not in done.text


def test_fovs_outside_the_file_are_named_and_the_others_finish(finished_project, tmp_path):
    other = Project(tmp_path / "outside", **finished_project.config, fovs="1-5")
    shutil.copytree(finished_project.folder / "raw", other.folder / "raw")
    done = other.run()
    assert done.status == 1
    assert "fovs: 3-5 asked for; found: 3 FOVs in the file, counted from 0" in done.text
    assert statuses(other) == {"1": "complete", "2": "complete"}
    assert read_yaml(other.results / "processing_results.yaml")["problems"]


def test_a_misspelt_key_runs_nothing_and_is_named(project):
    project.config["segmnt"] = {"method": "classic"}
    project.config["channels"] = {"pc": -1}
    done = project.run()
    assert done.status == 1
    assert "segmnt: unknown key; did you mean segment?" in done.text
    assert "channels.pc: -1 is not allowed" in done.text
    assert "Traceback" not in done.text


def test_a_damaged_stack_is_noticed_and_made_again(project):
    good = project.outputs()
    stack = project.file(1, "pc_ch_0.npy")
    stack.write_bytes(stack.read_bytes()[:-1000])
    done = project.run()
    assert done.status == 0, done.text
    assert done.jobs["copy"] == 1
    assert project.outputs() == good


def test_a_stack_damaged_in_secret_costs_one_fov_and_a_second_run_repairs_it(project):
    good = project.outputs()
    stack = project.file(1, "pc_ch_0.npy")
    damage_in_secret(stack)
    for fov in range(POSITIONS):
        project.file(fov, "seg_ch_0.npy").unlink()
    done = project.run()
    assert done.status == 1
    assert "sim, FOV 1, channel 0: segment failed:" in done.text
    assert "does not hold what its header announces" in done.text
    assert "sim: 2 of 3 FOVs complete" in done.text
    assert "Traceback" not in done.text
    assert statuses(project) == {"0": "complete", "1": "failed", "2": "complete"}
    entry = read_yaml(project.results / "processing_results.yaml")["fovs"]["1"]
    assert entry["step"] == "segment"
    log = project.results / "logs" / "fov_001" / "segment_ch_0.log"
    assert "Traceback" in log.read_text()
    results = fovflow.load_results(project.results)
    assert results.fovs[1].status == "failed"
    assert "seg" not in results.fovs[1].stacks

    stack.unlink()
    again = project.run()
    assert again.status == 0, again.text
    assert again.jobs["copy"] == 1
    assert statuses(project) == {str(i): "complete" for i in range(POSITIONS)}
    assert project.outputs() == good


def test_results_written_after_a_failure_are_made_again_even_if_nothing_else_is(project):
    yaml_file = project.results / "processing_results.yaml"
    good = yaml_file.read_bytes()
    stack = project.file(0, "pc_ch_0.npy")
    whole = stack.read_bytes()
    damage_in_secret(stack)
    project.file(0, "seg_ch_0.npy").unlink()
    assert project.run().status == 1
    assert statuses(project)["0"] == "failed"
    stack.write_bytes(whole)
    record = project.results / "logs" / "fov_000" / "segment_ch_0.json"
    assert json.loads(record.read_text())["status"] == "failed"
    assert project.run().status == 0
    assert yaml_file.read_bytes() == good


def test_a_movie_without_cells_runs_to_the_end(tmp_path):
    from workflow_project import make_project

    empty = make_project(tmp_path / "empty", cells=0, positions=1, frames=3)
    done = empty.run()
    assert done.status == 0, done.text
    lines = empty.file(0, "traces.csv").read_text().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("fov,cell,frame,time,good,position_x,position_y")
    assert np.load(empty.file(0, "seg_labeled_ch_0.npy"), allow_pickle=False).max() == 0
    page = (empty.folder / "results" / "report.html").read_text(encoding="utf-8")
    assert "No cell was found." in page


def test_an_output_folder_that_cannot_be_written_is_named(finished_project, tmp_path):
    other = Project(tmp_path / "blocked", **finished_project.config)
    shutil.copytree(finished_project.folder / "raw", other.folder / "raw")
    (other.folder / "results").write_text("a file where the folder should be")
    done = other.run()
    assert done.status == 1
    assert "cannot make the output folder results; found: File exists" in done.text
    assert "Traceback" not in done.text


def test_results_and_report_of_a_failed_run_are_made_again(project):
    stack = project.file(1, "pc_ch_0.npy")
    damage_in_secret(stack)
    project.file(1, "seg_ch_0.npy").unlink()
    done = project.run()
    assert done.status == 1
    assert "cannot write" not in done.text
    page = project.folder / "results" / "report.html"
    text = page.read_text(encoding="utf-8")
    assert "<h1>1 of 3 fields of view failed</h1>" in text
    assert "failed while finding the cells (step segment)" in text
    stack.unlink()
    again = project.run()
    assert again.status == 0, again.text
    assert again.jobs["report"] == 1
    assert "All fields of view are complete" in page.read_text(encoding="utf-8")
