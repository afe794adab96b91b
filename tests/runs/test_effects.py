"""What two runs found in each FOV, in words, as JSON and as a page."""

from __future__ import annotations

import numpy as np
import pytest
from runs.recorded import DATASET

from fovflow.atomic import digest_of
from fovflow.cli import main
from fovflow.jobrecord import JobRecord
from fovflow.report.comparison import comparison_page
from fovflow.runs.compare import (
    Comparison,
    Difference,
    Effects,
    compare_runs,
    effects_of,
    format_comparison,
    numbers_of,
)
from fovflow.runs.state import Output
from fovflow.tables import write_csv


@pytest.fixture
def pair(whole, tmp_path):
    return whole.copy_to(tmp_path / "a"), whole.copy_to(tmp_path / "b")


def table(cells: int, frames: int, good: int) -> dict[str, np.ndarray]:
    cell, frame = np.repeat(np.arange(1, cells + 1), frames), np.tile(np.arange(frames), cells)
    return {"cell": cell, "frame": frame, "good": cell <= good}


def test_numbers_are_those_of_the_table(tmp_path):
    columns = table(4, 6, 3)
    keep = ~((columns["cell"] == 4) & (columns["frame"] > 1))
    write_csv(tmp_path / "t.csv", {name: values[keep] for name, values in columns.items()})
    assert numbers_of(tmp_path / "t.csv") == {
        "cells_per_frame": 3.33, "ids": 4, "good_cells": 3, "median_track": 6,
    }  # fmt: skip
    write_csv(tmp_path / "none.csv", {name: values[:0] for name, values in columns.items()})
    assert set(numbers_of(tmp_path / "none.csv").values()) == {0}


def test_fovs_that_differ_most_are_told_first():
    same = {"ids": 5.0, "good_cells": 3.0}
    found = Effects(
        {("p", i): (same, {"ids": 5.0, "good_cells": 3.0 + i}) for i in range(14)}
        | {("q", 0): (same, {})}
    )
    lines = list(found.lines())
    assert lines[0] == "found: ids 70 | 70, good cells 42 | 133; 14 of 15 FOVs differ"
    assert lines[1] == "  p, FOV 13: good cells 3 | 16"
    assert lines[-1] == "  and 4 more, in --json and --html"
    assert list(Effects({("p", 0): ({}, {})}).lines()) == []


def test_what_one_side_does_not_know_is_no_difference():
    known = {"ids": 5.0, "good_cells": 3.0, "median_track": 9.0}
    found = Effects({("p", 0): ({"ids": 5.0, "good_cells": 3.0}, known)})
    assert list(found.lines()) == ["found: ids 5 | 5, good cells 3 | 3; 0 of 1 FOVs differ"]
    found = Effects({("p", 0): ({"ids": 4.0, "good_cells": 3.0}, known)})
    assert list(found.lines())[1:] == ["  p, FOV 0: ids 4 | 5"]


def test_tables_of_the_run_are_read_and_others_are_told_by_records(pair, monkeypatch):
    first, second = pair
    name, made = f"{DATASET}/fov_001/x_traces.csv", {}
    for side, cells in ((first, 3), (second, 5)):
        path = side.run.path.parent.parent / name
        write_csv(path, table(cells, 4, 2))
        job = JobRecord(step="extract", wildcards={"dataset": DATASET, "fov": "001"})
        job.found = {"cells": 7, "good_cells": 6}
        made[side.run.path] = Output(name, digest_of(path), job, name.partition("/")[2])
    monkeypatch.setattr("fovflow.runs.compare.outputs_of", lambda run: {name: made[run.path]})
    told = {"ids": 7.0, "good_cells": 6.0}
    assert effects_of(first.run, second.run).fovs == {(DATASET, 1): (told, told)}
    now = made[first.run.path].digest  # what the folders' records say of the file
    monkeypatch.setattr("fovflow.runs.compare.Current.digest", lambda self, path: now)
    one, two = effects_of(first.run, second.run).fovs[DATASET, 1]
    assert (one["ids"], one["good_cells"], one["median_track"]) == (3, 2, 4)
    assert two == told


def test_few_of_many_outputs_are_named_one_by_one():
    found = Comparison("a", "b")
    found.differences = [Difference("outputs", f"{n}.csv", "x", "y") for n in range(40)]
    found.unknown = ["z.csv"]
    lines = format_comparison(found)
    assert lines[9] == "outputs: 9.csv: x | y"
    assert lines[10] == "outputs: and 31 more, in --json"
    assert lines[-1].startswith("a | b: 40 in outputs differences")


def test_the_page_escapes_names_and_says_what_is_gone(pair):
    first, second = pair
    second.edit_run(name="<script>alert(1)</script>")
    found = Comparison(first.run.id, second.run.id)
    found.differences = [Difference("config", "segment.<b>", "/home/me/x.csv", "<i>2</i>")]
    found.effects = Effects({("<u>plate", 3): ({"ids": 2.0}, {"ids": 5.0})})
    page = comparison_page((first.run, second.run), found)
    for text in ("<script>", "<b>&lt;", "segment.<b>", "<i>2", "<u>plate", "/home/me"):
        assert text not in page
    assert "&lt;u&gt;plate, 3" in page
    assert "2 → 5" in page
    assert ">+3</b>" in page


def test_the_command_writes_the_page(pair, tmp_path, capsys):
    first, second = pair
    second.edit_run(config={"segment": {"n_sigma": 4.0}})
    places = [str(side.run.path) for side in pair]
    assert main(["runs", "compare", *places, "--html", str(tmp_path / "c.html")]) == 1
    assert "segment.n_sigma" in (tmp_path / "c.html").read_text("utf-8")
    told = format_comparison(compare_runs(first.run, second.run))
    assert capsys.readouterr().out.splitlines() == told
