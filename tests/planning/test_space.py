"""Disk and CPU time of a run, for each choice of the stacks that are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from fovflow.cli import main
from fovflow.errors import FovflowError
from fovflow.planning import space
from fovflow.planning.pipeline import Pipeline
from fovflow.simulation import MovieParams, simulate, write_movie
from fovflow.stages import STACKS

PIXELS = 5 * 64 * 72
"""Of a stack."""


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A configuration of a movie of two channels and three FOVs, in the working folder."""
    monkeypatch.chdir(tmp_path)
    params = MovieParams(seed=1, positions=3, frames=5, height=64, width=72, cells=2)
    write_movie(simulate(params), tmp_path / "a.nd2")
    return {"datasets": {"a": {"path": "a.nd2"}}}


def finish(pipeline, fov, kinds):
    """Write empty files in place of what an FOV has."""
    plan = pipeline.datasets["a"]
    for kind in (*kinds, "traces"):
        channel = {"fl": 1, "fl_corrected": 1}.get(kind, 0)
        path = Path(pipeline.layout.file(kind, "a", plan.fovs[fov], channel))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize(
    ("keep", "stays", "passing"),
    [("all", 12, 0), (["pc", "fl", "seg_labeled"], 6, 2), (["seg_labeled"], 2, 6), ([], 0, 8)],
)
def test_bytes_that_stay_and_pass(config, keep, stays, passing):
    pipeline = Pipeline({**config, "keep": keep})
    found = space.estimate_run(pipeline, at_once=2)
    (own,) = [each for each in found["keep"] if each["configured"]]
    assert own["bytes"] == 3 * stays * PIXELS
    assert own["to_write"] == (3 * stays + 2 * passing) * PIXELS
    assert own["per_raw_byte"] == stays / 4
    assert found["raw_bytes"] == 3 * 4 * PIXELS
    assert found["jobs"] == 3 * (7 if keep == "all" else 6)
    text = space.format_run(found)
    assert text.count("\n* ") == 1
    assert f"{stays / 4:.2f}" in text


def test_what_is_there_is_not_written_again(config):
    whole = ("pc", "fl", "seg_labeled")
    before = Pipeline(config)
    for fov in range(2):
        finish(before, fov, whole)
    pipeline = Pipeline(config)
    assert space.to_write(pipeline, whole) == (6 + 2) * PIXELS
    finish(before, 2, whole)
    assert space.to_write(Pipeline(config), whole) == 0
    assert space.to_write(Pipeline(config), STACKS) == 3 * 6 * PIXELS


def test_a_run_that_does_not_fit_is_told_what_would(config, monkeypatch):
    free = {"bytes": 3 * 12 * PIXELS}
    monkeypatch.setattr(space, "free_bytes", lambda _: free["bytes"])
    space.check_space(Pipeline({**config, "keep": "all"}))
    free["bytes"] -= 1
    message = (
        r"do not fit on the disk of results; found: 0\.8 MB are to be written, 0\.8 MB are free"
    )
    with pytest.raises(FovflowError, match=rf"{message}.* set keep: \[pc, fl, seg_labeled\]"):
        space.check_space(Pipeline({**config, "keep": "all"}))
    free["bytes"] = 3 * 6 * PIXELS
    with pytest.raises(FovflowError, match=r"set keep: \[seg_labeled\]"):
        space.check_space(Pipeline(config))
    free["bytes"] = PIXELS
    with pytest.raises(FovflowError, match="choose fewer FOVs or frames, or make room"):
        space.check_space(Pipeline(config))
    space.check_space(Pipeline({**config, "run": {"check_disk": False}}))


def test_run_estimate_prints_and_runs_nothing(config, tmp_path, capsys, monkeypatch):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text(yaml.safe_dump(config))
    assert main(["run", "--estimate", "--json", "--config", "fovs=0-1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["raw_bytes"] == 2 * 4 * PIXELS
    assert {path.name for path in tmp_path.iterdir()} == {"a.nd2", "config"}
    monkeypatch.setattr(space, "free_bytes", lambda _: 3)
    assert main(["run", "--estimate", "--cores", "1"]) == 1
    assert capsys.readouterr().out.count("does not fit") == 3
