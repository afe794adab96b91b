"""Descriptions for people and programs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

import fovflow
from fovflow.readers.describe import describe, format_description
from fovflow.simulation.containers import write_nd2
from paths import shared_data


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    path = tmp_path / "movie.nd2"
    frames = np.zeros((5, 20, 2, 8, 16), np.uint16)
    stage = [(10.0 * p, -5.25, f"P{p}" if p else "\x1b[31mred") for p in range(20)]
    times = np.arange(5.0)[:, None] * 300 + np.arange(20.0)
    times[4] += 60
    write_nd2(
        path,
        frames,
        channels=["Phase", "GFP"],
        pixel_um=0.5,
        positions=stage,
        times_s=times,
        missing=[(2, 1), (2, 2), (7, 4)],
    )
    return path


def test_description(movie: Path) -> None:
    with fovflow.open_raw(movie) as raw:
        found = describe(raw, movie)
    assert json.loads(json.dumps(found)) == found
    assert found["path"] == str(movie)
    assert (found["format"], found["axes"], found["dtype"]) == ("nd2", "TPCYX", "uint16")
    assert found["sizes"] == {
        "positions": 20,
        "frames": 5,
        "channels": 2,
        "z": 1,
        "height": 8,
        "width": 16,
    }
    assert (found["pixel_um"], found["z_um"]) == (0.5, None)
    assert found["channels"] == [{"index": 0, "name": "Phase"}, {"index": 1, "name": "GFP"}]
    assert found["positions"][3] == {"index": 3, "name": "P3", "x_um": 30.0, "y_um": -5.25}
    assert found["files"] == 1
    assert found["bytes"] == movie.stat().st_size
    assert found["pixel_bytes"] == 5 * 20 * 2 * 8 * 16 * 2
    assert found["missing"] == [[2, 1], [2, 2], [7, 4]]
    assert found["times"] == {
        "source": "measured",
        "first_s": 0.0,
        "last_s": 1260.0,
        "interval_s": 300.0,
        "shortest_s": 300.0,
        "longest_s": 360.0,
    }


def test_text(movie: Path) -> None:
    with fovflow.open_raw(movie) as raw:
        lines = format_description(describe(raw, movie)).splitlines()
    assert lines[1:7] == [
        "format     nd2, axes TPCYX, uint16",
        "size       20 positions, 5 frames, 2 channels",
        "image      16 x 8 pixels (8 x 4 µm)",
        "pixel      0.5 µm",
        lines[5],
        "times      measured, 0 s to 21 min, every 5 min (5 min to 6 min)",
    ]
    assert lines[7:9] == ["channels   0  Phase", "           1  GFP"]
    positions = [i for i, line in enumerate(lines) if line.startswith("positions")]
    assert lines[positions[0]] == "positions   0  \ufffd[31mred  x 0.0 y -5.2 µm"
    assert lines[positions[0] + 10].strip() == "… 9 more"
    assert lines[positions[0] + 11].strip() == "19  P19       x 190.0 y -5.2 µm"
    assert "missing    position 2: frames 1-2" in lines
    assert "           position 7: frames 4" in lines
    assert lines[-1].startswith("warnings   3 frames are missing")
    assert all(line == line.rstrip() for line in lines)


def test_what_is_unknown_is_called_so(tmp_path: Path) -> None:
    for t in range(3):
        tifffile.imwrite(tmp_path / f"t{t}.tif", np.zeros((8, 8), np.uint16), metadata=None)
    with fovflow.open_raw(tmp_path) as raw:
        found = describe(raw, tmp_path)
        text = format_description(found)
    assert found["times"]["interval_s"] is None
    assert found["files"] == 3
    assert "pixel      unknown" in text
    assert "times      unknown" in text
    assert "in 3 files" in text
    assert "give interval_s" in text


def test_a_pattern_limits_the_files(tmp_path: Path) -> None:
    for name in ("a_1", "a_2", "b_1"):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((8, 8), np.uint16), metadata=None)
    with fovflow.open_raw(tmp_path, pattern="a_{time}.tif") as raw:
        assert describe(raw, tmp_path, "a_{time}.tif")["files"] == 2


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("nd2/cluster.nd2", "size       1 position, 3 frames, 2 channels, 10 z planes"),
        ("nd2/incucyte_2fov_pgr.nd2", "times      measured, 0 s to 5 h, every 30 min"),
        ("t98g/phase", "image      1024 x 1022 pixels (891.7 x 890 µm)"),
    ],
)
def test_real_files(name: str, line: str) -> None:
    path = shared_data(name)
    with fovflow.open_raw(path) as raw:
        assert line in format_description(describe(raw, path)).splitlines()
