"""Finding the reader: by content, by name, through plug-ins; and clear refusals."""

from __future__ import annotations

import itertools
import os
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import fovflow
from fovflow import readers
from fovflow.errors import ConfigError, FovflowError
from fovflow.readers.base import Channel, Given, PlaneReader, Position, RawInfo
from fovflow.readers.locate import Location, locate
from fovflow.readers.times import regular_times
from fovflow.simulation.containers import write_nd2, write_ome_zarr

FRAMES = np.arange(2 * 1 * 1 * 8 * 8, dtype=np.uint16).reshape(2, 1, 1, 8, 8)


def nd2_file(path: Path) -> Path:
    write_nd2(path, FRAMES, channels=["Phase"], pixel_um=1.0)
    return path


def test_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    path = nd2_file(tmp_path / "movie.tif")
    with fovflow.open_raw(path) as raw:
        assert raw.info.format == "nd2"


def test_a_missing_file_names_what_is_similar(tmp_path: Path) -> None:
    nd2_file(tmp_path / "plate_1.nd2")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(FovflowError, match=r"there is no .*plate1\.nd2") as caught:
        fovflow.open_raw(tmp_path / "plate1.nd2")
    assert "the similar 'plate_1.nd2'" in str(caught.value)


def test_a_missing_folder_is_told_from_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(FovflowError, match="there is no") as caught:
        fovflow.open_raw(tmp_path / "dat" / "plate1.nd2")
    assert "'data'" in str(caught.value)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.nd2").touch()
    with pytest.raises(FovflowError, match=r"a\.nd2 is empty"):
        fovflow.open_raw(tmp_path / "a.nd2")


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(FovflowError, match="holds no images") as caught:
        fovflow.open_raw(tmp_path)
    assert "'notes.txt'" in str(caught.value)


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"\x89PNG\r\n", "a PNG image"),
        (b"hello", "b'hello'"),
        (b"\x89HDF\r\n", "an HDF5 file"),
        (b"\0", "b'\\x00'"),
    ],
)
def test_an_unknown_kind_quotes_the_first_bytes(head: bytes, what: str, tmp_path: Path) -> None:
    path = tmp_path / "file.nd2"
    path.write_bytes(head)
    with pytest.raises(FovflowError, match="no raw file of a known kind") as caught:
        fovflow.open_raw(path)
    assert what in str(caught.value)
    assert repr(head)[:8] in str(caught.value)


def test_several_files_of_one_dataset_each(tmp_path: Path) -> None:
    nd2_file(tmp_path / "a.nd2")
    with fovflow.open_raw(tmp_path / "*.nd2") as raw:
        assert raw.info.format == "nd2"
    nd2_file(tmp_path / "b.nd2")
    with pytest.raises(FovflowError, match="several files"):
        fovflow.open_raw(tmp_path / "*.nd2")


def test_a_pattern_that_matches_no_file(tmp_path: Path) -> None:
    nd2_file(tmp_path / "a.nd2")
    with pytest.raises(FovflowError, match="no file matches") as caught:
        fovflow.open_raw(tmp_path / "*.tif")
    assert "'a.nd2'" in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="everything is readable for root")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = nd2_file(tmp_path / "a.nd2")
    path.chmod(0)
    with pytest.raises(FovflowError, match="cannot read"):
        fovflow.open_raw(path)


def test_the_format_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "t1.tif"
    tifffile.imwrite(path, np.zeros((8, 8), np.uint16), metadata=None)
    with fovflow.open_raw(path, format="tiff") as raw:
        assert raw.info.format == "tiff"
    with fovflow.open_raw(path, format="tiff-series") as raw:
        assert raw.info.format == "tiff-series"
    with pytest.raises(ConfigError, match="'lif'") as caught:
        fovflow.open_raw(path, format="lif")
    assert "ome-zarr" in str(caught.value)
    with pytest.raises(FovflowError, match=r"t1\.tif"):
        fovflow.open_raw(path, format="nd2")


def test_a_pattern_where_there_is_no_series(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pattern"):
        fovflow.open_raw(nd2_file(tmp_path / "a.nd2"), pattern="{time}.nd2")


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_ome_zarr(tmp_path / "a.zarr", FRAMES, channels=["Phase"], pixel_um=1.0)
    nd2_file(tmp_path / "a.nd2")
    monkeypatch.chdir(tmp_path)
    for name in ("a.zarr", "a.nd2", "./a.nd2", "*.nd2"):
        with fovflow.open_raw(name) as raw:
            np.testing.assert_array_equal(raw.read(0, 1, 0), FRAMES[1, 0, 0])


class TextReader(PlaneReader):
    """A third party's reader of images written as text."""

    def __init__(self, location: Location, given: Given, pattern: str | None):
        self._pixels = np.loadtxt(location.root, dtype=np.uint16, comments="#")
        height, width = self._pixels.shape
        info = RawInfo("text", "YX", 1, 1, height, width, "uint16", (Position(0),), (Channel(0),))
        super().__init__(location.root, info, [regular_times(1, 1.0, "nominal")], given)

    @staticmethod
    def accepts(path: Path, head: bytes) -> bool:
        return head.startswith(b"# pixels")

    def _plane(self, p: int, t: int, c: int, z: int) -> Any:
        return self._pixels


def test_a_plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "image.txt"
    path.write_text("# pixels\n1 2 3\n4 5 6\n")
    with pytest.raises(FovflowError, match="known kind"):
        fovflow.open_raw(path)
    entry = EntryPoint("text", "some.where:TextReader", "fovflow.readers")
    monkeypatch.setattr(EntryPoint, "load", lambda self: TextReader)
    for module in ("fovflow.readers", "fovflow.plugins"):
        monkeypatch.setattr(f"{module}.entry_points", lambda group: [entry])
    for kind in (None, "text"):
        with fovflow.open_raw(path, format=kind, pixel_um=2.0) as raw:
            assert isinstance(raw, readers.RawReader)
            assert raw.info.pixel_um == 2.0
            assert raw.read(0, 0, 0).tolist() == [[1, 2, 3], [4, 5, 6]]


def test_an_opener_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = nd2_file(tmp_path / "a.nd2")

    def broken(*args: Any) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setitem(readers._BUILTIN, "nd2", broken)
    with pytest.raises(FovflowError, match="not understood") as caught:
        fovflow.open_raw(path)
    assert "RuntimeError: out of luck" in str(caught.value)


def test_a_folder_with_images_of_several_kinds_asks_which(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "cells_t0.tif", FRAMES[0, 0, 0])
    nd2_file(tmp_path / "movie.nd2")
    with pytest.raises(FovflowError, match=r"several kinds.*cells_t0\.tif and movie\.nd2"):
        fovflow.open_raw(tmp_path)
    (tmp_path / "cells_t0.tif").unlink()
    with pytest.raises(FovflowError, match=r"datasets each.*movie\.nd2"):
        fovflow.open_raw(tmp_path)
    write_ome_zarr(tmp_path / "raw" / "a.zarr", FRAMES, channels=["Phase"], pixel_um=1.0)
    tifffile.imwrite(tmp_path / "raw" / "cells_t0.tif", FRAMES[0, 0, 0])
    with pytest.raises(FovflowError, match=r"several kinds.*cells_t0\.tif and a\.zarr"):
        fovflow.open_raw(tmp_path / "raw")


def test_linked_folders_of_a_series_are_positions_like_others(tmp_path: Path) -> None:
    for folder in (tmp_path / "raw" / "pos0", tmp_path / "disk"):
        folder.mkdir(parents=True)
        for t in range(2):
            tifffile.imwrite(folder / f"t{t}.tif", FRAMES[t, 0, 0])
    (tmp_path / "raw" / "pos1").symlink_to(tmp_path / "disk")
    (tmp_path / "raw" / "pos2").symlink_to(tmp_path / "raw" / "pos0")  # there already
    (tmp_path / "disk" / "loop").symlink_to(tmp_path / "raw")
    with fovflow.open_raw(tmp_path / "raw") as raw:
        assert [position.name for position in raw.info.positions] == ["pos0", "pos1"]


def test_a_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    nd2_file(tmp_path / "a.nd2")
    assert locate("~/a.nd2").root == tmp_path / "a.nd2"


def test_names_that_the_shell_expanded_are_a_series(tmp_path: Path, capsys: Any) -> None:
    from fovflow.cli import main

    for t in range(3):
        tifffile.imwrite(tmp_path / f"a_t{t}.tif", np.ones((8, 9), np.uint16))
    names = [str(tmp_path / f"a_t{t}.tif") for t in range(3)]
    assert main(["inspect", *names]) == 0
    assert "3 frames" in (said := capsys.readouterr().out)
    assert "a_t{time}.tif" in said
    assert main(["inspect", *names[:2]]) == 1
    assert "quotes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kept", "pattern"),
    [
        ("a_Phase_B2_t*.tif", "a_Phase_B2_t*.tif"),
        ("a_*_B2_t*.tif", "a_*_B2_t*.tif"),
        ("a_GFP_*.tif", "a_GFP_B*_t*.tif"),
        ("*.tif", "*.tif"),
    ],
)
def test_names_that_a_shell_expanded_give_the_pattern_back(
    kept: str, pattern: str, tmp_path: Path
) -> None:
    from fovflow.readers.locate import one_path

    for channel, well, t in itertools.product(("Phase", "GFP"), (2, 13), range(11)):
        tifffile.imwrite(tmp_path / f"a_{channel}_B{well}_t{t}.tif", np.ones((8, 9), np.uint16))
    names = sorted(map(str, tmp_path.glob(kept)))
    assert one_path(names) == str(tmp_path / pattern)


def test_a_path_in_another_form_of_accents(tmp_path: Path) -> None:
    (tmp_path / "Zu\u0308rich").mkdir()
    nd2_file(tmp_path / "Zu\u0308rich" / "a.nd2")
    for name in ("a.nd2", "*.nd2"):
        with fovflow.open_raw(tmp_path / "Z\u00fcrich" / name) as raw:
            assert raw.info.format == "nd2"
