"""Files and objects that are kept with a run."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fovflow import Run
from fovflow.errors import ConfigError
from fovflow.events import read_events
from fovflow.runs import assets as saving
from fovflow.runs.verify import verify


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Run(outdir="results")
    made.config(suppress_errors=False, disable_resources_metrics=True)
    made.init()
    yield made
    made.close()


def artifacts(run):
    return [e for e in read_events(f"{run.path}/events.jsonl") if e["type"] == "artifact"]


def content(run, event):
    return (saving.Path(run.path) / event["path"]).read_bytes()


def test_a_file_is_copied_with_its_digest(run, tmp_path):
    (tmp_path / "a b.csv").write_bytes(b"x,y\n")
    run.save("a b.csv", category="input")
    (event,) = artifacts(run)
    assert event["path"] == "artifacts/input/a b.csv"
    assert (event["name"], event["filetype"], event["bytes"]) == ("a b.csv", "text/csv", 4)
    assert event["sha256"] == hashlib.sha256(b"x,y\n").hexdigest()
    (tmp_path / "a b.csv").write_bytes(b"changed")
    assert content(run, event) == b"x,y\n"


def test_names_types_and_paths(run, tmp_path):
    (tmp_path / "sub").mkdir()
    file = tmp_path / "sub" / "model.py"
    file.write_text("1")
    run.save(file, "code", filetype="text/x-own", name="deep/er.py")
    run.save("sub/model.py", "code", preserve_path=True)
    run.save("sub/../sub/model.py", "output", preserve_path=True)
    run.save(str(file), "output", preserve_path=True)
    paths = [event["path"] for event in artifacts(run)]
    assert paths[:3] == [
        "artifacts/code/deep/er.py", "artifacts/code/sub/model.py", "artifacts/output/sub/model.py",
    ]  # fmt: skip
    assert paths[3] == "artifacts/output" + file.as_posix()
    assert artifacts(run)[0]["filetype"] == "text/x-own"


def test_the_same_content_is_kept_once_and_other_content_beside_it(run, tmp_path):
    for text in ("one", "one", "two", "one"):
        (tmp_path / "a.txt").write_text(text)
        run.save("a.txt")
    assert [event["path"] for event in artifacts(run)] == [
        "artifacts/output/a.txt", "artifacts/output/a.txt", "artifacts/output/a-2.txt",
        "artifacts/output/a.txt",
    ]  # fmt: skip
    assert [content(run, event) for event in artifacts(run)] == [b"one", b"one", b"two", b"one"]


def test_large_inputs_are_recorded_and_not_copied(run, tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "REFERENCE_BYTES", 3)
    (tmp_path / "raw.bin").write_bytes(b"1234")
    run.save("raw.bin", "input")
    run.save("raw.bin", "output")
    first, second = artifacts(run)
    assert (first["mode"], second["mode"]) == ("reference", "copy")
    assert first["path"] == str(tmp_path / "raw.bin")
    assert first["sha256"] == second["sha256"] == hashlib.sha256(b"1234").hexdigest()


def test_objects(run):
    array = np.arange(6, dtype=np.uint16).reshape(2, 3)
    run.save(array, name="stack")
    run.save({"a": np.float64(1.5), "b": [True, None]}, name="numbers.json")
    run.save([1, 2], name="list")
    run.save(pd.DataFrame({"x": [1, 2], "y": ["a", "b"]}), name="table")

    class Figure:
        def savefig(self, file, format):
            file.write(b"\x89PNG " + format.encode())

    run.save(Figure(), name="plot")
    found = {event["name"]: event for event in artifacts(run)}
    assert list(found) == ["stack.npy", "numbers.json", "list.json", "table.csv", "plot.png"]
    with open(f"{run.path}/{found['stack.npy']['path']}", "rb") as file:  # noqa: PTH123
        assert np.array_equal(np.load(file, allow_pickle=False), array)
    assert json.loads(content(run, found["numbers.json"])) == {"a": 1.5, "b": [True, None]}
    assert content(run, found["table.csv"]) == b",x,y\n0,1,a\n1,2,b\n"
    assert content(run, found["plot.png"]) == b"\x89PNG png"
    assert [event["filetype"] for event in found.values()] == [
        "application/octet-stream", "application/json", "application/json", "text/csv", "image/png",
    ]  # fmt: skip
    for event in found.values():
        assert hashlib.sha256(content(run, event)).hexdigest() == event["sha256"]
    leftovers = [name for _, _, names in os.walk(run.path) for name in names if name[0] == "."]
    assert leftovers == []


@pytest.mark.parametrize(
    "thing", [object(), np.array([{}], dtype=object), {1, 2}, {"a": object()}, {"a": float("nan")}]
)
def test_pickles_are_written_only_where_allowed(run, thing):
    with pytest.raises(ConfigError, match="allow_pickle=True"):
        run.save(thing, name="thing")
    assert artifacts(run) == []
    run.save(thing, name="thing", allow_pickle=True)
    (event,) = artifacts(run)
    assert event["path"] == "artifacts/output/thing.pkl"


def test_what_no_pickle_can_hold_is_told_and_leaves_nothing(run):
    with pytest.raises(ConfigError, match="cannot be pickled"):
        run.save(lambda: 1, name="f", allow_pickle=True)
    assert [name for _, _, names in os.walk(f"{run.path}/artifacts") for name in names] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"thing": "absent.txt"}, "there is no file absent.txt"),
        ({"thing": "."}, "save_directory"),
        ({"thing": "here.txt", "category": "outputs"}, "did you mean output"),
        ({"thing": "here.txt", "filetype": "csv"}, "MIME"),
        ({"thing": "here.txt", "name": "../x"}, "no name of a file inside"),
        ({"thing": "here.txt", "name": "/x"}, "no name of a file inside"),
        ({"thing": [1]}, "needs a name"),
        ({"thing": [1], "name": "a/../../x"}, "no name of a file inside"),
    ],
)
def test_wrong_calls_are_told(run, tmp_path, arguments, message):
    (tmp_path / "here.txt").write_text("x")
    with pytest.raises(ConfigError, match=message):
        run.save(**arguments)


def test_folders(run, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "b.txt").write_text("b")
    (tmp_path / "in" / "deep" / "b.txt").write_text("deep b")
    (tmp_path / "one.txt").write_text("one")
    run.save_directory("in", "input")
    run.save_directory("in", "code", preserve_path=True)
    run.save_all(["one.txt", "in"], "output")
    assert [event["path"].removeprefix("artifacts/") for event in artifacts(run)] == [
        "input/b.txt", "input/deep/b.txt", "code/in/b.txt", "code/in/deep/b.txt",
        "output/one.txt", "output/b.txt", "output/deep/b.txt",
    ]  # fmt: skip
    with pytest.raises(Exception, match="there is no folder nowhere"):
        run.save_directory("nowhere")


def test_a_folder_that_holds_the_run_does_not_hold_itself(run, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    run.save_directory(".", "input")
    assert [event["path"] for event in artifacts(run)] == ["artifacts/input/a.txt"]


def test_files_of_odd_names_are_kept_under_names_that_records_may_have(tmp_path, capfd):
    source = tmp_path / "source"
    source.mkdir()
    for name in (b"a\nb", b"a\\b", b"\xff", "é".encode()):
        (source / os.fsdecode(name)).write_bytes(name)
    (source / "far").symlink_to(tmp_path)
    with Run(outdir=tmp_path / "o") as run:
        run.init("x")
        assert not run.save_directory(source)
    assert "far is a folder" in capfd.readouterr().err
    kept = sorted(path.name for path in (Path(run.path) / "artifacts" / "output").iterdir())
    assert kept == ["_", "a_b", "a_b-2", "é"]
    assert verify(tmp_path / "o").findings == []


def test_one_bad_file_of_many_costs_itself_only(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("a")
    with Run() as run:
        run.config(disable_resources_metrics=True)
        run.init()
        run.save_all(["absent.txt", "a.txt"], "input")
    assert [event["name"] for event in artifacts(run)] == ["a.txt"]
    assert "absent.txt" in capfd.readouterr().err


def test_nothing_is_written_through_a_link(run, tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("precious")
    folder = saving.Path(run.path) / "artifacts" / "output"
    folder.mkdir(parents=True)
    (folder / "a.txt").symlink_to(outside)
    (tmp_path / "a.txt").write_text("new")
    run.save("a.txt")
    assert outside.read_text() == "precious"
    assert artifacts(run)[0]["path"] == "artifacts/output/a-2.txt"
