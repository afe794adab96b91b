"""Further TIFF files as they are found: each is read rightly, asked about, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import fovflow
from fovflow.errors import FovflowError

SHAPE = (24, 32)
OME = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def plane(value: int, dtype: Any = np.uint16, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return np.full(shape, value, dtype)


def values(path: Path, **options: Any) -> list[int]:
    """Return the value of each frame."""
    with fovflow.open_raw(path, **options) as raw:
        assert len(raw.info.axes_from) == len(raw.info.axes) - 2
        return [int(raw.read(0, t, 0)[0, 0]) for t in range(raw.info.n_frames)]


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_orders_of_bytes_and_sizes_of_offsets(
    tmp_path: Path, bigtiff: bool, byteorder: Any, compression: Any
) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, bigtiff=bigtiff, byteorder=byteorder) as out:
        for value in (1, 258, 3):
            out.write(plane(value), metadata=None, compression=compression)
    assert values(path) == [1, 258, 3]


@pytest.mark.parametrize("ome", [False, True])
def test_levels_of_pyramids_are_no_frames(tmp_path: Path, ome: bool) -> None:
    path = tmp_path / ("a.ome.tif" if ome else "a.tif")
    with tifffile.TiffWriter(path, ome=ome) as out:
        options: Any = {"metadata": {"axes": "TYX"}} if ome else {"metadata": None}
        options["photometric"] = "minisblack"
        out.write(np.stack([plane(t + 1) for t in range(3)]), subifds=2, **options)
        for level in (2, 4):
            small = np.ones((3, SHAPE[0] // level, SHAPE[1] // level), np.uint16)
            out.write(small, subfiletype=1, metadata=None, photometric="minisblack")
    assert values(path) == [1, 2, 3]


@pytest.mark.parametrize("levels", [1, 3])
def test_levels_of_pyramids_in_pages_of_their_own_are_left_out(tmp_path: Path, levels: int) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as out:
        out.write(plane(7), metadata=None)
        for level in range(levels):
            out.write(plane(9, shape=(12 - level, 16)), metadata=None, subfiletype=1)
    with fovflow.open_raw(path) as raw:
        assert (raw.info.n_frames, int(raw.read(0, 0, 0)[0, 0])) == (1, 7)
        assert any(f"last {levels} of its pages" in text for text in raw.info.warnings)


@pytest.mark.parametrize(
    "odd", [np.zeros((8, 8, 3), np.uint8), np.zeros((12, 16), np.uint16), np.zeros(SHAPE, np.uint8)]
)
def test_a_page_of_another_kind_behind_the_movie_is_left_out(
    tmp_path: Path, odd: np.ndarray
) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as out:
        for value in (1, 2, 3):
            out.write(plane(value), metadata=None)
        out.write(odd, metadata=None, photometric="rgb" if odd.ndim == 3 else "minisblack")
    assert values(path) == [1, 2, 3]


def imagej(path: Path, n: int, description: str) -> Path:
    """Write pages with a header of ImageJ, whatever it says."""
    with tifffile.TiffWriter(path) as out:
        for t in range(n):
            text = f"ImageJ=1.53t\n{description}\n" if t == 0 else None
            out.write(plane(t + 1), metadata=None, description=text, compression="zlib")
    return path


@pytest.mark.parametrize(
    ("text", "axes", "sizes"),
    [
        ("images=6\nchannels=2\nframes=3\nhyperstack=true", "TC", (3, 2, 1)),
        ("images=6\nslices=3\nchannels=2\nhyperstack=true", "ZC", (1, 2, 3)),
        ("images=6\nslices=6\nfinterval=30", "T", (6, 1, 1)),
        ("images=6\nslices=6", "Z", (1, 1, 6)),
        ("images=6\nframes=3\nslices=2", "TZ", (3, 1, 2)),
        ("images=6", "T", (6, 1, 1)),
    ],
)
def test_headers_of_imagej(
    tmp_path: Path, text: str, axes: str, sizes: tuple[int, int, int]
) -> None:
    with fovflow.open_raw(imagej(tmp_path / "a.tif", 6, text)) as raw:
        info = raw.info
        assert info.axes == f"{axes}YX"
        assert (info.n_frames, len(info.channels), info.n_z) == sizes
        assert set(info.axes_from) == {"header of ImageJ"}
        last = raw.read(0, sizes[0] - 1, sizes[1] - 1, sizes[2] - 1)
        assert int(last[0, 0]) == 6


def test_values_that_imagej_calibrates_are_told(tmp_path: Path) -> None:
    text = "images=2\nframes=2\ncf=0\nc0=-32768.0\nc1=1.0\nvunit=gray value"
    with fovflow.open_raw(imagej(tmp_path / "signed.tif", 2, text)) as raw:
        assert any("-32768.0 + 1.0 v" in warning for warning in raw.info.warnings)
        assert int(raw.read(0, 1, 0)[0, 0]) == 2


def test_planes_of_imagej_have_a_unit_of_their_own(tmp_path: Path) -> None:
    text = "images=2\nslices=2\nunit=micron\nzunit=nm\nspacing=500"
    with fovflow.open_raw(imagej(tmp_path / "z.tif", 2, text)) as raw:
        assert raw.info.z_um == 0.5


@pytest.mark.parametrize(("announced", "held"), [(6, 4), (4, 6)])
def test_a_header_that_does_not_fit_its_pages_is_asked_about(
    tmp_path: Path, announced: int, held: int
) -> None:
    path = imagej(tmp_path / "a.tif", held, f"images={announced}\nframes={announced}")
    with pytest.raises(FovflowError, match="not understood") as caught:
        fovflow.open_raw(path)
    assert "damaged" not in str(caught.value)
    assert f"{announced} images" in str(caught.value.found)
    assert values(path, axes="T") == [t + 1 for t in range(held)]


def test_a_file_in_which_0_is_white_is_told(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", plane(5, np.uint8), photometric="miniswhite")
    with fovflow.open_raw(tmp_path / "a.tif") as raw:
        assert any("0 is white" in text for text in raw.info.warnings)
        assert raw.read(0, 0, 0).max() == 5


@pytest.mark.parametrize("dtype", [np.int16, np.uint32, np.float64, np.int8, bool])
def test_types_that_need_a_decision_are_refused(tmp_path: Path, dtype: Any) -> None:
    tifffile.imwrite(tmp_path / "a.tif", plane(1, dtype), metadata=None)
    with pytest.raises(FovflowError, match="unsupported type"):
        fovflow.open_raw(tmp_path / "a.tif")


@pytest.mark.parametrize("axis", ["T", "Z", "C"])
def test_axes_within_axes_are_refused_by_name(tmp_path: Path, axis: str) -> None:
    modulo = (
        "<StructuredAnnotations><XMLAnnotation ID='Annotation:0'><Value><Modulo>"
        f"<ModuloAlong{axis} Type='lifetime' Start='0' Step='1' End='1'/></Modulo></Value>"
        "</XMLAnnotation></StructuredAnnotations>"
    )
    sizes = {"T": 1, "Z": 1, "C": 1} | {axis: 4}
    text = (
        f'<OME xmlns="{OME}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" '
        f'Type="uint16" SizeX="32" SizeY="24" SizeC="{sizes["C"]}" SizeT="{sizes["T"]}" '
        f'SizeZ="{sizes["Z"]}"><TiffData/></Pixels></Image>{modulo}</OME>'
    )
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as out:
        for t in range(4):
            out.write(plane(t), metadata=None, description=None if t else text.encode())
    with pytest.raises(FovflowError, match=f"ModuloAlong{axis} of type lifetime"):
        fovflow.open_raw(tmp_path / "a.ome.tif")


def test_pages_that_the_ome_xml_does_not_name_are_told(tmp_path: Path) -> None:
    text = (
        f'<OME xmlns="{OME}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" '
        'Type="uint16" SizeX="32" SizeY="24" SizeC="1" SizeT="3" SizeZ="1"><TiffData IFD="0" '
        'PlaneCount="3"/></Pixels></Image></OME>'
    )
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as out:
        for t in range(5):
            out.write(plane(t), metadata=None, description=None if t else text.encode())
    with fovflow.open_raw(tmp_path / "a.ome.tif") as raw:
        assert raw.info.n_frames == 3
        assert any("2 of its 5 pages" in text for text in raw.info.warnings)


@pytest.mark.parametrize("ending", [".stk", ".btf", ".TIF", ".tiff"])
def test_other_endings_of_tiff_files_are_a_series_too(tmp_path: Path, ending: str) -> None:
    for t in range(3):
        tifffile.imwrite(tmp_path / f"a_t{t}{ending}", plane(t + 1), metadata=None)
    assert values(tmp_path) == [1, 2, 3]


def test_a_list_of_metamorph_names_what_to_open(tmp_path: Path) -> None:
    (tmp_path / "a.nd").write_text('"NDInfoFile", Version 1.0\n"Description", File\n')
    with pytest.raises(FovflowError, match="MetaMorph's list"):
        fovflow.open_raw(tmp_path / "a.nd")


def test_several_patterns(tmp_path: Path) -> None:
    for name in ("w1_pos2_t5", "w1_pos2_t6", "extra-7", "notes"):
        tifffile.imwrite(tmp_path / f"{name}.tif", plane(int("0" + name[-1:].strip("s"))))
    patterns = ["w1_pos{position}_t{time:d}.tif", "extra-{time:d}.tif"]
    with fovflow.open_raw(tmp_path, pattern=patterns, interval_s=1) as raw:
        assert [each.name for each in raw.info.positions] == [None, "2"]
        assert (raw.info.n_frames, set(raw.info.axes_from)) == (3, {"your pattern"})
        assert int(raw.read(0, 2, 0)[0, 0]) == 7
        assert any("notes.tif" in text for text in raw.info.warnings)
    with pytest.raises(fovflow.ConfigError, match="one form of the times"):
        fovflow.open_raw(tmp_path, pattern=["w1_pos{position}_t{time:d}.tif", "x-{time}.tif"])
