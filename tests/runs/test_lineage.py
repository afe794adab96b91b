"""Which job of which run made a file, from what, with which parameters."""

from __future__ import annotations

import json
import shutil

import pytest
from runs.recorded import DATASET, Recorded, digest

from fovflow.cli import main
from fovflow.cli.runs import lineage as runs_lineage
from fovflow.errors import FovflowError
from fovflow.jobrecord import read_records
from fovflow.runs.lineage import format_lineage, trace
from fovflow.runs.verify import verify


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return Recorded(tmp_path_factory.mktemp("lineage"))


def test_a_file_is_traced_back_to_the_raw_data(recorded):
    lineage = trace(recorded.folder / recorded.name(1, "tracks.csv"))
    assert [step.job for step in lineage.back] == [
        "track, FOV 1",
        "segment, FOV 1, channel 0",
        "copy, FOV 1",
        "raw data",
    ]
    assert lineage.sha256 == digest(recorded.folder / recorded.name(1, "tracks.csv"))["sha256"]
    track = lineage.back[0]
    assert track.record.options == {"method": "otsu", "of": "track"}
    assert (track.record.run, track.record.attempt) == (recorded.run.id, 1)
    seg = recorded.name(1, "seg_ch_0.npy")
    assert track.inputs[seg] == digest(recorded.folder / seg)["sha256"]
    assert lineage.back[-1].outputs == {"raw/plate.nd2": "sampled-sha256-1:" + "b" * 64}
    assert lineage.forward == []


def test_a_file_is_traced_forward(recorded):
    lineage = trace(recorded.folder / recorded.name(0, "pc_ch_0.npy"))
    assert [(step.job, step.depth) for step in lineage.forward] == [
        ("segment, FOV 0, channel 0", 1),
        ("track, FOV 0", 2),
    ]
    assert [step.job for step in lineage.back] == ["copy, FOV 0", "raw data"]


def test_the_plan_comes_from_the_raw_data_and_all_comes_from_the_plan(recorded):
    lineage = trace(recorded.folder / "dataset.json")
    assert [step.job for step in lineage.back] == ["raw data"]
    assert len(lineage.forward) == 6


def test_files_of_unknown_origin_are_errors(recorded, tmp_path):
    with pytest.raises(FovflowError, match="no job made or used"):
        trace(recorded.folder / "fov_000" / "other.npy")
    with pytest.raises(FovflowError, match="lies in no folder of results"):
        trace(tmp_path / "x.npy")


def test_it_reads_well_and_as_json(recorded, capsys, tmp_path, monkeypatch):
    import argparse

    lines = format_lineage(trace(recorded.folder / recorded.name(0, "seg_ch_0.npy")))
    assert lines[0] == f"{DATASET}/{recorded.name(0, 'seg_ch_0.npy')}"
    assert "  raw data: raw/plate.nd2" in lines
    assert lines[-1].startswith("  track, FOV 0 → ")
    parser = argparse.ArgumentParser()
    runs_lineage.add_arguments(parser)
    monkeypatch.chdir(recorded.folder)
    arguments = parser.parse_args([recorded.name(0, "seg_ch_0.npy"), "--json"])
    assert runs_lineage.run(**vars(arguments)) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["back"][0]["parameters"] == {"method": "otsu", "of": "segment"}
    assert told["back"][0]["run"] == recorded.run.id


def test_a_folder_that_is_moved_alone_tells_its_status_its_jobs_and_their_runs(
    recorded, tmp_path, capsys
):
    moved = tmp_path / "elsewhere" / "copy"
    shutil.copytree(recorded.folder, moved)
    assert verify(moved).findings == []
    assert main(["status", str(moved), "--json"]) == 0
    (dataset,) = json.loads(capsys.readouterr().out)
    assert dataset["fovs"] == {"0": {"status": "complete"}, "1": {"status": "complete"}}
    there, here = (
        trace(recorded.folder / recorded.name(1, "tracks.csv")),
        trace(moved / recorded.name(1, "tracks.csv")),
    )
    assert [step.to_json() for step in here.back] == [step.to_json() for step in there.back]
    (job,) = [job for job in read_records(moved) if job.key.name == "track.fov_001"]
    assert (job.run, job.host, job.usage["peak_mib"]) == (recorded.run.id, "here", 101.5)
