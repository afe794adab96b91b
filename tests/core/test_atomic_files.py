"""Several files at once, their folders on disk, and what is told when one was not written."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fovflow import atomic
from fovflow.atomic import Digest, Work, atomic_files, collect_digests, unnamed_file, write_text

OPEN = Path("/proc/self/fd")


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the files and folders that are flushed to disk, in order."""
    found: list[str] = []
    flush = os.fsync

    def note(descriptor: int) -> None:
        found.append(str((OPEN / str(descriptor)).readlink()))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return found


def test_every_file_and_then_the_folder_are_flushed(tmp_path: Path, synced: list[str]):
    place = tmp_path / "new" / "deep"
    with atomic_files({"a": place / "x.csv", "b": place / "y.csv"}, "step") as work:
        for key, path in work.paths.items():
            path.write_text(key)
            assert path.parent == work.folder
            assert not (place / path.name).exists()
    names = [Path(path).name for path in synced]
    assert names[:2] == ["x.csv", "y.csv"]
    assert set(names[2:]) == {"deep"}
    assert {path.name: path.read_text() for path in place.iterdir()} == {"x.csv": "a", "y.csv": "b"}


def test_a_text_and_then_its_folder_are_flushed(tmp_path: Path, synced: list[str]):
    before = len(list(OPEN.iterdir()))
    write_text(tmp_path / "a", "text")
    assert synced[0].endswith(".part")
    assert synced[1] == str(tmp_path)
    assert len(list(OPEN.iterdir())) == before


def test_a_file_that_was_not_written_is_named_by_its_key(tmp_path: Path):
    (tmp_path / "y").write_text("old")
    with (
        pytest.raises(FileNotFoundError) as caught,
        atomic_files({"a": tmp_path / "x", "b": tmp_path / "y"}, "step") as work,
    ):
        work.paths["a"].write_text("new")
    assert caught.value.filename == "b"
    assert [path.name for path in tmp_path.iterdir()] == ["y"]
    with (
        pytest.raises(FileNotFoundError) as caught,
        atomic_files({"a": tmp_path / "x"}, "step") as work,
    ):
        work.folder.rmdir()  # as another writer that cleans up
    assert caught.value.filename == "a"


def test_an_unnamed_file_makes_its_folder_and_has_no_name(tmp_path: Path):
    with unnamed_file(tmp_path / "new" / "deep" / "table") as file:
        file.write(b"abc")
        file.seek(0)
        assert file.read() == b"abc"
        assert list((tmp_path / "new" / "deep").iterdir()) == []
    with unnamed_file(tmp_path / "new" / "deep" / "table") as file:
        assert file.writable()


def test_what_is_written_in_order_is_not_read_again(tmp_path: Path, monkeypatch):
    def never(*_: object) -> Digest:
        raise AssertionError("read again")

    monkeypatch.setattr(atomic, "digest_of", never)
    with collect_digests() as digests, atomic.atomic_open(tmp_path / "a", "wb") as file:
        file.write(b"abc")
        file.write(b"def")
    assert digests[str(tmp_path / "a")].bytes == 6
    assert digests[str(tmp_path / "a")].sha256.startswith("bef57ec7")


def test_what_is_written_out_of_order_has_the_digest_of_the_file(tmp_path: Path):
    with collect_digests() as digests, atomic.atomic_open(tmp_path / "a", "wb") as file:
        for place, data in ((0, b"abcde"), (10, b"klmno"), (0, b"ABCDE")):  # as many as in the file
            file.seek(place)
            file.write(data)
    assert (tmp_path / "a").read_bytes() == b"ABCDE\0\0\0\0\0klmno"
    assert digests[str(tmp_path / "a")] == atomic.digest_of(tmp_path / "a")


def test_what_dead_writers_of_several_files_left_is_removed(tmp_path: Path):
    left = tmp_path / ".label.0123.part"
    left.mkdir()
    os.utime(left, (1, 1))
    with atomic_files({"a": tmp_path / "a"}, "label") as work:
        work.paths["a"].touch()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_text_does_not_depend_on_the_language_of_the_machine(tmp_path: Path):
    code = f"from fovflow.atomic import write_text; write_text({str(tmp_path / 'x')!r}, 'µ\\n')"
    words = [sys.executable, "-X", "warn_default_encoding", "-W", "error::EncodingWarning"]
    subprocess.run([*words, "-c", code], check=True)
    assert (tmp_path / "x").read_bytes() == b"\xc2\xb5\n"


@pytest.mark.parametrize("thing", [Digest(1, "a"), Work({}, Path())])
def test_what_is_told_of_files_cannot_be_changed(thing):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(thing, dataclasses.fields(thing)[0].name, None)
