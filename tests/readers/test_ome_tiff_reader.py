"""OME-TIFF files and sets: axes, members, XML that is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from ome_sets import write_ome_set

import fovflow
from fovflow.errors import FovflowError


def change_xml(path: Path, old: str, new: str) -> None:
    """Change the OME-XML of a file, keeping its length."""
    data = path.read_bytes()
    assert old.encode() in data
    assert len(new.encode()) <= len(old.encode())
    path.write_bytes(data.replace(old.encode(), new.encode().ljust(len(old.encode()))))


def ome(folder: Path, pixels: np.ndarray, **metadata: Any) -> Path:
    path = folder / "cells.ome.tif"
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata=metadata)
    return path


def test_ome_z_and_units(tmp_path: Path) -> None:
    pixels = np.arange(2 * 3 * 8 * 8, dtype=np.uint16).reshape(2, 3, 8, 8)
    path = ome(
        tmp_path,
        pixels,
        axes="TZYX",
        PhysicalSizeX=250.0,
        PhysicalSizeXUnit="nm",
        PhysicalSizeZ=1.0,
        TimeIncrement=5.0,
        TimeIncrementUnit="min",
        Channel={"Name": ["DIC"]},
    )
    with fovflow.open_raw(path) as raw:
        assert (raw.info.pixel_um, raw.info.z_um, raw.info.n_z) == (0.25, 1.0, 3)
        assert raw.info.channels[0].name == "DIC"
        assert raw.times(0).seconds.tolist() == [0, 300]
        np.testing.assert_array_equal(raw.read(0, 1, 0, z=2), pixels[1, 2])


def test_a_renamed_ome_file_still_opens(tmp_path: Path) -> None:
    frames = np.arange(1 * 1 * 2 * 8 * 8, dtype=np.uint16).reshape(1, 1, 2, 8, 8)
    path = write_ome_set(tmp_path, frames, channels=["a", "b"], pixel_um=1.0)
    other = path.rename(tmp_path / "renamed.ome.tif")
    with fovflow.open_raw(other) as raw:
        np.testing.assert_array_equal(raw.read(0, 0, 1), frames[0, 0, 1])


@pytest.mark.parametrize(
    "prefix", ["../outside/", "/etc/", "..\\outside\\", "C:\\outside\\", "a/../../outside/"]
)
def test_sets_that_lead_out_of_their_folder(prefix: str, tmp_path: Path) -> None:
    frames = np.zeros((2, 1, 1, 8, 8), np.uint16)
    inside = tmp_path / "inside"
    path = write_ome_set(
        inside, frames, channels=["a"], pixel_um=1.0, rename=lambda name: prefix + name
    )
    outside = tmp_path / "outside"
    outside.mkdir()
    (inside / "set_0_1.ome.tif").rename(outside / "set_0_1.ome.tif")
    with pytest.raises(FovflowError, match="outside its own folder") as caught:
        fovflow.open_raw(path)
    assert prefix.strip("/\\").rpartition("/")[2][:1] in str(caught.value.found)


def test_a_set_of_which_a_file_is_lost(tmp_path: Path) -> None:
    frames = np.arange(3 * 2 * 2 * 8 * 8, dtype=np.uint16).reshape(3, 2, 2, 8, 8)
    path = write_ome_set(tmp_path, frames, channels=["a", "b"], pixel_um=1.0)
    (tmp_path / "set_1_1.ome.tif").unlink()
    with fovflow.open_raw(path) as raw:
        assert raw.info.missing == ((1, 1),)
        assert any("set_1_1.ome.tif" in text for text in raw.info.warnings)
        np.testing.assert_array_equal(raw.read(1, 2, 1), frames[2, 1, 1])


def test_a_folder_with_one_set_is_that_set(tmp_path: Path) -> None:
    frames = np.arange(3 * 2 * 2 * 8 * 8, dtype=np.uint16).reshape(3, 2, 2, 8, 8)
    write_ome_set(tmp_path / "set", frames, channels=["a", "b"], pixel_um=1.0)
    for path in (tmp_path / "set", tmp_path / "set" / "*.tif"):
        with fovflow.open_raw(path) as raw:
            assert raw.info.format == "ome-tiff"
            np.testing.assert_array_equal(raw.read(1, 2, 1), frames[2, 1, 1])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('SizeT="5"', 'SizeT="0"', "announces no images"),
        ('SizeT="5"', 'SizeT="x"', "damaged"),
        ('DimensionOrder="XYCZT"', 'DimensionOrder="XYCC"', "damaged"),
        ('SizeT="5"', "", "damaged"),
        ("</OME>", "<OME>", "damaged"),
        ("<Pixels", "<Pixls ", "damaged"),
        ("<Image", "<Imgae", "damaged|describes no image"),
    ],
)
def test_damaged_xml(old: str, new: str, message: str, stack: np.ndarray, tmp_path: Path) -> None:
    path = ome(tmp_path, stack, axes="TYX")
    change_xml(path, old, new)
    with pytest.raises(FovflowError, match=message):
        fovflow.open_raw(path)


@pytest.mark.parametrize("axis", ["T", "C", "Z"])
def test_xml_that_asks_for_too_much(axis: str, tmp_path: Path) -> None:
    sizes = {"T": 1, "C": 1, "Z": 1} | {axis: 10**13}
    text = " ".join(f'Size{name}="{n}"' for name, n in sizes.items())
    xml = (
        f'<OME><Image><Pixels DimensionOrder="XYCZT" SizeX="8" SizeY="8" {text}>'
        "<TiffData/></Pixels></Image></OME>"
    )
    path = tmp_path / "much.ome.tif"
    tifffile.imwrite(path, np.zeros((8, 8), np.uint16), description=xml, metadata=None)
    with pytest.raises(FovflowError, match="absurd sizes"):
        fovflow.open_raw(path)


def test_entities_do_not_explode(tmp_path: Path) -> None:
    levels = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
    xml = f'<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY l0 "ha">{levels}]><OME>&l11;</OME>'
    path = tmp_path / "bomb.ome.tif"
    tifffile.imwrite(path, np.zeros((8, 8), np.uint16), description=xml, metadata=None)
    with pytest.raises(FovflowError, match=r"not understood|describes no image"):
        fovflow.open_raw(path)


def test_a_member_of_a_set_without_description(tmp_path: Path) -> None:
    xml = '<OME><BinaryOnly MetadataFile="main.ome.tif" UUID="urn:uuid:1"/></OME>'
    path = tmp_path / "member.ome.tif"
    tifffile.imwrite(path, np.zeros((8, 8), np.uint16), description=xml, metadata=None)
    with pytest.raises(FovflowError, match="another file") as caught:
        fovflow.open_raw(path)
    assert "main.ome.tif" in str(caught.value)


def test_an_aborted_ome_acquisition(stack: np.ndarray, tmp_path: Path) -> None:
    path = ome(tmp_path, stack[:3], axes="TYX")
    change_xml(path, 'SizeT="3"', 'SizeT="5"')
    with fovflow.open_raw(path) as raw:
        assert raw.info.missing == ((0, 3), (0, 4))
        np.testing.assert_array_equal(raw.read(0, 2, 0), stack[2])


def test_a_frame_with_only_some_channels_lacks_the_others(tmp_path: Path) -> None:
    pixels = np.arange(2 * 2 * 8 * 8, dtype=np.uint16).reshape(2, 2, 8, 8)
    path = ome(tmp_path, pixels, axes="TCYX")
    change_xml(path, 'PlaneCount="4"', 'PlaneCount="3"')
    with fovflow.open_raw(path) as raw:
        assert (raw.info.missing, raw.info.missing_planes) == ((), ((0, 1, 1, 0),))
        assert raw.read(0, 1, 0)[0, 0] == pixels[1, 0, 0, 0]
        assert not raw.read(0, 1, 1).any()
        assert any("Channel 1 lacks 1 planes" in text for text in raw.info.warnings)


def test_positions_of_other_sizes_cost_themselves_only(tmp_path: Path) -> None:
    path = tmp_path / "sizes.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for value, width in ((1, 8), (2, 16), (3, 16)):
            pixels = np.full((2, 8, width), value, np.uint16)
            writer.write(pixels, photometric="minisblack", metadata={"axes": "TYX"})
    with fovflow.open_raw(path) as raw:
        assert (raw.info.height, raw.info.width) == (8, 16)
        assert any("Position 0 has 8 x 8" in text for text in raw.info.warnings)
        assert int(raw.read(2, 1, 0)[0, 0]) == 3
        with pytest.raises(FovflowError, match="position 0, frame 1"):
            raw.read(0, 1, 0)


def test_a_position_that_was_stopped_early_misses_its_last_frames(tmp_path: Path) -> None:
    path = tmp_path / "lengths.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for length in (2, 3):
            pixels = np.full((length, 8, 8), length, np.uint16)
            writer.write(pixels, photometric="minisblack", metadata={"axes": "TYX"})
    with fovflow.open_raw(path) as raw:
        assert (len(raw.info.positions), raw.info.n_frames) == (2, 3)
        assert raw.info.missing == ((0, 2),)
        values = [[int(raw.read(p, t, 0)[0, 0]) for t in range(3)] for p in range(2)]
    assert values == [[2, 2, 0], [3, 3, 3]]
