"""Executions that go on after their end, use datasets by name, and lie within others."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

import fovflow
from fovflow.cli import main
from fovflow.errors import ConfigError, FovflowError
from fovflow.runs.execution import abandon
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


KILLED = """
    import os, sys, fovflow
    with fovflow.execution(outdir=sys.argv[1], name="killed") as exe:
        exe.output_path(["Mask", "Derived"], "half.csv").write_text("1,2")
        exe.output_path("Table", "never.csv")
        os._exit(9)
"""


@pytest.fixture
def killed(tmp_path):
    """The output folder of an execution that was killed after it had made an output."""
    subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)], check=False)
    return tmp_path


def test_outputs_of_a_killed_execution_are_found_and_named(killed, capsys):
    (run,) = fovflow.runs(killed)
    assert (run.status, run.assets) == ("lost", [])
    main(["runs", "show", "killed", "--outdir", str(killed)])
    assert "  outputs/Mask/half.csv\n" in capsys.readouterr().out
    notes = [str(note) for note in verify(killed).notes]
    assert any("half.csv: announced and never recorded" in note for note in notes)
    assert not any("never.csv" in note for note in notes)


@pytest.mark.parametrize("how", ["resume", "abandon", "command"])
def test_a_killed_execution_is_resumed_or_abandoned_with_its_outputs(killed, how, capsys):
    if how == "resume":
        with fovflow.resume("killed", killed) as exe:
            with pytest.raises(FovflowError, match="already"):
                exe.output_path("Mask", "half.csv")
            exe.output_path("Table", "more.csv").write_text("3")
    elif how == "abandon":
        assert abandon("killed", killed).status == "terminated"
    else:
        assert main(["runs", "abandon", "killed", "--outdir", str(killed)]) == 0
        assert "terminated, with 1 files recorded" in capsys.readouterr().out
    (run,) = fovflow.runs(killed)
    assert run.status == ("completed" if how == "resume" else "terminated")
    half, *more = run.assets
    assert (half.path, half.types, half.bytes) == ("outputs/Mask/half.csv", ("Mask", "Derived"), 3)
    assert [asset.name for asset in more] == ["more.csv"] * (how == "resume")
    report = verify(killed)
    assert (report.findings, [str(note) for note in report.notes]) == ([], [])
    (told,) = [event["message"] for event in run.events() if event.get("level") == "warning"]
    assert told == "the output outputs/Table/never.csv was announced and not made"


def test_an_output_that_was_announced_and_never_made_can_be_made_later(killed):
    with fovflow.resume("killed", killed) as exe:
        exe.output_path("Table", "never.csv").write_text("4")
        with pytest.raises(FovflowError, match="already"):
            exe.output_path("Table", "never.csv")
    (run,) = fovflow.runs(killed)
    assert [asset.name for asset in run.assets] == ["half.csv", "never.csv"]
    assert not [event for event in run.events() if event.get("level") == "warning"]


def test_datasets_hold_datasets_grow_and_are_copied(tmp_path):
    a, b, c = (tmp_path / name for name in ("a.csv", "b.csv", "c.csv"))
    for file in (a, b, c):
        file.write_text(file.name)
    out = tmp_path / "out"
    with fovflow.execution(outdir=out, name="z, the first") as exe:
        inner = exe.create_dataset([a], "1.0.0", name="inner", types=["Training", "Small"])
        exe.create_dataset([inner, b], "1.0.0", name="outer")
    with fovflow.execution(outdir=out, name="a, the second") as exe:
        exe.create_dataset([c], "1.1.0", name="outer", extends="1.0.0")
        assert exe.members("outer", "1.0.0") == [a, b]
        assert exe.members("outer") == [a, b, c]
        with pytest.raises(FovflowError, match="no dataset outer 3"):
            exe.create_dataset([c], "4.0.0", name="outer", extends="3")
    content = json.loads(inner.read_text())
    assert (content["types"], content["extends"]) == (["Training", "Small"], None)
    wanted = [{"dataset": "outer", "materialize": True}]
    with fovflow.execution(outdir=out, name="reads", datasets=wanted) as exe:
        copies = exe.members("outer")
    assert [path.read_text() for path in copies] == ["a.csv", "b.csv", "c.csv"]
    assert all(path.is_relative_to(exe.folder) for path in copies)
    (reads,) = fovflow.runs(out, name="reads")
    assert [asset.category for asset in reads.assets] == ["input"] * 3
    assert verify(out).findings == []
    a.write_text("changed")
    with (
        pytest.raises(FovflowError, match=r"a\.csv, a member of the dataset inner-1\.0\.0: its co"),
        fovflow.execution(outdir=out, name="late", datasets=wanted),
    ):
        pytest.fail("never")
    assert fovflow.runs(out, name="late")[0].status == "failed"
    assert any("the member" in str(finding) for finding in verify(out).findings)


def test_terms_of_the_vocabulary_are_kept_with_their_meaning(tmp_path, capsys):
    screen = {"workflow_type": "screen", "vocabulary": {"screen": "many doses, one plate"}}
    with fovflow.execution(outdir=tmp_path, name="v", **screen):
        pass
    assert fovflow.runs(tmp_path)[0].record["vocabulary"] == screen["vocabulary"]
    main(["runs", "show", "v", "--outdir", str(tmp_path)])
    assert "workflow type: screen (many doses, one plate)" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="screen, or a term of vocabulary"):
        fovflow.execution(outdir=tmp_path, workflow_type="x", vocabulary={"screen": ""})
