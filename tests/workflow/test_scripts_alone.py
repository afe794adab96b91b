"""Each script by itself, as in a debugger: it writes the bytes that the pipeline writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fovflow.errors import FovflowError
from fovflow.runs.store import list_runs
from fovflow.testing import job
from workflow_project import Project, make_project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

STEP = """
def count(fov, outputs, least):
    cells = fov.traces()["cell"].nunique()
    outputs["cells.txt"].write_text(f"{cells} {least}\\n")
"""
OF_FOV = ["--dataset", "sim", "--fov", "1"]
OUTPUTS = {
    "copy": (OF_FOV, ["pc_ch_0.npy", "fl_ch_1.npy", "times.csv"]),
    "segment": (OF_FOV, ["seg_ch_0.npy", "seg_ch_0_frames.csv"]),
    "flat_field": (["--dataset", "sim"], None),
    "correct": (
        [*OF_FOV, "--channel", "1"],
        ["fl_background_ch_1.npz", "fl_corrected_ch_1_frames.csv"],
    ),
    "corrected": ([*OF_FOV, "--channel", "1"], ["fl_corrected_ch_1.npy"]),
    "track": (OF_FOV, ["seg_labeled_ch_0.npy", "tracks.csv"]),
    "extract": (OF_FOV, ["traces.csv"]),
    "browse": (OF_FOV, ["browse.js", "pictures.js"]),
    "count": (OF_FOV, ["cells.txt"]),
    "results": (["--dataset", "sim"], "processing_results.yaml"),
    "report": ([], "../report.html"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A complete project with a flat-field and a step of its own."""
    project = make_project(tmp_path_factory.mktemp("alone"))
    project.config["correct"] = {"flat_field": "estimate"}
    project.config["steps"] = [
        {
            "name": "count",
            "script": "steps.py",
            "function": "count",
            "outputs": ["cells.txt"],
            "args": {"least": 3},
        }
    ]
    (project.folder / "steps.py").write_text(STEP)
    done = project.run()
    assert done.status == 0, done.text
    return project


def alone(project: Project, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a script as from the shell."""
    return subprocess.run(
        [sys.executable, "-m", "fovflow.testing", *words],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
    )


def outputs(project: Project, rule: str) -> list[Path]:
    """Return the outputs of the job that is tried of a rule."""
    names = OUTPUTS[rule][1]
    if names is None:
        return sorted(project.results.glob("*flat_field*.npy"))
    if isinstance(names, str):
        return [project.results / names]
    return [project.file(1, name) for name in names]


@pytest.mark.parametrize("rule", OUTPUTS)
def test_a_script_writes_the_bytes_of_the_pipeline(project: Project, rule: str) -> None:
    files = outputs(project, rule)
    assert files
    before = {file: file.read_bytes() for file in files}
    runs = len(list_runs(project.folder / "results"))
    for file in files:
        file.unlink()
    done = alone(project, rule, *OUTPUTS[rule][0])
    assert done.returncode == 0, done.stderr
    assert {file: file.read_bytes() for file in files} == before
    assert len(list_runs(project.folder / "results")) == runs


def test_the_object_is_that_of_the_engine(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    made = job("segment", "sim", 1)
    fov = "results/sim/fov_001/sim_fov_001_"
    assert dict(made.input.items()) == {"stack": f"{fov}pc_ch_0.npy", "times": f"{fov}times.csv"}
    assert made.output.labels == f"{fov}seg_ch_0.npy"
    assert dict(made.wildcards.items()) == {"dataset": "sim", "fov": "001", "channel": "0"}
    assert list(made.log) == ["results/sim/logs/fov_001/segment_ch_0.log"]
    assert made.params.options["arguments"]["pixel_um"] == 0.65
    assert (made.rule, made.threads) == ("segment", 1)
    assert made.config["outdir"] == "results"


def test_a_script_that_fails_says_where_to_look(project: Project) -> None:
    stack = project.file(1, "seg_ch_0.npy")
    whole = stack.read_bytes()
    try:
        stack.write_bytes(whole[:-10])
        done = alone(project, "track", *OF_FOV)
    finally:
        stack.write_bytes(whole)
    assert done.returncode == 1
    assert "sim, FOV 1: track failed" in done.stderr
    assert "log: results/sim/logs/fov_001/track.log" in done.stderr
    assert "Traceback" in (project.results / "logs" / "fov_001" / "track.log").read_text()


def test_what_is_wrong_is_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder)
    with pytest.raises(FovflowError, match="no job segmnet of dataset sim, fov 001") as caught:
        job("segmnet", "sim", 1)
    assert "count, extract, flat_field, problem" in str(caught.value)
    with pytest.raises(FovflowError, match="no job segment of dataset simm"):
        job("segment", "simm", 1)
    with pytest.raises(FovflowError, match="sim has no FOV 7") as caught:
        job("segment", "sim", 7)
    assert "0-2" in str(caught.value)
    stack = project.file(1, "pc_ch_0.npy")
    stack.rename(stack.with_suffix(".away"))
    try:
        with pytest.raises(FovflowError, match="starts from files that are not there") as caught:
            job("segment", "sim", 1)
    finally:
        stack.with_suffix(".away").rename(stack)
    assert "no results/sim/fov_001/sim_fov_001_pc_ch_0.npy" in str(caught.value)
    assert "--notemp" in str(caught.value)
    done = alone(project, "segment", "--configfile", "nowhere.yaml")
    assert done.returncode == 1
    assert "nowhere.yaml" in done.stderr
    assert "Traceback" not in done.stderr
