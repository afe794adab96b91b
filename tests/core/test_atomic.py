"""A file under its final name is whole."""

from __future__ import annotations

import pytest

from fovflow.atomic import atomic_open, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="boom"), atomic_open(path) as file:
        file.write("half of the n")
        raise RuntimeError("boom")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_nothing_is_visible_before_the_end(tmp_path):
    path = tmp_path / "sub" / "stack.bin"
    with atomic_open(path, "wb") as file:
        file.write(b"abc")
        assert not path.exists()
    assert path.read_bytes() == b"abc"


def test_leftovers_of_killed_writers_are_removed(tmp_path):
    path = tmp_path / "a.csv"
    left = tmp_path / ".a.csv.0123.part"
    other = tmp_path / ".b.csv.0123.part"
    left.write_text("x")
    other.write_text("x")
    write_text(path, "new")
    assert not left.exists()
    assert other.exists()


def test_text_is_utf8_with_unix_line_ends(tmp_path):
    write_text(tmp_path / "x", "µm\n")
    assert (tmp_path / "x").read_bytes() == b"\xc2\xb5m\n"


def test_a_writer_whose_temporary_file_was_taken_over_fails_and_keeps_the_other_file(tmp_path):
    path = tmp_path / "x"
    with pytest.raises(FileNotFoundError), atomic_open(path) as slow:
        slow.write("orphan")
        write_text(path, "second writer")
    assert path.read_text() == "second writer"
