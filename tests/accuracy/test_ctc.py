"""The Cell Tracking Challenge's form, and independent scorers of what is written in it."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import tifffile

from benchmarks.sequences import find_sequences
from fovflow.accuracy import parents_of, seg_score, tra_score
from fovflow.accuracy.ctc import write_sequence
from fovflow.accuracy.measuring import follow
from fovflow.errors import FovflowError
from fovflow.simulation import MovieParams, simulate
from paths import ROOT

PARAMS = MovieParams(
    seed=5,
    frames=12,
    height=320,
    width=320,
    cells=14,
    divisions=3,
    births=1,
    deaths=1,
    touching=0.5,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A sequence with frames, truth, and a result with gaps, merges and a lost cell."""
    place = tmp_path_factory.mktemp("ctc")
    movie = simulate(PARAMS)
    truth = np.stack([movie.masks(0, t) for t in range(PARAMS.frames)])
    write_sequence(place, "01", truth, parents_of(movie.lineage(0)), truth=True)
    phase = [movie.frame(0, t)[:1] for t in range(PARAMS.frames)]
    (place / "01").mkdir()
    for t, frame in enumerate(phase):
        tifffile.imwrite(place / "01" / f"t{t:03d}.tif", frame[0])
    followed = follow(phase, PARAMS.pixel_um, {})
    damaged = followed.labeled.copy()
    damaged[5][damaged[5] == 2] = 0  # a gap
    damaged[7:][damaged[7:] == 3] = 4  # two cells under one id
    damaged[:, 40:60] = 0  # cells cut in two, or lost
    write_sequence(place, "01", damaged, followed.parents)
    return place


def test_what_is_written_is_read_again(folder):
    (sequence,) = find_sequences(folder)
    assert sequence.name == "01"
    assert list(sequence.frames) == list(range(PARAMS.frames))
    assert len(sequence.outlines) == PARAMS.frames
    truth, parents = sequence.truth()
    movie = simulate(PARAMS)
    masks = np.stack([movie.masks(0, t) for t in range(PARAMS.frames)])
    np.testing.assert_array_equal(truth > 0, masks > 0)
    assert seg_score(masks, truth) == 1.0
    mothers = parents_of(movie.lineage(0))
    names = {int(a): int(b) for a, b in zip(truth[truth > 0], masks[truth > 0], strict=True)}
    divided = {names[d]: names[m] for d, m in parents.items() if names[d] != names[m]}
    seen = np.unique(masks)
    assert divided == {d: m for d, m in mothers.items() if d in seen and m in seen}


def test_numbers_of_many_frames_have_as_many_digits(tmp_path):
    labeled = np.zeros((1002, 1, 1), np.uint8)
    labeled[1000:] = 1
    write_sequence(tmp_path, "01", labeled, {})
    names = sorted(path.name for path in (tmp_path / "01_RES").glob("*.tif"))
    assert names == [f"mask{t:04d}.tif" for t in range(1002)]


def test_a_gap_ends_a_track_and_its_other_part_is_a_daughter(tmp_path):
    labeled = np.zeros((4, 2, 6), np.uint16)
    labeled[[0, 1, 3], :, :2] = 7
    labeled[2:, :, 4:] = 9
    write_sequence(tmp_path, "02", labeled, {9: 7})
    table = (tmp_path / "02_RES" / "res_track.txt").read_text()
    assert table == "1 0 1 0\n2 2 3 1\n3 3 3 1\n"
    image = tifffile.imread(tmp_path / "02_RES" / "mask003.tif")
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image[0], [3, 3, 0, 0, 2, 2])


def test_traccuracy_agrees(folder):
    pytest.importorskip("traccuracy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from traccuracy import run_metrics
        from traccuracy.loaders import load_ctc_data
        from traccuracy.matchers import CTCMatcher
        from traccuracy.metrics import CTCMetrics

        def graph(name, table):
            return load_ctc_data(str(folder / name), str(folder / name / table), name=name)

        true, found = graph("01_GT/TRA", "man_track.txt"), graph("01_RES", "res_track.txt")
        results, _ = run_metrics(true, found, CTCMatcher(), [CTCMetrics()])
    theirs = results[0]["results"]["TRA"]
    assert theirs < 0.97
    assert tra_of(folder) == pytest.approx(theirs, abs=1e-9)


def test_py_ctcmetrics_agrees(folder):
    pytest.importorskip("ctc_metrics")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ctc_metrics.scripts.evaluate import evaluate_sequence

        theirs = evaluate_sequence(
            str(folder / "01_RES"), str(folder / "01_GT"), metrics=["SEG", "TRA"]
        )
    (sequence,) = find_sequences(folder)
    truth, result = sequence.truth()[0], sequence.result()[0]
    assert tra_of(folder) == pytest.approx(theirs["TRA"], abs=1e-9)
    assert seg_score(truth, result) == pytest.approx(theirs["SEG"], abs=1e-9)


def tra_of(folder) -> float:
    (sequence,) = find_sequences(folder)
    (truth, mothers), (found, parents) = sequence.truth(), sequence.result()
    return tra_score(truth, found, truth_parents=mothers, found_parents=parents)


def bench(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "fovflow", "bench", "accuracy", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_any_folder_in_that_form_is_scored(folder, tmp_path):
    done = bench(folder, "--pixel-um", "0.65", "--methods", "logstd", "--json", tmp_path / "a.json")
    assert done.returncode == 0, done.stderr
    lines = {line.split("|")[1].strip(): line for line in done.stdout.splitlines() if "|" in line}
    assert lines[""].split("|")[2:4] == [" logstd ", " 01_RES "]
    seg, worse = (float(x) for x in lines["SEG"].split("|")[2:4])
    assert 1 > seg > worse > 0.5
    assert float(lines["TRA"].split("|")[3]) == pytest.approx(tra_of(folder), abs=1e-4)
    assert (tmp_path / "a.json").exists()


def test_what_cannot_be_scored_is_said(folder, tmp_path):
    assert "give --pixel-um" in bench(folder).stderr
    done = bench(tmp_path, "--pixel-um", "1")
    assert done.returncode == 1
    assert "no folder such as 01_GT" in done.stderr
    (tmp_path / "01_GT").mkdir()
    assert "nothing to score" in bench(tmp_path, "--pixel-um", "1").stderr


def test_a_damaged_truth_is_named(tmp_path):
    labeled = np.ones((2, 8, 8), np.uint16)
    write_sequence(tmp_path, "01", labeled, {}, truth=True)
    (sequence,) = find_sequences(tmp_path)
    tifffile.imwrite(tmp_path / "01_GT" / "TRA" / "man_track001.tif", np.ones((4, 8), np.uint16))
    with pytest.raises(FovflowError, match=r"man_track001\.tif is not an image of \(8, 8\)"):
        sequence.truth()
    tifffile.imwrite(tmp_path / "01_GT" / "TRA" / "man_track001.tif", labeled)
    with pytest.raises(FovflowError, match="man_track001"):
        sequence.truth()
    (tmp_path / "01_GT" / "TRA" / "man_track001.tif").write_bytes(b"no image")
    with pytest.raises(FovflowError, match="cannot be read as an image"):
        sequence.truth()
    tifffile.imwrite(tmp_path / "01_GT" / "TRA" / "man_track001.tif", labeled[0])
    (tmp_path / "01_GT" / "TRA" / "man_track.txt").write_text("1 0 1\n")
    with pytest.raises(FovflowError, match="is no table of tracks"):
        sequence.truth()
