"""OME-Zarr: images, series, plates, and folders that mean harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr

import fovflow
from fovflow.errors import FovflowError
from fovflow.simulation.containers import write_ome_zarr


def image(
    folder: Path,
    pixels: np.ndarray,
    *,
    axes: str = "tcyx",
    version: int = 2,
    units: dict[str, str] | None = None,
    scale: list[float] | None = None,
    chunks: tuple[int, ...] | None = None,
    attributes: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Path:
    """Write a multiscale image with attributes of one's own."""
    units = units or {}
    kinds = {"t": "time", "c": "channel"}
    multiscales = [
        {
            "version": "0.4" if version == 2 else "0.5",
            "axes": [
                {"name": a, "type": kinds.get(a, "space")}
                | ({"unit": units[a]} if a in units else {})
                for a in axes
            ],
            "datasets": [
                {
                    "path": "full/0",
                    "coordinateTransformations": [
                        {"type": "scale", "scale": scale or [1.0] * len(axes)}
                    ],
                }
            ],
        }
    ]
    group = zarr.open_group(str(folder), mode="a", zarr_format=version)  # type: ignore[arg-type]
    found = {"multiscales": multiscales} | (attributes or {})
    group.attrs.update(found if version == 2 else {"ome": found})
    array = group.create_array(
        "full/0",
        shape=pixels.shape,
        dtype=pixels.dtype,
        chunks=chunks or (*([1] * (pixels.ndim - 2)), *pixels.shape[-2:]),
        **kwargs,
    )
    array[...] = pixels
    return folder


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(4).integers(1, 65536, (3, 2, 9, 11), dtype=np.uint16)


@pytest.mark.parametrize("version", [2, 3])
def test_units_of_time_and_length(version: int, pixels: np.ndarray, tmp_path: Path) -> None:
    path = image(
        tmp_path / "a.zarr",
        pixels,
        version=version,
        units={"t": "millisecond", "y": "nanometer", "x": "nanometer"},
        scale=[500.0, 1.0, 325.0, 325.0],
        attributes={"omero": {"channels": [{"label": "Phase"}, {"label": None}]}},
    )
    with fovflow.open_raw(path) as raw:
        assert raw.info.pixel_um == 0.325
        assert raw.times(0).seconds.tolist() == [0, 0.5, 1.0]
        assert raw.times(0).source == "nominal"
        assert [each.name for each in raw.info.channels] == ["Phase", ""]
        np.testing.assert_array_equal(raw.read(0, 2, 1), pixels[2, 1])


def test_scales_without_units_mean_nothing(pixels: np.ndarray, tmp_path: Path) -> None:
    path = image(tmp_path / "a.zarr", pixels, scale=[2.0, 1.0, 0.5, 0.5])
    with fovflow.open_raw(path) as raw:
        assert raw.info.pixel_um is None
        assert raw.info.time_source == "unknown"


@pytest.mark.parametrize("axes", ["yx", "zyx", "cyx", "tyx", "tczyx"])
def test_fewer_and_more_axes(axes: str, tmp_path: Path) -> None:
    sizes = {"t": 2, "c": 3, "z": 4, "y": 8, "x": 9}
    shape = [sizes[axis] for axis in axes]
    data = np.arange(1, np.prod(shape) + 1, dtype=np.uint16).reshape(shape)
    path = image(tmp_path / "a.zarr", data, axes=axes)
    at = {"t": 1, "c": 2, "z": 3}
    with fovflow.open_raw(path) as raw:
        t, c, z = (at[axis] if axis in axes else 0 for axis in "tcz")
        expected = data[tuple(at[axis] for axis in axes[:-2])]
        np.testing.assert_array_equal(raw.read(0, t, c, z), expected)


@pytest.mark.parametrize("version", [2, 3])
def test_a_plate(version: int, pixels: np.ndarray, tmp_path: Path) -> None:
    root = tmp_path / "plate.zarr"
    group = zarr.open_group(str(root), mode="w", zarr_format=version)  # type: ignore[arg-type]
    wells = ["B/10", "B/9", "A/1"]
    plate = {"plate": {"wells": [{"path": well} for well in wells]}}
    group.attrs.update(plate if version == 2 else {"ome": plate})
    for i, well in enumerate(wells):
        fields = {"well": {"images": [{"path": str(k)} for k in range(2)]}}
        child = zarr.open_group(str(root / well), mode="w", zarr_format=version)  # type: ignore[arg-type]
        child.attrs.update(fields if version == 2 else {"ome": fields})
        for k in range(2):
            image(root / well / str(k), pixels // (1 + 2 * i + k), version=version)
    with fovflow.open_raw(root) as raw:
        names = [each.name for each in raw.info.positions]
        assert names == ["A1_0", "A1_1", "B9_0", "B9_1", "B10_0", "B10_1"]
        assert raw.info.axes == "PTCYX"
        np.testing.assert_array_equal(raw.read(3, 2, 1), pixels[2, 1] // 4)


def test_series_that_are_not_listed(pixels: np.ndarray, tmp_path: Path) -> None:
    root = tmp_path / "many.zarr"
    group = zarr.open_group(str(root), mode="w", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    for i in range(11):
        image(root / str(i), pixels // (i + 1))
    with fovflow.open_raw(root) as raw:
        assert len(raw.info.positions) == 11
        np.testing.assert_array_equal(raw.read(10, 0, 0), pixels[0, 0] // 11)


def test_chunks_over_time_and_shards(pixels: np.ndarray, tmp_path: Path) -> None:
    path = image(
        tmp_path / "shards.zarr",
        pixels,
        version=3,
        chunks=(1, 1, 9, 11),
        shards=(2, 2, 9, 11),
        compressors=[zarr.codecs.GzipCodec()],
    )
    with fovflow.open_raw(path) as raw:
        assert raw.info.missing == ()
        np.testing.assert_array_equal(raw.read(0, 2, 1), pixels[2, 1])


@pytest.mark.parametrize("separator", [".", "/"])
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("length", [1, 2])
def test_frames_that_were_never_written(
    separator: str, version: int, length: int, tmp_path: Path
) -> None:
    data = np.ones((7, 1, 8, 8), np.uint16)
    data[2:5] = 0
    name = "default" if version == 3 else "v2"
    path = image(
        tmp_path / "aborted.zarr",
        data,
        version=version,
        chunks=(length, 1, 4, 4),
        chunk_key_encoding={"name": name, "separator": separator},
        config={"write_empty_chunks": False},
    )
    with fovflow.open_raw(path) as raw:
        expected = {1: ((0, 2), (0, 3), (0, 4)), 2: ((0, 2), (0, 3))}[length]
        assert raw.info.missing == expected
        assert raw.read(0, 6, 0).all()


def test_positions_of_other_sizes_cost_themselves_only(pixels: np.ndarray, tmp_path: Path) -> None:
    root = tmp_path / "sizes.zarr"
    group = zarr.open_group(str(root), mode="w", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    for i, width in enumerate((11, 11, 7)):
        image(root / str(i), pixels[..., :width])
    with fovflow.open_raw(root) as raw:
        assert (raw.info.height, raw.info.width) == (9, 11)
        assert any("Position 2 has 9 x 7" in text for text in raw.info.warnings)
        raw.read(1, 0, 0)
        with pytest.raises(FovflowError, match="position 2"):
            raw.read(2, 0, 0)


def edit(path: Path, change: Any) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("target", ["../outside", "/etc", "full/../../outside", "..\\outside"])
def test_paths_that_lead_out(target: str, pixels: np.ndarray, tmp_path: Path) -> None:
    image(tmp_path / "outside", pixels)
    path = image(tmp_path / "in.zarr", pixels)

    def change(content: Any) -> None:
        content["multiscales"][0]["datasets"][0]["path"] = target

    edit(path / ".zattrs", change)
    with pytest.raises(FovflowError, match="outside"):
        fovflow.open_raw(path)


@pytest.mark.parametrize("listed", ["../outside", "/etc", "a/../../outside"])
def test_series_that_lead_out(listed: str, pixels: np.ndarray, tmp_path: Path) -> None:
    image(tmp_path / "outside", pixels)
    write_ome_zarr(
        tmp_path / "in.zarr",
        np.ones((1, 2, 1, 8, 8), np.uint16),
        channels=["a"],
        pixel_um=1.0,
        version="0.4",
    )
    edit(tmp_path / "in.zarr/OME/.zattrs", lambda content: content.update(series=[listed]))
    with pytest.raises(FovflowError, match="outside itself"):
        fovflow.open_raw(tmp_path / "in.zarr")


def test_pickles_are_not_unpacked(pixels: np.ndarray, tmp_path: Path) -> None:
    path = image(tmp_path / "a.zarr", pixels)
    edit(path / "full/0/.zarray", lambda content: content.update(filters=[{"id": "pickle"}]))
    with pytest.raises(FovflowError, match="codec that is not read") as caught:
        fovflow.open_raw(path)
    assert caught.value.found == "pickle"


def test_codecs_inside_shards_are_looked_at(pixels: np.ndarray, tmp_path: Path) -> None:
    path = image(tmp_path / "a.zarr", pixels, version=3, chunks=(1, 1, 9, 11), shards=(3, 1, 9, 11))

    def change(content: Any) -> None:
        content["codecs"][0]["configuration"]["codecs"].append({"name": "numcodecs.pickle"})

    edit(path / "full/0/zarr.json", change)
    with pytest.raises(FovflowError, match="codec that is not read"):
        fovflow.open_raw(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": [3, 2, 2**22, 2**22]}, "cannot hold"),
        ({"shape": [3, 2, 2**22, 2**22], "chunks": [1, 1, 2**22, 2**22]}, "cannot hold"),
        ({"chunks": [1, 1, 2**22, 2**22]}, "cannot hold"),
        ({"shape": [10**12, 2, 9, 11]}, "absurd sizes"),
        ({"shape": [3, 0, 9, 11]}, "not understood"),
        ({"shape": [3, 2, 9]}, "not understood"),
        ({"chunks": [0, 1, 9, 11]}, "not understood"),
        ({"dtype": "<f8"}, "unsupported type"),
        ({"dtype": "<i2"}, "unsupported type"),
        ({"dtype": "|O"}, "unsupported type"),
        ({"dtype": [["a", "<u2"]]}, "not understood"),
    ],
)
def test_headers_that_cannot_be(
    change: dict[str, Any], message: str, pixels: np.ndarray, tmp_path: Path
) -> None:
    path = image(tmp_path / "a.zarr", pixels)
    edit(path / "full/0/.zarray", lambda content: content.update(change))
    with pytest.raises(FovflowError, match=message):
        fovflow.open_raw(path)


@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000, '"x"', "{}"])
def test_damaged_json(content: str, pixels: np.ndarray, tmp_path: Path) -> None:
    path = image(tmp_path / "a.zarr", pixels)
    (path / ".zattrs").write_text(content)
    with pytest.raises(FovflowError, match=r"JSON|no OME-Zarr image"):
        fovflow.open_raw(path)


def test_a_group_or_an_array_without_ome(pixels: np.ndarray, tmp_path: Path) -> None:
    path = image(tmp_path / "a.zarr", pixels)
    with pytest.raises(FovflowError, match="no OME-Zarr image"):
        fovflow.open_raw(path / "full")
    with pytest.raises(FovflowError, match=r"no Zarr group|no OME-Zarr image"):
        fovflow.open_raw(path / "full" / "0")


def test_an_image_that_is_listed_and_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    frames = np.ones((1, 2, 1, 8, 8), np.uint16)
    write_ome_zarr(path, frames, channels=["a"], pixel_um=1.0)
    (path / "1/zarr.json").unlink()
    with fovflow.open_raw(path) as raw:
        assert raw.info.missing == ((1, 0),)
        assert any("'1'" in text and "left out" in text for text in raw.info.warnings)
        assert raw.read(0, 0, 0).all()
    (path / "0/zarr.json").unlink()
    with pytest.raises(FovflowError, match="'0'"):
        fovflow.open_raw(path)


def test_a_damaged_chunk_costs_that_frame(pixels: np.ndarray, tmp_path: Path) -> None:
    path = image(tmp_path / "a.zarr", pixels)
    (chunk,) = (path / "full/0").glob("1.1.0.0")
    chunk.write_bytes(chunk.read_bytes()[:7])
    with fovflow.open_raw(path) as raw:
        np.testing.assert_array_equal(raw.read(0, 1, 0), pixels[1, 0])
        with pytest.raises(FovflowError, match="frame 1, channel 1"):
            raw.read(0, 1, 1)


_CODECS = {
    "plain": {"compressors": None},
    "blosc": {"compressors": numcodecs.Blosc("lz4", 5, 1)},
    "blosc of raw bytes": {"compressors": numcodecs.Blosc("lz4", 0, 0)},
    "zlib": {"compressors": numcodecs.Zlib(1)},
    "gzip": {"compressors": numcodecs.GZip(1)},
    "zstd": {"compressors": numcodecs.Zstd(1)},
    "lz4": {"compressors": numcodecs.LZ4()},
    "bz2": {"compressors": numcodecs.BZ2()},
    "lzma": {"compressors": numcodecs.LZMA()},
    "plain 3": {"version": 3, "compressors": None},
    "blosc 3": {"version": 3, "compressors": zarr.codecs.BloscCodec()},
    "gzip 3": {"version": 3, "compressors": zarr.codecs.GzipCodec()},
    "zstd 3": {"version": 3, "compressors": zarr.codecs.ZstdCodec()},
    "shard": {"version": 3, "compressors": None, "shards": (1, 2, 9, 11)},
    "shard of blosc": {
        "version": 3,
        "compressors": zarr.codecs.BloscCodec(),
        "shards": (1, 2, 9, 11),
    },
}


@pytest.mark.parametrize("name", _CODECS)
def test_a_chunk_that_is_cut_off_is_never_read_as_something_else(name: str, tmp_path: Path) -> None:
    smooth = np.arange(3 * 2 * 9 * 11, dtype=np.uint16).reshape(3, 2, 9, 11) // 7
    path = image(tmp_path / "a.zarr", smooth, **_CODECS[name])
    version = _CODECS[name].get("version", 2)
    chunk = path / "full/0" / ("0.0.0.0" if version == 2 else "c/0/0/0/0")
    data = chunk.read_bytes()
    wrong = []
    for size in range(len(data)):
        chunk.write_bytes(data[:size])
        with fovflow.open_raw(path) as raw:
            try:
                equal = np.array_equal(raw.read(0, 0, 0), smooth[0, 0])
            except FovflowError:
                continue
        if not equal:
            wrong.append(size)
    assert wrong == []
