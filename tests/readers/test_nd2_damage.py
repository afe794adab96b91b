"""ND2 files that are damaged, or whose metadata ask for too much."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from readers.nd2_files import STAGE, patch, rewrite, save

import fovflow
from fovflow.errors import FovflowError
from fovflow.readers.nd2 import MAGIC, ChunkFile


def test_metadata_that_unpack_to_too_much(
    frames: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fovflow.readers.nd2.MAX_METADATA_BYTES", 1 << 20)
    plain, bomb = save(tmp_path, frames), tmp_path / "bomb.nd2"
    packed = zlib.compress(bytes(8 << 20))

    def change(name: bytes, data: bytes) -> bytes:
        return b"L" + bytes(11) + packed if name == b"ImageMetadataLV!" else data

    rewrite(plain, bomb, change)
    with pytest.raises(FovflowError, match=r"metadata .* are damaged") as caught:
        fovflow.open_raw(bomb)
    assert "more than it can need" in str(caught.value)


def test_lossy_files_are_refused(frames: np.ndarray, tmp_path: Path) -> None:
    plain, lossy = save(tmp_path, frames), tmp_path / "lossy.nd2"
    label = "eCompression\0".encode("utf-16-le")

    def change(name: bytes, data: bytes) -> bytes:
        at = data.find(label) + len(label)
        return data[:at] + struct.pack("<i", 1) + data[at + 4 :] if label in data else data

    rewrite(plain, lossy, change)
    with pytest.raises(FovflowError, match="stored with loss"):
        fovflow.open_raw(lossy)


def test_a_damaged_frame_costs_that_frame(frames: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path, frames, positions=STAGE)
    chunks = ChunkFile(path)
    at = chunks.offsets[b"ImageDataSeq|5!"]
    chunks.close()
    data = bytearray(path.read_bytes())
    data[at : at + 16] = bytes(16)
    path.write_bytes(data)
    with fovflow.open_raw(path) as raw:
        np.testing.assert_array_equal(raw.read(1, 1, 0), frames[1, 1, 0])
        with pytest.raises(FovflowError, match="position 2, frame 1, channel 0") as caught:
            raw.read(2, 1, 0)
        assert "ImageDataSeq|5!" in str(caught.value)
        np.testing.assert_array_equal(raw.read(0, 2, 0), frames[2, 0, 0])


def test_a_short_frame(frames: np.ndarray, tmp_path: Path) -> None:
    plain, short = save(tmp_path, frames), tmp_path / "short.nd2"
    rewrite(plain, short, lambda n, d: d[:100] if n == b"ImageDataSeq|3!" else d)
    with fovflow.open_raw(short) as raw, pytest.raises(FovflowError, match="frame 1"):
        raw.read(0, 1, 0)


@pytest.mark.parametrize("keep", [8, 39, 5000, -1, -40, -300])
def test_a_file_that_is_cut_off(keep: int, frames: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path, frames)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FovflowError, match="cut off or damaged") as caught:
        fovflow.open_raw(path)
    assert str(path) in str(caught.value)
    assert "map" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("uiHeight", 2**31, "cannot hold"),
        ("uiWidth", 2**30, "cannot hold"),
        ("uiHeight", 0, "cannot hold"),
        ("uiWidthBytes", 4, "contradicts itself"),
        ("uiBpcInMemory", 64, "unsupported type"),
        ("uiBpcInMemory", 12, "unsupported type"),
    ],
)
def test_headers_that_cannot_be(
    name: str, value: int, message: str, frames: np.ndarray, tmp_path: Path
) -> None:
    path = save(tmp_path, frames)
    patch(path, name, value)
    with pytest.raises(FovflowError, match=message):
        fovflow.open_raw(path)


def test_a_loop_of_four_billion_frames(frames: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path, frames)
    patch(path, "uiCount", 2**32 - 1)
    with pytest.raises(FovflowError, match="absurd sizes"):
        fovflow.open_raw(path)


def test_garbage_behind_a_good_magic(tmp_path: Path) -> None:
    path = tmp_path / "noise.nd2"
    noise = np.random.default_rng(0).bytes(10_000)
    path.write_bytes(MAGIC + noise)
    with pytest.raises(FovflowError, match="no chunk map"):
        fovflow.open_raw(path)


def test_random_damage_never_escapes(frames: np.ndarray, tmp_path: Path) -> None:
    """Bytes overwritten anywhere: either it reads, or a FovflowError says why not."""
    path = save(tmp_path, frames, positions=STAGE, times_s=np.ones((4, 3)).cumsum(axis=0))
    whole = path.read_bytes()
    used = np.flatnonzero(np.frombuffer(whole, np.uint8))  # the rest is padding
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        start = int(rng.choice(used))
        noise = rng.bytes(int(rng.integers(1, 60)))
        data[start : start + len(noise)] = noise
        path.write_bytes(data[: len(whole)])
        try:
            with fovflow.open_raw(path) as raw:
                for p in range(len(raw.info.positions)):
                    raw.read(p, 0, 0)
        except FovflowError:
            refused += 1
    assert refused > 20
