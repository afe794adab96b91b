"""Lists of raw data and outputs with their SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import yaml

from fovflow.cli import main
from fovflow.cli.project import pinned_versions
from fovflow.config import parse_config
from fovflow.errors import FovflowError
from fovflow.runs.checksums import (
    ListedFile,
    differences,
    outputs,
    raw_data,
    read_list,
    write_list,
)
from fovflow.simulation import MovieParams, simulate, write_movie


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "raw µ").mkdir()
    write_movie(
        simulate(MovieParams(frames=2, height=64, width=64, cells=1)), tmp_path / "raw µ" / "a.nd2"
    )
    np.save(tmp_path / "dark.npy", np.zeros((64, 64)))
    config = {"datasets": {"0": {"path": "raw µ/a.nd2"}}, "correct": {"dark": "dark.npy"}}
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_raw_data_are_listed_with_what_uses_them_and_the_source_is_kept(folder, capsys):
    assert main(["checksums", "raw", "--write"]) == 0
    raw, dark = folder / "raw µ" / "a.nd2", folder / "dark.npy"
    expected = [
        ListedFile("raw µ/a.nd2", raw.stat().st_size, sha(raw), "0"),
        ListedFile("dark.npy", dark.stat().st_size, sha(dark), "correct.dark"),
    ]
    assert read_list("raw_data.sha256") == expected
    text = Path("raw_data.sha256").read_text(encoding="utf-8")
    assert text == (
        f"# {raw.stat().st_size} bytes; used by: 0; source:\n{sha(raw)}  raw µ/a.nd2\n"
        f"# {dark.stat().st_size} bytes; used by: correct.dark; source:\n{sha(dark)}  dark.npy\n"
    )
    Path("raw_data.sha256").write_text(text.replace("source:", "source: doi:10/x", 1))
    assert main(["checksums", "raw"]) == 0
    assert "raw_data.sha256: 2 files" in capsys.readouterr().out
    assert main(["checksums", "raw", "--write"]) == 0
    assert [item.source for item in read_list("raw_data.sha256")] == ["doi:10/x", ""]


def test_one_changed_bit_of_raw_data_is_named(folder, capsys):
    main(["checksums", "raw", "--write"])
    raw = folder / "raw µ" / "a.nd2"
    data = bytearray(raw.read_bytes())
    data[-1] ^= 1
    raw.write_bytes(data)
    capsys.readouterr()
    assert main(["checksums", "raw"]) == 1
    told = capsys.readouterr().out
    assert told.startswith(f"raw µ/a.nd2: other content: SHA-256 {sha(raw)[:12]}… where raw_data")
    assert "2 files" in told.splitlines()[1]
    assert main(["checksums", "raw", "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert len(content["problems"]) == 1
    assert content["files"][0]["sha256"] == sha(raw)


def test_files_that_came_or_went_or_grew_are_named():
    then = [ListedFile("a", 1, "00"), ListedFile("b", 2, "11"), ListedFile("c", 3, "22")]
    now = [ListedFile("b", 2, "11"), ListedFile("c", 4, "22"), ListedFile("d", 1, "33")]
    assert differences(then, now, name="list.csv") == [
        "a: in list.csv, but not here",
        "c: has 4 bytes where list.csv says 3",
        "d: here, but not in list.csv",
    ]
    assert differences(then, then, name="list.csv") == []


def test_absent_raw_data_and_other_tables_are_told_in_one_sentence(folder, capsys):
    config = parse_config({"datasets": {"a": {"path": "gone.nd2"}}})
    with pytest.raises(FovflowError, match=r"gone\.nd2"):
        raw_data(config)
    for text in ("file,bytes\na,1\n", f"{'0' * 64}  a\nsomething else\n"):
        Path("raw_data.sha256").write_text(text)
        assert main(["checksums", "raw"]) == 1
        assert "raw_data.sha256 is no list of checksums" in capsys.readouterr().err
    assert main(["checksums", "raw", "results"]) == 2
    with pytest.raises(FovflowError, match="there is no folder results"):
        outputs(["results"])


def test_records_of_a_run_are_no_outputs(tmp_path):
    kept = ["report.html", "a/processing_results.yaml", "a/fov_000/a_fov_000_traces.csv"]
    left = [
        "runs/x/run.json", "a/logs/copy.log", "a/provenance/config.json", "a/.raw_stamp.json",
        "a/ro-crate-metadata.json", "a/fov_000/.hidden.tmp",
    ]  # fmt: skip
    for name in kept + left:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    found = outputs([tmp_path])
    assert sorted(item.file for item in found) == sorted(f"{tmp_path}/{name}" for name in kept)
    write_list(tmp_path / "list.csv", found)
    assert read_list(tmp_path / "list.csv") == found


AWKWARD = ("a b.csv", "#c", " d ", "e\\n.csv", "f\ng", "h\ri", "\\j", "µ", "k\r")


def sha256sum(*arguments: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    if shutil.which("sha256sum") is None:
        pytest.skip("there is no sha256sum")
    command = ["sha256sum", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False)


def test_sha256sum_takes_a_list_of_files_of_any_name(folder, monkeypatch):
    results = folder / "out"
    names = [*AWKWARD, os.fsdecode(b"\xff")]
    results.mkdir()
    for name in names:
        (results / name).write_text(name, errors="surrogateescape")
    assert main(["checksums", "outputs", "out", "--write"]) == 0
    told = sha256sum("--strict", "--warn", "--quiet", "-c", "outputs.sha256", folder=folder)
    assert (told.returncode, told.stdout, told.stderr) == (0, b"", b"")
    listed = read_list("outputs.sha256")
    assert sorted(item.file for item in listed) == sorted(f"out/{name}" for name in names)
    assert main(["checksums", "outputs", "out"]) == 0
    (results / "f\ng").write_text("other")
    assert sha256sum("--status", "-c", "outputs.sha256", folder=folder).returncode == 1
    assert main(["checksums", "outputs", "out"]) == 1


def test_a_list_that_sha256sum_made_is_read(folder, capsys):
    for name in AWKWARD:
        (folder / name).write_text(name)
    files = ["raw µ/a.nd2", "dark.npy"]
    made = sha256sum("-b", *files, *AWKWARD, folder=folder).stdout
    (folder / "theirs").write_bytes(made)
    assert read_list("theirs") == [
        ListedFile(name, None, sha(folder / name)) for name in [*files, *AWKWARD]
    ]
    (folder / "theirs").write_bytes(sha256sum(*files, folder=folder).stdout.replace(b"\n", b"\r\n"))
    assert main(["checksums", "raw", "--list", "theirs"]) == 0
    (folder / "dark.npy").write_bytes(b"")
    capsys.readouterr()
    assert main(["checksums", "raw", "--list", "theirs"]) == 1
    assert capsys.readouterr().out.startswith("dark.npy: other content")


def test_a_list_of_a_former_version_is_read_and_its_sources_are_taken_over(folder, capsys):
    raw, dark = folder / "raw µ" / "a.nd2", folder / "dark.npy"
    Path("raw_data.csv").write_text(
        "used_by,file,bytes,sha256,source\n"
        f"0,raw µ/a.nd2,{raw.stat().st_size},{sha(raw)},doi:10/x\n"
        f"correct.dark,dark.npy,{dark.stat().st_size},{sha(dark)},\n",
        encoding="utf-8",
    )
    assert main(["checksums", "raw"]) == 0
    assert "raw_data.csv: 2 files" in capsys.readouterr().out
    assert main(["checksums", "raw", "--write"]) == 0
    assert "raw_data.sha256: 2 files" in capsys.readouterr().out
    assert read_list("raw_data.sha256") == read_list("raw_data.csv")
    assert read_list("raw_data.sha256")[0].source == "doi:10/x"
    dark.write_bytes(b"")
    assert main(["checksums", "raw"]) == 1
    assert capsys.readouterr().out.startswith("dark.npy: has 0 bytes where raw_data.sha256 says")


def test_the_pinned_versions_are_those_of_the_dependencies_only():
    pins = dict(line.split("==") for line in pinned_versions())
    for name in ("numpy", "snakemake", "pandas", "nd2"):
        assert pins[name] == version(name)
    assert not {"fovflow", "pytest", "mypy", "ruff", "hypothesis"} & set(pins)
    assert list(pins) == sorted(pins)
