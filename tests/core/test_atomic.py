"""A file under its final name is whole."""

from __future__ import annotations

import hashlib
import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from fovflow.atomic import (
    Digest,
    atomic_open,
    collect_digests,
    digest_of,
    sha256_or_none,
    write_text,
)
from fovflow.stacks import StackWriter, write_image


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


def test_text_is_utf8_with_unix_line_ends(tmp_path):
    write_text(tmp_path / "x", "µm\n")
    assert (tmp_path / "x").read_bytes() == b"\xc2\xb5m\n"


def hashed(path: Path) -> Digest:
    data = path.read_bytes()
    return Digest(len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("size", [0, 1, (1 << 18) - 1, 1 << 18, (1 << 19) + 7])
def test_a_file_is_digested_in_pieces_that_a_copy_can_be_made_of(tmp_path, size):
    data = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8).tobytes()
    (tmp_path / "a").write_bytes(data)
    digest = Digest(size, hashlib.sha256(data).hexdigest())
    pieces: list[bytes] = []
    assert digest_of(tmp_path / "a") == digest
    assert digest_of(str(tmp_path / "a"), pieces.append) == digest
    assert b"".join(pieces) == data
    with (tmp_path / "a").open("rb") as file:
        file.seek(size // 2)
        rest = data[size // 2 :]
        assert digest_of(file) == Digest(len(rest), hashlib.sha256(rest).hexdigest())
    assert digest_of(io.BytesIO(data)) == digest
    assert sha256_or_none(tmp_path / "a") == digest.sha256
    assert sha256_or_none(tmp_path / "absent") is sha256_or_none(tmp_path) is None


def test_digests_are_taken_of_what_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames = np.arange(2 * 300 * 400, dtype=np.uint16).reshape(2, 300, 400)
    write_text("before", "not collected")
    with collect_digests() as digests:
        write_text("text", "µm\n" * 10_000)
        with StackWriter("stack.npy", frames.shape, frames.dtype) as out:
            for frame in frames:
                out.append(frame)
        write_image("image.npy", frames[0])
        with atomic_open("moved", "wb") as file:
            file.write(b"????rest")
            file.seek(0)
            file.write(b"head")
        with suppress(RuntimeError), atomic_open("failed") as file:
            file.write("x" * 100_000)
            raise RuntimeError
    write_text("after", "not collected")
    names = ["text", "stack.npy", "image.npy", "moved"]
    assert digests == {str(tmp_path / name): hashed(tmp_path / name) for name in names}
    assert (tmp_path / "moved").read_bytes() == b"headrest"


def test_collecting_digests_changes_no_byte(tmp_path):
    frames = np.random.default_rng(1).normal(size=(3, 17, 19)).astype(np.float32)

    def write(path: Path) -> bytes:
        with StackWriter(path, frames.shape, frames.dtype) as out:
            for frame in frames:
                out.append(frame)
        return path.read_bytes()

    plain = write(tmp_path / "plain.npy")
    with collect_digests():
        assert write(tmp_path / "hashed.npy") == plain
