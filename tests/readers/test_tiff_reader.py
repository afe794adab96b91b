"""TIFF files of one kind and another, good and hostile."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

import fovflow
from fovflow.errors import FovflowError
from paths import shared_data


def test_a_plain_stack_is_frames(stack: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "plain.tif"
    with tifffile.TiffWriter(path) as writer:
        for plane in stack:
            writer.write(plane, photometric="minisblack", metadata=None)
    with fovflow.open_raw(path) as raw:
        assert (raw.info.format, raw.info.axes, raw.info.n_frames) == ("tiff", "TYX", 5)
        assert raw.info.time_source == "unknown"
        assert raw.info.pixel_um is None
        for t in range(5):
            np.testing.assert_array_equal(raw.read(0, t, 0), stack[t])


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_compressed_and_big_endian(
    compression: str, byteorder: str, stack: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "packed.tif"
    tifffile.imwrite(
        path,
        stack,
        photometric="minisblack",
        compression=compression,
        byteorder=byteorder,
        metadata={"axes": "TYX"},
        bigtiff=byteorder == "<",
    )
    with fovflow.open_raw(path) as raw:
        plane = raw.read(0, 4, 0)
        assert plane.dtype.isnative
        np.testing.assert_array_equal(plane, stack[4])


def test_named_axes(tmp_path: Path) -> None:
    pixels = np.arange(3 * 2 * 4 * 8 * 8, dtype=np.uint16).reshape(3, 2, 4, 8, 8)
    path = tmp_path / "named.tif"
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata={"axes": "TCZYX"})
    with fovflow.open_raw(path) as raw:
        assert (raw.info.n_frames, len(raw.info.channels), raw.info.n_z) == (3, 2, 4)
        np.testing.assert_array_equal(raw.read(0, 2, 1, z=3), pixels[2, 1, 3])


@pytest.mark.parametrize("order", ["ZCTYX", "CTYX", "TZYX", "ZYX", "CYX"])
def test_axes_in_other_orders(order: str, tmp_path: Path) -> None:
    sizes = {"T": 3, "C": 2, "Z": 4, "Y": 8, "X": 8}
    shape = [sizes[axis] for axis in order]
    pixels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    path = tmp_path / "order.tif"
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata={"axes": order})
    at = {"T": sizes["T"] - 1, "C": 1, "Z": 2}
    with fovflow.open_raw(path) as raw:
        t, c, z = (at[axis] if axis in order else 0 for axis in "TCZ")
        expected = pixels[tuple(at[axis] for axis in order[:-2])]
        np.testing.assert_array_equal(raw.read(0, t, c, z), expected)


def test_imagej_z_and_frames(tmp_path: Path) -> None:
    pixels = np.arange(2 * 3 * 2 * 8 * 8, dtype=np.uint16).reshape(2, 3, 2, 8, 8)
    path = tmp_path / "hyper.tif"
    tifffile.imwrite(
        path,
        pixels,
        imagej=True,
        resolution=(2.0, 2.0),
        metadata={"axes": "TZCYX", "unit": "micron", "spacing": 1.5, "finterval": 2.5},
    )
    with fovflow.open_raw(path) as raw:
        assert raw.info.format == "imagej-tiff"
        assert (raw.info.n_frames, raw.info.n_z, len(raw.info.channels)) == (2, 3, 2)
        assert (raw.info.pixel_um, raw.info.z_um) == (0.5, 1.5)
        assert raw.times(0).seconds.tolist() == [0, 2.5]
        np.testing.assert_array_equal(raw.read(0, 1, 1, z=2), pixels[1, 2, 1])


def test_imagej_stack_that_lost_its_end(stack: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "short.tif"
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "TYX"})
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(FovflowError, match="cut off"):
        fovflow.open_raw(path)


def without_later_pages(path: Path) -> int:
    """Cut the chain of pages after the first, as ImageJ does for files beyond 4 GiB.

    Return where the pixels start.
    """
    with tifffile.TiffFile(path) as file:
        page, order = file.pages[0], file.byteorder
        offset, start = page.offset, page.dataoffsets[0]
    data = bytearray(path.read_bytes())
    (count,) = struct.unpack_from(f"{order}H", data, offset)
    struct.pack_into(f"{order}I", data, offset + 2 + 12 * count, 0)
    path.write_bytes(data)
    return int(start)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_imagej_planes_without_pages_of_their_own(byteorder: str, tmp_path: Path) -> None:
    pixels = np.arange(3 * 2 * 64 * 64, dtype=np.uint16).reshape(3, 2, 64, 64)
    path = tmp_path / "virtual.tif"
    metadata = {"axes": "TCYX"}
    tifffile.imwrite(path, pixels, imagej=True, byteorder=byteorder, metadata=metadata)
    start = without_later_pages(path)
    with fovflow.open_raw(path) as raw:
        assert (raw.info.n_frames, len(raw.info.channels)) == (3, 2)
        plane = raw.read(0, 2, 1)
        assert plane.dtype.isnative
        np.testing.assert_array_equal(plane, pixels[2, 1])
        os.truncate(path, start + pixels.nbytes - 1)
        with pytest.raises(FovflowError, match="frame 2"):
            raw.read(0, 2, 1)
    with pytest.raises(FovflowError, match="announces 6 planes and holds 1"):
        fovflow.open_raw(path)


def test_imagej_in_another_order(tmp_path: Path) -> None:
    pixels = np.arange(3 * 2 * 64, dtype=np.uint16).reshape(3, 2, 8, 8)
    path = tmp_path / "order.tif"
    text = "ImageJ=1.53\nimages=6\nchannels=3\nframes=2\nslices=1\norder=tzc\nhyperstack=true\n"
    with tifffile.TiffWriter(path) as writer:
        for i, plane in enumerate(pixels.reshape(6, 8, 8)):
            description = None if i else text
            writer.write(plane, photometric="minisblack", metadata=None, description=description)
    with fovflow.open_raw(path) as raw:
        assert (raw.info.format, raw.info.axes) == ("imagej-tiff", "CTYX")
        np.testing.assert_array_equal(raw.read(0, 1, 2), pixels[2, 1])


def test_imagej_stacks_of_images_are_frames(stack: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "images.tif"
    with tifffile.TiffWriter(path) as writer:
        for i, plane in enumerate(stack):
            description = None if i else "ImageJ=1.53\nimages=5\n"
            writer.write(plane, photometric="minisblack", metadata=None, description=description)
    with fovflow.open_raw(path) as raw:
        assert raw.info.n_frames == 5
        np.testing.assert_array_equal(raw.read(0, 4, 0), stack[4])


def test_imagej_labels_that_are_alike_name_the_channel(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    labels = [f"c:{c + 1}/2 t:{t + 1}/2 - {n}" for t in range(2) for c, n in enumerate("ab")]
    labels[3] = "c:2/2 t:2/2 - other"
    tifffile.imwrite(
        path,
        np.zeros((2, 2, 8, 8), np.uint16),
        imagej=True,
        metadata={"axes": "TCYX", "Labels": labels},
    )
    with fovflow.open_raw(path) as raw:
        assert [each.name for each in raw.info.channels] == ["a", ""]


def test_imagej_labels_that_are_the_same_for_all_channels_name_none(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    labels = [f"c:{c}/2 t:{t}/2 - movie.nd2 (series 1)" for t in (1, 2) for c in (1, 2)]
    tifffile.imwrite(path, np.zeros((2, 2, 8, 8), np.uint16), imagej=True,
                     metadata={"axes": "TCYX", "Labels": labels})  # fmt: skip
    with fovflow.open_raw(path) as raw:
        assert [each.name for each in raw.info.channels] == ["", ""]


def test_two_unnamed_axes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "five.tif"
    tifffile.imwrite(path, np.zeros((3, 2, 8, 8), np.uint16), photometric="minisblack")
    with pytest.raises(FovflowError, match="what all of its axes are") as caught:
        fovflow.open_raw(path)
    assert "axes ??YX of lengths 3, 2" in str(caught.value)
    assert "OME-TIFF" in str(caught.value)


@pytest.mark.parametrize("dtype", ["int16", "int8", "uint32", "int32", "float64", "complex64"])
def test_types_that_are_not_read(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "type.tif"
    tifffile.imwrite(path, np.zeros((8, 8), dtype), photometric="minisblack")
    with pytest.raises(FovflowError, match="unsupported type") as caught:
        fovflow.open_raw(path)
    assert caught.value.found == dtype
    assert "uint16" in str(caught.value.remedy)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_is_refused(planar: str, tmp_path: Path) -> None:
    path = tmp_path / "colour.tif"
    shape = (8, 8, 3) if planar == "contig" else (3, 8, 8)
    tifffile.imwrite(path, np.zeros(shape, np.uint8), photometric="rgb", planarconfig=planar)
    with pytest.raises(FovflowError, match="3 colour samples"):
        fovflow.open_raw(path)


def test_pages_of_different_sizes(tmp_path: Path) -> None:
    path = tmp_path / "mixed.tif"
    with tifffile.TiffWriter(path) as writer:
        for size in (8, 16):
            writer.write(np.zeros((size, size), np.uint16), metadata=None)
    with pytest.raises(FovflowError, match="not all alike"):
        fovflow.open_raw(path)


def test_an_odd_page_in_the_middle_costs_that_frame(tmp_path: Path) -> None:
    path = tmp_path / "odd.tif"
    with tifffile.TiffWriter(path) as writer:
        for size in (8, 16, 8):
            writer.write(np.full((size, size), size, np.uint16), metadata=None)
    with fovflow.open_raw(path) as raw:
        assert raw.read(0, 2, 0).max() == 8
        with pytest.raises(FovflowError, match="frame 1") as caught:
            raw.read(0, 1, 0)
    assert "16 x 16" in str(caught.value)


@pytest.mark.parametrize(
    ("resolution", "unit", "expected"),
    [((2e4, 2e4), "CENTIMETER", 0.5), ((72, 72), "INCH", None), ((300, 300), "CENTIMETER", None)],
)
def test_pixel_size_from_the_resolution(
    resolution: tuple[float, float], unit: str, expected: float | None, tmp_path: Path
) -> None:
    path = tmp_path / "resolution.tif"
    tifffile.imwrite(
        path,
        np.zeros((8, 8), np.uint16),
        resolution=resolution,
        resolutionunit=unit,
        metadata=None,
    )
    with fovflow.open_raw(path) as raw:
        assert raw.info.pixel_um == expected
        assert any("resolution of the TIFF" in t for t in raw.info.warnings) is bool(expected)


def nis_record(calibrated: bool, pixel: float) -> bytes:
    def named(kind: int, name: str, value: bytes) -> bytes:
        label = f"{name}\0".encode("utf-16-le")
        return bytes([kind, len(label) // 2]) + label + value

    head = "MetadataTiffV1_0\0SLxPictureMetadata\0".encode("utf-16-le")
    return (
        head
        + named(6, "dCalibration", struct.pack("<d", pixel))
        + named(1, "bCalibrated", bytes([calibrated]))
    )


@pytest.mark.parametrize(
    ("calibrated", "record", "expected"),
    [(True, 0.65, 0.65), (False, 0.65, None), (True, 1.0, None)],
)
def test_private_tags_of_nis_elements(
    calibrated: bool, record: float, expected: float | None, tmp_path: Path
) -> None:
    path = tmp_path / "nis.tif"
    blob = nis_record(calibrated, record)
    tags = [
        (65325, 12, 1, 1500.0, True),
        (65326, 12, 1, 0.65, True),
        (65329, 12, 4, (10.0, -20.0, 3.0, 1500.0), True),
        (65331, 1, len(blob), blob, True),
    ]
    tifffile.imwrite(path, np.zeros((8, 8), np.uint16), metadata=None, extratags=tags)
    with fovflow.open_raw(path) as raw:
        assert raw.info.pixel_um == expected
        assert raw.times(0).source == "measured"
        assert raw.times(0).seconds.tolist() == [1.5]
        assert (raw.info.positions[0].x_um, raw.info.positions[0].y_um) == (10.0, -20.0)


def test_the_same_tags_without_the_record_mean_nothing(tmp_path: Path) -> None:
    path = tmp_path / "other.tif"
    tags = [(65325, 12, 1, 1500.0, True), (65326, 12, 1, 0.65, True)]
    tifffile.imwrite(path, np.zeros((8, 8), np.uint16), metadata=None, extratags=tags)
    with fovflow.open_raw(path) as raw:
        assert raw.info.pixel_um is None
        assert raw.times(0).source == "nominal"


@pytest.mark.data
def test_a_real_file_exported_by_nis_elements() -> None:
    with fovflow.open_raw(shared_data("t98g/phase/20180101ef002xy01t02.tif")) as raw:
        assert raw.info.pixel_um == 0.8707951277094507
        assert raw.times(0).seconds.tolist() == [612.3288285072106]
        assert raw.times(0).source == "measured"
