"""The same movie in every container: the same pixels, and what metadata each can carry."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nd2
import numpy as np
import pytest
import tifffile
import zarr

from fovflow.errors import ConfigError
from fovflow.simulation import Movie, MovieParams, simulate
from fovflow.simulation.containers import format_of, write_movie

LABELS = ("Phase", "GFP <x>")


@pytest.fixture(scope="module")
def movie() -> Movie:
    return simulate(
        MovieParams(seed=2, positions=2, frames=3, height=40, width=56, cells=2, channels=LABELS)
    )


@pytest.fixture(scope="module")
def pixels(movie: Movie) -> np.ndarray:
    frames, positions = movie.shape[:2]
    return np.stack(
        [np.stack([movie.frame(p, t) for p in range(positions)]) for t in range(frames)]
    )


def in_holes(pixels: np.ndarray) -> np.ndarray:
    holes = pixels.copy()
    holes[1, 1] = 0
    return holes


def read_nd2(paths: list[Path]) -> np.ndarray:
    return nd2.imread(paths[0])


def read_ome_tiff(paths: list[Path]) -> np.ndarray:
    with tifffile.TiffFile(paths[0]) as file:
        assert file.is_ome
        return np.stack([series.asarray() for series in file.series], axis=1)


def read_imagej(paths: list[Path]) -> np.ndarray:
    return np.stack([tifffile.imread(path) for path in paths], axis=1)


def read_series(paths: list[Path]) -> np.ndarray:
    names = [re.search(r"_s(\d\d)_t(\d{3})_c(\d)\.tif$", path.name).groups() for path in paths]
    index = np.array(names, int)
    planes = np.zeros((*index.max(0) + 1, 40, 56), np.uint16)
    for (p, t, c), path in zip(index, paths, strict=True):
        planes[p, t, c] = tifffile.imread(path)
    return planes.transpose(1, 0, 2, 3, 4)


def read_zarr(paths: list[Path]) -> np.ndarray:
    root = zarr.open_group(str(paths[0]), mode="r")
    return np.stack([root[f"{p}/0"][:] for p in range(2)], axis=1)


def read_czi(paths: list[Path]) -> np.ndarray:
    from pylibCZIrw import czi

    with czi.open_czi(str(paths[0])) as file:
        return np.stack(
            [
                [
                    [file.read(plane={"T": t, "C": c}, scene=p)[..., 0] for c in range(2)]
                    for p in range(2)
                ]
                for t in range(3)
            ]
        )


CASES = {
    "m.nd2": read_nd2,
    "m.ome.tif": read_ome_tiff,
    "m.tif": read_imagej,
    "m": read_series,
    "m.zarr": read_zarr,
    "m.ome.zarr": read_zarr,
    "m.czi": read_czi,
}


@pytest.mark.parametrize("name", CASES)
def test_all_containers_hold_the_same_pixels(
    movie: Movie, pixels: np.ndarray, tmp_path: Path, name: str
) -> None:
    if name.endswith("czi"):
        pytest.importorskip("pylibCZIrw")
    options = {"version": "0.4"} if name == "m.ome.zarr" else {}
    found = CASES[name](write_movie(movie, tmp_path / name, **options))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("name", ["m.nd2", "m.ome.tif", "m.zarr", "m"])
def test_a_missing_frame_takes_no_space_and_reads_as_zero(
    movie: Movie, pixels: np.ndarray, tmp_path: Path, name: str
) -> None:
    holed = simulate(MovieParams(**{**movie.params.to_dict(), "missing": {(1, 1)}}))
    paths = write_movie(holed, tmp_path / name)
    found = CASES[name](paths)
    np.testing.assert_array_equal(found, in_holes(pixels))
    whole = write_movie(movie, tmp_path / f"whole_{name}")
    size = [sum(f.stat().st_size for q in ps for f in _files(q)) for ps in (paths, whole)]
    assert size[1] - size[0] > 40 * 56 * 2


def _files(path: Path) -> list[Path]:
    return [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]


def test_ome_tiff_metadata(movie: Movie, tmp_path: Path) -> None:
    (path,) = write_movie(movie, tmp_path / "m.ome.tif")
    with tifffile.TiffFile(path) as file:
        meta = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
        assert [image["Name"] for image in meta] == ["A1", "A2"]
        first = meta[1]["Pixels"]
        assert (first["PhysicalSizeX"], first["TimeIncrement"]) == (0.65, 600.0)
        assert [channel["Name"] for channel in first["Channel"]] == list(LABELS)
        plane = first["Plane"][3]
        assert (plane["TheT"], plane["TheC"], plane["DeltaT"]) == (1, 1, 602.0)
        assert plane["PositionX"] == movie.positions()[1][0]
        assert [series.axes for series in file.series] == ["TCYX", "TCYX"]


def test_ome_tiff_one_file_per_position(movie: Movie, pixels: np.ndarray, tmp_path: Path) -> None:
    paths = write_movie(movie, tmp_path / "m.ome.tif", split=True)
    assert [path.name for path in paths] == ["m_s00.ome.tif", "m_s01.ome.tif"]
    for p, path in enumerate(paths):
        np.testing.assert_array_equal(tifffile.imread(path), pixels[:, p])


def test_imagej_metadata(movie: Movie, tmp_path: Path) -> None:
    paths = write_movie(movie, tmp_path / "m.tif")
    assert [path.name for path in paths] == ["m_s00.tif", "m_s01.tif"]
    with tifffile.TiffFile(paths[0]) as file:
        meta = file.imagej_metadata
        assert (meta["finterval"], meta["unit"], meta["frames"], meta["channels"]) == (
            600.0,
            "um",
            3,
            2,
        )
        assert meta["Labels"][:2] == list(LABELS)
        top, bottom = file.pages[0].tags["XResolution"].value
        assert bottom / top == pytest.approx(0.65, rel=1e-6)


def test_series_names_and_resolution(movie: Movie, tmp_path: Path) -> None:
    paths = write_movie(movie, tmp_path / "plate", name="my well")
    assert paths[-1].name == "my well_s01_t002_c1.tif"
    assert len(paths) == 12
    with tifffile.TiffFile(paths[0]) as file:
        top, bottom = file.pages[0].tags["XResolution"].value
        assert 1e4 * bottom / top == pytest.approx(0.65, rel=1e-6)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_metadata(movie: Movie, tmp_path: Path, version: str) -> None:
    (path,) = write_movie(movie, tmp_path / "m.zarr", version=version)
    if version == "0.4":
        top = json.loads((path / ".zattrs").read_text())
        series = json.loads((path / "OME/.zattrs").read_text())["series"]
        image = json.loads((path / "1/.zattrs").read_text())
        assert (path / "1/0/2/1/0/0").exists()
        assert image["multiscales"][0]["version"] == "0.4"
    else:
        top = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
        series = json.loads((path / "OME/zarr.json").read_text())["attributes"]["ome"]["series"]
        image = json.loads((path / "1/zarr.json").read_text())["attributes"]["ome"]
        assert (path / "1/0/c/2/1/0/0").exists()
        assert image["version"] == "0.5"
    assert top["bioformats2raw.layout"] == 3
    assert series == ["0", "1"]
    scale = image["multiscales"][0]
    assert [axis["name"] for axis in scale["axes"]] == ["t", "c", "y", "x"]
    assert scale["axes"][0]["unit"] == "second"
    transforms = scale["datasets"][0]["coordinateTransformations"]
    assert transforms[0]["scale"] == [600.0, 1.0, 0.65, 0.65]
    assert transforms[1]["translation"][3] == movie.positions()[1][0]
    assert scale["name"] == "A2"
    assert [c["label"] for c in image["omero"]["channels"]] == list(LABELS)
    assert image["omero"]["channels"][1]["color"] == "00FF00"


def test_a_single_position_is_the_zarr_itself(tmp_path: Path) -> None:
    single = simulate(MovieParams(frames=2, height=32, width=32, cells=1))
    (path,) = write_movie(single, tmp_path / "m.zarr")
    array = zarr.open_group(str(path), mode="r")["0"]
    np.testing.assert_array_equal(array[1], single.frame(0, 1))
    with pytest.raises(ConfigError, match="exists already"):
        write_movie(single, path)


def test_czi_metadata(movie: Movie, tmp_path: Path) -> None:
    czi = pytest.importorskip("pylibCZIrw.czi")
    (path,) = write_movie(movie, tmp_path / "m.czi")
    with czi.open_czi(str(path)) as file:
        meta = file.metadata["ImageDocument"]["Metadata"]
        sizes = meta["Information"]["Image"]
        assert (sizes["SizeS"], sizes["SizeT"], sizes["SizeC"]) == ("2", "3", "2")
        assert float(meta["Scaling"]["Items"]["Distance"][0]["Value"]) == pytest.approx(0.65e-6)
        names = [c["@Name"] for c in sizes["Dimensions"]["Channels"]["Channel"]]
        assert names == list(LABELS)


def test_same_movie_same_bytes(movie: Movie, tmp_path: Path) -> None:
    for name in ("m.nd2", "m.ome.tif", "m.tif", "m.zarr"):
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_movie(movie, tmp_path / folder / name)
    files = [
        {f.relative_to(tmp_path / k): f.read_bytes() for f in _files(tmp_path / k)} for k in "ab"
    ]
    assert files[0] == files[1]
    assert len(files[0]) > 10


def test_names_that_say_no_format_are_refused(movie: Movie, tmp_path: Path) -> None:
    assert format_of("A.ND2") == "nd2"
    with pytest.raises(ConfigError, match=r"no format for the name 'm\.xyz'"):
        write_movie(movie, tmp_path / "m.xyz")
    with pytest.raises(ConfigError, match="unknown format 'mp4'"):
        write_movie(movie, tmp_path / "m.nd2", format="mp4")
    holed = simulate(MovieParams(frames=2, height=32, width=32, cells=1, missing={(0, 1)}))
    with pytest.raises(ConfigError, match="cannot leave out"):
        write_movie(holed, tmp_path / "m.tif")
