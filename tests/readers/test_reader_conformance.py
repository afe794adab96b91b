"""What holds for every reader: the same array in every container reads the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ome_sets import write_ome_set

import fovflow
from fovflow.errors import ConfigError, FovflowError
from fovflow.readers import RawReader
from fovflow.simulation.containers import (
    write_czi,
    write_imagej_tiff,
    write_nd2,
    write_ome_tiff,
    write_ome_zarr,
    write_tiff_series,
)

CHANNELS = ("Phase", "GFP <b>")
POSITIONS = ((10.0, -20.0, "A1"), (810.5, -20.0, "Zelle ä"))
PIXEL_UM = 0.65
PERIOD_S = 300.0
TIMES_S = np.array([[1.5, 4.0], [301.0, 304.5], [602.0, 605.0]])


def _v4(path: Path, frames: np.ndarray, **kwargs: Any) -> list[Path]:
    return write_ome_zarr(path, frames, version="0.4", **kwargs)


WRITERS: dict[str, tuple[str, str, Callable[..., Any]]] = {
    "nd2": ("movie.nd2", "nd2", write_nd2),
    "nd2-pt": ("pt.nd2", "nd2", lambda p, f, **k: write_nd2(p, f, order="PT", **k)),
    "ome-tiff": ("movie.ome.tif", "ome-tiff", write_ome_tiff),
    "ome-tiff-set": ("set", "ome-tiff", write_ome_set),
    "imagej": ("movie.tif", "imagej-tiff", write_imagej_tiff),
    "series": ("series", "tiff-series", write_tiff_series),
    "zarr-0.4": ("old.zarr", "ome-zarr", _v4),
    "zarr-0.5": ("new.zarr", "ome-zarr", write_ome_zarr),
    "czi": ("movie.czi", "czi", write_czi),
}
NAMES_CHANNELS = set(WRITERS) - {"series"}
NAMES_POSITIONS = set(WRITERS) - {"series", "imagej", "czi"}
MEASURES_TIMES = {"nd2", "nd2-pt", "ome-tiff", "ome-tiff-set"}
HOLDS_PERIOD = {"imagej", "zarr-0.4", "zarr-0.5"}
ONE_POSITION = {"imagej"}
REPORTS_HOLES = set(WRITERS) - {"imagej"}


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    values = np.random.default_rng(3).integers(0, 65536, (3, 2, 2, 20, 28), dtype=np.uint16)
    values[..., 0, 0] = 65535
    return values


def write(kind: str, folder: Path, frames: np.ndarray, **kwargs: Any) -> Path:
    name, _, writer = WRITERS[kind]
    kwargs = {"positions": POSITIONS, "times_s": TIMES_S, "period_s": PERIOD_S} | kwargs
    if kind in ONE_POSITION:
        frames = frames[:, :1]
        kwargs |= {"positions": POSITIONS[:1]}
        if kwargs["times_s"] is not None:
            kwargs["times_s"] = TIMES_S[:, :1]
    kwargs = {k: v for k, v in kwargs.items() if v is not None}
    written = writer(folder / name, frames, channels=CHANNELS, pixel_um=PIXEL_UM, **kwargs)
    if kind == "ome-tiff-set":
        return Path(written)
    return folder / name


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("containers")
    return {kind: write(kind, folder, pixels) for kind in WRITERS}


@pytest.fixture(params=WRITERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def read_all(raw: RawReader) -> np.ndarray:
    info = raw.info
    return np.stack(
        [
            [
                [raw.read(p, t, c) for c in range(len(info.channels))]
                for p in range(len(info.positions))
            ]
            for t in range(info.n_frames)
        ]
    )


def test_pixels_are_the_same_bytes(kind: str, paths: dict[str, Path], pixels: np.ndarray) -> None:
    expected = pixels[:, :1] if kind in ONE_POSITION else pixels
    with fovflow.open_raw(paths[kind]) as raw:
        found = read_all(raw)
    assert found.dtype == np.uint16
    assert found.shape == expected.shape
    assert hashlib.sha256(found.tobytes()).digest() == hashlib.sha256(expected.tobytes()).digest()


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_type_of_pixels_is_kept(kind: str, dtype: str, tmp_path: Path) -> None:
    frames = np.arange(3 * 2 * 2 * 8 * 8).reshape(3, 2, 2, 8, 8).astype(dtype)
    path = write(kind, tmp_path, frames)
    with fovflow.open_raw(path) as raw:
        assert raw.info.dtype == dtype
        plane = raw.read(0, 2, 1)
    assert plane.dtype == np.dtype(dtype)
    assert plane.tobytes() == frames[2, 0, 1].tobytes()


def test_sizes_and_format(kind: str, paths: dict[str, Path]) -> None:
    with fovflow.open_raw(paths[kind]) as raw:
        info = raw.info
    assert info.format == WRITERS[kind][1]
    assert len(info.positions) == (1 if kind in ONE_POSITION else 2)
    assert (info.n_frames, len(info.channels), info.n_z) == (3, 2, 1)
    assert (info.height, info.width, info.dtype) == (20, 28, "uint16")
    assert [channel.index for channel in info.channels] == [0, 1]
    assert [position.index for position in info.positions] == list(range(len(info.positions)))
    assert set("TCYX") <= set(info.axes)
    assert info.missing == ()


def test_names_and_stage(kind: str, paths: dict[str, Path]) -> None:
    with fovflow.open_raw(paths[kind]) as raw:
        info = raw.info
    names = [channel.name for channel in info.channels]
    assert names == (list(CHANNELS) if kind in NAMES_CHANNELS else ["c0", "c1"])
    if kind in NAMES_POSITIONS:
        found = [(position.x_um, position.y_um, position.name) for position in info.positions]
        assert found == list(POSITIONS)
    elif kind == "series":
        assert [position.name for position in info.positions] == ["s00", "s01"]
    else:
        assert all(position.name is None for position in info.positions)


def test_pixel_size(kind: str, paths: dict[str, Path]) -> None:
    with fovflow.open_raw(paths[kind]) as raw:
        assert raw.info.pixel_um == pytest.approx(PIXEL_UM, rel=1e-6)
    with fovflow.open_raw(paths[kind], pixel_um=1.25) as raw:
        assert raw.info.pixel_um == 1.25


def test_times(kind: str, paths: dict[str, Path]) -> None:
    with fovflow.open_raw(paths[kind]) as raw:
        found = [raw.times(p) for p in range(len(raw.info.positions))]
        source = raw.info.time_source
    assert {each.source for each in found} == {source}
    seconds = np.stack([each.seconds for each in found], axis=1)
    assert seconds.dtype == np.float64
    if kind in MEASURES_TIMES:
        assert source == "measured"
        np.testing.assert_allclose(seconds, TIMES_S, rtol=0, atol=1e-9)
    elif kind in HOLDS_PERIOD:
        assert source == "nominal"
        np.testing.assert_array_equal(seconds[:, 0], [0, 300, 600])
    else:
        assert source == "unknown"
        assert np.isnan(seconds).all()


def test_the_user_s_interval_wins(kind: str, paths: dict[str, Path]) -> None:
    with fovflow.open_raw(paths[kind], interval_s=60) as raw:
        assert raw.info.time_source == "config"
        for p in range(len(raw.info.positions)):
            times = raw.times(p)
            assert times.source == "config"
            np.testing.assert_array_equal(times.seconds, [0, 60, 120])
        assert not any("times" in text for text in raw.info.warnings)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_wrong_overrides(kind: str, value: float, paths: dict[str, Path]) -> None:
    for name in ("pixel_um", "interval_s"):
        with pytest.raises(ConfigError, match=name):
            fovflow.open_raw(paths[kind], **{name: value})


def test_a_single_frame_is_at_zero(kind: str, tmp_path: Path, pixels: np.ndarray) -> None:
    path = write(kind, tmp_path, pixels[:1], times_s=None, period_s=0.0)
    with fovflow.open_raw(path) as raw:
        times = raw.times(0)
        assert (times.source, times.seconds.tolist()) == ("nominal", [0.0])
        np.testing.assert_array_equal(raw.read(0, 0, 1), pixels[0, 0, 1])


def test_indices_outside_the_file(kind: str, paths: dict[str, Path]) -> None:
    with fovflow.open_raw(paths[kind]) as raw:
        n = len(raw.info.positions)
        for bad in [(n, 0, 0), (-1, 0, 0), (0, 3, 0), (0, -1, 0), (0, 0, 2), (0, 0, -1)]:
            with pytest.raises(IndexError):
                raw.read(*bad)
        with pytest.raises(IndexError):
            raw.read(0, 0, 0, 1)
        for p in (-1, n):
            with pytest.raises(IndexError):
                raw.times(p)
        with pytest.raises(TypeError):
            raw.read(0.5, 0, 0)  # type: ignore[arg-type]


def test_planes_are_plain_arrays_of_their_own(kind: str, paths: dict[str, Path]) -> None:
    with fovflow.open_raw(paths[kind]) as raw:
        plane = raw.read(0, np.int64(1), 0)  # type: ignore[arg-type]
        assert plane.flags.c_contiguous
        assert plane.flags.writeable
        assert plane.dtype.isnative
        before = plane.copy()
        plane[:] = 0
        np.testing.assert_array_equal(raw.read(0, 1, 0), before)


def test_closing(kind: str, paths: dict[str, Path]) -> None:
    raw = fovflow.open_raw(paths[kind])
    assert isinstance(raw, RawReader)
    raw.read(0, 0, 0)
    raw.close()
    raw.close()
    assert raw.info.n_frames == 3
    with pytest.raises(ValueError, match="closed"):
        raw.read(0, 0, 0)
    with pytest.raises(ValueError, match="closed"):
        raw.times(0)


def test_an_error_inside_the_with_block_closes_too(kind: str, paths: dict[str, Path]) -> None:
    with pytest.raises(IndexError), fovflow.open_raw(paths[kind]) as raw:
        raw.read(0, 99, 0)


def test_missing_frames_are_reported(kind: str, tmp_path: Path, pixels: np.ndarray) -> None:
    if kind not in REPORTS_HOLES:
        pytest.skip("the format cannot leave frames out")
    path = write(kind, tmp_path, pixels, missing=[(0, 1), (1, 2)])
    with fovflow.open_raw(path) as raw:
        assert raw.info.missing == ((0, 1), (1, 2))
        assert any("2 frames are missing" in text for text in raw.info.warnings)
        assert not raw.read(0, 1, 0).any()
        np.testing.assert_array_equal(raw.read(1, 1, 1), pixels[1, 1, 1])
        if raw.info.time_source == "measured":
            seconds = raw.times(0).seconds
            assert np.isnan(seconds).tolist() == [False, True, False]


def test_reading_in_any_order(kind: str, paths: dict[str, Path], pixels: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    with fovflow.open_raw(paths[kind]) as raw:
        n = len(raw.info.positions)
        for _ in range(30):
            p, t, c = (int(i) for i in rng.integers(0, (n, 3, 2)))
            np.testing.assert_array_equal(raw.read(p, t, c), pixels[t, p, c])


def test_cut_off_files_are_refused(kind: str, tmp_path: Path, pixels: np.ndarray) -> None:
    """Whatever is cut off the end: a clear error when opening or reading, never wrong pixels."""
    path = write(kind, tmp_path, pixels)
    files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
    victim = max(files, key=lambda f: (f.stat().st_size, f.name))
    whole = victim.read_bytes()
    for share in (0.02, 0.3, 0.7, 0.98):
        victim.write_bytes(whole[: max(1, int(len(whole) * share))])
        with pytest.raises(FovflowError) as caught, fovflow.open_raw(path) as raw:
            read_all(raw)
        assert str(path.name) in str(caught.value)
        assert caught.value.remedy


def test_names_with_spaces_and_letters(kind: str, tmp_path: Path, pixels: np.ndarray) -> None:
    folder = tmp_path / "Zellen [neu] größe*"
    folder.mkdir()
    path = write(kind, folder, pixels)
    with fovflow.open_raw(path) as raw:
        np.testing.assert_array_equal(raw.read(0, 2, 1), pixels[2, 0, 1])
    link = tmp_path / f"Link {path.name}"
    link.symlink_to(path)
    if kind == "ome-tiff-set":
        return
    with fovflow.open_raw(str(link)) as raw:
        np.testing.assert_array_equal(raw.read(0, 2, 1), pixels[2, 0, 1])
