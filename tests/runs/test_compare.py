"""Two runs: what they do not share, and whether it matters."""

from __future__ import annotations

import argparse
import json

import pytest
from runs.recorded import DATASET

from fovflow.cli.runs import compare as runs_compare
from fovflow.errors import FovflowError
from fovflow.runs.compare import compare_runs, format_comparison
from fovflow.runs.state import outputs_of
from fovflow.runs.store import RunFolder, find_run


@pytest.fixture
def pair(whole, tmp_path):
    return whole.copy_to(tmp_path / "a"), whole.copy_to(tmp_path / "b")


def test_two_runs_in_two_folders_that_differ_in_nothing_that_matters(pair):
    first, second = pair
    second.edit_run(
        id="20260401T000000Z-late-lark",
        name="late-lark",
        created="2026-04-01T00:00:00+00:00",
        host="there",
        command="snakemake",
        inputs=[{"path": "/elsewhere/p.nd2", "bytes": 5000, "sha256": "c" * 64}],
    )
    found = compare_runs(first.run, second.run)
    assert found.same
    assert found.outputs == 10
    assert found.circumstances == ["ids", "times", "host", "paths"]
    assert format_comparison(found) == [
        "The runs differ only in ids, times, host, paths; all 10 outputs have equal hashes."
    ]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (
            {"workflow": {"name": "fovflow", "version": "0.1.0", "commit": "b" * 40,
                          "dirty": False}},
            f"code: commit: {'a' * 40} | {'b' * 40}",
        ),
        (
            {"config": {"segment": {"n_sigma": 4.0}}},
            "config: segment.n_sigma: nothing | 4.0",
        ),
        (
            {"environment": {"python": "3.11.7", "packages": {"numpy": "2.5.0"},
                             "variables": {"OMP_NUM_THREADS": "1"}}},
            "environment: package numpy: 2.4.6 | 2.5.0",
        ),
        (
            {"inputs": [{"path": "raw/plate.nd2", "bytes": 5001, "sha256": "c" * 64}]},
            "inputs: input 1 bytes: 5000 | 5001",
        ),
    ],
    ids=["code", "config", "environment", "inputs"],
)  # fmt: skip
def test_what_matters_is_named(pair, keys, line):
    first, second = pair
    second.edit_run(**keys)
    found = compare_runs(first.run, second.run)
    assert not found.same
    lines = format_comparison(found)
    assert lines[0] == line
    assert lines[-1].endswith(
        "1 in " + line.partition(":")[0] + " differences; 10 outputs have equal hashes."
    )


def test_outputs_are_compared_by_hash(pair):
    first, second = pair
    name = second.name(1, "tracks.csv")
    for job in ("track", "segment"):
        rest = ".ch_0" if job == "segment" else ""
        path = second.run.job_file(f"{job}.{DATASET}.fov_001{rest}", 1)
        text = path.read_text(encoding="utf-8")
        if job == "track":
            start = text.index('"sha256":"', text.index("tracks.csv")) + 10
            path.write_text(text[:start] + "0" * 64 + text[start + 64 :], encoding="utf-8")
        else:
            path.unlink()
    found = compare_runs(first.run, second.run)
    assert [(d.section, d.key) for d in found.differences] == [
        ("outputs", f"{DATASET}/{second.name(1, 'seg_ch_0.npy')}"),
        ("outputs", f"{DATASET}/{name}"),
    ]
    assert found.differences[0].second == "nothing"
    assert found.outputs == 8


def test_a_run_that_was_continued_counts_what_came_before(pair):
    first, second = pair
    later = RunFolder.create(second.outdir, name="zesty-yeast")
    later.set_status("completed")
    assert outputs_of(later).keys() == outputs_of(first.run).keys()


def test_runs_are_found_by_id_name_and_place(pair):
    first, second = pair
    assert find_run("results", str(second.outdir)).id == second.run.id
    assert find_run("results", str(first.run.path)).path == first.run.path
    assert find_run(first.outdir, "calm-otter").id == first.run.id
    with pytest.raises(FovflowError, match="no runs are called"):
        find_run(first.outdir, "other")


def test_the_command_tells_by_its_status_whether_anything_matters(pair, capsys):
    first, second = pair
    parser = argparse.ArgumentParser()
    runs_compare.add_arguments(parser)
    arguments = parser.parse_args([str(first.outdir), str(second.outdir), "--json"])
    assert runs_compare.run(**vars(arguments)) == 0
    assert json.loads(capsys.readouterr().out)["equal_outputs"] == 10
    second.edit_run(config={"fovs": "0"})
    assert runs_compare.run(**vars(parser.parse_args([str(first.outdir), str(second.outdir)]))) == 1
    assert "config: fovs: nothing | 0" in capsys.readouterr().out
