"""Only what is missing or out of date runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from fovflow import states
from fovflow.jobrecord import read_records
from fovflow.layout import WANTED_NAME
from fovflow.records import read_json, read_yaml
from fovflow.results import load_results
from fovflow.runs.verify import verify
from fovflow.tables import read_csv
from workflow_project import FRAMES, POSITIONS, Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def test_a_run_makes_every_file_and_a_second_run_makes_none(project: Project):
    content = read_yaml(project.results / "processing_results.yaml")
    assert content["fovs"] == {str(i): {"status": "complete"} for i in range(POSITIONS)}
    for fov in range(POSITIONS):
        traces = read_csv(project.file(fov, "traces.csv"))
        assert len(traces["cell"]) > FRAMES
        assert set(traces["fov"].tolist()) == {fov}
    assert not list(project.results.rglob("*.part"))
    again = project.run()
    assert (again.status, again.jobs) == (0, {})


def test_outputs_are_believed_by_the_time_that_their_job_recorded(project: Project, monkeypatch):
    """Nothing of what was just made is read again to be known, whatever its size."""
    folder = project.results
    recorded = [record for record in read_records(folder) if record.key.fov]
    assert len(recorded) > 8
    for record in recorded:
        for name in record.outputs:
            if (folder / name).exists():
                assert (folder / name).stat().st_mtime_ns == record.times[name], name
    (folder / WANTED_NAME).write_text(
        (folder / WANTED_NAME).read_text().replace('"compared": {', '"of_old": {')
    )

    def read(name: str) -> None:
        raise AssertionError(f"{name} was read")

    monkeypatch.setattr(states, "digest_of", read)
    assert {state["status"] for state in states.states_of_folder(folder).values()} == {"complete"}
    changed = folder / "fov_001" / "sim_fov_001_traces.csv"
    content = changed.read_bytes()
    changed.write_bytes(content[:-2] + b"0\n")
    with pytest.raises(AssertionError, match=r"traces\.csv was read"):
        states.states_of_folder(folder)


def test_deleted_traces_are_made_again_for_that_fov_only(project: Project):
    before = project.outputs()
    project.file(1, "traces.csv").unlink()
    again = project.run()
    assert (again.status, again.jobs) == (0, {"extract": 1, "browse": 1, "results": 1, "report": 1})
    assert project.outputs() == before


def test_a_deleted_intermediate_is_made_again_with_what_uses_it(project: Project):
    before = project.outputs()
    project.file(2, "fl_background_ch_1.npz").unlink()
    again = project.run()
    assert (again.status, again.jobs) == (
        0,
        {"correct": 1, "corrected": 1, "extract": 1, "browse": 1, "results": 1, "report": 1},
    )
    assert project.outputs() == before


def test_deleted_stacks_are_made_again_and_nothing_else(project: Project):
    before = project.outputs()
    for fov, name in ((0, "seg_ch_0.npy"), (1, "pc_ch_0.npy"), (2, "fl_corrected_ch_1.npy")):
        project.file(fov, name).unlink()
    again = project.run()
    made = {"copy": 1, "segment": 1, "corrected": 1, "results": 1, "report": 1}
    assert (again.status, again.jobs) == (0, made)
    assert project.outputs() == before
    assert project.run().jobs == {}


def test_changed_parameters_of_correct_rerun_correct_and_what_follows(project: Project):
    before = project.outputs()
    project.config["correct"] = {"method": "constant"}
    again = project.run()
    assert again.status == 0
    assert again.jobs == {
        "correct": POSITIONS,
        "corrected": POSITIONS,
        "extract": POSITIONS,
        "browse": POSITIONS,
        "results": 1,
        "report": 1,
    }
    after = project.outputs()
    changed = {name for name in after if after[name] != before.get(name)}
    assert all(
        name.endswith(("_traces.csv", "_browse.js", "processing_results.yaml"))
        or "fl_corrected" in name
        or "fl_background" in name
        for name in changed
    )
    assert len([name for name in changed if name.endswith(".npy")]) == POSITIONS


def test_raw_data_that_were_touched_or_moved_rerun_nothing(project: Project):
    raw = project.folder / "raw" / "sim.nd2"
    raw.touch()
    assert project.run().jobs == {}
    moved = project.folder / "elsewhere" / "sim renamed µ.nd2"
    moved.parent.mkdir()
    shutil.move(raw, moved)
    assert project.run().jobs == {}, "raw data that are gone rerun nothing"
    project.config["datasets"]["sim"]["path"] = str(moved.relative_to(project.folder))
    assert project.run().jobs == {}
    project.file(0, "times.csv").unlink()
    assert project.run().jobs["copy"] == 1


def test_changed_raw_content_reruns_everything(project: Project, tmp_path):
    from workflow_project import make_project

    other = make_project(tmp_path / "other", seed=6)
    shutil.copyfile(other.folder / "raw" / "sim.nd2", project.folder / "raw" / "sim.nd2")
    assert project.run("--dry-run").jobs == {
        "copy": POSITIONS,
        "segment": POSITIONS,
        "correct": POSITIONS,
        "corrected": POSITIONS,
        "track": POSITIONS,
        "extract": POSITIONS,
        "browse": POSITIONS,
        "results": 1,
        "report": 1,
    }


def test_a_smaller_selection_of_fovs_touches_no_fov(project: Project):
    project.config["fovs"] = "0-1"
    assert project.run().jobs == {"results": 1, "report": 1}
    content = read_yaml(project.results / "processing_results.yaml")
    assert list(content["fovs"]) == ["0", "1", "2"]
    assert content["not_selected"] == [2]


def test_one_and_two_cores_give_identical_bytes(finished_project: Project, tmp_path):
    other = Project(tmp_path / "one", **finished_project.config)
    shutil.copytree(finished_project.folder / "raw", other.folder / "raw")
    done = other.run(cores=1)
    assert done.status == 0, done.text
    assert other.outputs() == finished_project.outputs()
    pages = [p.folder / "results" / "report.html" for p in (other, finished_project)]
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_cores_that_would_lie_idle_work_on_frames_of_one_fov(finished_project: Project, tmp_path):
    other = Project(tmp_path / "one", **finished_project.config | {"fovs": "0"})
    shutil.copytree(finished_project.folder / "raw", other.folder / "raw")
    done = other.run_program(cores=3)
    assert done.status == 0, done.text
    logs = other.results / "logs" / "fov_000"
    records = [read_json(path) for path in logs.glob("*.json")]
    threads = {record["step"]: record["threads"] for record in records}
    assert threads.pop("segment") == 3
    assert set(threads.values()) == {1}
    whole = finished_project.outputs()
    for name, content in other.outputs().items():
        if "fov_000" in name:
            assert content == whole[name], name


def test_bulky_stacks_that_are_not_kept_are_removed(finished_project: Project, tmp_path):
    other = Project(tmp_path / "lean", **finished_project.config | {"keep": ["seg_labeled"]})
    shutil.copytree(finished_project.folder / "raw", other.folder / "raw")
    done = other.run()
    assert done.status == 0, done.text
    stacks = sorted(path.name for path in other.results.rglob("*.npy"))
    assert stacks == [f"sim_fov_{i:03d}_seg_labeled_ch_0.npy" for i in range(POSITIONS)]
    assert other.file(0, "traces.csv").read_bytes() == (
        finished_project.file(0, "traces.csv").read_bytes()
    )
    paths = read_yaml(other.results / "processing_results.yaml")["results_paths"]["0"]
    assert set(paths) == {"fl", "fl_corrected", "seg_labeled", "traces_csv"}
    assert paths["fl"] == []
    assert other.run().jobs == {}


def test_fovs_are_finished_one_after_another(finished_project: Project, tmp_path):
    other = Project(tmp_path / "order", **finished_project.config)
    shutil.copytree(finished_project.folder / "raw", other.folder / "raw")
    done = other.run(cores=1)
    assert done.status == 0
    order = [
        line.split(": ")[-1].split()[0]
        for line in done.text.splitlines()
        if line.startswith(("Job ",)) and "FOV" in line
    ]
    assert order.index("extract") < len(order) - 1 - order[::-1].index("copy")


def test_a_parameter_and_its_missing_file_are_named_by_why(project: Project):
    import subprocess
    import sys

    project.file(1, "traces.csv").unlink()
    project.config["track"] = {"method": "classic"}
    project.write_config()
    target = str(project.file(1, "tracks.csv").relative_to(project.folder))
    for targets, fovs in (([], "FOVs 0-2"), ([target], "FOV 1")):
        done = subprocess.run(
            [sys.executable, "-m", "fovflow", "why", *targets],
            cwd=project.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert f"sim, {fovs}: track: its parameters changed" in done.stdout
        assert "segment" not in done.stdout


def test_a_later_range_of_fovs_leaves_the_others_in_the_results(project: Project):
    whole = load_results(project.results).traces()
    project.config["fovs"] = "1"
    again = project.run()
    assert (again.status, again.jobs) == (0, {"results": 1, "report": 1})
    assert "1 of 1 FOVs complete; 2 that were not asked for are complete, too" in again.text
    results = load_results(project.results)
    assert {fov: (r.status, r.selected) for fov, r in results.fovs.items()} == {
        0: ("complete", False), 1: ("complete", True), 2: ("complete", False)
    }  # fmt: skip
    assert results.traces().equals(whole)
    report = (project.folder / "results" / "report.html").read_text(encoding="utf-8")
    assert all(re.search(rf">FOV {fov}\b", report) for fov in range(POSITIONS))
    assert project.run().jobs == {}
    project.file(2, "tracks.csv").unlink()  # it is no longer complete, and was not asked for
    assert load_results(project.results).fovs[2].status == "incomplete"
    assert project.run().jobs == {"results": 1, "report": 1}
    assert sorted(load_results(project.results).fovs) == [0, 1]
    del project.config["fovs"]
    assert project.run().status == 0
    assert load_results(project.results).traces().equals(whole)


def test_a_deleted_manifest_comes_back(project: Project):
    manifest = project.results / "ro-crate-metadata.json"
    manifest.unlink()
    dry = project.run("--dry-run", "--quiet", "host")
    assert "there is no ro-crate-metadata.json" in dry.text
    assert not manifest.exists()
    again = project.run()
    assert (again.status, again.jobs) == (0, {"results": 1, "report": 1})
    assert manifest.exists()
    assert verify(project.folder / "results").findings == []
    assert project.run().jobs == {}


def test_what_a_dead_writer_left_beside_the_record_of_results_goes(project: Project):
    told = "from fovflow.atomic import temporary_name; print(temporary_name('results.json'))"
    command = [sys.executable, "-c", told]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    left = project.results / "logs" / child.stdout.strip()
    left.touch()
    project.file(1, "traces.csv").unlink()
    assert project.run().status == 0
    assert not left.exists()
