"""Raw files of odd kinds, legal and not, through the real workflow in one run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from faults.hostile_packs import bombs
from faults.killing import Running
from faults.odd_inputs import HOSTILE_NAME, UNITS, movie, write, write_bad_files, write_odd_files

from fovflow.records import read_yaml
from fovflow.simulation import MovieParams, simulate, write_movie
from fovflow.tables import read_csv
from workflow_project import Finished, Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Finished]:
    """A run over all odd and bad files at once, into a folder behind a symbolic link."""
    folder = tmp_path_factory.mktemp("odd")
    datasets = write_odd_files(folder / "raw") | write_bad_files(folder / "raw")
    made = simulate(MovieParams(seed=5, positions=2, frames=2, height=40, width=48, cells=1))
    write_movie(made, folder / "raw" / "bomb.zarr")
    bomb = folder / "raw" / "bomb.zarr" / "1" / "0" / "c" / "1" / "0" / "0" / "0"
    bomb.write_bytes(bombs()["zstd silent"][1])
    datasets["bomb"] = {"path": "raw/bomb.zarr"}
    (folder / "elsewhere ü").mkdir()
    (folder / "my results").symlink_to(folder / "elsewhere ü")
    project = Project(folder, outdir="my results", datasets=datasets, keep="all")
    return project, project.run()


def file(project: Project, dataset: str, rest: str) -> Path:
    return project.folder / "my results" / dataset / "fov_000" / f"{dataset}_fov_000_{rest}"


def stack(project: Project, dataset: str, rest: str) -> np.ndarray:
    return np.load(file(project, dataset, rest), allow_pickle=False)


def test_each_bad_file_costs_its_dataset_and_is_told_in_one_sentence(odd):
    project, done = odd
    assert done.status == 1
    assert "Traceback" not in done.text
    for sentence in (
        "garbage: cannot be processed: raw/garbage.nd2 is no raw file of a known kind",
        "empty: cannot be processed: raw/empty.tif is empty",
        "cut: cannot be processed: the TIFF file raw/cut.ome.tif is cut off or damaged",
        "folder: cannot be processed: the folder raw/folder holds no images",
    ):
        assert sentence in done.text
    made = [name for name in project.config["datasets"] if file(project, name, "x").parent.exists()]
    good = [name for name in made if name != "bomb"]
    assert len(good) == 6
    for name in good:
        content = read_yaml(project.folder / "my results" / name / "processing_results.yaml")
        assert content["fovs"] == {"0": {"status": "complete"}}, name
        assert f"{name}: 1 of 1 FOVs complete" in done.text


def test_a_chunk_that_explodes_costs_its_fov(odd):
    project, done = odd
    content = read_yaml(project.folder / "my results" / "bomb" / "processing_results.yaml")
    states = {name: fov["status"] for name, fov in content["fovs"].items()}
    assert states == {"0": "complete", "1": "failed"}
    assert "bomb, FOV 1: copy failed at frame 1: cannot read position 1, frame 1" in done.text


def test_links_spaces_and_letters_do_not_matter(odd):
    project, _ = odd
    name = "Zellen Ä 数据"
    raw = tifffile.imread(project.folder / "raw" / "link.tif")
    np.testing.assert_array_equal(stack(project, name, "pc_ch_0.npy"), raw[:, 0])
    assert (
        file(project, name, "traces.csv")
        .resolve()
        .is_relative_to((project.folder / "elsewhere ü").resolve())
    )
    middle = file(project, "z stack", "traces.csv").read_bytes()
    assert middle == file(project, name, "traces.csv").read_bytes()
    np.testing.assert_array_equal(
        stack(project, "z stack", "fl_ch_1.npy"), stack(project, name, "fl_ch_1.npy")
    )


@pytest.mark.parametrize("name", ["flat", "tiny"])
def test_frames_without_anything_in_them_have_no_cells(odd, name):
    project, _ = odd
    assert stack(project, name, "seg_labeled_ch_0.npy").max() == 0
    assert len(file(project, name, "traces.csv").read_text().splitlines()) == 1
    corrected = stack(project, name, "fl_corrected_ch_1.npy")
    assert np.isfinite(corrected).all()
    assert corrected.shape == stack(project, name, "fl_ch_1.npy").shape
    if name == "flat":  # constant, then saturated everywhere
        assert np.abs(corrected[0]).max() < 1e-6 * 100
        assert np.abs(corrected[1]).max() < 1e-6 * 65_535


def test_a_single_frame_of_odd_size_is_processed(odd):
    project, _ = odd
    assert stack(project, "one odd frame", "seg_ch_0.npy").shape == (1, 57, 83)
    traces = read_csv(file(project, "one odd frame", "traces.csv"))
    assert traces["frame"].tolist() == [0] * len(traces["cell"])
    assert len(traces["cell"]) >= 1


def test_values_that_are_no_numbers_are_flagged_and_stay_local(odd):
    project, _ = odd
    name = "not a number"
    frames = read_csv(file(project, name, "seg_ch_0_frames.csv"))
    assert [str(flag).split(";")[0] for flag in frames["flag"]] == ["nan", "nan", "nan"]
    assert frames["n_objects"].tolist()[1] == 0
    traces = read_csv(file(project, name, "traces.csv"))
    assert set(traces["frame"].tolist()) <= {0, 2}
    assert np.isfinite(traces["area_ch_0"]).all()
    assert np.isfinite(traces["intensity_total_ch_1"]).all()
    corrected = stack(project, name, "fl_corrected_ch_1.npy")
    assert np.isfinite(corrected[0, 20:, 20:]).all()


def test_frames_that_are_all_cell_have_no_background_and_say_so(tmp_path):
    write(tmp_path / "raw" / "a.ome.tif", movie(2, 40, 48))
    segment = {"method": "threshold", "rule": "fixed", "level": 1, "split": False}
    project = Project(tmp_path, datasets={"a": {"path": "raw/a.ome.tif", **UNITS}}, segment=segment)
    done = project.run()
    assert done.status == 0, done.text
    folder = tmp_path / "results" / "a" / "fov_000"
    labels = np.load(folder / "a_fov_000_seg_labeled_ch_0.npy", allow_pickle=False)
    assert (labels == 1).all()
    frames = read_csv(folder / "a_fov_000_fl_corrected_ch_1_frames.csv")
    assert frames["excluded_fraction"].tolist() == [1.0, 1.0]
    assert all(str(flag) for flag in frames["flag"])
    traces = read_csv(folder / "a_fov_000_traces.csv")
    assert traces["area_ch_0"].tolist() == [40 * 48, 40 * 48]
    assert not traces["good"].any()


def test_a_hostile_channel_name_is_only_text_in_the_report(odd):
    project, _ = odd
    page = (project.folder / "my results" / "report.html").read_text(encoding="utf-8")
    assert HOSTILE_NAME not in page
    content = read_yaml(project.folder / "my results" / "tiny" / "processing_results.yaml")
    assert content["channel_names"][1] == HOSTILE_NAME
    assert not list((project.folder / "my results").rglob("*alert*"))


def test_a_raw_file_that_vanishes_or_grows_during_the_run_leaves_no_mixture(tmp_path):
    project = Project(tmp_path, datasets={"a": {"path": "raw/a.nd2"}})
    many = 5  # copies are still to be made when the raw file changes
    settings = {"seed": 5, "positions": many, "height": 40, "width": 48, "cells": 1}
    raw = tmp_path / "raw" / "a.nd2"
    raw.parent.mkdir()
    longer = tmp_path / "longer.nd2"
    write_movie(simulate(MovieParams(frames=2, **settings)), raw)
    write_movie(simulate(MovieParams(frames=4, **settings)), longer)

    def copied() -> list[Path]:
        return list(project.folder.glob("results/a/fov_*/*_times.csv"))

    def begin() -> Running:
        running = Running(project, "--until", "copy", "--cores", "1")
        assert running.wait_until(copied)
        return running

    running = begin()
    longer_bytes = longer.read_bytes()
    aside = raw.rename(tmp_path / "aside.nd2")
    status, text = running.end()
    assert status == 1
    assert "there is no raw/a.nd2" in text
    assert "Traceback" not in text
    aside.rename(raw)

    for times in copied():
        times.unlink()
    running = begin()
    raw.write_bytes(longer_bytes)
    status, text = running.end()
    assert status == 1
    assert "raw/a.nd2 has changed since this run began" in text
    again = project.run("--until", "copy")
    assert again.status == 0, again.text
    lengths = [len(np.load(path)) for path in (tmp_path / "results").rglob("*_pc_ch_0.npy")]
    assert lengths == [4] * many
