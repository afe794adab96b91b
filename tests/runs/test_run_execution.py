"""`fovflow.execution`: what a script did, from what, and what came of it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from runs.ownrecords import events_of

import fovflow
from fovflow.config import parse_config
from fovflow.errors import ConfigError, FovflowError
from fovflow.events import seconds_of
from fovflow.runs.store import JOB_EVENTS, RunFolder, list_runs


def sha(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def keys(tmp_path):
    (tmp_path / "in.csv").write_bytes(b"1,2\n")
    return {"outdir": tmp_path / "out", "workflow_type": "analysis"}


def test_everything_is_recorded(keys, tmp_path):
    config = {
        **keys,
        "name": "fit all",
        "workflow": "my fit",
        "workflow_version": "2.1",
        "description": "rates of plate 1",
        "tags": ["a"],
        "metadata": {"dose": 2},
        "parameters": {"model": "trivial", "rates": [1, 2]},
        "datasets": [{"path": str(tmp_path / "in.csv"), "version": "1.2.0"}],
        "assets": [tmp_path / "in.csv"],
    }
    with fovflow.execution(config) as exe:
        assert exe.status == "running"
        exe.update_status("half way")
        exe.run.log_metrics({"chi2": 1.5})
        path = exe.output_path("Table", "rates.csv")
        path.write_bytes(b"rate\n1\n")
    assert exe.status == "completed"
    record = RunFolder(exe.folder).read_record()
    assert record["id"] == exe.id
    assert (record["kind"], record["workflow_type"]) == ("execution", "analysis")
    assert (record["workflow"]["name"], record["workflow"]["version"]) == ("my fit", "2.1")
    assert record["workflow"]["fovflow"] == fovflow.__version__
    assert "commit" in record["workflow"]
    assert record["parameters"] == {"model": "trivial", "rates": [1, 2]}
    assert (record["metadata"], record["tags"]) == ({"dose": 2}, ["a"])
    assert record["environment"]["packages"]["numpy"]
    first, second = record["inputs"]
    assert (first["role"], first["version"], first["bytes"]) == ("dataset", "1.2.0", 4)
    assert (second["role"], second["sha256"]) == ("asset", sha(b"1,2\n"))
    assert [entry["status"] for entry in record["history"]] == ["created", "running", "completed"]
    assert record["started"] < record["ended"]
    seconds = seconds_of(record["ended"]) - seconds_of(record["started"])
    assert 0 <= record["duration_s"] <= seconds + 0.01
    assert events_of(exe.folder, "status")[0]["message"] == "half way"
    (made,) = events_of(exe.folder, "artifact")
    assert made["path"] == "outputs/Table/rates.csv"
    assert (made["sha256"], made["bytes"], made["types"]) == (sha(b"rate\n1\n"), 7, ["Table"])


def test_a_configuration_of_the_pipeline_serves_too(tmp_path):
    (tmp_path / "a.csv").write_text("x")
    content = {
        "outdir": str(tmp_path / "out"),
        "datasets": {"a": {"path": str(tmp_path / "a.csv")}},
        "run": {"workflow_type": "screen", "vocabulary": ["screen"], "tags": ["t"]},
    }
    for config in (content, parse_config(content)):
        with fovflow.execution(config) as exe:
            pass
        record = RunFolder(exe.folder).read_record()
        assert record["workflow_type"] == "screen"
        assert record["inputs"][0]["name"] == "a"
        assert record["parameters"]["segment"]["method"] == "logstd"
    path = tmp_path / "execution.yaml"
    path.write_text(f"outdir: {tmp_path / 'out'}\nname: from a file\n")
    with fovflow.execution(path, tags=["b"]) as exe:
        pass
    assert RunFolder(exe.folder).read_record()["tags"] == ["b"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"workflow_type": "anallysis"}, "did you mean analysis.*|processing, preprocessing"),
        ({"colour": 1}, "colour: unknown key"),
        ({"datasets": [{"pth": "x"}]}, "unknown key; did you mean path"),
        ({"metadata": {"a": [1]}}, "metadata"),
    ],
)
def test_wrong_keys_are_told_before_anything_happens(keys, wrong, message):
    with pytest.raises(ConfigError, match=message):
        fovflow.execution({**keys, **wrong})
    with pytest.raises(ConfigError, match="no mapping"):
        fovflow.execution(3)
    assert not keys["outdir"].exists()


def test_an_input_that_is_absent_is_an_error_before_anything_is_made(keys, tmp_path):
    with (
        pytest.raises(FovflowError, match=r"absent\.nd2"),
        fovflow.execution(keys, datasets=[tmp_path / "absent.nd2"]),
    ):
        pytest.fail("never")
    assert not keys["outdir"].exists()


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError("bad"), "failed"), (KeyboardInterrupt(), "terminated"), (SystemExit(2), "failed")],
)
def test_an_exception_is_a_failure_with_partial_outputs_and_propagates(keys, error, status):
    with pytest.raises(type(error)), fovflow.execution(keys) as exe:
        exe.output_path("Table", "part.csv").write_text("x")
        exe.output_path("Table", "never.csv")
        raise error
    record = RunFolder(exe.folder).read_record()
    assert record["status"] == exe.status == status
    assert record["ended"]
    assert "duration_s" in record
    assert [event["name"] for event in events_of(exe.folder, "artifact")] == ["part.csv"]
    texts = [event["message"] for event in events_of(exe.folder, "message")]
    assert "the output outputs/Table/never.csv was announced and not made" in texts
    with pytest.raises(FovflowError, match="not running"):
        exe.output_path("Table", "late.csv")
    with pytest.raises(FovflowError, match="not running"):
        exe.update_status("late")


def test_existing_files_are_linked_or_copied(keys, tmp_path):
    source = tmp_path / "model.bin"
    source.write_bytes(b"weights")
    with fovflow.execution(keys) as exe:
        link = exe.register(source, "Model")
        copy = exe.register(str(source), "Model", mode="copy", rename="best.bin")
        assert link.is_symlink()
        assert not copy.is_symlink()
        assert copy.read_bytes() == b"weights"
        with pytest.raises(ConfigError, match="mode is 'move'"):
            exe.register(source, "Model", mode="move", rename="x")
        with pytest.raises(FovflowError, match="there is no file"):
            exe.register(tmp_path / "absent", "Model")
        with pytest.raises(FovflowError, match="a folder"):
            exe.register(tmp_path, "Model")
    assert [(e["name"], e["mode"], e["sha256"]) for e in events_of(exe.folder, "artifact")] == [
        ("model.bin", "link", sha(b"weights")), ("best.bin", "copy", sha(b"weights")),
    ]  # fmt: skip


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_nothing_is_written_through_a_link_or_over_another_output(keys, tmp_path, mode):
    precious = tmp_path / "precious.txt"
    precious.write_text("precious")
    source = tmp_path / "a.txt"
    source.write_text("new")
    with fovflow.execution(keys) as exe:
        folder = exe.folder / "outputs" / "T"
        folder.mkdir(parents=True)
        (folder / "a.txt").symlink_to(precious)
        (folder / "dangling.txt").symlink_to(tmp_path / "nowhere.txt")
        for name in ("a.txt", "dangling.txt"):
            with pytest.raises(FovflowError, match="there is an output"):
                exe.register(source, "T", mode=mode, rename=name)
            with pytest.raises(FovflowError, match="there is an output"):
                exe.output_path("T", name)
        promised = exe.output_path("T", "b.txt")
        with pytest.raises(FovflowError, match=r"there is an output 'T/b\.txt'"):
            exe.register(source, "T", mode=mode, rename="b.txt")
        promised.write_text("b")
        (exe.folder / "outputs" / "Out").symlink_to(tmp_path, target_is_directory=True)
        with pytest.raises(FovflowError, match="leads out"):
            exe.register(source, "Out", mode=mode, rename="x.txt")
    assert precious.read_text() == "precious"
    assert not (tmp_path / "nowhere.txt").exists()
    assert not (tmp_path / "x.txt").exists()
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_a_copy_never_replaces_what_appears_meanwhile(keys, tmp_path, monkeypatch):
    source = tmp_path / "a.txt"
    source.write_text("new")
    with fovflow.execution(keys) as exe:
        target = exe.folder / "outputs" / "T" / "a.txt"
        from fovflow.runs import assets as outputs

        def slow_copy(source):
            def write(file):
                file.write(b"new")
                target.write_text("someone else's")

            return write

        monkeypatch.setattr(outputs, "copy_of", slow_copy)
        with pytest.raises(FovflowError, match="there is an output"):
            exe.register(source, "T", mode="copy")
        assert target.read_text() == "someone else's"


@pytest.mark.parametrize(
    ("kind", "name"),
    [("T", "../x"), ("T", "/x"), ("T", ""), ("../T", "x"), ("", "x"), ("a/b", "x"), (5, "x")],
)
def test_names_that_climb_out_are_refused(keys, kind, name):
    with fovflow.execution(keys) as exe, pytest.raises(ConfigError):
        exe.output_path(kind, name)


def test_parameters_of_every_kind_are_recorded(keys):
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ConfigError, match="none of which holds itself"):
        fovflow.execution(**keys, parameters={"x": endless})
    given = {"array": np.arange(3), "kinds": {"b", "a"}, "rate": float("inf"), "path": Path("a/b"),
             "none": float("nan"), "deep": {2: (np.float32(0.5), None, np.longdouble(2))},
             }  # fmt: skip
    with fovflow.execution(**keys, parameters=given) as exe:
        pass
    assert RunFolder(exe.folder).read_record()["parameters"] == {
        "array": [0, 1, 2], "kinds": ["a", "b"], "rate": "inf", "path": "a/b", "none": "nan",
        "deep": {"2": [0.5, None, "2.0"]},
    }  # fmt: skip


def test_two_that_make_one_version_at_once_make_it_once(keys, tmp_path):
    (tmp_path / "a").write_text("a")
    ready = Barrier(4)

    def make(_):
        with fovflow.execution(**keys) as exe:
            ready.wait(60)
            try:
                exe.create_dataset([tmp_path / "a"], version="1.0.0", name="one")
            except FovflowError as error:
                return str(error)
            return "made"

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(make, range(4)))
    assert found.count("made") == 1
    assert sum("has a version 1.0.0 already" in text for text in found) == 3


@pytest.mark.parametrize("name", ["a\nb", "a\x1b", "\udcff", "é" * 200])
def test_names_that_no_record_may_have_are_refused(keys, name):
    with fovflow.execution(**keys) as exe:
        with pytest.raises(ConfigError):
            exe.output_path("Table", name)
        with pytest.raises(ConfigError):
            exe.output_path(name, "a.csv")
        with pytest.raises(ConfigError):
            exe.create_dataset([], version="1", name=name)


def test_datasets_have_members_and_a_version(keys, tmp_path):
    with fovflow.execution(keys, name="made") as exe:
        one = exe.output_path("Table", "one.csv")
        one.write_bytes(b"1")
        outside = tmp_path / "in.csv"
        path = exe.create_dataset([one, outside, str(one)], "1.0.0", description="good ones")
        content = json.loads(path.read_text())
        assert content["members"] == [
            {"path": "outputs/Table/one.csv", "bytes": 1, "sha256": sha(b"1")},
            {"path": str(outside), "bytes": 4, "sha256": sha(b"1,2\n")},
        ]
        assert (content["name"], content["version"]) == ("made", "1.0.0")
        assert content["execution"] == exe.id
        for members, version, message in (
            ([], "2", "no members"),
            ([tmp_path / "absent"], "2", "absent"),
            ([one], "../2", "version"),
            ([one], 2, "version"),
            (one, "2", "list of paths"),
            ([one], "1.0.0", "has a version 1.0.0 already"),
        ):
            with pytest.raises(FovflowError, match=message):
                exe.create_dataset(members, version)
    with (
        fovflow.execution(keys, name="other") as exe,
        pytest.raises(FovflowError, match="already"),
    ):
        exe.create_dataset([tmp_path / "in.csv"], "1.0.0", name="made")


def test_a_dry_run_leaves_nothing(keys, tmp_path):
    with fovflow.execution(keys, dry_run=True) as exe:
        path = exe.output_path("Table", "a.csv")
        path.write_text("x")
        exe.register(tmp_path / "in.csv", "Table", mode="copy")
        exe.create_dataset([path], "1.0.0")
        folder = exe.folder
        assert exe.dry_run
    assert exe.status == "completed"
    assert not folder.exists()
    assert not keys["outdir"].exists()


def test_inside_a_job_an_execution_has_a_record_of_its_own(keys, tmp_path, monkeypatch):
    monkeypatch.setenv(JOB_EVENTS, str(tmp_path / "attempt-1.jsonl"))
    with fovflow.execution(keys) as exe:
        exe.run.log_event("hello")
    assert [run.id for run in list_runs(keys["outdir"])] == [exe.id]
    assert not (tmp_path / "attempt-1.jsonl").exists()


def test_an_execution_is_entered_once(keys):
    exe = fovflow.execution(keys)
    with exe:
        pass
    with pytest.raises(FovflowError, match="once"), exe:
        pass


def test_outputs_that_are_folders_have_one_digest(keys):
    with fovflow.execution(keys) as exe:
        folder = exe.output_path("Zarr", "a.zarr")
        folder.mkdir()
        (folder / "0").write_text("x")
    (event,) = events_of(exe.folder, "artifact")
    assert event["filetype"] == "inode/directory"
    assert event["sha256"].startswith("tree-sha256-1:")


def test_an_output_that_cannot_be_read_costs_no_other_output_its_record(keys):
    with (
        pytest.raises(FovflowError, match=r"outputs/Table/b\.fifo: it is a pipe"),
        fovflow.execution(**keys) as exe,
    ):
        for name in ("a.csv", "c.csv"):
            exe.output_path("Table", name).write_text(name)
        os.mkfifo(exe.output_path("Table", "b.fifo"))
    assert exe.status == "failed"
    kept = [event["name"] for event in events_of(exe.folder, "artifact")]
    assert kept == ["a.csv", "c.csv"]


def test_the_script_is_the_workflow(tmp_path):
    script = tmp_path / "fit rates.py"
    text = f"""
        import fovflow
        with fovflow.execution(outdir={str(tmp_path / "out")!r}) as exe:
            pass
    """
    script.write_text(textwrap.dedent(text))
    subprocess.run([sys.executable, str(script)], check=True, cwd=tmp_path)
    (folder,) = list_runs(tmp_path / "out")
    workflow = folder.read_record()["workflow"]
    assert workflow["name"] == "fit rates"
    assert workflow["files"] == {"fit rates.py": sha(script.read_bytes())}
    assert Path(folder.path / "events.jsonl").exists()
