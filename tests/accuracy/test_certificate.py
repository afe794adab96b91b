"""Movies simulated like a user's own, and what is told of their results."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fovflow.accuracy import certificate
from fovflow.accuracy.certificate import certify, format_certificate, read_sample
from fovflow.cli import main
from fovflow.errors import ConfigError, FovflowError
from fovflow.simulation import MovieParams, simulate, write_movie
from paths import shared_data

LOGSTD = {"segment": {"method": "logstd"}}
PARAMS = MovieParams(
    seed=4, frames=6, height=400, width=400, cells=24, speed_um_h=30.0, cell_radius_um=9.0
)


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    path = tmp_path_factory.mktemp("like") / "movie.nd2"
    write_movie(simulate(PARAMS), path)
    return path


@pytest.fixture(scope="module")
def found(movie):
    return certify(read_sample(movie), LOGSTD, movies=1)


def test_what_is_measured_is_what_was_simulated(found):
    cells = found["cells"]
    assert cells["radius (µm)"] == pytest.approx(9.0, rel=0.1)
    assert cells["per frame"] == pytest.approx(24, abs=2)
    assert cells["speed (µm/h)"] == pytest.approx(30.0, rel=0.4)
    assert cells["long over short axis"] == pytest.approx(1.7, abs=0.3)
    assert found["settings"]["interval_s"] == pytest.approx(600.0)
    assert found["settings"]["brightness"] > 1000


def test_simulated_frames_come_near_the_looks_that_were_measured(found):
    mine, theirs = found["looks"]["measured"], found["looks"]["simulated"]
    assert theirs["halo"] == pytest.approx(mine["halo"], abs=0.12)
    assert theirs["background SD"] == pytest.approx(mine["background SD"], rel=0.4)
    assert theirs["noise"] == pytest.approx(mine["noise"], rel=0.3)


def test_the_figures_are_those_of_the_simulated_movies(found):
    figures = found["figures"]
    assert figures["frames"] == 16
    assert 0 < figures["SEG"] <= 1
    assert figures["tracks"] >= 20
    text = "\n".join(format_certificate(found))
    assert f"SEG                       {figures['SEG']:.3f}" in text
    assert "wrong among good rows" in text


def test_faults_of_the_request_are_told(movie):
    with pytest.raises(ConfigError, match="no FOV 3"):
        read_sample(movie, fov=3)
    with pytest.raises(ConfigError, match="channel DAPI"):
        read_sample(movie, channel="DAPI")


def test_frames_without_cells_are_told():
    empty = simulate(MovieParams(frames=2, height=128, width=128, cells=0, debris=0.0))
    frames = [empty.frame(0, t) for t in range(2)]
    with pytest.raises(FovflowError, match=r"too few cells|cannot be simulated"):
        certify(certificate.Sample(frames, 0.65, 600.0), LOGSTD)


def test_the_command_writes_what_it_prints(movie, tmp_path, capsys):
    file, more = tmp_path / "accuracy.json", tmp_path / "more.ome.tif"
    words = ["simulate", str(more), "--frames", "2", "--like", str(movie), "--method", "logstd"]
    assert main([*words, "--certificate", str(file)]) == 0
    text = capsys.readouterr().out
    written = json.loads(file.read_text(encoding="utf-8"))
    assert written["of"] == "movie.nd2"
    assert "\n".join(format_certificate(written)) in text
    assert more.exists()
    assert main(["simulate"]) == 2
    assert "which file to write" in capsys.readouterr().err


@pytest.mark.data
def test_real_cells_give_movies_that_look_like_them():
    path = shared_data("nd2/incucyte_2fov_pgr.nd2")
    sample = read_sample(path, channel="Phase")
    small = [frame[:, 200:700, 100:600] for frame in sample.frames[:4]]
    found = certify(certificate.Sample(small, sample.pixel_um, sample.interval_s), {}, movies=1)
    mine, theirs = found["looks"]["measured"], found["looks"]["simulated"]
    for name in ("inside", "halo"):
        assert theirs[name] == pytest.approx(mine[name], abs=0.12)
    assert 10 < found["cells"]["radius (µm)"] < 30
    assert np.isfinite(found["figures"]["SEG"])
