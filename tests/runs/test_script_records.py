"""What scripts make counts as much as what jobs make: compared, verified, published, shown."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
from runs.recorded import DATASET

import fovflow
from fovflow.cli import main
from fovflow.errors import ConfigError, FovflowError
from fovflow.runs.compare import compare_runs, format_comparison
from fovflow.runs.lineage import trace
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
    assert format_comparison(found)[-1].endswith("1 in parameters, 1 in outputs differences; 4 "
                                                 "outputs have equal hashes.")  # fmt: skip
    third = execute(tmp_path / "c", parameters={"model": {"lr": 0.1}}, workflow_type="evaluation")
    (difference,) = [d for d in compare_runs(first, third).differences if d.section == "code"]
    assert str(difference) == "code: workflow_type: analysis | evaluation"


def test_kinds_of_parameters_are_told_apart_and_none_is_no_parameter(tmp_path):
    for name, parameters in (("one", {"on": True}), ("two", {"on": 1}), ("none", {})):
        with fovflow.execution(outdir=tmp_path, name=name, parameters=parameters):
            pass
    one, two, none = (RunFolder(run.path) for run in fovflow.runs(tmp_path))
    assert list(map(str, compare_runs(one, two).differences)) == ["parameters: on: True | 1"]
    assert list(map(str, compare_runs(one, none).differences)) == ["parameters: on: True | nothing"]


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
    told = {f.file: f.problem for f in verify(tmp_path / "out").findings}
    assert (
        "fit-source.txt: its content was changed" in told[f"runs/{run.id}/datasets/fit-1.0.0.json"]
    )


def test_a_member_from_elsewhere_that_is_gone_is_noted(tmp_path):
    execute(tmp_path / "out")
    (tmp_path / "fit-source.txt").unlink()
    report = verify(tmp_path / "out")
    (note,) = [note for note in report.notes if note.file.endswith("fit-1.0.0.json")]
    assert note.problem == f"the member {tmp_path / 'fit-source.txt'}: missing"
    assert [found.problem.partition(" ")[0] for found in report.findings] == ["its"]  # the link


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


def test_a_published_execution_is_verified_and_traced_there(tmp_path):
    run, archive = execute(tmp_path / "out"), tmp_path / "archive"
    link = f"runs/{run.id}/outputs/Source/fit-source.txt"
    assert [*publish(run, str(archive)).failed] == [link]  # its source lies elsewhere
    assert [str(found) for found in verify(archive).findings] == [f"{link}: missing"]
    (found,) = fovflow.runs(archive)
    table = archive / "runs" / run.id / "outputs" / "Table" / "rates.csv"
    assert [step.job for step in trace(table).back] == ["execution fit"]
    assert {asset.path for asset in found.assets} == {
        asset.path for asset in fovflow.runs(tmp_path / "out")[0].assets
    }
    table.write_text("other")
    problems = {finding.file: finding.problem for finding in verify(archive).findings}
    assert "its content was changed" in problems[table.relative_to(archive).as_posix()]


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


def test_files_that_no_event_tells_of_are_found(tmp_path):
    run = execute(tmp_path / "out")
    (run.path / "outputs" / "Table" / "more.csv").write_text("a")
    (run.path / "artifacts" / "output").mkdir(parents=True, exist_ok=True)
    (run.path / "artifacts" / "output" / "x\ny.json").write_text("1")
    (run.path / "outputs" / "Table" / ".DS_Store").write_text("1")
    (run.path / "outputs" / "Table" / ".more.csv.0123.part").write_text("1")  # half written
    (run.path / "outputs" / "Table" / "more.csv.draft").write_text("1")
    found = {str(finding) for finding in verify(tmp_path / "out").findings}
    orphan = "orphan: no record speaks of it"
    assert found == {
        f"runs/{run.id}/outputs/Table/more.csv: {orphan}",
        f"runs/{run.id}/artifacts/output/x\\ny.json: {orphan}",
    }
    record = {**run.read_record(), "status": "running", "host": "elsewhere"}
    run.write_record(record)
    os.utime(run.path / "heartbeat", (0, 0))  # killed between a file and its event
    report = verify(tmp_path / "out")
    assert [finding.file for finding in report.findings] == [f"runs/{run.id}/run.json"]
    assert sum(note.problem == orphan for note in report.notes) == 2


def test_events_that_cannot_be_read_are_named(tmp_path, capsys):
    run = execute(tmp_path / "out")
    (run.path / "events.jsonl").unlink()
    (run.path / "events.jsonl").mkdir()
    name = f"runs/{run.id}/events.jsonl"
    found = {finding.file: finding.problem for finding in verify(tmp_path / "out").findings}
    assert found[name] == "cannot be read: Is a directory"
    done = publish(run, str(tmp_path / "archive"))
    assert done.failed[name] == "damaged: cannot be read: Is a directory"
    assert main(["runs", "show", str(run.path)]) == 0
    assert "events.jsonl: cannot be read: Is a directory, left out" in capsys.readouterr().out


def test_records_that_are_gone_are_named(tmp_path, capsys):
    run = execute(tmp_path / "out")
    (run.path / "events.jsonl").unlink()
    name = f"runs/{run.id}/events.jsonl"
    found = {finding.file: finding.problem for finding in verify(tmp_path / "out").findings}
    assert found[name] == "missing"
    assert publish(run, str(tmp_path / "archive")).failed[name] == "damaged: missing"
    assert main(["runs", "show", str(run.path)]) == 0
    assert "events.jsonl: missing" in capsys.readouterr().out
    other = execute(tmp_path / "out", name="other")
    (other.path / "run.json").unlink()
    found = {finding.file: finding.problem for finding in verify(tmp_path / "out").findings}
    assert found[f"runs/{other.id}/run.json"] == "cannot be read: No such file or directory"
    assert main(["runs", "list", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    assert run.id in out
    assert "run.json" in err
    assert main(["status", str(tmp_path / "out")]) == 1  # no results, and no traceback


def test_events_of_a_job_that_are_gone_are_found(recorded):
    name = f"runs/{recorded.run.id}/run.json"
    recorded.edit_run(counts={"total": 6, "completed": 6})
    assert verify(recorded.outdir).ok
    path = recorded.run.job_file(f"track.{DATASET}.fov_001", 1)
    text = path.read_text(encoding="utf-8")
    path.write_text(text[:-5] + "\n", encoding="utf-8")  # a note tells of that
    assert verify(recorded.outdir).ok
    path.unlink()
    told = "counts 6 completed jobs; the files in jobs/ tell of 5"
    assert [f.problem for f in verify(recorded.outdir).findings if f.file == name] == [told]


def test_folders_without_runs_are_told_from_folders_that_are_not_there(tmp_path, capsys):
    absent = tmp_path / "absent"
    for command in (
        ["runs", "list", str(absent)], ["runs", "list", str(absent), "--json"],
        ["runs", "show", "--outdir", str(absent)], ["watch", str(absent)],
        ["runs", "compare", "a", "b", "--outdir", str(absent)],
        ["runs", "export", "a", "--outdir", str(absent)],
        ["runs", "abandon", "a", "--outdir", str(absent)],
        ["restore", "a", "--outdir", str(absent)], ["publish", "a", "b", "--outdir", str(absent)],
    ):  # fmt: skip
        assert main(command) == 1, command
        out, err = capsys.readouterr()
        assert (out, f"there is no folder {absent}" in err) == ("", True), command
    assert main(["runs", "lineage", "a.csv", "--outdir", str(absent)]) == 1
    assert "there is no such folder" in capsys.readouterr().err
    for call in (fovflow.runs, lambda outdir: fovflow.resume("a", outdir)):
        with pytest.raises(FovflowError, match="there is no folder"):
            call(absent)
    assert not absent.exists()
    assert main(["runs", "show", str(absent), "--outdir", str(tmp_path)]) == 1
    assert f"no run is recorded in {tmp_path}; found: '{absent}' is no" in capsys.readouterr().err
    execute(tmp_path)
    assert main(["runs", "list", str(tmp_path), "--tag", "other"]) == 0
    assert capsys.readouterr().out == "no run has all that is asked for\n"
    with pytest.raises(ConfigError, match="did you mean completed"):
        fovflow.runs(tmp_path, status="complete")


def test_names_cannot_forge_lines(tmp_path, capsys):
    with fovflow.Run(outdir=tmp_path) as run:
        run.init("a\ngood-run  completed  2026-01-01 00:00:00\x1b[2J")
        run.log_metrics({"m\n\nalerts\n  forged": 1})
        run.log_event("e\nerrors\n  forged")
    main(["runs", "list", str(tmp_path)])
    assert len(capsys.readouterr().out.splitlines()) == 2
    main(["runs", "show", str(tmp_path)])
    shown = capsys.readouterr().out.splitlines()
    assert [line for line in shown if "forged" in line or "good-run" in line]
    assert not {"alerts", "errors", "  forged", "good-run  completed"} & {*shown}
    assert not [line for line in shown if line.startswith(("good-run", "  forged"))]


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


@pytest.fixture
def logged(tmp_path):
    """An output folder with a script's run and an execution that logged numbers."""
    outdir = tmp_path / "out"
    with fovflow.Run(outdir=outdir) as run:
        run.config(disable_resources_metrics=True)
        run.init("first", tags=["demo"], metadata={"dose": 2.5, "who": "me"})
        for value in (3.0, float("inf"), float("nan"), 1.0):
            run.log_metrics({"loss": value})
        run.log_metrics({"step": 7, "accuracy": 0.5})
    execute(outdir, tags=["demo", "late"], parameters={"lr": 0.1}, workflow_type="training")
    return outdir


def test_runs_are_found_by_what_is_recorded_of_them(logged, capsys):
    def names(**wanted):
        return [run.name for run in fovflow.runs(logged, **wanted)]

    assert names() == ["first", "fit"]
    assert names(tags="demo") == ["first", "fit"]
    assert names(tags=["demo", "late"]) == names(type="training") == names(type="execution")
    assert names(type="execution") == names(name="fi", status="completed")[1:] == ["fit"]
    assert names(metadata={"dose": "2.5", "who": "me"}) == ["first"]
    assert names(metadata={"dose": 3}) == names(status="failed") == names(tags="dem") == []
    assert names(since="1h") == names(since="2026-01-01") == ["first", "fit"]
    assert names(since="2999-01-01T10:00+02:00") == []
    with pytest.raises(fovflow.ConfigError, match="'soon' is no time"):
        names(since="soon")
    given = ["runs", "list", str(logged), "--tag", "demo", "--metadata", "dose=2.5", "--json"]
    assert main(given) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == ["first"]
    assert main(["runs", "list", str(logged), "--metadata", "dose"]) == 2
    assert "no KEY=VALUE" in capsys.readouterr().err


def test_numbers_are_read_back_as_a_table(logged):
    first, second = fovflow.runs(logged)
    table = first.metrics()
    assert list(table) == ["time", "step", "elapsed_s", "job", "accuracy", "loss", "step (metric)"]
    assert table["step"].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(table["loss"], [3, np.inf, np.nan, 1, np.nan])
    assert table["step (metric)"].tolist()[-1] == 7
    assert str(table["time"].dtype).endswith("UTC]")
    assert len(second.metrics()) == 0
    assert (second.parameters, second.type, second.kind) == ({"lr": 0.1}, "training", "execution")
    assert set(second.outputs) == {f"runs/{second.id}/{name}" for name in (
        "outputs/Table/rates.csv", "outputs/Model/weights", "outputs/Source/fit-source.txt",
        "artifacts/output/parameters.npy", "datasets/fit-1.0.0.json")}  # fmt: skip
    assert second.parents == []
    assert "packages" not in repr(second)


def test_show_tells_parameters_files_and_curves(logged, capsys):
    assert main(["runs", "show", "fit", "--outdir", str(logged)]) == 0
    text = capsys.readouterr().out
    for words in ("lr: 0.1", "outputs/Table/rates.csv: Table, 7 bytes, ", "Source, link, 6 bytes"):
        assert words in text
    assert "jobs:" not in text
    assert main(["runs", "show", "first", "--outdir", str(logged)]) == 0
    text = capsys.readouterr().out
    assert "loss      █??▁  last 1, least 1, largest inf, 4 values" in text
    assert main(["runs", "show", "first", "--outdir", str(logged), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["metrics"]
    assert [row["metrics"].get("loss") for row in rows] == [3.0, "inf", "nan", 1.0, None]


def test_alerts_see_infinities_and_nan(tmp_path):
    with fovflow.Run(outdir=tmp_path) as run:
        run.config(disable_resources_metrics=True)
        run.init("a")
        run.add_alert("big", metric="m", rule="is above", threshold=5)
        limits = {"range_low": 0, "range_high": 1}
        run.add_alert("odd", metric="n", rule="is outside range", **limits)
        run.add_alert("mean", metric="m", rule="is above", threshold=5, window_s=60)
        run.log_metrics({"m": float("inf"), "n": float("nan")})
        run.log_metrics({"m": float("-inf")})
        path = RunFolder(run.path).path
    alerts = [json.loads(line) for line in (path / "alerts.jsonl").read_text().splitlines()]
    told = {alert["name"]: alert["message"] for alert in alerts if alert["type"] == "alert"}
    assert told == {"big": "m = inf is above 5", "odd": "n = nan is outside range 0 to 1"}


def test_saving_several_files_tells_those_that_are_not_kept(tmp_path, capsys):
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("a", "z"):
        (folder / name).write_text(name)
    (folder / "b").symlink_to(tmp_path / "nowhere")
    with fovflow.Run(outdir=tmp_path) as run:
        run.init("a")
        assert not run.save_directory(folder)
        assert not run.save_all([folder / "a", tmp_path / "nope"])
        assert run.save_all([folder / "a"])
        kept = sorted(path.name for path in RunFolder(run.path).path.glob("artifacts/output/*"))
    assert kept == ["a", "z"]
    assert "nope" in capsys.readouterr().err
