"""Disk and CPU time of a run, for each choice of the stacks that are kept."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from fovflow.atomic import digest_of, write_text
from fovflow.cli import main
from fovflow.errors import FovflowError
from fovflow.events import plain_values
from fovflow.layout import parse
from fovflow.planning import space
from fovflow.planning.pipeline import Pipeline
from fovflow.simulation import MovieParams, simulate, write_movie
from fovflow.stages import FILES, STACKS

PIXELS = 5 * 64 * 72
"""Of a stack."""


READS = {
    "segment": ("pc",), "correct": ("fl", "seg"), "track": ("seg",),
    "extract": ("times", "pc", "fl", "fl_background", "seg_labeled", "tracks"),
    "browse": ("traces", "pc", "fl", "seg_labeled"),
}  # fmt: skip
"""The kinds of files that steps read."""


@pytest.fixture(scope="module")
def movies(tmp_path_factory):
    """A folder with two movies of two channels and three FOVs."""
    folder = tmp_path_factory.mktemp("movies")
    for seed, name in enumerate(("a.nd2", "b.nd2")):
        params = MovieParams(seed=seed, positions=3, frames=5, height=64, width=72, cells=2)
        write_movie(simulate(params), folder / name)
    return folder


@pytest.fixture
def config(tmp_path, monkeypatch, movies):
    """A configuration of the first of them, in the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copy2(movies / "a.nd2", tmp_path)
    return {"datasets": {"a": {"path": "a.nd2"}}}


def finish(pipeline, fov, kinds):
    """Write what the jobs of an FOV make, and their records, but no other stacks than `kinds`."""
    folder, made = Path(pipeline.layout.dataset("a")), dict[str, str]()
    for job in pipeline.jobs("a", fov):
        outputs = {}
        for name in job.makes:
            kind = parse(name).kind
            size = PIXELS * FILES[kind].pixel_bytes or 1
            size = 2 * PIXELS if kind == "seg_labeled" else size
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(bytes(size))
            outputs[name] = asdict(digest_of(folder / name))
            if kind in {*STACKS} - {*kinds}:
                (folder / name).unlink()
        read = {n: sha for n, sha in made.items() if parse(n).kind in READS.get(job.step, ())}
        record = {
            "v": 2, "type": "job_finished", "status": "completed", "rule": job.step,
            "job": job.step, "wildcards": {}, "outputs": outputs, "made_from": read,
            "options": plain_values(pipeline.parameters(job.step, "a", fov)),
        }  # fmt: skip
        write_text(folder / job.record, json.dumps(record))
        made |= {name: each["sha256"] for name, each in outputs.items()}


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


@pytest.mark.parametrize(
    ("change", "grows"),
    [
        ({"extract": {"erosion_px": 1}}, 0),
        ({"correct": {"method": "constant"}}, 2),  # seg again, which it reads
        ({"segment": {"n_sigma": 7}}, 2 + 2),  # seg, and then seg_labeled beside the old one
        ({"track": {"method": "classic"}}, 2 + 2),
        ({"datasets": {"a": {"path": "b.nd2"}}}, 4),  # pc and fl, later seg and seg_labeled
    ],
)
def test_old_stacks_stay_beside_new_ones_until_these_are_complete(config, movies, change, grows):
    whole = ("pc", "fl", "seg_labeled")
    for fov in range(3):
        finish(Pipeline(config), fov, whole)
    shutil.copy2(movies / "b.nd2", "b.nd2")
    pipeline = Pipeline({**config, **change})
    for at_once in (1, 2):
        assert space.to_write(pipeline, whole, at_once) == at_once * grows * PIXELS


def test_larger_stacks_in_place_of_old_ones_are_counted(config):
    whole = ("pc", "fl", "seg_labeled")
    for fov in range(3):
        finish(Pipeline({**config, "frames": "0"}), fov, whole)
        for path in Path(f"results/a/fov_{fov:03d}").glob("*.npy"):
            path.write_bytes(bytes(path.stat().st_size // 5))
    # 3 FOVs of 5 frames in place of 1; of the last one, seg and an old seg_labeled besides
    assert space.to_write(Pipeline(config), whole) == (3 * 6 * 4 + 2 * 5 + 2) * PIXELS // 5


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
    asked = []
    monkeypatch.setattr(space, "to_write", lambda *_: asked.append(1) or 0)
    space.check_space(Pipeline({**config, "run": {"check_disk": False}}))
    free["bytes"] = 3 * 12 * PIXELS
    space.check_space(Pipeline(config))
    assert not asked  # jobs of FOVs are looked at only where all stacks would not fit
    free["bytes"] -= 1
    space.check_space(Pipeline(config))
    assert asked


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
