"""Files, stamps and digests of raw datasets."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from ome_sets import write_ome_set

from fovflow.errors import FovflowError
from fovflow.readers.fingerprint import fingerprint, raw_files, stamp
from fovflow.simulation.containers import write_ome_zarr

MIB = 1 << 20


def reference(files: dict[str, bytes]) -> str:
    """Compute the digest as its definition says, in plain words."""
    lines = b""
    for name in sorted(files, key=str.encode):
        data = files[name]
        if len(data) > 16 * MIB:
            parts = [data[:MIB], data[len(data) - MIB :]]
            for i in range(64):
                start = i * (len(data) - 65536) // 63
                parts.append(data[start : start + 65536])
            content = b"".join(parts)
        else:
            content = data
        shown = name if len(files) > 1 else ""
        digest = hashlib.sha256(content).hexdigest()
        lines += f"{shown}\0{len(data)}\0{digest}\n".encode()
    return "sampled-sha256-1:" + hashlib.sha256(lines).hexdigest()


def series(folder: Path, n: int = 3) -> dict[str, bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    for t in range(n):
        plane = np.full((8, 8), t, np.uint16)
        tifffile.imwrite(folder / f"ä t{t}.tif", plane, metadata=None)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("size", [1, 16 * MIB, 16 * MIB + 1, 17 * MIB + 12345])
def test_the_definition_for_one_file(size: int, tmp_path: Path) -> None:
    data = np.random.default_rng(size).bytes(size)
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    assert fingerprint(path) == reference({"a.bin": data})


def test_the_definition_for_several_files(tmp_path: Path) -> None:
    files = series(tmp_path / "s")
    assert fingerprint(tmp_path / "s") == reference(files)
    assert fingerprint(tmp_path / "s" / "*.tif") == reference(files)
    assert fingerprint(tmp_path / "*" / "*.tif") == reference(files)


def test_folder_name_and_time_do_not_count(tmp_path: Path) -> None:
    series(tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there" / "deep")
    for path in (tmp_path / "there" / "deep").iterdir():
        os.utime(path, (1, 1))
    assert fingerprint(tmp_path / "here") == fingerprint(tmp_path / "there" / "deep")
    one = tmp_path / "here" / "ä t1.tif"
    before = fingerprint(one)
    assert before == fingerprint(one.rename(tmp_path / "other.tif"))


def test_any_change_counts(tmp_path: Path) -> None:
    series(tmp_path)
    seen = {fingerprint(tmp_path)}
    path = tmp_path / "ä t1.tif"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    seen.add(fingerprint(tmp_path))
    path.rename(tmp_path / "ä t7.tif")
    seen.add(fingerprint(tmp_path))
    (tmp_path / "ä t7.tif").unlink()
    seen.add(fingerprint(tmp_path))
    assert len(seen) == 4


def test_little_of_a_large_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sparse.bin"
    with path.open("wb") as file:
        file.truncate(100 << 30)
    digest = fingerprint(path)
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    assert fingerprint(path) != digest


def test_files_of_a_zarr_folder(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_ome_zarr(path, np.ones((2, 2, 1, 8, 8), np.uint16), channels=["a"], pixel_um=1.0)
    found = raw_files(path)
    assert found == sorted(each for each in path.rglob("*") if each.is_file())
    contents = {each.relative_to(path).as_posix(): each.read_bytes() for each in found}
    assert fingerprint(path) == reference(contents)


def test_files_of_an_ome_tiff_set(tmp_path: Path) -> None:
    frames = np.zeros((2, 2, 1, 8, 8), np.uint16)
    path = write_ome_set(tmp_path, frames, channels=["a"], pixel_um=1.0)
    tifffile.imwrite(tmp_path / "other.tif", np.zeros((8, 8), np.uint16))
    names = [each.name for each in raw_files(path)]
    assert names == [f"set_{p}_{t}.ome.tif" for p in range(2) for t in range(2)]


def test_a_pattern_selects_files(tmp_path: Path) -> None:
    series(tmp_path)
    (tmp_path / "x.tif").write_bytes(b"II*\0")
    names = [each.name for each in raw_files(tmp_path, "ä t{time}.tif")]
    assert names == ["ä t0.tif", "ä t1.tif", "ä t2.tif"]
    assert set(stamp(tmp_path, "ä t{time}.tif")["files"]) == set(names)


def test_stamps(tmp_path: Path) -> None:
    series(tmp_path / "s")
    first = stamp(tmp_path / "s")
    assert json.loads(json.dumps(first)) == first
    state = (tmp_path / "s" / "ä t1.tif").stat()
    assert first["files"]["ä t1.tif"] == [
        state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino,
    ]  # fmt: skip
    assert stamp(tmp_path / "s") == first
    os.utime(tmp_path / "s" / "ä t1.tif", ns=(5, 5))
    assert stamp(tmp_path / "s") != first
    path = tmp_path / "a.bin"
    path.write_bytes(b"x")
    assert list(stamp(path)["files"]) == ["a.bin"]


def test_nothing_there(tmp_path: Path) -> None:
    for function in (raw_files, stamp, fingerprint):
        with pytest.raises(FovflowError, match="there is no"):
            function(tmp_path / "absent.nd2")
