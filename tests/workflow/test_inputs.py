"""Containers, selections and options, through the real workflow."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tifffile

import fovflow
from fovflow.config.findings import METHOD_NOTES
from fovflow.records import read_yaml
from fovflow.simulation import MovieParams, simulate, write_movie
from fovflow.tables import read_csv
from workflow_project import Project, make_project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def test_one_array_in_four_containers_gives_identical_stacks(tmp_path):
    project = Project(tmp_path)
    raw = tmp_path / "raw"
    raw.mkdir()
    movie = simulate(MovieParams(seed=2, positions=2, frames=3, height=70, width=90, cells=2))
    datasets = {
        "nd2": {"path": "raw/a movie.nd2"},
        "ome tiff": {"path": "raw/b.ome.tif"},
        "zarr": {"path": "raw/c.ome.zarr"},
        "series": {"path": "raw/series/*.tif", "pixel_um": 0.65, "interval_s": 600},
    }
    write_movie(movie, raw / "a movie.nd2")
    write_movie(movie, raw / "b.ome.tif")
    write_movie(movie, raw / "c.ome.zarr")
    write_movie(movie, raw / "series", format="tiff-series")
    project.config["datasets"] = datasets
    targets = [
        f"results/{name}/fov_{fov:03d}/{name}_fov_{fov:03d}_{kind}.npy"
        for name in datasets
        for fov in range(2)
        for kind in ("pc_ch_0", "fl_ch_1")
    ]
    done = project.run("--", *targets)
    assert done.status == 0, done.text
    assert done.jobs == {"copy": 8}
    for fov in range(2):
        for kind, channel in (("pc", 0), ("fl", 1)):
            contents = {
                (tmp_path / name).read_bytes()
                for name in targets
                if f"fov_{fov:03d}_{kind}_ch_{channel}" in name
            }
            assert len(contents) == 1
            stack = np.load(
                tmp_path
                / "results"
                / "nd2"
                / f"fov_{fov:03d}"
                / f"nd2_fov_{fov:03d}_{kind}_ch_{channel}.npy",
                allow_pickle=False,
            )
            expected = np.stack([movie.frame(fov, t)[channel] for t in range(3)])
            np.testing.assert_array_equal(stack, expected)


def test_frames_fovs_crop_and_time_units_are_selected(finished_project, tmp_path):
    other = Project(
        tmp_path / "selected",
        **{
            **finished_project.config,
            "fovs": 2,
            "frames": "1-6:2",
            "time_units": "h",
            "copy": {"crop": {"y0": 16, "y1": 144, "x0": 8, "x1": 168}},
        },
    )
    shutil.copytree(finished_project.folder / "raw", other.folder / "raw")
    done = other.run()
    assert done.status == 0, done.text
    assert done.jobs["copy"] == 1
    whole = np.load(finished_project.file(2, "pc_ch_0.npy"), allow_pickle=False)
    part = np.load(other.file(2, "pc_ch_0.npy"), allow_pickle=False)
    np.testing.assert_array_equal(part, whole[1:7:2, 16:144, 8:168])
    times = read_csv(other.file(2, "times.csv"))
    assert times["source_frame"].tolist() == [1, 3, 5]
    traces = read_csv(other.file(2, "traces.csv"))
    hours = times["time_s"] / 3600
    np.testing.assert_allclose(traces["time"], hours[traces["frame"]], rtol=1e-12)
    content = read_yaml(other.results / "processing_results.yaml")
    assert content["time_units"] == "h"
    assert content["frames"] == {"count": 3, "first": 1, "last": 6, "step": 2}


def test_missing_frames_are_flagged_and_cost_nothing_else(tmp_path):
    gaps = frozenset({(0, 2), (0, 3)})
    project = make_project(tmp_path / "gaps", positions=1, frames=7, missing=gaps)
    done = project.run()
    assert done.status == 0, done.text
    times = read_csv(project.file(0, "times.csv"))
    assert times["missing"].tolist() == [False, False, True, True, False, False, False]
    traces = read_csv(project.file(0, "traces.csv"))
    assert set(traces["frame"].tolist()) == {0, 1, 4, 5, 6}
    links = read_csv(project.file(0, "tracks.csv"))
    assert links["gap"].max() == 0, "frames that were never taken are no gaps"
    assert (traces["frame"] == 4).sum() == (traces["frame"] == 1).sum()
    flags = read_csv(project.file(0, "seg_ch_0_frames.csv"))["flag"].tolist()
    assert flags[2:4] == ["missing", "missing"]
    corrected = np.load(project.file(0, "fl_corrected_ch_1.npy"), allow_pickle=False)
    assert not corrected[2].any()


def test_cells_can_be_found_in_a_fluorescence_channel(tmp_path):
    other = make_project(tmp_path / "nuclear", positions=1, onset_h=(0.0, 0.1), brightness=1e6)
    other.config |= {
        "channels": {"pc": None, "fl": ["GFP"], "seg": "GFP"},
        "segment": {"method": "threshold", "rule": "otsu"},
    }
    done = other.run()
    assert done.status == 0, done.text
    assert not list(other.results.rglob("*_pc_ch_*.npy"))
    traces = read_csv(other.file(0, "traces.csv"))
    assert {"area_ch_1", "intensity_total_ch_1"} <= set(traces)
    assert len(set(traces["cell"].tolist())) >= 3
    paths = read_yaml(other.results / "processing_results.yaml")["results_paths"]["0"]
    assert paths["seg"][0] == 1
    assert "pc" not in paths


def test_classic_methods_run_on_a_tiff_without_a_pixel_size(tmp_path):
    movie = simulate(MovieParams(seed=5, positions=1, frames=4, height=160, width=176, cells=4))
    planes = np.stack([movie.frame(0, t)[:2] for t in range(4)])
    raw = tmp_path / "raw" / "sim.tif"
    raw.parent.mkdir()
    tifffile.imwrite(raw, planes, imagej=True, metadata={"axes": "TCYX"})
    project = Project(
        tmp_path,
        datasets={"sim": {"path": "raw/sim.tif", "interval_s": 600}},
        segment={"method": "classic"},
        correct={"method": "constant"},
        track={"method": "classic"},
        qc={"min_confidence": 0.95},
    )
    done = project.run()
    assert done.status == 0, done.text
    note = METHOD_NOTES["classic"]
    assert f"sim: {note}" in done.text
    assert read_yaml(project.results / "processing_results.yaml")["findings"][-1] == note
    traces = read_csv(project.file(0, "traces.csv"))
    assert set(traces["frame"].tolist()) == {0, 1, 2, 3}
    assert (traces["area_ch_0"] > 0).all()
    assert not any("low_confidence" in flags for flags in traces["flags"])
    links = read_csv(project.file(0, "tracks.csv"))
    assert (links["confidence"] < 0.95).any(), "margins, which the rule would take for doubt"
    assert np.isnan(np.asarray(traces["area_um2"], float)).all()
    project.config["segment"] = {"method": "logstd"}
    refused = project.run()
    assert refused.status == 1
    assert "add pixel_um to the dataset" in refused.text


def test_dark_frames_flat_fields_and_bleaching(finished_project, tmp_path):
    other = Project(
        tmp_path / "light",
        **{
            **finished_project.config,
            "fovs": "0-1",
            "correct": {
                "method": "tiles",
                "dark": "raw/dark.npy",
                "flat_field": "estimate",
                "bleach": "exponential",
            },
        },
    )
    shutil.copytree(finished_project.folder / "raw", other.folder / "raw")
    np.save(other.folder / "raw" / "dark.npy", np.full((160, 176), 100, np.float32))
    done = other.run()
    assert done.status == 0, done.text
    assert done.jobs["flat_field"] == 1
    flat = np.load(other.results / "sim_flat_field_ch_1.npy", allow_pickle=False)
    assert flat.shape == (160, 176)
    assert flat.mean() == pytest.approx(1, abs=1e-3)
    assert flat.std() > 0.01
    np.save(other.folder / "raw" / "dark.npy", np.full((10, 10), 100, np.float32))
    wrong = other.run()
    assert wrong.status == 1
    assert "the image raw/dark.npy does not fit; found: shape (10, 10)" in wrong.text


def test_run_from_python(finished_project, tmp_path, monkeypatch):
    shutil.copytree(finished_project.folder / "raw", tmp_path / "raw")
    monkeypatch.chdir(tmp_path)
    config = {"datasets": {"sim": {"path": "raw/sim.nd2", "fovs": "0-2"}}}
    planned = fovflow.run(config, fovs="1", dry_run=True, quiet=True)
    assert planned
    assert not (tmp_path / "results" / "sim" / "fov_001").exists()
    outcome = fovflow.run(config, fovs="1", outdir="out", cores=2, quiet=True)
    assert outcome
    assert outcome.failures == {}
    assert list(outcome.results["sim"].fovs) == [1]
    traces = outcome.results["sim"].traces()
    assert traces["fov"].unique().tolist() == [1]
    assert traces["good"].dtype == bool
    failed = fovflow.run(config, fovs="1-7", outdir="out", cores=2, quiet=True)
    assert not failed
    assert failed.returncode == 1
    assert len(failed.results["sim"].fovs) == 2
    with pytest.raises(fovflow.ConfigError, match="colour: unknown key"):
        fovflow.run({**config, "colour": "blue"})


def test_a_plugin_segmenter_is_used(finished_project, tmp_path, monkeypatch):
    plugin = tmp_path / "plugin"
    info = plugin / "half-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: half\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fovflow.segmenters]\nhalf = half_segmenter:Half\n")
    (plugin / "half_segmenter.py").write_text(
        "import numpy as np\n"
        "from fovflow.segmentation import FrameStats\n\n\n"
        "class Half:\n"
        "    def __init__(self, *, pixel_um, rows):\n"
        "        self.rows = rows\n\n"
        "    def __call__(self, image, *, missing=False):\n"
        "        labels = np.zeros(image.shape, np.uint16)\n"
        "        labels[: self.rows] = 1\n"
        "        return labels, FrameStats(n_objects=1)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(plugin))
    other = Project(
        tmp_path / "project",
        **{
            **finished_project.config,
            "fovs": "0",
            "segment": {"method": "half", "options": {"rows": 10}},
        },
    )
    shutil.copytree(finished_project.folder / "raw", other.folder / "raw")
    done = other.run()
    assert done.status == 0, done.text
    traces = read_csv(other.file(0, "traces.csv"))
    assert set(traces["area_ch_0"].tolist()) == {10 * 176}


def test_a_channel_that_was_recorded_in_every_third_frame(tmp_path):
    """All frames of the others are kept; its values are empty where it was not recorded."""
    project = Project(tmp_path)
    (tmp_path / "raw").mkdir()
    movie = simulate(MovieParams(seed=2, positions=2, frames=9, height=96, width=96, cells=3))
    write_movie(movie, tmp_path / "raw" / "series", format="tiff-series")
    for t in range(9):
        if t % 3:
            for path in (tmp_path / "raw" / "series").glob(f"*_t{t:03d}_c1.tif"):
                path.unlink()
    project.config["datasets"] = {
        "sim": {"path": "raw/series", "pixel_um": 0.65, "interval_s": 600}
    }
    done = project.run()
    assert done.status == 0, done.text
    results = fovflow.load_results(tmp_path / "results" / "sim")
    for fov in results.fovs.values():
        times = fov.times()
        lacking = times["missing_channels"].fillna("")
        assert [bool(text) for text in lacking] == [t % 3 > 0 for t in range(9)]
        assert not times["missing"].any()
        traces = fov.traces()
        assert set(traces["frame"]) == set(range(9))
        recorded = traces["frame"] % 3 == 0
        for name in ("intensity_total_ch_1", "intensity_mean_ch_1"):
            assert traces.loc[recorded, name].notna().all()
            assert traces.loc[~recorded, name].isna().all()
        assert traces.loc[~recorded, "invalid_fraction_ch_1"].isna().all()
        assert not traces["flags"].fillna("").str.contains("invalid").any()
        assert traces["area_ch_0"].notna().all()
        flags = fov.table("correct_frames")["flag"].fillna("")
        assert [flag == "missing" for flag in flags] == [t % 3 > 0 for t in range(9)]


def test_axes_of_a_dataset_are_named_in_the_configuration(tmp_path):
    """A movie that another program saved as z planes."""
    project = Project(tmp_path)
    (tmp_path / "raw").mkdir()
    movie = simulate(MovieParams(seed=2, positions=1, frames=5, height=96, width=96, cells=3))
    frames = np.stack([movie.frame(0, t) for t in range(5)])
    tags = {"axes": "ZCYX", "unit": "um"}
    tifffile.imwrite(
        tmp_path / "raw" / "a.tif",
        frames,
        imagej=True,
        metadata=tags,
        resolution=(1 / 0.65, 1 / 0.65),
    )
    dataset = {"path": "raw/a.tif", "interval_s": 600}
    project.config["datasets"] = {"sim": dataset}
    assert project.run().jobs["copy"] == 1
    assert len(fovflow.load_results(tmp_path / "results" / "sim").fovs[0].times()) == 1
    dataset["axes"] = {"z": "time"}
    assert project.run().jobs["copy"] == 1
    fov = fovflow.load_results(tmp_path / "results" / "sim").fovs[0]
    assert fov.times()["time_s"].tolist() == [0, 600, 1200, 1800, 2400]
    assert set(fov.traces()["frame"]) == set(range(5))
    assert not project.run().jobs
    dataset["axes"] = "TCYX"
    assert project.run().jobs["copy"] == 1, "it is said otherwise"
    dataset["axes"] = "TYX"
    failed = project.run()
    assert failed.status != 0
    assert "names 1 axes, and the file has 2" in failed.text


def test_fovs_that_the_file_does_not_have_are_told_and_the_others_done(tmp_path):
    project = make_project(tmp_path, positions=2, frames=3, height=64, width=64, cells=2)
    project.config["fovs"] = "0-9"
    done = project.run()
    assert done.status != 0
    sentence = "sim: cannot be processed as it is asked for: fovs: 2-9 asked for; found: 2 FOVs"
    assert sentence in done.text
    assert done.text.index(sentence) < done.text.rindex("Finished jobid")  # it began first
    results = fovflow.load_results(tmp_path / "results" / "sim")
    assert {fov.status for fov in results.fovs.values()} == {"complete"}


def test_wells_clock_times_and_a_plate_export_give_right_tables(tmp_path):
    """One movie per well, the second stopped early; clock times past midnight with a hole; a plate.

    The same cells give the same traces in each.
    """
    project = Project(tmp_path)
    raw = tmp_path / "raw"
    for name in ("wells", "incucyte", "plate"):
        (raw / name).mkdir(parents=True)
    movie = simulate(MovieParams(seed=3, positions=2, frames=7, height=128, width=128, cells=5))
    for p in range(2):
        n_frames = 7 - 3 * p
        frames = np.stack([movie.frame(p, t)[:2] for t in range(n_frames)])
        tags = {"axes": "TCYX", "unit": "um", "finterval": 600, "Labels": ["Phase", "GFP"] * 7}
        tags["Labels"] = tags["Labels"][: 2 * n_frames]
        resolution = (1 / 0.65, 1 / 0.65)
        path = raw / "wells" / f"B0{p + 2}.tif"
        tifffile.imwrite(path, frames, imagej=True, metadata=tags, resolution=resolution)
        for t, c in np.ndindex(7, 2):
            minutes = 22 * 60 + 20 * t
            clock = (
                f"2024y05m{9 + minutes // 1440:02d}d_{minutes // 60 % 24:02d}h{minutes % 60:02d}m"
            )
            plane, channel = movie.frame(p, t)[c], ("Phase", "Green")[c]
            if (p, t) != (1, 3):
                name = f"{channel}_B{p + 2}_1_{clock}.tif"
                tifffile.imwrite(raw / "incucyte" / name, plane, metadata=None)
            name = f"r02c{p + 3:02d}f01p01-ch{c + 1}sk{t + 1}fk1fl1.tiff"
            tifffile.imwrite(raw / "plate" / name, plane, metadata=None)
    tifffile.imwrite(raw / "plate" / "dark.tif", np.zeros((128, 128), np.uint16), metadata=None)
    clock = {"path": "raw/incucyte", "pixel_um": 0.65}
    plate = {"path": "raw/plate", "pixel_um": 0.65, "interval_s": 1200}
    project.config |= {
        "channels": {"pc": "Phase", "fl": "all"},
        "datasets": {
            "wells": {"path": "raw/wells"},
            "incucyte": clock,
            "plate": {**plate, "channels": {"pc": "ch1", "fl": "ch2"}},
        },
    }
    done = project.run()
    assert done.status == 0, done.text
    warned = "plate: warning: 1 files are no images of the series, such as 'dark.tif': left out."
    assert done.text.index(warned) < done.text.index("Finished jobid")
    found = {name: fovflow.load_results(tmp_path / "results" / name) for name in ("wells", "plate")}
    found["incucyte"] = fovflow.load_results(tmp_path / "results" / "incucyte")
    times = {name: [fov.times() for fov in each.fovs.values()] for name, each in found.items()}
    assert times["wells"][1]["missing"].tolist() == [False] * 4 + [True] * 3
    assert times["incucyte"][1]["missing"].tolist() == [t == 3 for t in range(7)]
    assert not any(table["missing"].any() for table in (*times["plate"], times["wells"][0]))
    assert times["incucyte"][0]["time_s"].tolist() == [1200 * t for t in range(7)]
    assert times["incucyte"][0]["time_source"].unique().tolist() == ["measured"]
    assert times["wells"][0]["time_s"].tolist() == [600 * t for t in range(7)]
    columns = ["cell", "frame", "position_x", "position_y"]
    whole = found["plate"].fovs[0].traces()
    assert set(whole["frame"]) == set(range(7))
    for name in ("wells", "incucyte"):
        traces = found[name].fovs[0].traces()
        np.testing.assert_array_equal(traces[columns], whole[columns])
    short = found["wells"].fovs[1].traces()
    assert set(short["frame"]) == set(range(4))
    assert set(found["incucyte"].fovs[1].traces()["frame"]) == {0, 1, 2, 4, 5, 6}
    assert (tmp_path / "results" / "report.html").stat().st_size > 10_000


def test_a_scene_of_another_size_is_told_with_the_fovs_that_work(tmp_path):
    pytest.importorskip("pylibCZIrw")
    from pylibCZIrw import czi

    project = Project(tmp_path)
    (tmp_path / "raw").mkdir()
    movie = simulate(MovieParams(seed=2, positions=2, frames=3, height=96, width=96, cells=3))
    with czi.create_czi(str(tmp_path / "raw" / "a.czi")) as out:
        for p, t, c in np.ndindex(3, 3, 2):
            plane = movie.frame(min(p, 1), t)[c]
            plane = plane[:64] if p == 1 else plane
            at = {"T": t, "C": c}
            out.write(data=plane[..., None].copy(), location=(0, 300 * p), plane=at, scene=p)
        out.write_metadata(document_name="a", channel_names={0: "Phase", 1: "GFP"}, scale_x=6.5e-7)
    dataset = {"path": "raw/a.czi", "interval_s": 600}
    project.config["datasets"] = {"sim": dataset}
    failed = project.run()
    assert failed.status != 0
    remedy = 'Take the others alone with fovs: "0, 2".'
    assert failed.text.index(remedy) < failed.text.index("Finished jobid")
    dataset["fovs"] = "0, 2"
    done = project.run()
    assert done.status == 0, done.text
    results = fovflow.load_results(tmp_path / "results" / "sim")
    assert sorted(results.fovs) == [0, 2]
