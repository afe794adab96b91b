"""TIFF files of other programs: what their pages are is read, asked or refused, never guessed."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import fovflow
from fovflow import ConfigError, FovflowError

SHAPE = (24, 32)


def plane(value: int, dtype: Any = np.uint16) -> Any:
    return np.full(SHAPE, value, dtype)


def write_pages(
    path: Path, values: Any, description: str | bytes | None = None, **tags: Any
) -> Path:
    with tifffile.TiffWriter(path) as out:
        for i, value in enumerate(values):
            text = description if i == 0 else None
            out.write(
                plane(value), photometric="minisblack", metadata=None, description=text, **tags
            )
    return path


def write_stk(path: Path, z: list[int], milliseconds: list[int], day: int = 2460000) -> Path:
    """Write a MetaMorph stack: one page, the planes behind it, times and heights in tag UIC2."""
    n = len(z)
    data = b"".join(plane(10 + i, "<u2").tobytes() for i in range(n))
    uic2 = b"".join(
        struct.pack("<6I", dz, 1, day + ms // 86_400_000, ms % 86_400_000, day, 0)
        for dz, ms in zip(z, milliseconds, strict=True)
    )
    at_ifd = 8 + len(data) + len(uic2)
    height, width = SHAPE
    entries = [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1)),
        *((273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, height * width * 2)),
        *((33628, 4, 1, 0), (33629, 5, n, 8 + len(data))),
    ]
    length = 2 + 12 * len(entries) + 4
    entries[-2] = (33628, 4, 1, at_ifd + length)
    ifd = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries)
    head = b"II*\0" + struct.pack("<I", at_ifd)
    path.write_bytes(head + data + uic2 + ifd + struct.pack("<I", 0) + struct.pack("<II", 1, 0))
    return path


def test_a_metamorph_stack_of_frames(tmp_path: Path) -> None:
    path = write_stk(tmp_path / "cells.stk", [0] * 4, [0, 60_000, 120_000, 185_500])
    with fovflow.open_raw(path) as raw:
        assert (raw.info.format, raw.info.n_frames, raw.info.n_z) == ("metamorph-stk", 4, 1)
        assert raw.times(0).source == "measured"
        assert raw.times(0).seconds.tolist() == [0, 60, 120, 185.5]
        assert [int(raw.read(0, t, 0)[3, 4]) for t in range(4)] == [10, 11, 12, 13]


def test_a_metamorph_stack_past_midnight(tmp_path: Path) -> None:
    late = 86_400_000 - 60_000
    path = write_stk(tmp_path / "night.stk", [0] * 3, [late, late + 60_000, late + 120_000])
    with fovflow.open_raw(path) as raw:
        assert raw.times(0).seconds.tolist() == [0, 60, 120]


def test_a_metamorph_stack_of_heights(tmp_path: Path) -> None:
    path = write_stk(tmp_path / "z.stk", [0, 2, 4], [0, 100, 200])
    with fovflow.open_raw(path) as raw:
        assert (raw.info.n_frames, raw.info.n_z, raw.info.z_um) == (1, 3, 2.0)
        assert int(raw.read(0, 0, 0, 2)[0, 0]) == 12


def test_a_metamorph_stack_without_times_asks_nothing_of_its_only_axis(tmp_path: Path) -> None:
    path = write_stk(tmp_path / "still.stk", [0, 0, 0], [5, 5, 5])
    with fovflow.open_raw(path) as raw:
        assert (raw.info.n_frames, raw.info.time_source) == (3, "unknown")


@pytest.mark.parametrize(("tag", "name"), [(34412, "LSM"), (34362, "FluoView"), (51123, "Micro-")])
def test_layouts_of_vendors_are_refused_by_name_unless_the_axes_are_given(
    tmp_path: Path, tag: int, name: str
) -> None:
    path = tmp_path / "vendor.tif"
    with tifffile.TiffWriter(path) as out:
        for value in (1, 2, 3):
            out.write(
                plane(value),
                photometric="minisblack",
                metadata=None,
                extratags=[(tag, 4, 3, (1, 2, 3), True)],
            )
    with pytest.raises(FovflowError, match=name) as caught:
        fovflow.open_raw(path)
    assert "axes" in str(caught.value)
    with fovflow.open_raw(path, axes="TYX", interval_s=10) as raw:
        assert (raw.info.n_frames, int(raw.read(0, 2, 0)[0, 0])) == (3, 3)


def test_pixels_that_no_page_explains_are_told(tmp_path: Path) -> None:
    path = write_pages(tmp_path / "one.tif", [1])
    with path.open("ab") as file:
        file.write(bytes(80_000))
    with pytest.raises(FovflowError, match="more than its pages explain"):
        fovflow.open_raw(path)
    with fovflow.open_raw(path, axes="TYX") as raw:
        assert raw.info.n_frames == 1


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_frames_written_one_by_one(tmp_path: Path, frames: int) -> None:
    path = tmp_path / "loop.tif"
    for t in range(frames):
        tifffile.imwrite(path, plane(t + 1), append=t > 0, photometric="minisblack")
    with fovflow.open_raw(path) as raw:
        assert (raw.info.n_frames, len(raw.info.channels)) == (frames, 1)
        assert [int(raw.read(0, t, 0)[0, 0]) for t in range(frames)] == [*range(1, frames + 1)]


def test_stacks_of_channels_written_one_by_one(tmp_path: Path) -> None:
    named, unnamed = tmp_path / "named.tif", tmp_path / "unnamed.tif"
    for path, axes in ((named, {"axes": "CYX"}), (unnamed, {})):
        with tifffile.TiffWriter(path) as writer:
            for t in range(3):
                images = np.stack([plane(10 * t), plane(10 * t + 1)])
                writer.write(images, photometric="minisblack", metadata=axes)
    with fovflow.open_raw(named) as raw:
        assert (raw.info.n_frames, len(raw.info.channels)) == (3, 2)
        assert int(raw.read(0, 2, 1)[0, 0]) == 21
    with pytest.raises(FovflowError, match="what all of its axes are"):
        fovflow.open_raw(unnamed)
    with fovflow.open_raw(unnamed, axes="TCYX") as raw:
        assert int(raw.read(0, 1, 1)[0, 0]) == 11


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("frames", [1, 3])
def test_packed_pixels(tmp_path: Path, bits: int, frames: int) -> None:
    """Fewer bits in the file than in memory are no damage."""
    path = tmp_path / "packed.tif"
    with tifffile.TiffWriter(path) as out:
        for t in range(frames):
            packed = plane(100 + t)
            out.write(
                packed,
                photometric="minisblack",
                metadata=None,
                bitspersample=bits,
                compression=None,
            )
    with fovflow.open_raw(path) as raw:
        assert raw.info.n_frames == frames
        assert [int(raw.read(0, t, 0)[0, 0]) for t in range(frames)] == [*range(100, 100 + frames)]


IMAGEJ = "ImageJ=1.54f\nimages={n}\n{axis}={n}\n{more}loop=false\n"


def imagej(path: Path, n: int, axis: str, more: str = "", **tags: Any) -> Path:
    return write_pages(path, range(1, n + 1), IMAGEJ.format(n=n, axis=axis, more=more), **tags)


def test_slices_with_a_time_between_them_are_frames_and_told(tmp_path: Path) -> None:
    path = imagej(tmp_path / "slices.tif", 5, "slices", "finterval=300\ntunit=sec\n")
    with fovflow.open_raw(path) as raw:
        assert (raw.info.n_frames, raw.info.n_z, raw.times(0).seconds[4]) == (5, 1, 1200)
        assert any("slices" in text and "axes" in text for text in raw.info.warnings)
    with fovflow.open_raw(path, axes={"time": "z"}) as raw:
        assert (raw.info.n_frames, raw.info.n_z) == (1, 5)
        assert int(raw.read(0, 0, 0, 4)[0, 0]) == 5


def test_slices_without_a_time_stay_planes_and_can_be_called_frames(tmp_path: Path) -> None:
    path = imagej(tmp_path / "slices.tif", 5, "slices")
    with fovflow.open_raw(path) as raw:
        assert (raw.info.n_frames, raw.info.n_z) == (1, 5)
    for axes in ({"z": "time"}, "TYX", "tyx"):
        with fovflow.open_raw(path, axes=axes, interval_s=60) as raw:
            assert (raw.info.n_frames, raw.info.n_z, raw.info.axes) == (5, 1, "TYX")
            assert (int(raw.read(0, 4, 0)[0, 0]), raw.times(0).seconds[4]) == (5, 240)
    with fovflow.open_raw(path, axes={"z": "time"}) as raw:
        assert raw.times(0).source == "unknown"


@pytest.mark.parametrize(("dpi", "known"), [(72, False), (96, False), (300, False), (25400, True)])
def test_a_screen_resolution_is_no_pixel_size(tmp_path: Path, dpi: int, known: bool) -> None:
    more = "unit=inch\n"
    path = imagej(tmp_path / "dpi.tif", 3, "frames", more, resolution=(dpi, dpi), resolutionunit=2)
    with fovflow.open_raw(path) as raw:
        assert raw.info.pixel_um == (pytest.approx(1.0) if known else None)
        assert any("pixel size" in text for text in raw.info.warnings) is not known


@pytest.mark.parametrize(
    "axes", ["", "YX", "TTYX", "TWYX", {"z": "when"}, {}, {"z": "time", "channel": "time"}]
)
def test_axes_that_are_none(tmp_path: Path, axes: Any) -> None:
    path = imagej(tmp_path / "slices.tif", 3, "slices")
    with pytest.raises(ConfigError, match="axes are not understood"):
        fovflow.open_raw(path, axes=axes)


def test_axes_that_the_file_does_not_have(tmp_path: Path) -> None:
    path = imagej(tmp_path / "slices.tif", 3, "slices")
    with pytest.raises(FovflowError, match="names 2 axes, and the file has 1"):
        fovflow.open_raw(path, axes="TCYX")
    both = tmp_path / "both.tif"
    images = np.zeros((2, 3, *SHAPE), np.uint16)
    tifffile.imwrite(both, images, imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(FovflowError, match="onto the same one"):
        fovflow.open_raw(both, axes={"z": "time"})
    with fovflow.open_raw(both, axes={"z": "time", "time": "z"}) as raw:
        assert (raw.info.n_frames, raw.info.n_z) == (3, 2)


def test_metamorph_stacks_by_position_are_one_dataset_of_a_new_project(tmp_path: Path) -> None:
    from fovflow.cli.project import look_at

    for s in (1, 2):
        write_stk(tmp_path / f"exp_w1Phase_s{s}.STK", [0] * 3, [0, 60_000, 120_000])
    ((_, info),) = look_at([*map(str, sorted(tmp_path.iterdir()))])
    assert (len(info.positions), info.n_frames) == (2, 3)


def test_planes_that_are_not_rows_and_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = np.zeros((24, 32, 5), np.uint16)
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata={"axes": "YXT"})
    with pytest.raises(FovflowError, match="axes YXT of lengths 24, 32, 5"):
        fovflow.open_raw(path)


def test_vendors_of_which_only_the_name_or_a_tag_tells(tmp_path: Path) -> None:
    flex = write_pages(tmp_path / "001.flex", range(4), extratags=[(65200, 2, 0, "<Root/>", True)])
    with pytest.raises(FovflowError, match="PerkinElmer Flex"):
        fovflow.open_raw(flex)
    with fovflow.open_raw(flex, axes="TYX") as raw:
        assert raw.info.n_frames == 4
    with pytest.raises(FovflowError, match=r"cellSens.*\.ets"):
        fovflow.open_raw(write_pages(tmp_path / "Image_1.vsi", [1]))


def test_a_confocal_stack_of_several_channels_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.lsm"
    tag = (34412, 1, 512, bytes(512), True)
    pixels = np.zeros((2, 4, 24, 32), np.uint16)
    with tifffile.TiffWriter(path) as out:
        for page in pixels:
            out.write(page, photometric="minisblack", planarconfig="separate", metadata=None,
                      contiguous=False, extratags=[tag])  # fmt: skip
    with pytest.raises(FovflowError, match="Zeiss LSM"):
        fovflow.open_raw(path)
