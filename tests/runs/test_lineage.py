"""Which job of which run made a file, from what, with which parameters."""

from __future__ import annotations

import json
import shutil

import pytest
from runs.recorded import DATASET, Recorded, digest

import fovflow
from fovflow.cli import main
from fovflow.cli.runs import lineage as runs_lineage
from fovflow.errors import FovflowError
from fovflow.jobrecord import read_records
from fovflow.layout import STAMP_NAME
from fovflow.records import write_json
from fovflow.runs.lineage import format_lineage, trace
from fovflow.runs.publish import publish
from fovflow.runs.store import JOB_EVENTS
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
    with pytest.raises(FovflowError, match="no job and no script"):
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


@pytest.fixture
def chain(tmp_path, monkeypatch):
    """Results; an execution that read traces of it; another that read what the first one made."""
    recorded = Recorded(tmp_path)
    monkeypatch.chdir(tmp_path)
    tracks = f"results/{DATASET}/{recorded.name(1, 'tracks.csv')}"
    with fovflow.execution(outdir="results", name="count", datasets=[tracks]) as first:
        table = first.output_path("Table", "counts.csv")
        table.write_text("n\n1\n")
    with fovflow.execution(outdir="results", name="plot", assets=[table], tags=["x"]) as second:
        second.output_path("Figure", "counts.svg").write_text("<svg/>")
    return recorded, tracks, table, second.folder / "outputs/Figure/counts.svg"


def test_an_execution_is_traced_back_through_executions_and_jobs(chain):
    _, _, _, figure = chain
    lineage = trace(figure)
    assert [(step.job, step.depth) for step in lineage.back] == [
        ("execution plot", 0),
        ("execution count", 1),
        ("track, FOV 1", 2),
        ("segment, FOV 1, channel 0", 3),
        ("copy, FOV 1", 3),
        ("raw data", 5),
    ]
    assert lineage.forward == []
    assert lineage.sha256 == digest(figure)["sha256"]
    lines = format_lineage(lineage)
    assert any(line.startswith("  execution count: run ") for line in lines)
    assert any(line.startswith("    from ") and "tracks.csv" in line for line in lines)


def test_outputs_of_jobs_are_traced_forward_through_executions(chain, tmp_path, monkeypatch):
    recorded, tracks, table, _ = chain
    assert [step.job for step in trace(tracks).forward] == ["execution count", "execution plot"]
    copied = recorded.folder / recorded.name(1, "pc_ch_0.npy")
    assert [(step.job, step.depth) for step in trace(copied).forward] == [
        ("segment, FOV 1, channel 0", 1),
        ("track, FOV 1", 2),
        ("execution count", 3),
        ("execution plot", 4),
    ]
    other = recorded.folder / recorded.name(0, "tracks.csv")
    assert trace(other).forward == []
    assert [step.job for step in trace(table).forward] == ["execution plot"]
    moved = tmp_path / "elsewhere"
    shutil.move(tmp_path / "results", moved)
    monkeypatch.chdir("/")
    there = moved / table.relative_to(tmp_path / "results")
    assert [step.job for step in trace(there).forward] == ["execution plot"]


def test_what_a_run_kept_inside_a_job_is_traced_both_ways(tmp_path, monkeypatch):
    recorded = Recorded(tmp_path)
    events = recorded.run.job_file(f"track.{DATASET}.fov_001", 1)
    monkeypatch.setenv(JOB_EVENTS, str(events))
    fovflow.Run().save({"loss": 1}, name="summary")
    monkeypatch.delenv(JOB_EVENTS)
    kept = events.with_suffix("") / "output" / "summary.json"
    with fovflow.execution(outdir=recorded.outdir, name="use", datasets=[kept]) as exe:
        table = exe.output_path("Table", "t.csv")
        table.write_text("t")
    jobs = ["track, FOV 1", "segment, FOV 1, channel 0", "copy, FOV 1", "raw data"]
    assert [step.job for step in trace(kept).back] == jobs
    assert trace(kept).sha256 == digest(kept)["sha256"]
    assert [step.job for step in trace(kept).forward] == ["execution use"]
    assert [step.job for step in trace(table).back] == ["execution use", *jobs]
    copied = recorded.folder / recorded.name(1, "pc_ch_0.npy")
    assert [step.job for step in trace(copied).forward][-1] == "execution use"
    record = recorded.record("track", 1)  # made again since, by a run whose events are gone
    content = json.loads(record.read_text(encoding="utf-8"))
    record.write_text(json.dumps({**content, "run": "another"}), encoding="utf-8")
    assert [step.job for step in trace(kept).back] == jobs
    archive = tmp_path / "archive"
    publish(recorded.run, str(archive))
    there = archive / kept.relative_to(recorded.outdir)
    assert [step.job for step in trace(there).back] == jobs


def test_an_input_from_elsewhere_is_found_where_it_was_moved(tmp_path):
    source = tmp_path / "in" / "a.csv"
    source.parent.mkdir()
    source.write_text("a")
    with fovflow.execution(outdir=tmp_path / "out", name="use", datasets=[source]):
        pass
    assert trace(source, tmp_path / "out").sha256 == digest(source)["sha256"]
    moved = shutil.move(source, tmp_path / "a.csv")
    assert [step.job for step in trace(moved, tmp_path / "out").forward] == ["execution use"]


def test_a_file_of_the_same_name_and_content_is_another_one(tmp_path):
    made = []
    for name in ("one", "two"):
        with fovflow.execution(outdir=tmp_path, name=name) as exe:
            made.append(exe.output_path("Table", "a.csv"))
            made[-1].write_text("a")
    with fovflow.execution(outdir=tmp_path, name="use", datasets=[made[1]]):
        pass
    assert [step.job for step in trace(made[1]).back] == ["execution two"]
    assert [step.job for step in trace(made[1]).forward] == ["execution use"]
    shutil.move(made[1], tmp_path / "a.csv")
    found = trace(tmp_path / "a.csv", tmp_path)
    assert [step.job for step in found.back] == ["execution one", "execution two"]


def test_what_was_made_of_raw_data_and_of_a_script(chain, tmp_path, capsys):
    recorded, *_ = chain
    raw = tmp_path / "raw" / "plate.nd2"
    write_json(recorded.folder / STAMP_NAME, {"path": str(raw)})
    found = [step.job for step in trace(raw).forward]
    assert found[:2] == [f"{DATASET}: copy, FOV 0", f"{DATASET}: copy, FOV 1"]
    assert found[-2:] == ["execution count", "execution plot"]
    assert len(found) == 8
    assert main(["runs", "lineage", str(raw), "--forward", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["back"], len(told["forward"])) == ([], 8)
    script = tmp_path / "own.py"
    script.write_text("pass")
    record = recorded.record("track", 0)
    content = json.loads(record.read_text(encoding="utf-8"))
    content["options"] = {"script": "own.py", "sha256": digest(script)["sha256"]}
    record.write_text(json.dumps(content), encoding="utf-8")
    assert [step.job for step in trace(script).forward] == [f"{DATASET}: track, FOV 0"]
    with pytest.raises(FovflowError, match="no job and no script"):
        trace(tmp_path / "nothing.csv")


def test_members_of_datasets_are_traced_both_ways(tmp_path):
    (tmp_path / "given.csv").write_text("given")
    out = tmp_path / "out"
    with fovflow.execution(outdir=out, name="make") as make:
        own = make.output_path("Table", "own.csv")
        own.write_text("own")
        inner = make.create_dataset([tmp_path / "given.csv", own], "1.0.0", name="inner")
    with fovflow.execution(outdir=out, name="join") as join:
        join.create_dataset([inner], "1.0.0", name="outer")
    with fovflow.execution(outdir=out, name="use", datasets=[{"dataset": "outer"}]) as use:
        use.output_path("Table", "answer.csv").write_text("42")
    forward = {path: [step.script.name for step in trace(path, out).forward] for path in
               (tmp_path / "given.csv", own)}  # fmt: skip
    assert sorted(forward[tmp_path / "given.csv"]) == ["join", "make", "use"]
    assert sorted(forward[own]) == ["join", "use"]
    back = [step.script.name for step in trace(use.folder / "outputs/Table/answer.csv").back]
    assert sorted(back) == ["join", "make", "use"]
    assert trace(inner).back[0].inputs.keys() >= {str(tmp_path / "given.csv")}
