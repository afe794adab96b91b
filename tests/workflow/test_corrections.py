"""What people say of cells comes back into the pipeline, and outlives another segmentation."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from fovflow.corrections import cell_at
from fovflow.records import read_yaml
from fovflow.tables import read_csv
from workflow_project import FRAMES, Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

HEAD = "dataset,fov,frame,x,y,action,target_frame,target_x,target_y,reason,who,when\n"


@pytest.fixture
def project(finished_project: Project, tmp_path) -> Project:
    """A copy of a finished project."""
    shutil.copytree(finished_project.folder, tmp_path / "copy")
    return Project(tmp_path / "copy", **finished_project.config)


def traces_of(project: Project, fov: int) -> dict[str, np.ndarray]:
    return read_csv(project.file(fov, "traces.csv"))


def place(table: dict[str, np.ndarray], cell: int, frame: int) -> str:
    """Return frame, x and y of a cell in a frame."""
    (row,) = np.flatnonzero((table["cell"] == cell) & (table["frame"] == frame))
    return f"{frame},{table['position_x'][row]:.1f},{table['position_y'][row]:.1f}"


def whole(table: dict[str, np.ndarray]) -> list[int]:
    """Return the cells that are there in all frames, the good ones first."""
    cells, counts = np.unique(table["cell"], return_counts=True)
    good = np.isin(cells, table["cell"][table["good"]])
    cells, counts = (each[np.argsort(~good, kind="stable")] for each in (cells, counts))
    return cells[counts == FRAMES].tolist()


def test_corrections_rerun_their_fov_alone_and_outlive_a_segmentation(project: Project):
    table = traces_of(project, 1)
    rejected, cut = whole(table)[:2]
    lines = [
        f"sim,1,{place(table, rejected, 3)},reject,,,,dust,,",
        f"sim,1,{place(table, cut, 4)},cut,,,,,,",
        "sim,2,0,-900,-900,accept,,,,,,",
        "sim,77,0,1,1,accept,,,,,,",
    ]
    (project.folder / "corrections.csv").write_text(HEAD + "\n".join(lines), encoding="utf-8")
    others = {name: data for name, data in project.outputs().items() if "fov_000" in name}
    project.config["corrections"] = "corrections.csv"
    done = project.run()
    assert done.status == 0, done.text
    assert done.jobs == {"track": 1, "extract": 2, "browse": 2, "results": 1, "report": 1}
    assert "1 lines are of FOVs that are not processed: FOV 77 of sim" in done.text
    told = "line 4: accept at x -900, y -900 in frame 0: there is no cell"
    assert f"FOV 2: a correction is not followed: {told}" in done.text
    content = read_yaml(project.results / "processing_results.yaml")
    assert content["corrections_not_followed"] == {2: [told]}
    assert {n: d for n, d in project.outputs().items() if "fov_000" in n} == others
    check(project, table, rejected, cut)
    assert project.run().jobs == {}

    project.config["segment"] = {"n_sigma": 6.0}
    done = project.run()
    assert done.status == 0, done.text
    check(project, table, rejected, cut)

    del project.config["corrections"]
    assert project.run("--dry-run").jobs["track"] == 1


def check(project: Project, before: dict[str, np.ndarray], rejected: int, cut: int) -> None:
    """Check that the cells which lie where these lay are rejected, and cut in frame 4."""
    now = traces_of(project, 1)

    def at(cell: int, frame: int) -> int | None:
        t, x, y = place(before, cell, frame).split(",")
        return cell_at(now, int(t), float(x), float(y))

    rows = now["cell"] == at(rejected, 3)
    assert rows.any()
    assert not now["good"][rows].any()
    assert all(text.startswith("rejected") for text in now["flags"][rows].tolist())
    assert at(cut, 3) is not None
    assert at(cut, 3) != at(cut, 4)
    labels = np.load(project.file(1, "seg_labeled_ch_0.npy"))
    assert set(np.unique(labels[4])) - {0} == set(now["cell"][now["frame"] == 4].tolist())


def test_wrong_lines_stop_the_run_before_anything_is_done(project: Project):
    before = project.outputs()
    text = HEAD + "sim,0,0,1,1,rejekt,,,,,,\nsim,0,0,x,1,cut,,,,,,\n"
    (project.folder / "corrections.csv").write_text(text, encoding="utf-8")
    project.config["corrections"] = "corrections.csv"
    done = project.run()
    assert done.status != 0
    assert "corrections.csv: 2 lines cannot be read" in done.text
    assert "Traceback" not in done.text
    assert project.outputs() == before
    assert len(traces_of(project, 0)["cell"]) > 0
