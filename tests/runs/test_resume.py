"""Executions that go on after their end, use datasets by name, and lie within others."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

import fovflow
from fovflow.errors import ConfigError, FovflowError
from fovflow.runs.store import JOB_EVENTS, RunFolder
from fovflow.runs.verify import verify


def test_an_execution_gets_further_outputs_after_its_end(tmp_path):
    with fovflow.execution(outdir=tmp_path, name="fit", parameters={"lr": 1}) as exe:
        exe.output_path("Table", "a.csv").write_text("a")
        exe.run.log_metrics({"m": 1})
    first = RunFolder(exe.folder).read_record()
    with fovflow.resume("fit", tmp_path) as again:
        assert (again.id, again.status) == (exe.id, "running")
        again.output_path("Table", "b.csv").write_text("b")
        again.run.log_metrics({"m": 2})
        with pytest.raises(FovflowError, match="already"):
            again.output_path("Table", "a.csv")
        with (
            pytest.raises(FovflowError, match="is at work"),
            fovflow.resume(exe.id, tmp_path),
        ):
            pytest.fail("never")
    (run,) = fovflow.runs(tmp_path)
    assert [entry["status"] for entry in run.record["history"]] == [
        "created", "running", "completed", "running", "completed"
    ]  # fmt: skip
    assert run.record["history"][3]["message"] == "resumed"
    assert (run.status, run.parameters) == ("completed", {"lr": 1})
    assert run.record["started"] == first["started"] < first["ended"] < run.record["ended"]
    assert sorted(asset.name for asset in run.assets) == ["a.csv", "b.csv"]
    assert run.metrics()[["step", "m"]].values.tolist() == [[0, 1], [1, 2]]
    assert verify(tmp_path).findings == []


def test_one_that_was_killed_can_be_resumed_and_others_cannot(tmp_path):
    code = f"""
        import os, fovflow
        with fovflow.execution(outdir={str(tmp_path)!r}, name="killed") as exe:
            os._exit(9)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == 9
    (run,) = fovflow.runs(tmp_path)
    assert run.status == "lost"
    with fovflow.resume("killed", tmp_path):
        pass
    assert fovflow.runs(tmp_path)[0].status == "completed"
    with fovflow.Run(outdir=tmp_path) as script:
        script.init("script")
    with pytest.raises(FovflowError, match="is no execution"):
        fovflow.resume("script", tmp_path)


def test_a_dataset_is_an_input_by_name_and_version(tmp_path):
    file = tmp_path / "a.csv"
    for version, text in (("1.0.0", "one"), ("1.1.0", "two")):
        file = tmp_path / f"a{version}.csv"
        file.write_text(text)
        with fovflow.execution(outdir=tmp_path / "out", name="train") as exe:
            exe.create_dataset([file], version=version)
    wanted = [{"dataset": "train", "version": "1.0.0"}]
    with fovflow.execution(outdir=tmp_path / "out", datasets=wanted, assets=[file]) as exe:
        assert [path.read_text() for path in exe.members("train", "1.0.0")] == ["one"]
        assert [path.read_text() for path in exe.members("train")] == ["two"]
        (tmp_path / "a1.0.0.csv").write_text("changed")
        with pytest.raises(FovflowError, match="its content was changed"):
            exe.members("train", "1.0.0")
    known = RunFolder(exe.folder).read_record()["inputs"][0]
    assert (known["name"], known["version"], known["role"]) == ("train", "1.0.0", "dataset")
    assert known["path"].endswith("datasets/train-1.0.0.json")
    assert len(known["sha256"]) == 64
    with (
        pytest.raises(FovflowError, match=r"no dataset train 9 .*found: train 1\.0\.0, train 1\.1"),
        fovflow.execution(outdir=tmp_path / "out", datasets=[{"dataset": "train", "version": "9"}]),
    ):
        pytest.fail("never")
    with pytest.raises(ConfigError, match="either path or dataset"):
        fovflow.execution(datasets=[{"dataset": "x", "path": "y"}])


def test_an_input_that_changes_meanwhile_is_told(tmp_path, capsys):
    file = tmp_path / "a.csv"
    file.write_text("a")
    with fovflow.execution(outdir=tmp_path / "out", assets=[file]):
        file.write_text("other")
    (run,) = fovflow.runs(tmp_path / "out")
    (told,) = [event["message"] for event in run.events() if event.get("level") == "warning"]
    assert told == f"the input {file} was changed during the execution"
    assert told in capsys.readouterr().err


def test_executions_within_others_and_jobs_name_them(tmp_path, recorded, monkeypatch):
    with (
        fovflow.execution(outdir=tmp_path, name="outer") as outer,
        fovflow.execution(outdir=tmp_path, name="inner"),
    ):
        pass
    found = {run.name: [parent.name for parent in run.parents] for run in fovflow.runs(tmp_path)}
    assert found == {"outer": [], "inner": ["outer"]}
    assert outer.status == "completed"
    _, file = recorded.run.new_attempt("own.plate.fov_000")
    monkeypatch.setenv(JOB_EVENTS, str(file))
    with fovflow.execution(outdir=recorded.outdir, name="in a job"):
        pass
    (run,) = fovflow.runs(recorded.outdir, name="in a job")
    assert [parent.id for parent in run.parents] == [recorded.run.id]
    record = run.path / "run.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "parent": "../../elsewhere"}))
    (run,) = fovflow.runs(recorded.outdir, name="in a job")
    assert run.parents == []
