"""What scripts make counts as much as what jobs make: compared, verified, published, shown."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import fovflow
from fovflow.cli import main
from fovflow.runs.compare import compare_runs, format_comparison
from fovflow.runs.publish import publish
from fovflow.runs.store import JOB_EVENTS, RunFolder
from fovflow.runs.verify import verify


def execute(outdir, name="fit", **keys):
    """Return the folder of an execution with an output, a linked file, a folder and an array."""
    content = keys.pop("content", "rate\n1\n")
    source = outdir.parent / f"{name}-source.txt"
    source.write_text("source")
    with fovflow.execution(outdir=outdir, name=name, **keys) as exe:
        exe.output_path("Table", "rates.csv").write_text(content)
        exe.register(source, "Source")
        folder = exe.output_path("Model", "weights")
        folder.mkdir()
        (folder / "a.txt").write_text("a")
        exe.run.save(np.arange(3), name="parameters")
        exe.create_dataset([source], version="1.0.0")
    return RunFolder(exe.folder)


def test_executions_that_differ_are_told_apart_in_words(tmp_path):
    first = execute(tmp_path / "a", parameters={"model": {"lr": 0.1}})
    second = execute(tmp_path / "b", parameters={"model": {"lr": 0.2}}, content="rate\n2\n")
    found = compare_runs(first, second)
    told = [str(difference) for difference in found.differences]
    assert "parameters: model.lr: 0.1 | 0.2" in told
    assert any(line.startswith("outputs: outputs/Table/rates.csv: SHA-256") for line in told)
    assert format_comparison(found)[-1].endswith("1 in parameters, 2 in outputs differences; 3 "
                                                 "outputs have equal hashes.")  # fmt: skip
    third = execute(tmp_path / "c", parameters={"model": {"lr": 0.1}}, workflow_type="evaluation")
    (difference,) = [d for d in compare_runs(first, third).differences if d.section == "code"]
    assert str(difference) == "code: workflow_type: analysis | evaluation"


def test_executions_that_did_the_same_are_the_same(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = execute(tmp_path / "out", parameters={"lr": 0.1})
    with fovflow.execution(outdir=tmp_path / "out", name="fit 2", parameters={"lr": 0.1}) as exe:
        exe.output_path("Table", "rates.csv").write_text("rate\n1\n")
    found = compare_runs(first, RunFolder(exe.folder))
    gone = {d.key for d in found.differences}
    assert "outputs/Table/rates.csv" not in gone
    assert gone == {"outputs/Source/fit-source.txt", "outputs/Model/weights",
                    "artifacts/output/parameters.npy", "datasets/fit-1.0.0.json"}  # fmt: skip


DAMAGES = {
    "outputs/Table/rates.csv": "its content was changed",
    "outputs/Model/weights": "its content was changed",
    "outputs/Source/fit-source.txt": "its source",
    "artifacts/output/parameters.npy": "missing",
}


def damage(run, name):
    path = run.path / name
    if name.endswith("npy"):
        path.unlink()
    elif path.is_dir():
        (path / "a.txt").write_text("b")
    else:
        path.resolve().write_text("source"[::-1])


@pytest.mark.parametrize("name", DAMAGES)
def test_a_changed_file_of_an_execution_is_found_and_not_published(tmp_path, name, capsys):
    run = execute(tmp_path / "out")
    assert verify(tmp_path / "out").findings == []
    assert verify(tmp_path / "out").files == 5
    damage(run, name)
    found = {finding.file: finding.problem for finding in verify(tmp_path / "out").findings}
    assert DAMAGES[name] in found.pop(f"runs/{run.id}/{name}")
    assert set(found) <= {f"runs/{run.id}/datasets/fit-1.0.0.json"}
    assert main(["verify", str(tmp_path / "out")]) == 1
    capsys.readouterr()
    if "weights" not in name:
        done = publish(run, str(tmp_path / "archive"))
        assert f"runs/{run.id}/{name}" in done.failed
        assert not (tmp_path / "archive/runs" / run.id / name).exists()


def test_a_changed_member_of_a_dataset_is_found(tmp_path):
    run = execute(tmp_path / "out")
    (tmp_path / "fit-source.txt").write_text("other")
    name = f"runs/{run.id}/datasets/fit-1.0.0.json"
    told = {f.file: f.problem for f in verify(tmp_path / "out").findings}
    assert (
        "fit-source.txt: its content was changed" in told[f"runs/{run.id}/datasets/fit-1.0.0.json"]
    )


def test_artifacts_of_a_run_inside_a_job_are_looked_at(recorded, monkeypatch):
    _, file = recorded.run.new_attempt("segment.plate.fov_000")
    monkeypatch.setenv(JOB_EVENTS, str(file))
    with fovflow.Run() as run:
        assert run.save({"loss": 1}, name="summary")
    monkeypatch.delenv(JOB_EVENTS)
    assert verify(recorded.outdir).findings == []
    kept = file.with_suffix("") / "output" / "summary.json"
    kept.write_text('{"loss": 2}')
    (finding,) = verify(recorded.outdir).findings
    assert finding.file == kept.relative_to(recorded.outdir).as_posix()
    copy = recorded.copy_to(recorded.outdir.parent / "b")
    kept.unlink()
    (difference,) = compare_runs(recorded.run, copy.run).differences or [None]
    assert difference is None
    done = publish(recorded.run, str(recorded.outdir.parent / "archive"))
    assert list(done.failed) == [kept.relative_to(recorded.outdir).as_posix()]


def test_publishing_an_execution_copies_only_its_own_files(recorded, tmp_path):
    (recorded.outdir / "large").write_bytes(bytes(1000))
    run = execute(recorded.outdir)
    (run.path / "outputs/Source/fit-source.txt").unlink()
    shutil.copy(recorded.outdir.parent / "fit-source.txt", run.path / "outputs/Source")
    done = publish(run, str(tmp_path / "archive"))
    assert done.failed == {}
    assert {name.split("/")[1] for name in done.copied} == {run.id}
    assert {f.name for f in (tmp_path / "archive").iterdir()} == {"runs"}
    assert verify(tmp_path / "archive").findings == []


def test_crafted_assets_lead_nowhere(tmp_path):
    run = execute(tmp_path / "out")
    events = run.path / "events.jsonl"
    event = {"v": 2, "time": "2026-01-01T00:00:00+00:00", "type": "artifact", "category": "output"}
    bad = [{"path": "../../../secret"}, {"path": "/etc/hostname", "mode": "link"}, {"path": 3},
           {"path": "x", "bytes": "many"}, {"path": "x\n", "sha256": 3}]  # fmt: skip
    with events.open("a") as file:
        for keys in bad:
            file.write(json.dumps(event | keys) + "\n")
    report = verify(tmp_path / "out")
    assert len(report.findings) == 3
    assert sum("2 lines that are no events" in note.problem for note in report.notes) == 1
    done = publish(run, str(tmp_path / "archive"))
    assert not list(tmp_path.glob("archive/**/hostname"))
    assert done.failed
