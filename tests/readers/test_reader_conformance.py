"""What holds for every reader: the same array in every container reads the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ome_sets import write_ome_set

import fovflow
from fovflow.errors import ConfigError, FovflowError
from fovflow.simulation.containers import (
    write_czi,
    write_imagej_tiff,
    write_nd2,
    write_ome_tiff,
    write_ome_zarr,
    write_tiff_series,
)
from fovflow.testing import ReaderConformance

CHANNELS = ["Phase", "GFP <b>"]
POSITIONS = [(10.0, -20.0, "A1"), (810.5, -20.0, "Zelle ä")]
PIXEL_UM = 0.65
PERIOD_S = 300.0
TIMES_S = np.array([[1.5, 4.0], [301.0, 304.5], [602.0, 605.0]])
PIXELS = np.random.default_rng(3).integers(0, 65536, (3, 2, 2, 20, 28), dtype=np.uint16)
PIXELS[..., 0, 0] = 65535


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
MEASURES_TIMES = {"nd2", "nd2-pt", "ome-tiff", "ome-tiff-set"}
HOLDS_PERIOD = {"imagej", "zarr-0.4", "zarr-0.5"}
ONE_POSITION = {"imagej"}
REPORTS_HOLES = set(WRITERS) - {"imagej"}
NO_NAMES = {
    "series": [(None, None, "s00"), (None, None, "s01")],
    "imagej": [(None, None, None)],
    "czi": [(None, None, None)] * 2,
}


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


def times_of(kind: str) -> tuple[str, np.ndarray]:
    if kind in MEASURES_TIMES:
        return "measured", TIMES_S
    if kind in HOLDS_PERIOD:
        return "nominal", np.stack([[0, 300, 600]] * 2, axis=1)
    return "unknown", np.full((3, 2), np.nan)


class TestBuiltIn(ReaderConformance):
    @pytest.fixture(params=WRITERS, autouse=True)
    def kind(self, request: pytest.FixtureRequest) -> str:
        kind = str(request.param)
        source, seconds = times_of(kind)
        p = 1 if kind in ONE_POSITION else 2
        self.pixels, self.seconds = PIXELS[:, :p], seconds[:, :p]
        self.facts = {
            "format": WRITERS[kind][1],
            "pixel_um": PIXEL_UM,
            "time_source": source,
            "channels": ["c0", "c1"] if kind == "series" else CHANNELS,
            "positions": NO_NAMES.get(kind, POSITIONS),
        }
        self.make_file = lambda folder: write(kind, folder, PIXELS)
        return kind

    @pytest.mark.parametrize("dtype", ["uint8", "float32"])
    def test_the_type_of_pixels_is_kept(self, kind: str, dtype: str, tmp_path: Path) -> None:
        frames = np.arange(3 * 2 * 2 * 8 * 8).reshape(3, 2, 2, 8, 8).astype(dtype)
        path = write(kind, tmp_path, frames)
        with fovflow.open_raw(path) as raw:
            assert raw.info.dtype == dtype
            plane = raw.read(0, 2, 1)
        assert plane.dtype == np.dtype(dtype)
        assert plane.tobytes() == frames[2, 0, 1].tobytes()

    @pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
    def test_wrong_overrides(self, value: float, path: Path) -> None:
        for name in ("pixel_um", "interval_s"):
            with pytest.raises(ConfigError, match=name):
                fovflow.open_raw(path, **{name: value})

    def test_a_single_frame_is_at_zero(self, kind: str, tmp_path: Path) -> None:
        path = write(kind, tmp_path, PIXELS[:1], times_s=None, period_s=0.0)
        with fovflow.open_raw(path) as raw:
            times = raw.times(0)
            assert (times.source, times.seconds.tolist()) == ("nominal", [0.0])
            np.testing.assert_array_equal(raw.read(0, 0, 1), PIXELS[0, 0, 1])

    def test_missing_frames_are_reported(self, kind: str, tmp_path: Path) -> None:
        if kind not in REPORTS_HOLES:
            pytest.skip("the format cannot leave frames out")
        path = write(kind, tmp_path, PIXELS, missing=[(0, 1), (1, 2)])
        with fovflow.open_raw(path) as raw:
            assert raw.info.missing == ((0, 1), (1, 2))
            assert any("2 frames are missing" in text for text in raw.info.warnings)
            assert not raw.read(0, 1, 0).any()
            np.testing.assert_array_equal(raw.read(1, 1, 1), PIXELS[1, 1, 1])
            if raw.info.time_source == "measured":
                seconds = raw.times(0).seconds
                assert np.isnan(seconds).tolist() == [False, True, False]

    def test_cut_off_files_are_refused(self, path: Path) -> None:
        """Whatever is cut off the end: an error when opening or reading, never wrong pixels."""
        files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
        victim = max(files, key=lambda f: (f.stat().st_size, f.name))
        whole = victim.read_bytes()
        for share in (0.02, 0.3, 0.7, 0.98):
            victim.write_bytes(whole[: max(1, int(len(whole) * share))])
            with pytest.raises(FovflowError) as caught, fovflow.open_raw(path) as raw:
                for t, p, c in np.ndindex(self.pixels.shape[:3]):
                    raw.read(p, t, c)
            assert str(path.name) in str(caught.value)
            assert caught.value.remedy

    def test_names_with_spaces_and_letters(self, kind: str, tmp_path: Path) -> None:
        folder = tmp_path / "Zellen [neu] größe*"
        folder.mkdir()
        path = write(kind, folder, PIXELS)
        with fovflow.open_raw(path) as raw:
            np.testing.assert_array_equal(raw.read(0, 2, 1), PIXELS[2, 0, 1])
        link = tmp_path / f"Link {path.name}"
        link.symlink_to(path)
        if kind == "ome-tiff-set":
            return
        with fovflow.open_raw(str(link)) as raw:
            np.testing.assert_array_equal(raw.read(0, 2, 1), PIXELS[2, 0, 1])
