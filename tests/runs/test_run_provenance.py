"""What is recorded about code, environment and inputs, and what never is."""

from __future__ import annotations

import hashlib
import json
import subprocess

import pytest

from fovflow import __version__
from fovflow.readers.fingerprint import fingerprint
from fovflow.runs import provenance
from fovflow.runs.provenance import (
    capture_environment,
    capture_inputs,
    capture_workflow,
    without_credentials,
)

IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")


def git(folder, *arguments):
    done = subprocess.run(
        ["git", "-C", str(folder), *IDENTITY, *arguments], check=True, capture_output=True
    )
    return done.stdout


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    folder = tmp_path / "code"
    (folder / "rules").mkdir(parents=True)
    (folder / "Snakefile").write_text("rule all\n")
    (folder / "rules" / "a.smk").write_text("rule a\n")
    (folder / "own.py").write_text("x = 1\n")
    git(tmp_path, "init", "-q", "-b", "main", str(folder))
    git(folder, "remote", "add", "origin", "https://me:s3cret@example.org/lab/code.git")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_a_clean_commit(repository):
    found = capture_workflow(repository, name="mine")
    assert found["name"] == "mine"
    assert found["version"] == __version__
    assert found["repository"] == "https://example.org/lab/code.git"
    assert found["commit"] == git(repository, "rev-parse", "HEAD").decode().strip()
    assert found["branch"] == "main"
    assert (found["dirty"], found["dirty_files"], found["diff_sha256"]) == (False, [], None)
    assert found["untracked"] == []
    assert found["files"] == {
        "Snakefile": hashlib.sha256(b"rule all\n").hexdigest(),
        "rules/a.smk": hashlib.sha256(b"rule a\n").hexdigest(),
    }


def test_changes_are_named_and_their_difference_is_hashed(repository):
    (repository / "own.py").write_text("x = 2\n")
    git(repository, "mv", "Snakefile", "Snake file ü")
    (repository / "new.py").write_text("")
    found = capture_workflow(repository)
    assert found["dirty"] is True
    assert found["dirty_files"] == ["Snake file ü", "own.py"]
    assert found["untracked"] == ["new.py"]
    diff = git(repository, "diff", "--binary", "--full-index", "HEAD")
    assert found["diff_sha256"] == hashlib.sha256(diff).hexdigest()


def test_a_package_inside_someones_repository_says_nothing_about_it(repository):
    package = repository / "venv" / "fovflow"
    package.mkdir(parents=True)
    (package / "Snakefile").write_text("x")
    found = capture_workflow(package)
    assert found["commit"] is None
    assert found["repository"] is None
    assert list(found["files"]) == ["Snakefile"]


def test_no_git_and_no_folder_are_no_errors(tmp_path, monkeypatch):
    assert capture_workflow(tmp_path)["commit"] is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert capture_workflow(tmp_path / "absent")["files"] == {}


def test_another_repository_in_the_environment_does_not_count(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert capture_workflow(repository)["branch"] == "main"


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://example.org/a/b.git", "https://example.org/a/b.git"),
        ("https://tok3n@example.org/a/b", "https://example.org/a/b"),
        ("https://u:p@ss@example.org:8443/a/b?x=s3cret#y", "https://example.org:8443/a/b"),
        ("https://u:12/34@example.org/a", "https://example.org/a"),
        ("https://example.org/@scope/a", "https://example.org/@scope/a"),
        ("ssh://git@example.org/a", "ssh://git@example.org/a"),
        ("ssh://joe:pw@example.org/a", "ssh://example.org/a"),
        ("git@example.org:a/b", "git@example.org:a/b"),
        ("joe@example.org:a/b", "example.org:a/b"),
        ("../other", "../other"),
    ],
)
def test_urls_lose_their_credentials(url, clean):
    assert without_credentials(url) == clean


def test_only_listed_variables_of_the_environment_are_recorded(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-1")
    monkeypatch.setenv("MY_TOKEN", "hush-2")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = capture_environment()
    assert "hush" not in json.dumps(found)
    assert found["variables"]["OMP_NUM_THREADS"] == "3"
    assert found["packages"]["numpy"]
    assert found["cpu"]["logical"] >= 1
    assert found["python"].startswith("3.")


def test_inputs_have_size_and_digest(tmp_path):
    file = tmp_path / "a b.bin"
    file.write_bytes(b"abc")
    (tmp_path / "empty").touch()
    found = capture_inputs([file, {"path": tmp_path / "empty", "role": "mask"}])
    assert found[0] == {
        "path": str(file),
        "bytes": 3,
        "files": 1,
        "sha256": hashlib.sha256(b"abc").hexdigest(),
    }
    assert found[1]["role"] == "mask"
    assert found[1]["sha256"] == hashlib.sha256(b"").hexdigest()


def test_large_inputs_have_the_readers_sampled_digest(tmp_path, monkeypatch):
    file = tmp_path / "large.bin"
    file.write_bytes(bytes(range(256)) * 100)
    monkeypatch.setattr(provenance, "SHA256_BYTES", 1000)
    (found,) = capture_inputs([file])
    assert "sha256" not in found
    assert found["digest"] == fingerprint(file)
    assert found["bytes"] == 25600


def test_a_folder_of_any_files_and_what_is_missing(tmp_path):
    folder = tmp_path / "tables"
    (folder / "sub").mkdir(parents=True)
    (folder / "b.csv").write_bytes(b"1")
    (folder / "sub" / "a.csv").write_bytes(b"22")
    found, missing = capture_inputs([folder, tmp_path / "no.tif"])
    lines = b"".join(
        name + f"\0{len(data)}\0{hashlib.sha256(data).hexdigest()}\n".encode()
        for name, data in ((b"b.csv", b"1"), (b"sub/a.csv", b"22"))
    )
    assert found["digest"] == "tree-sha256-1:" + hashlib.sha256(lines).hexdigest()
    assert (found["bytes"], found["files"]) == (3, 2)
    assert missing["bytes"] is None
    assert "no.tif" in missing["problem"]
