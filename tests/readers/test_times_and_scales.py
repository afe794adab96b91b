"""Times, units and sizes: the small rules that all readers share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

import fovflow
from fovflow.errors import FovflowError
from fovflow.readers.limits import check_dtype, check_plane, check_sizes
from fovflow.readers.times import choose_times, phase_times, worst_source
from fovflow.simulation.containers import write_ome_zarr
from fovflow.units import to_s, to_um

PATH = Path("movie.nd2")


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("1.6E-06", "m", 1.6),
        (0.325, "µm", 0.325),
        (0.325, "μm", 0.325),
        (0.325, "\\u00B5m", 0.325),
        (0.325, "\\u00b5m", 0.325),
        (0.325, "um", 0.325),
        (0.325, "micron", 0.325),
        (0.325, "Micrometers", 0.325),
        (325, "nm", 0.325),
        (325, "nanometre", 0.325),
        (1, "mm", 1000.0),
        (1, "inch", 25400.0),
        (1, "pixel", None),
        (1, "", None),
        (1, None, None),
        (None, "µm", None),
        ("x", "µm", None),
        ("nan", "µm", None),
        ("inf", "µm", None),
    ],
)
def test_lengths(value: float | str | None, unit: str | None, expected: float | None) -> None:
    assert to_um(value, unit) == expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (5, "min", 300.0),
        (5, "minutes", 300.0),
        (1.5, "h", 5400.0),
        (250, "ms", 0.25),
        (250, "msec", 0.25),
        (5, "mins", 300.0),
        (2, "hrs", 7200.0),
        (250, "milliseconds", 0.25),
        (1, "sec", 1.0),
        (1, "s", 1.0),
        (3, "µs", 3e-6),
        (1, "day", 86400.0),
        (1, "frame", None),
    ],
)
def test_times_in_units(value: float, unit: str, expected: float | None) -> None:
    assert to_s(value, unit) == expected


@given(st.floats(1e-4, 1e4))
def test_metres_and_micrometres_agree(value: float) -> None:
    assert to_um(repr(value), "µm") == value
    assert to_um(f"{value!r}", "mm") == pytest.approx(value * 1000)


def test_the_worst_source_counts() -> None:
    assert worst_source(["measured", "nominal"]) == "nominal"
    assert worst_source(["measured", "unknown", "nominal"]) == "unknown"
    assert worst_source([]) == "unknown"


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        ([(3, 10.0, 20.0)], [0, 10, 20]),
        ([(2, 10.0, 0.0), (2, 60.0, 0.0)], [0, 10, 20, 80]),
        ([(2, 10.0, 100.0), (2, 60.0, 0.0)], [0, 10, 100, 160]),
        ([(2, 10.0, 0.0), (1, 0.0, 0.0)], [0, 10, 20]),
        ([(1, 0.0, 0.0)], [0]),
        ([(2, 0.0, 50.0)], None),
        ([(1, 0.0, 0.0), (2, 5.0, 0.0)], None),
        ([], None),
    ],
)
def test_phases(phases: list[tuple[int, float, float]], expected: list[float] | None) -> None:
    found = phase_times(phases)
    assert (None if found is None else found.tolist()) == expected


def test_stamps_of_held_frames_must_all_be_there() -> None:
    held = np.array([[True, True, False], [True, True, True]])
    stamps = np.array([[1.0, 2.0, 0.0], [1.0, np.nan, 3.0]])
    first, second = choose_times(stamps, held, None)
    assert first.source == "measured"
    np.testing.assert_array_equal(first.seconds, [1, 2, np.nan])
    assert second.source == "unknown"


def test_equal_stamps_are_not_measurements() -> None:
    (found,) = choose_times(np.full((1, 3), 7.0), np.ones((1, 3), bool), np.arange(3.0))
    assert found.source == "nominal"


def test_the_first_of_single_frames_may_be_at_zero() -> None:
    found = choose_times(np.array([[0.0], [2.5]]), np.ones((2, 1), bool), None)
    assert [each.source for each in found] == ["measured", "measured"]


def test_types() -> None:
    assert check_dtype(PATH, ">u2") == "uint16"
    for dtype in ("uint8", "uint16", "float32"):
        assert check_dtype(PATH, dtype) == dtype
    for dtype in ("bool", "int8", "int16", "uint32", "int64", "float16", "float64"):
        with pytest.raises(FovflowError, match="unsupported type"):
            check_dtype(PATH, dtype)


def test_planes_must_fit_the_file() -> None:
    assert check_plane(PATH, (100, 100), "uint16", 20_000) == 20_000
    assert check_plane(PATH, (100, 100), "uint16", 100, "deflate") == 20_000
    for shape, stored, kind in [
        ((100, 100), 19_999, None),
        ((2000, 2000), 100, "deflate"),
        ((2**16, 2**16), 2**40, None),
        ((0, 100), 10**6, None),
        ((-5, 100), 10**6, None),
    ]:
        with pytest.raises(FovflowError, match="cannot hold"):
            check_plane(PATH, shape, "uint16", stored, kind)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"T": 0}, "no images"),
        ({"P": -1}, "no images"),
        ({"T": 3_000_000}, "absurd"),
        ({"C": 300}, "absurd"),
        ({"Z": 60_000_000}, "absurd"),
        ({"P": 2_000, "T": 1_001}, "absurd"),
    ],
)
def test_numbers_of_planes(sizes: dict[str, int], message: str) -> None:
    good = {"P": 1, "T": 1, "C": 1, "Z": 1}
    check_sizes(PATH, good)
    check_sizes(PATH, good | {"P": 300, "T": 1000, "C": 4})
    with pytest.raises(FovflowError, match=message):
        check_sizes(PATH, good | sizes)


def ome_pixels(path: Path, *sizes: tuple[float, float]) -> Path:
    """An OME-TIFF of an image of two frames per pixel size (X, Y)."""
    images = "".join(
        f'<Image ID="Image:{p}"><Pixels ID="Pixels:{p}" DimensionOrder="XYCZT" Type="uint16" '
        f'SizeX="8" SizeY="8" SizeZ="1" SizeC="1" SizeT="2" PhysicalSizeX="{x}" '
        f'PhysicalSizeY="{y}"><TiffData IFD="{2 * p}" PlaneCount="2"/></Pixels></Image>'
        for p, (x, y) in enumerate(sizes)
    )
    xml = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{images}</OME>'
    path = path.with_suffix(".ome.tif")
    pages = np.zeros((2 * len(sizes), 8, 8), np.uint16)
    tifffile.imwrite(path, pages, description=xml, metadata=None, photometric="minisblack")
    return path


def zarr_pixels(path: Path, *sizes: tuple[float, float]) -> Path:
    """An OME-Zarr folder per pixel size."""
    zarr = pytest.importorskip("zarr")
    for p, (x, y) in enumerate(sizes):
        group = zarr.open_group(str(path / f"{p}.zarr"), mode="w", zarr_format=2)
        space = {"type": "space", "unit": "micrometer"}
        axes: list[Any] = [{"name": "t", "type": "time"}, {"name": "y", **space}]
        scale = {"coordinateTransformations": [{"type": "scale", "scale": [1, y, x]}]}
        images = {"axes": [*axes, {"name": "x", **space}], "datasets": [{"path": "0", **scale}]}
        group.attrs["multiscales"] = [{"version": "0.4", **images}]
        group.create_array("0", shape=(2, 8, 8), chunks=(1, 8, 8), dtype="u2")[...] = 1
    return path


def imagej_pixels(path: Path, *sizes: tuple[float, float]) -> Path:
    """A stack of ImageJ per pixel size."""
    path.mkdir(exist_ok=True)
    for p, (x, y) in enumerate(sizes):
        tifffile.imwrite(
            path / f"pos{p}.tif", np.zeros((2, 8, 8), np.uint16), imagej=True,
            resolution=(1 / x, 1 / y), metadata={"axes": "TYX", "unit": "um"},
        )  # fmt: skip
    return path


def tiff_pixels(path: Path, size: tuple[float, float]) -> Path:
    per_cm = 1e4 / size[0], 1e4 / size[1]
    path = path.with_suffix(".tif")
    tifffile.imwrite(
        path, np.zeros((8, 8), np.uint16), resolution=per_cm, resolutionunit="CENTIMETER"
    )
    return path


def czi_pixels(path: Path, size: tuple[float, float]) -> Path:
    pytest.importorskip("pylibCZIrw")
    from pylibCZIrw import czi as library

    path = path.with_suffix(".czi")
    with library.create_czi(str(path)) as out:
        out.write(data=np.zeros((8, 8, 1), np.uint16), location=(0, 0), plane={"T": 0})
        out.write_metadata(document_name="x", scale_x=size[0] * 1e-6, scale_y=size[1] * 1e-6)
    return path


@pytest.mark.parametrize("write", [ome_pixels, zarr_pixels, imagej_pixels, tiff_pixels, czi_pixels])
def test_pixels_that_are_not_square_have_no_size_and_are_told(tmp_path: Path, write: Any) -> None:
    with fovflow.open_raw(write(tmp_path / "a", (0.5, 0.503))) as raw:
        assert raw.info.pixel_um == pytest.approx(0.5)
        assert not any("square" in text for text in raw.info.warnings)
    path = write(tmp_path / "b", (0.5, 1.0))
    with fovflow.open_raw(path) as raw:
        assert raw.info.pixel_um is None
        assert any("Pixels of 0.5 x 1 µm" in text for text in raw.info.warnings)
    with fovflow.open_raw(path, pixel_um=0.6) as raw:
        assert raw.info.pixel_um == 0.6


@pytest.mark.parametrize("write", [ome_pixels, zarr_pixels, imagej_pixels, czi_pixels])
def test_a_size_that_no_microscope_has_is_not_used(tmp_path: Path, write: Any) -> None:
    with fovflow.open_raw(write(tmp_path / "a", (650.0, 650.0))) as raw:
        assert raw.info.pixel_um is None
        assert any("Pixels of 650 x 650 µm" in text for text in raw.info.warnings)


@pytest.mark.parametrize("write", [ome_pixels, zarr_pixels, imagej_pixels])
def test_positions_of_another_pixel_size_are_told(tmp_path: Path, write: Any) -> None:
    with fovflow.open_raw(write(tmp_path / "a", (0.65, 0.65), (0.65, 0.65), (1.3, 1.3))) as raw:
        assert (len(raw.info.positions), raw.info.pixel_um) == (3, pytest.approx(0.65))
        (said,) = (text for text in raw.info.warnings if text.startswith("Position"))
        assert "Position 2 has pixels of 1.3 µm, others of 0.65 µm" in said


@pytest.mark.parametrize("sizes", [(0.65, 0.325), (0.325, 0.65)])
def test_the_pixel_size_that_is_told_is_the_one_that_is_used(tmp_path: Path, sizes: Any) -> None:
    for p, size in enumerate(sizes):
        metadata = {"axes": "YX", "PhysicalSizeX": size, "PhysicalSizeY": size}
        frame = np.zeros((24, 32), np.uint16)
        tifffile.imwrite(tmp_path / f"pos{p}.ome.tif", frame, metadata=metadata)
    with fovflow.open_raw(tmp_path) as raw:
        (said,) = (text for text in raw.info.warnings if text.startswith("Position"))
        assert f"others of {raw.info.pixel_um:.4g} µm" in said


@pytest.mark.parametrize("kind", ["ome", "imagej", "zarr"])
def test_positions_of_another_period_have_their_own_times(tmp_path: Path, kind: str) -> None:
    periods = 60.0, 300.0
    if kind == "ome":
        path = ome_pixels(tmp_path / "a", (0.65, 0.65), (0.65, 0.65))
        text = tifffile.tiffcomment(path)
        for period in periods:
            text = text.replace('SizeT="2" P', f'SizeT="2" TimeIncrement="{period}" P', 1)
        tifffile.tiffcomment(path, text.encode())
    elif kind == "imagej":
        path = tmp_path
        for p, period in enumerate(periods):
            tifffile.imwrite(tmp_path / f"pos{p}.tif", np.zeros((2, 8, 8), np.uint16), imagej=True,
                             metadata={"axes": "TYX", "finterval": period})  # fmt: skip
    else:
        path = tmp_path
        for p, period in enumerate(periods):
            about: Any = {"channels": ["a"], "pixel_um": 0.65, "period_s": period}
            write_ome_zarr(path / f"{p}.zarr", np.ones((2, 1, 1, 8, 8), np.uint16), **about)
    with fovflow.open_raw(path) as raw:
        assert [raw.times(p).seconds.tolist() for p in (0, 1)] == [[0, 60], [0, 300]]
        assert raw.info.time_source == "nominal"
