"""What people say of cells comes back into the pipeline, and outlives another segmentation."""

from __future__ import annotations

import csv
import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import Seen, chromium
from scipy.ndimage import distance_transform_edt

from fovflow.corrections import ACTIONS, cell_at
from fovflow.records import read_yaml
from fovflow.simulation import MovieParams, write_movie
from fovflow.simulation.movie import Movie
from fovflow.tables import read_csv
from workflow_project import FRAMES, Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

HEAD = "dataset,fov,frame,x,y,action,target_frame,target_x,target_y,reason,who,when\n"


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


def test_corrections_rerun_their_fov_alone(project: Project):
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
    now = traces_of(project, 1)
    assert not now["good"][now["cell"] == rejected].any()
    assert now["frame"][now["cell"] == cut].max() == 3
    assert project.run().jobs == {}
    warned = "corrections: sim, FOVs 1-2: other frames or another crop are copied than before"
    for changed, moves in (
        ({"frames": f"1-{FRAMES - 1}"}, True),
        ({"copy": {"crop": {"y0": 0, "x0": 8, "y1": 90, "x1": 90}}}, True),
        ({"frames": f"0-{FRAMES - 2}"}, False),  # they are counted as before
    ):
        other = Project(project.folder, **{**project.config, **changed})
        other.write_config()
        assert (warned in other.run("--dry-run").text) is moves

    del project.config["corrections"]
    assert project.run("--dry-run").jobs["track"] == 1


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


CELLS = {
    "accept": 7, "reject": 14, "comment": 5, "cut": 2, "merge": 3, "merge with": 13, "link": 8,
    "link to": 12, "split": 4, "daughter": 11, "speck": 10, "others": 1,
}  # fmt: skip
SEEN = {8: range(3), 12: range(5, 8), 11: range(4, 8)}
"""Frames of cells that are not in all of them."""


class Scene(Movie):
    """Cells of a simulated movie; some are seen in a part of the frames, of one only a speck is."""

    def __init__(self) -> None:
        params = MovieParams(
            seed=3, frames=FRAMES, height=300, width=340, cells=14, speed_um_h=0.5, pixel_um=0.65
        )
        super().__init__(params)
        self._empty = Movie(dataclasses.replace(params, cells=0))
        rows = self.cell_rows(0, 0)
        places = np.stack([rows["x"], rows["y"]], axis=1).tolist()
        self.place = dict(zip(rows["cell"].tolist(), places, strict=True))

    def frame(self, p: int, t: int) -> np.ndarray:
        image, ids = super().frame(p, t), self.masks(p, t)
        away, near = distance_transform_edt(ids == 0, return_indices=True)
        owner = np.where(away < 12, ids[tuple(near)], 0)
        rows, columns = np.indices(ids.shape)
        x, y = self.place[CELLS["speck"]]
        gone = (owner == CELLS["speck"]) & (np.hypot(columns - x, rows - y) > 8)
        gone |= np.isin(owner, [cell for cell, seen in SEEN.items() if t not in seen])
        image[:, gone] = self._empty.frame(p, t)[:, gone]
        return image


class Round:
    """What a run has made of the scene: tables and the page."""

    def __init__(self, project: Project, scene: Scene, browser: Any):
        self.scene, self.folder = scene, project.folder
        self.table = traces_of(project, 0)
        self.tracks = read_csv(project.file(0, "tracks.csv"))
        self.labels = np.load(project.file(0, "seg_labeled_ch_0.npy"))
        self.seen = Seen(browser, project.folder / "results" / "report.html")

    def at(self, name: str, frame: int) -> int:
        """Return the cell that lies where one of the scene does."""
        x, y = self.scene.place[CELLS[name]]
        return cell_at(self.table, frame, x, y) or 0

    def rows(self, name: str, frame: int, column: str) -> list[Any]:
        return self.table[column][self.table["cell"] == self.at(name, frame)].tolist()

    def card(self, name: str, frame: int) -> str:
        """Return what the page says of a cell."""
        cell = self.at(name, frame)
        self.seen.go(f"fov/sim/0/{cell}", f"h3:text-is('Cell {cell}')")
        return self.seen.page.inner_text(".card")

    def say(self, name: str, key: str, frame: int = 1, other: str = "", then: int = 0) -> None:
        """Press a key on a cell, in a frame; click another cell in another frame."""
        self.card(name, frame)
        slider, stage = self.seen.page.get_by_label("Frame", exact=True), ".stage"
        slider.fill(str(then or frame))
        self.seen.page.keyboard.press(key)
        if other:
            self.seen.page.wait_for_timeout(300)
            scale = self.seen.page.locator(stage).bounding_box()["width"] / 340
            x, y = self.scene.place[CELLS[other]]
            self.seen.page.locator(stage).click(position={"x": x * scale, "y": y * scale})
        if key == "c":
            self.seen.page.get_by_label("Comment").fill("two, or one?")
            self.seen.page.keyboard.press("Enter")
        self.seen.page.wait_for_function("document.getElementById('said').textContent")

    def close(self) -> None:
        self.seen.context.close()
        assert self.seen.wrong == []


def test_each_action_comes_back_from_the_browser_and_outlives_a_segmentation(tmp_path, subtests):
    scene, project = Scene(), Project(tmp_path, keep="all")
    (tmp_path / "raw").mkdir()
    write_movie(scene, tmp_path / "raw" / "sim.nd2")
    done = project.run()
    assert done.status == 0, done.text
    with chromium() as browser:
        before = Round(project, scene, browser)
        before.say("accept", "a")
        before.say("reject", "r")
        before.say("speck", "r")
        before.say("comment", "c")
        before.say("cut", "x", 4)
        before.say("link", "l", 1, "link to", 6)
        before.say("merge", "m", 1, "merge with", 1)
        before.say("split", "s", 1, "daughter", 5)
        with before.seen.page.expect_download() as waiting:
            before.seen.page.get_by_role("button", name="Save", exact=True).click()
        waiting.value.save_as(path := tmp_path / "corrections.csv")
        before.close()
        with path.open(encoding="utf-8", newline="") as file:
            assert {row["action"] for row in csv.DictReader(file)} == {*ACTIONS}
        project.config["corrections"] = "corrections.csv"
        done = project.run()
        assert done.status == 0, done.text
        assert "copy" not in done.jobs
        assert "segment" not in done.jobs
        content = read_yaml(project.results / "processing_results.yaml")
        assert content["corrections_not_followed"] == {}
        again = Round(project, scene, browser)
        check(subtests, before, again, path)
        again.close()
        project.config["segment"] = {"min_area_um2": 150.0}
        done = project.run()
        assert done.status == 0, done.text
        anew = Round(project, scene, browser)
        assert anew.at("others", 0) not in (0, before.at("others", 0))
        check(subtests, before, anew, path)
        with subtests.test("a conflict is told"):
            words = r"line 4: reject at x \S+, y \S+ in frame \d: there is no cell"
            assert re.search(rf"FOV 0: a correction is not followed: {words}", done.text)
            anew.seen.go("corrections", "h3:has-text('Not followed')")
            assert re.search(words, anew.seen.page.inner_text("#view"))
            anew.seen.page.get_by_role("link", name="sim, FOV 0").click()
            anew.seen.page.wait_for_selector("text=sim · FOV 0")
        anew.close()


def check(subtests: Any, before: Round, now: Round, path: Path) -> None:
    """Check what has become of each cell, in the tables and in the page without any memory."""
    page = now.seen.page
    page.goto(f"{now.seen.url}#corrections")
    page.set_input_files("input[type=file]", path)
    page.wait_for_selector("h2:has-text('8 corrections')")
    for action, word, good in (("accept", "accepted", True), ("reject", "rejected", False)):
        with subtests.test(action):
            assert {*before.rows(action, 1, "good")} == {not good}
            assert {*now.rows(action, 1, "good")} == {good}
            assert all(flags.startswith(word) for flags in now.rows(action, 1, "flags"))
            card = now.card(action, 1)
            assert page.inner_text(".card .badge") == word
            assert f"{word} " in card
    with subtests.test("comment"):
        assert now.rows("comment", 1, "good") == before.rows("comment", 1, "good")
        assert "comment: two, or one?" in now.card("comment", 1)
    with subtests.test("cut"):
        assert before.rows("cut", 3, "frame") == [*range(FRAMES)]
        assert now.rows("cut", 3, "frame") == [0, 1, 2, 3]
        assert now.rows("cut", 4, "frame") == [4, 5, 6, 7]
        assert "4 to 7, found in 4" in now.card("cut", 4)
        assert "track cut here (frame 4)" in page.inner_text(".card .told")
    with subtests.test("link"):
        assert before.at("link", 1) != before.at("link to", 6)
        assert now.at("link", 1) == now.at("link to", 6)
        cell = now.at("link", 1)
        row = (now.tracks["cell"] == cell) & (now.tracks["frame"] == 5)
        assert now.tracks["previous_frame"][row].tolist() == [2]
        assert "0 to 7, found in 6" in now.card("link", 1)
        assert "goes on as the cell at" in page.inner_text(".card .told")
    with subtests.test("merge"):
        assert now.at("merge", 1) == now.at("merge with", 1)
        assert now.rows("merge", 1, "frame") == [*range(FRAMES)]
        parts = np.array([before.rows(name, 1, "area_ch_0") for name in ("merge", "merge with")])
        assert np.allclose(now.rows("merge", 1, "area_ch_0"), parts.sum(axis=0), rtol=0.1)
        assert "is one cell with" in now.card("merge", 1)
    with subtests.test("split"):
        mother, daughter = now.at("split", 1), now.at("daughter", 5)
        first = (now.tracks["cell"] == daughter) & (now.tracks["frame"] == 4)
        assert now.tracks["parent"][first].tolist() == [mother]
        assert f"daughter of cell {mother}" in now.card("daughter", 5)
        assert f"mother of cell {daughter}" in now.card("split", 1)
    with subtests.test("other cells, and labels"):
        assert now.rows("others", 1, "flags") == before.rows("others", 1, "flags")
        for t in range(FRAMES):
            here = {*now.table["cell"][now.table["frame"] == t].tolist()}
            assert {*np.unique(now.labels[t]).tolist()} - {0} == here
