"""CZI: scenes, mosaics, and what happens without the optional package."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import fovflow
from fovflow.errors import FovflowError
from paths import shared_data

czi = pytest.importorskip("pylibCZIrw.czi")


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.czi"
    path.write_bytes(b"ZISRAWFILE" + bytes(100))
    monkeypatch.setitem(sys.modules, "pylibCZIrw", None)
    monkeypatch.setitem(sys.modules, "pylibCZIrw.czi", None)
    with pytest.raises(FovflowError, match="pylibCZIrw") as caught:
        fovflow.open_raw(path)
    assert caught.value.remedy == 'pip install --upgrade "fovflow[czi]"'


def test_with_an_old_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.czi"
    path.write_bytes(b"ZISRAWFILE" + bytes(100))
    monkeypatch.delattr(czi.CziReader, "enumerate_subblocks")
    with pytest.raises(FovflowError, match="needs the package"):
        fovflow.open_raw(path)


def test_tiles_of_a_scene_are_put_together(tmp_path: Path) -> None:
    path = tmp_path / "mosaic.czi"
    tiles = {(100, 50): 1, (120, 50): 2, (100, 60): 3}
    with czi.create_czi(str(path)) as file:
        for corner, value in tiles.items():
            pixels = np.full((10, 20, 1), value, np.uint16)
            file.write(pixels, location=corner, plane={"T": 0, "C": 0}, scene=0)
    with fovflow.open_raw(path) as raw:
        assert (raw.info.height, raw.info.width) == (20, 40)
        plane = raw.read(0, 0, 0)
    assert (plane[5, 10], plane[5, 30], plane[15, 10], plane[15, 30]) == (1, 2, 3, 0)


def test_a_frame_that_lacks_a_tile_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "stopped.czi"
    with czi.create_czi(str(path)) as file:
        for t, x in [(0, 0), (0, 20), (1, 0), (1, 20), (2, 0)]:
            pixels = np.full((10, 20, 1), t + 1, np.uint16)
            file.write(pixels, location=(x, 0), plane={"T": t, "C": 0}, scene=0)
    with fovflow.open_raw(path) as raw:
        assert (raw.info.n_frames, raw.info.width, raw.info.missing) == (3, 40, ((0, 2),))
        assert "1 planes lack tiles that others have; they are left out." in raw.info.warnings
        assert [raw.read(0, t, 0).min() for t in range(3)] == [1, 2, 0]
        assert not raw.read(0, 2, 0).any()


def test_a_file_without_scenes_in_its_planes(tmp_path: Path) -> None:
    path = tmp_path / "plain.czi"
    with czi.create_czi(str(path)) as file:
        for t in range(3):
            file.write(np.full((6, 8, 1), t + 1, np.uint8), plane={"T": t})
    with fovflow.open_raw(path) as raw:
        assert (len(raw.info.positions), raw.info.n_frames, raw.info.dtype) == (1, 3, "uint8")
        assert [int(raw.read(0, t, 0)[0, 0]) for t in range(3)] == [1, 2, 3]


def test_colour_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "colour.czi"
    with czi.create_czi(str(path)) as file:
        file.write(np.zeros((6, 8, 3), np.uint8), plane={"T": 0})
    with pytest.raises(FovflowError, match="colour"):
        fovflow.open_raw(path)


def test_channels_of_different_types_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mixed.czi"
    with czi.create_czi(str(path)) as file:
        file.write(np.zeros((6, 8, 1), np.uint8), plane={"C": 0})
        file.write(np.zeros((6, 8, 1), np.uint16), plane={"C": 1})
    with pytest.raises(FovflowError, match="unsupported type") as caught:
        fovflow.open_raw(path)
    assert caught.value.found == "Gray16, Gray8"


@pytest.mark.parametrize("content", [b"ZISRAWFILE", b"ZISRAWFILE" + b"\xff" * 5000])
def test_garbage(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "noise.czi"
    path.write_bytes(content)
    with pytest.raises(FovflowError, match="cut off or damaged"):
        fovflow.open_raw(path)


@pytest.mark.data
def test_a_real_file_with_scenes_of_different_sizes() -> None:
    path = shared_data("czi/S3_1Pos_2Mosaic_T2Z3_CH2_sm.czi")
    with fovflow.open_raw(path) as raw:
        info = raw.info
        assert (info.axes, info.n_frames, info.n_z) == ("PTCZYX", 2, 3)
        assert [each.name for each in info.positions] == ["TR1", "P1", "TR2"]
        assert (info.positions[1].x_um, info.positions[1].y_um) == (37980.0, 13020.0)
        assert [each.name for each in info.channels] == ["DAPI", "EGFP"]
        assert (info.pixel_um, info.z_um, info.dtype) == (1.6, 1.0, "uint16")
        assert (info.height, info.width) == (237, 352)
        assert info.missing == ()
        assert raw.times(0).source == "measured"  # of the attachment TimeStamps
        assert raw.times(0).seconds.tolist() == pytest.approx([0, 33.4120021], abs=1e-6)
        assert sum("cannot be read" in text for text in info.warnings) == 2
        plane = raw.read(2, 1, 1, z=2)
        with czi.open_czi(str(path)) as check:
            expected = check.read(plane={"T": 1, "C": 1, "Z": 2}, scene=2)[..., 0]
        np.testing.assert_array_equal(plane, expected)
        assert plane.any()
        with pytest.raises(FovflowError, match="position 0"):
            raw.read(0, 0, 0)


def write_blocks(path: Path, blocks: list[tuple[int, int, dict[str, int]]]) -> Path:
    """Write planes of one value: (value, scene, indices)."""
    with czi.create_czi(str(path)) as out:
        for value, scene, at in blocks:
            plane = np.full((24, 32, 1), value, np.uint16)
            out.write(data=plane, location=(0, 100 * scene), plane=at, scene=scene)
        out.write_metadata(document_name="x", channel_names={0: "a", 1: "b"}, scale_x=0.65e-6)
    return path


@pytest.mark.parametrize("scenes", [(1, 3), (0, 2, 5), (7,)])
def test_scenes_with_gaps_in_their_numbers(tmp_path: Path, scenes: tuple[int, ...]) -> None:
    blocks = [(100 * s + t, s, {"T": t, "C": 0, "Z": 0}) for s in scenes for t in range(3)]
    with fovflow.open_raw(write_blocks(tmp_path / "a.czi", blocks)) as raw:
        assert (len(raw.info.positions), raw.info.n_frames) == (len(scenes), 3)
        values = [int(raw.read(p, 2, 0)[0, 0]) for p in range(len(scenes))]
        assert values == [100 * s + 2 for s in scenes]


@pytest.mark.parametrize("first", [{"T": 5, "C": 0, "Z": 0}, {"T": 2, "C": 1, "Z": 3}])
def test_indices_that_do_not_start_at_0(tmp_path: Path, first: dict[str, int]) -> None:
    blocks = [(t, 0, first | {"T": first["T"] + t}) for t in range(4) if t != 1]
    with fovflow.open_raw(write_blocks(tmp_path / "a.czi", blocks)) as raw:
        assert (raw.info.n_frames, raw.info.n_z, raw.info.missing) == (4, 1, ((0, 1),))
        assert [int(raw.read(0, t, 0)[0, 0]) for t in range(4)] == [0, 0, 2, 3]
        assert len(raw.info.channels) == 1
