"""Which methods run on which raw files, where some files do not say how large a pixel is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from fovflow.config import parse_config
from fovflow.planning import RawHeader, plan_dataset
from fovflow.planning.parameters import needs_pixel_size
from fovflow.simulation import MovieParams, simulate, write_movie

SEGMENT = {"classic": False, "logstd": True, "threshold": True, "unet": True, "cellpose": True}
TRACK = {"classic": False, "iou": True, "laptrack": True}
CORRECT = {"tiles": False, "classic": False, "constant": False, "none": False}
"""Whether a method with its default parameters needs the size of a pixel."""

FORMATS = {
    "nd2": True,
    "ome-tiff": True,
    "imagej-tiff": True,
    "tiff-series": True,
    "ome-zarr": True,
    "czi": True,
    "plain-tiff": False,
    "plain-tiff-series": False,
}
"""Whether the file says how large a pixel is."""

NAMES = {
    "nd2": "a.nd2",
    "ome-tiff": "a.ome.tif",
    "imagej-tiff": "a.tif",
    "ome-zarr": "a.ome.zarr",
    "czi": "a.czi",
}

METHODS = [
    *((segment, "classic", "tiles") for segment in SEGMENT),
    *(("classic", track, "tiles") for track in TRACK),
    *(("classic", "classic", correct) for correct in CORRECT),
]


@pytest.fixture(scope="module")
def headers(tmp_path_factory) -> dict[str, RawHeader]:
    """The header of one small movie in each format."""
    folder = tmp_path_factory.mktemp("raw")
    movie = simulate(MovieParams(seed=1, positions=1, frames=2, height=64, width=64, cells=1))
    frames = np.stack([movie.frame(0, t)[0] for t in range(2)])
    found = {}
    for name in FORMATS:
        target = folder / name
        target.mkdir()
        if name == "plain-tiff":
            tifffile.imwrite(target / "a.tif", frames, photometric="minisblack")
            path: Path | str = target / "a.tif"
        elif name == "plain-tiff-series":
            for t, frame in enumerate(frames):
                tifffile.imwrite(target / f"a_xy01_t{t:02d}_c1.tif", frame)
            path = f"{target}/*.tif"
        elif name == "tiff-series":
            write_movie(movie, target, format=name)
            path = f"{target}/*.tif"
        else:
            path = target / NAMES[name]
            write_movie(movie, path, format=name)
        found[name] = RawHeader.read(str(path))
    return found


def problems(header: RawHeader, **config: Any) -> tuple[str, ...]:
    dataset = {"path": "a", "interval_s": 60, "channels": {"pc": 0, "fl": []}}
    parsed = parse_config({"datasets": {"a": dataset}, **config})
    return plan_dataset("a", parsed, header, needs_pixel_size=needs_pixel_size(parsed)).problems


@pytest.mark.parametrize("name", FORMATS)
def test_formats_say_how_large_a_pixel_is(headers, name):
    assert (headers[name].pixel_um is not None) == FORMATS[name]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("segment", "track", "correct"), METHODS)
def test_a_method_is_refused_only_where_the_pixel_size_it_needs_is_unknown(
    headers, name, segment, track, correct
):
    found = problems(
        headers[name],
        segment={"method": segment},
        track={"method": track},
        correct={"method": correct},
    )
    needed = SEGMENT[segment] or TRACK[track] or CORRECT[correct]
    if needed and not FORMATS[name]:
        (problem,) = found
        assert "add pixel_um to the dataset" in problem
    else:
        assert found == ()


@pytest.mark.parametrize(
    "section",
    [
        {"correct": {"method": "tiles", "tile_um": 100}},
        {"correct": {"method": "classic", "dilation_um": 3}},
        {"qc": {"border_um": 5}},
    ],
)
def test_lengths_in_um_need_the_pixel_size(headers, section):
    chosen = {"segment": {"method": "classic"}, "track": {"method": "classic"}, **section}
    (problem,) = problems(headers["plain-tiff"], **chosen)
    assert "add pixel_um to the dataset" in problem
    assert problems(headers["nd2"], **chosen) == ()


def test_plug_ins_are_not_asked_for_a_pixel_size(headers):
    found = problems(
        headers["plain-tiff"],
        segment={"method": "someones"},
        track={"method": "others"},
    )
    assert found == ()
