"""Every export, read back by the library of the program that it is for."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import fovflow
from export.made_results import EDGES, FRAMES, INTERVAL_S, NAMES, PARENTS, PIXEL_UM, SIZE, labels_of
from fovflow.cli import main
from fovflow.export import find_format, format_names
from fovflow.tables import read_csv, write_csv


def export(folder: Path, name: str, *options: str) -> Path:
    """Export FOV 0 by the command line; return the folder of what was made."""
    assert main(["export", name, str(folder), "--fovs", "0", *options]) == 0
    return folder / "exports" / name


def stack(folder: Path, kind: str, channel: int, fov: int = 0) -> np.ndarray:
    return np.load(folder / f"fov_{fov:03d}" / f"plate_fov_{fov:03d}_{kind}_ch_{channel}.npy")


def images(folder: Path) -> np.ndarray:
    """Return the images of FOV 0 as (T, C, Y, X)."""
    return np.stack([stack(folder, "fl" if c else "pc", c) for c in NAMES], axis=1)


def good_labels() -> np.ndarray:
    found = labels_of(0)
    found[5][found[5] == 2] = 0
    return found


class TestOmeTiff:
    def test_axes_pixels_and_bytes(self, folder):
        import tifffile

        made = export(folder, "ome-tiff")
        with tifffile.TiffFile(made / "plate_fov_000.ome.tif") as file:
            (series,) = file.series
            assert file.is_ome
            assert series.axes == "TCYX"
            assert np.array_equal(series.asarray(), images(folder))
        corrected = tifffile.imread(made / "plate_fov_000_corrected.ome.tif")
        assert np.array_equal(corrected[:, 1], stack(folder, "fl_corrected", 2))
        with tifffile.TiffFile(made / "plate_fov_000_labels.ome.tif") as file:
            assert file.series[0].axes == "TYX"
            assert file.series[0].dtype == np.uint16
            assert np.array_equal(file.asarray(), labels_of(0))

    def test_the_schema_reads_sizes_names_and_times(self, folder):
        from ome_types import from_tiff

        pixels = from_tiff(export(folder, "ome-tiff") / "plate_fov_000.ome.tif").images[0].pixels
        assert (pixels.size_t, pixels.size_c, pixels.size_y, pixels.size_x) == (FRAMES, 3, *SIZE)
        assert (pixels.physical_size_x, pixels.physical_size_y) == (PIXEL_UM, PIXEL_UM)
        assert pixels.physical_size_x_unit.value == "µm"
        assert (pixels.time_increment, pixels.time_increment_unit.value) == (INTERVAL_S, "s")
        assert [channel.name for channel in pixels.channels] == list(NAMES.values())
        times = {plane.the_t: plane.delta_t for plane in pixels.planes}
        assert times == {t: t * INTERVAL_S for t in range(FRAMES)}

    def test_good_only_leaves_labels_out(self, folder):
        import tifffile

        made = export(folder, "ome-tiff", "--good-only")
        labels = tifffile.imread(made / "plate_fov_000_labels.ome.tif")
        assert np.array_equal(labels, good_labels())

    def test_it_is_read_as_raw_data_again(self, folder):
        with fovflow.open_raw(export(folder, "ome-tiff") / "plate_fov_000.ome.tif") as raw:
            assert [channel.name for channel in raw.info.channels] == list(NAMES.values())
            assert raw.info.pixel_um == PIXEL_UM


class TestOmeZarr:
    def test_the_models_of_0_5_read_image_and_labels(self, folder):
        models = pytest.importorskip("ome_zarr_models.v05")
        import zarr

        path = export(folder, "ome-zarr") / "plate_fov_000.ome.zarr"
        group = zarr.open_group(str(path), mode="r")
        (image,) = models.Image.from_zarr(group).attributes.ome.multiscales
        assert [axis.name for axis in image.axes] == ["t", "c", "y", "x"]
        assert [axis.unit for axis in image.axes] == ["second", None, *["micrometer"] * 2]
        (scale,) = image.datasets[0].coordinateTransformations
        assert scale.scale == [INTERVAL_S, 1.0, PIXEL_UM, PIXEL_UM]
        assert np.array_equal(group["0"][:], images(folder))
        names = [c["label"] for c in group.attrs["ome"]["omero"]["channels"]]
        assert names == list(NAMES.values())
        labels = models.Labels.from_zarr(group["labels"])
        assert labels.attributes.ome.labels == ["cells"]
        cells = models.ImageLabel.from_zarr(group["labels/cells"]).attributes.ome
        (scale,) = cells.multiscales[0].datasets[0].coordinateTransformations
        assert scale.scale == [INTERVAL_S, 1.0, PIXEL_UM, PIXEL_UM]
        assert np.array_equal(group["labels/cells/0"][:, 0], labels_of(0))
        about = group["labels/cells"].attrs["ome"]["image-label"]
        assert about["source"] == {"image": "../../"}
        assert {p["label-value"]: p["parent"] for p in about["properties"]} == {
            1: 0, 2: 0, **PARENTS
        }  # fmt: skip
        assert {"label-value": 2, "parent": 0, "frames": 5, "good_frames": 4} in about["properties"]

    def test_our_reader_reads_it(self, folder):
        with fovflow.open_raw(export(folder, "ome-zarr") / "plate_fov_000.ome.zarr") as raw:
            assert raw.info.pixel_um == PIXEL_UM
            assert raw.info.n_frames == FRAMES


def nodes_and_edges(graph, cell="cell", frame="frame"):
    """Return a graph's nodes by (cell, frame), and its links."""
    names = {n: (int(about[cell]), int(about[frame])) for n, about in graph.nodes(data=True)}
    nodes = {names[n]: about for n, about in graph.nodes(data=True)}
    return nodes, {(names[a], names[b]) for a, b in graph.edges}


class TestGeff:
    def test_ids_links_places_and_units(self, folder, table):
        geff = pytest.importorskip("geff")
        path = export(folder, "geff") / "plate_fov_000.geff"
        geff.validate_structure(path)
        graph, about = geff.read(path)
        nodes, edges = nodes_and_edges(graph)
        assert edges == EDGES
        assert [(a.name, a.type, a.unit) for a in about.axes] == [
            ("t", "time", "second"), ("y", "space", "micrometer"), ("x", "space", "micrometer")
        ]  # fmt: skip
        assert about.extra["fovflow"]["pixel_um"] == PIXEL_UM
        for row in table.to_dict("records"):
            node = nodes[row["cell"], row["frame"]]
            assert node["t"] == row["frame"] * INTERVAL_S
            assert node["x"] == pytest.approx(row["position_x"] * PIXEL_UM, rel=1e-12)
            assert node["y"] == pytest.approx(row["position_y"] * PIXEL_UM, rel=1e-12)
            assert node["good"] == row["good"]
            assert node["intensity_total_ch_2"] == row["intensity_total_ch_2"]
        assert nodes[2, 5]["flags"] == "border"
        family = {nodes[key]["lineage"] for key in nodes if key[0] != 2}
        assert len(family) == 1
        assert family != {nodes[2, 0]["lineage"]}

    def test_links_have_what_the_tracker_measured(self, folder):
        geff = pytest.importorskip("geff")
        graph, _ = geff.read(export(folder, "geff") / "plate_fov_000.geff")
        found = {
            (graph.nodes[b]["cell"], graph.nodes[b]["frame"]): about
            for _, b, about in graph.edges(data=True)
        }
        assert found[2, 3]["iou"] == pytest.approx(0.65)
        assert found[3, 3]["division"]
        assert not found[3, 4]["division"]

    def test_good_only_leaves_out_nodes(self, folder):
        geff = pytest.importorskip("geff")
        graph, _ = geff.read(export(folder, "geff", "--good-only") / "plate_fov_000.geff")
        nodes, edges = nodes_and_edges(graph)
        assert (2, 5) not in nodes
        assert edges == EDGES - {((2, 4), (2, 5))}


class TestTrackMate:
    @pytest.fixture
    def read(self, tmp_path):
        convert = pytest.importorskip("geff.convert")
        import geff

        def graph_of(path):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                convert.from_trackmate_xml_to_geff(path, tmp_path / "tm.geff", overwrite=True)
                return geff.read(tmp_path / "tm.geff")

        return graph_of

    def test_spots_links_and_outlines(self, folder, table, read):
        graph, about = read(export(folder, "trackmate") / "plate_fov_000.xml")
        nodes, edges = nodes_and_edges(graph, "CELL", "FRAME")
        assert edges == EDGES
        assert {a.name: a.unit for a in about.axes}["POSITION_X"] == "µm"
        for row in table.to_dict("records"):
            spot = nodes[row["cell"], row["frame"]]
            assert spot["POSITION_X"] == pytest.approx(row["position_x"] * PIXEL_UM, rel=1e-12)
            assert spot["POSITION_T"] == row["frame"] * INTERVAL_S
            assert spot["AREA_CH_0"] == row["area_ch_0"]
            assert spot["GOOD"] == row["good"]
            outline = np.asarray(spot["ROI_coords"])
            half = 3.5 * PIXEL_UM  # of a square of 7 pixels
            assert np.abs(outline).max() == pytest.approx(half, abs=0.3 * PIXEL_UM)
        assert nodes[2, 5]["name"] == "2 border"

    def test_it_names_image_scale_and_interval(self, folder):
        from xml.etree import ElementTree

        tree = ElementTree.parse(export(folder, "trackmate") / "plate_fov_000.xml")
        image = tree.find("Settings/ImageData").attrib
        assert image["filename"] == "plate_fov_000.ome.tif"
        assert (float(image["pixelwidth"]), float(image["timeinterval"])) == (PIXEL_UM, INTERVAL_S)
        assert (int(image["width"]), int(image["nframes"])) == (SIZE[1], FRAMES)
        tracks = [track.attrib["TRACK_ID"] for track in tree.iter("Track")]
        assert tracks == [each.attrib["TRACK_ID"] for each in tree.iter("TrackID")]
        assert len(tracks) == 2

    def test_without_times_the_traces_tell_the_interval(self, folder):
        from xml.etree import ElementTree

        (folder / "fov_000" / "plate_fov_000_times.csv").unlink()
        tree = ElementTree.parse(export(folder, "trackmate") / "plate_fov_000.xml")
        assert float(tree.find("Settings/ImageData").attrib["timeinterval"]) == INTERVAL_S

    def test_without_labels_spots_have_no_outlines(self, folder, read, capsys):
        (folder / "fov_000" / "plate_fov_000_seg_labeled_ch_0.npy").unlink()
        graph, _ = read(export(folder, "trackmate") / "plate_fov_000.xml")
        assert len(graph.nodes) == 14
        assert "no stack of labelled cells was kept" in capsys.readouterr().err


class TestParquet:
    def test_rows_links_and_units(self, folder, table):
        parquet = pytest.importorskip("pyarrow.parquet")
        assert main(["export", "parquet", str(folder), "--fovs", "0,1"]) == 0
        made = folder / "exports" / "parquet"
        traces = parquet.read_table(made / "plate_traces.parquet")
        assert traces.num_rows == 2 * len(table)
        first = traces.slice(0, len(table)).to_pandas()
        for name in table.columns.drop("flags"):
            assert np.array_equal(first[name], table[name]), name
        assert dict(zip(first["cell"], first["parent"], strict=True)) == {1: 0, 2: 0, **PARENTS}
        assert traces.schema.metadata[b"pixel_um"] == b"0.65"
        assert traces.schema.field("area_ch_0").metadata[b"unit"] == b"px"
        assert traces.schema.field("intensity_total_ch_1").metadata[b"channel_name"] == b"GFP"
        links = parquet.read_table(made / "plate_links.parquet").to_pandas()
        ends = links[["source_cell", "source_frame", "target_cell", "target_frame"]]
        found = {((a, s), (b, t)) for a, s, b, t in ends[links["fov"] == 1].to_numpy().tolist()}
        assert found == EDGES

    @pytest.mark.parametrize("fov", [0, 1])
    def test_an_fov_that_lacks_columns_of_others(self, folder, table, fov):
        parquet = pytest.importorskip("pyarrow.parquet")
        place = folder / f"fov_{fov:03d}" / f"plate_fov_{fov:03d}"
        place.with_name(f"{place.name}_tracks.csv").unlink()
        name = place.with_name(f"{place.name}_traces.csv")
        columns = read_csv(name)
        columns["area_ch_0"], gone = columns["area_ch_0"] * 2.0, columns.pop("intensity_total_ch_1")
        write_csv(name, columns)
        assert main(["export", "parquet", str(folder), "--fovs", "0,1"]) == 0
        made = folder / "exports" / "parquet"
        traces = parquet.read_table(made / "plate_traces.parquet").to_pandas()
        known = traces.groupby("fov")["intensity_total_ch_1"].count()
        assert known.to_dict() == {fov: 0, 1 - fov: len(gone)}
        assert traces["area_ch_0"].sum() == 3 * table["area_ch_0"].sum()
        links = parquet.read_table(made / "plate_links.parquet").to_pandas()
        assert links.groupby("fov")["iou"].count().to_dict() == {fov: 0, 1 - fov: len(EDGES)}

    def test_polars_reads_it(self, folder):
        polars = pytest.importorskip("polars")
        made = export(folder, "parquet", "--good-only") / "plate_traces.parquet"
        assert polars.read_parquet(made)["good"].all()


def add_columns_of_tracks(folder):
    """Give traces and links of both FOVs what the table of cells is made of."""
    for fov in (0, 1):
        stem = folder / f"fov_{fov:03d}" / f"plate_fov_{fov:03d}"
        traces, links = (read_csv(f"{stem}_{kind}.csv") for kind in ("traces", "tracks"))
        area = {"area_um2": traces["area_ch_0"] * PIXEL_UM**2}
        write_csv(f"{stem}_traces.csv", traces | area)
        write_csv(f"{stem}_tracks.csv", links | {"distance_px": 0.0 * links["frame"]})


class TestCells:
    def test_a_row_per_cell_of_all_fovs(self, folder, table, capsys):
        add_columns_of_tracks(folder)
        assert main(["export", "cells", str(folder), "--fovs", "0,1"]) == 0
        found = pd.read_csv(folder / "exports" / "cells" / "plate_cells.csv")
        assert list(found.columns[:4]) == ["dataset", "fov", "cell", "parent"]
        assert found["fov"].value_counts().to_dict() == dict.fromkeys(
            (0, 1), table["cell"].nunique()
        )
        first = found[found["fov"] == 0].set_index("cell")
        assert first["parent"].to_dict() == {1: 0, 2: 0, **PARENTS}
        assert first["frames"].to_dict() == table["cell"].value_counts().to_dict()
        good = table[table["good"]]["cell"].value_counts().to_dict()
        assert first["good_frames"].to_dict() == good

    @pytest.mark.parametrize("form", ["cells", "parquet"])
    def test_rows_have_the_names_of_positions(self, layout, form):
        from export.made_results import write

        folder = write(layout, positions={"1": "B2"})
        add_columns_of_tracks(folder)
        assert main(["export", form, str(folder), "--fovs", "0,1"]) == 0
        place = folder / "exports" / form
        found = (
            pd.read_csv(place / "plate_cells.csv", keep_default_na=False)
            if form == "cells"
            else pd.read_parquet(place / "plate_traces.parquet")
        )
        assert list(found.columns[:3]) == ["dataset", "fov", "position"]
        assert dict(zip(found["fov"], found["position"], strict=True)) == {0: "", 1: "B2"}

    def test_what_traces_lack_is_named(self, folder, capsys):
        assert main(["export", "cells", str(folder), "--fovs", "0"]) == 1
        assert "a table of cells needs the column 'area_um2'" in capsys.readouterr().err


class TestAnnData:
    @pytest.mark.filterwarnings("ignore")
    def test_cells_features_and_places(self, folder, table):
        anndata = pytest.importorskip("anndata")
        assert main(["export", "anndata", str(folder), "--fovs", "0,1"]) == 0
        found = anndata.read_h5ad(folder / "exports" / "anndata" / "plate.h5ad")
        assert found.shape == (2 * len(table), 3)
        assert list(found.var["feature"]) == ["area", "intensity_total", "intensity_total"]
        assert list(found.var["channel_name"]) == list(NAMES.values())
        assert list(found.var["unit"]) == ["px", "counts", "counts"]
        n = len(table)
        first = found[:n]
        assert np.array_equal(first.X, table[list(found.var_names)].to_numpy(np.float64))
        for name in ("cell", "frame", "time", "good"):
            assert np.array_equal(first.obs[name], table[name]), name
        assert list(first.obs["flags"]) == list(table["flags"].fillna(""))
        assert set(first.obs.loc[first.obs["cell"] == 3, "parent"]) == {1}
        places = table[["position_x", "position_y"]].to_numpy() * PIXEL_UM
        assert np.allclose(first.obsm["spatial"], places, rtol=1e-12)
        assert found.uns["pixel_um"] == PIXEL_UM
        assert list(found.obs_names[:1]) == ["plate_fov_000_cell_1_frame_0"]
        assert found.obs_names.is_unique
        assert set(found.obs["fov"]) == {0, 1}

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("fov", [0, 1])
    def test_an_fov_that_lacks_features_of_others(self, folder, table, fov):
        anndata = pytest.importorskip("anndata")
        name = folder / f"fov_{fov:03d}" / f"plate_fov_{fov:03d}_traces.csv"
        columns = read_csv(name)
        del columns["intensity_total_ch_1"]
        write_csv(name, columns)
        assert main(["export", "anndata", str(folder), "--fovs", "0,1"]) == 0
        found = anndata.read_h5ad(folder / "exports" / "anndata" / "plate.h5ad")
        assert found.var.loc["intensity_total_ch_1", ["unit", "channel"]].tolist() == ["counts", 1]
        lost = np.isnan(found[:, "intensity_total_ch_1"].X[:, 0])
        assert np.array_equal(lost, found.obs["fov"] == fov)
        assert np.isfinite(found[:, "area_ch_0"].X).all()


class TestCtc:
    def test_ids_frames_and_mothers(self, folder):
        import tifffile

        made = export(folder, "ctc") / "plate"
        assert sorted(path.name for path in made.iterdir()) == ["01", "01_RES"]
        rows = (made / "01_RES" / "res_track.txt").read_text().splitlines()
        tracks = {n: rest for n, *rest in (map(int, row.split()) for row in rows)}
        places = labels_of(0)
        for t in range(FRAMES):
            mask = tifffile.imread(made / "01_RES" / f"mask{t:03d}.tif")
            assert mask.dtype == np.uint16
            assert np.array_equal(mask > 0, places[t] > 0)
            frame = tifffile.imread(made / "01" / f"t{t:03d}.tif")
            assert np.array_equal(frame, stack(folder, "pc", 0)[t])
            here = {n for n, (begin, end, _) in tracks.items() if begin <= t <= end}
            assert here == set(np.unique(mask).tolist()) - {0}
        spans = sorted((begin, end, parent > 0) for begin, end, parent in tracks.values())
        # Cell 2 has a gap, so that it goes on under a new id; 3 and 4 are daughters of 1.
        assert spans == [(0, 1, False), (0, 2, False), (3, 5, True), (3, 5, True), (3, 5, True)]
        by_span = {(begin, end): n for n, (begin, end, _) in tracks.items()}
        mothers = sorted(parent for _, _, parent in tracks.values() if parent)
        assert mothers == sorted([by_span[0, 1], by_span[0, 2], by_span[0, 2]])

    @pytest.mark.filterwarnings("ignore")
    def test_geff_reads_it(self, folder, tmp_path):
        geff = pytest.importorskip("geff")
        from geff.convert import from_ctc_to_geff

        made = export(folder, "ctc", "--good-only") / "plate" / "01_RES"
        from_ctc_to_geff(made, tmp_path / "ctc.geff")
        graph, _ = geff.read(tmp_path / "ctc.geff")
        assert len(graph.nodes) == 13
        assert len(graph.edges) == len(EDGES) - 1

    def test_ctcmetrics_reads_it(self, folder, tmp_path):
        metrics = pytest.importorskip(
            "ctc_metrics.scripts.evaluate", reason="py-ctcmetrics is not installed"
        )
        made = export(folder, "ctc") / "plate"
        (truth := tmp_path / "01_GT" / "TRA").mkdir(parents=True)
        for path in (made / "01_RES").iterdir():
            name = path.name.replace("mask", "man_track").replace("res_track", "man_track")
            truth.joinpath(name).write_bytes(path.read_bytes())
        found = metrics.evaluate_sequence(
            str(made / "01_RES"), str(tmp_path / "01_GT"), ["TRA", "DET"]
        )
        assert (found["TRA"], found["DET"]) == (1, 1)


class TestOthersResults:
    @pytest.mark.parametrize("form", ["2025-10", "2025-11"])
    def test_results_of_pyama_are_exported(self, folder, table, form, tmp_path):
        parquet = pytest.importorskip("pyarrow.parquet")
        there = export(folder, "pyama", "--form", form) / "plate"
        assert main(["export", "parquet", str(there), "--out", str(tmp_path)]) == 0
        found = parquet.read_table(tmp_path / "plate_traces.parquet").to_pandas()
        for name in ("cell", "frame", "time", "intensity_total_ch_1", "intensity_total_ch_2"):
            assert np.array_equal(found[name], table[name]), name

    def test_a_folder_without_a_results_file(self, folder, tmp_path):
        geff = pytest.importorskip("geff")
        (folder / "processing_results.yaml").unlink()
        made = export(folder, "geff", "--pixel-um", "0.5")
        graph, _ = geff.read(made / "plate_fov_000.geff")
        nodes, edges = nodes_and_edges(graph)
        assert edges == EDGES
        assert nodes[3, 5]["t"] == 5 * INTERVAL_S

    @pytest.mark.parametrize("form", ["2025-10", "2025-11"])
    def test_times_have_the_unit_that_is_told_also_without_a_results_file(self, folder, form):
        (folder / "processing_results.yaml").unlink()
        name = folder / "fov_000" / "plate_fov_000_traces.csv"
        columns = read_csv(name)
        minutes = columns["time"]
        write_csv(name, {**columns, "time": minutes / 60})
        made = fovflow.load_results(export(folder, "pyama", "--form", form) / "plate")
        assert made.time_units == "min"
        assert np.allclose(made.fovs[0].traces()["time"], minutes)

    def test_no_table_of_cells_without_a_unit_of_times(self, folder):
        (folder / "processing_results.yaml").unlink()
        with pytest.raises(fovflow.FovflowError, match="the unit of its times is not known"):
            fovflow.load_results(folder).fovs[0].cells()

    def test_channels_of_one_name_with_odd_letters(self, layout):
        import tifffile
        from ome_types import from_tiff

        from export.made_results import write

        names = {0: "Phase", 1: "<GFP>\x07&", 2: "<GFP>\x07&"}
        made = export(write(layout, channel_names=names), "ome-tiff") / "plate_fov_000.ome.tif"
        assert tifffile.imread(made).shape == (FRAMES, 3, *SIZE)
        channels = from_tiff(made).images[0].pixels.channels
        assert [channel.name for channel in channels] == ["Phase", *["<GFP>\ufffd&"] * 2]


class TestPyama:
    """Loaded as the two versions do it: files by their last two parts below the folder."""

    @staticmethod
    def opened(folder: Path, name: str) -> Path:
        return folder.joinpath(*Path(name).parts[-2:])

    def test_the_form_of_2025_10(self, folder, table):
        import pandas as pd
        import yaml

        made = export(folder, "pyama", "--form", "2025-10") / "plate"
        content = yaml.safe_load((made / "processing_results.yaml").read_text("utf-8"))
        assert content["channels"] == {"pc": 0, "fl": [1, 2]}
        assert content["time_units"] == "min"
        files = content["results_paths"]["0"]
        assert sorted(files) == ["fl", "fl_corrected", "pc", "seg", "seg_labeled", "traces_csv"]
        for channel, name in files["fl_corrected"]:
            found = np.load(self.opened(made, name))
            assert np.array_equal(found, stack(folder, "fl_corrected", channel))
        assert [channel for channel, _ in files["traces_csv"]] == [1, 2]
        for channel, name in files["traces_csv"]:
            assert name.endswith(f"plate_fov_000_traces_ch_{channel}.csv")
            found = pd.read_csv(self.opened(made, name))
            assert list(found)[:7] == ["fov", "cell", "frame", "time", "good", "position_x",
                                       "position_y"]  # fmt: skip
            assert list(found)[7:] == ["area", "intensity_total"]
            total = table[f"intensity_total_ch_{channel}"]
            assert np.array_equal(found["intensity_total"], total)

    def test_the_form_of_2025_11(self, folder, table):
        import pandas as pd
        import yaml

        made = export(folder, "pyama") / "plate"
        content = yaml.safe_load((made / "processing_results.yaml").read_text("utf-8"))
        assert content["channels"] == {
            "pc": [0, ["area"]],
            "fl": [[1, ["intensity_total"]], [2, ["intensity_total"]]],
        }
        files = content["results"]["0"]
        assert sorted(files) == ["fl", "fl_background", "pc", "seg", "seg_labeled", "traces"]
        for channel, name in files["fl_background"]:
            background = np.load(self.opened(made, name))
            assert background.shape == (FRAMES, *SIZE)
            assert np.array_equal(background, np.full(background.shape, 90.5, np.float32)), channel
        found = pd.read_csv(self.opened(made, files["traces"]))
        assert list(found) == list(table)
        assert np.array_equal(found["intensity_total_ch_2"], table["intensity_total_ch_2"])

    @pytest.mark.parametrize("form", ["2025-10", "2025-11"])
    def test_we_read_both_again(self, folder, table, form):
        made = export(folder, "pyama", "--form", form) / "plate"
        again = fovflow.load_results(made)
        assert again.missing == ()
        assert again.channels == {"pc": 0, "fl": [1, 2]}
        assert np.array_equal(again.fovs[0].stack("seg_labeled"), labels_of(0))
        assert list(again.fovs[0].traces()["cell"]) == list(table["cell"])


class TestNapari:
    @pytest.fixture
    def viewer(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pytest.importorskip(
                "napari", reason='napari is not installed: pip install "fovflow[napari]"'
            )
            import npe2
            from napari.components import ViewerModel

        manifest = npe2.PluginManifest.from_file(
            Path(fovflow.__file__).parent / "export" / "napari.yaml"
        )
        manager = npe2.PluginManager.instance()
        if manifest.name not in manager:
            manager.register(manifest)
        return ViewerModel()

    @pytest.mark.filterwarnings("ignore")
    def test_a_dropped_results_file_opens_images_labels_and_tracks(self, folder, table, viewer):
        viewer.open(str(folder / "processing_results.yaml"), plugin="fovflow")
        layers = {layer.name: layer for layer in viewer.layers}
        kinds = [type(layers[f"fov_000 {n}"]).__name__ for n in ("Phase", "GFP", "cells", "tracks")]
        assert kinds == ["Image", "Image", "Labels", "Tracks"]
        for layer in layers.values():
            assert list(layer.scale) == [1.0, PIXEL_UM, PIXEL_UM]
            assert layer.visible == (layer.name[:7] == "fov_000" and "corrected" not in layer.name)
        assert np.array_equal(layers["fov_000 GFP"].data, stack(folder, "fl", 1))
        assert np.array_equal(layers["fov_000 cells"].data, labels_of(0))
        tracks = layers["fov_000 tracks"]
        places = table[["cell", "frame", "position_y", "position_x"]].to_numpy()
        assert np.array_equal(tracks.data, places)
        assert tracks.graph == {daughter: [mother] for daughter, mother in PARENTS.items()}
        assert np.array_equal(tracks.features["area_ch_0"], table["area_ch_0"])

    @pytest.mark.filterwarnings("ignore")
    def test_the_folder_of_an_fov_opens_that_fov(self, folder, viewer):
        viewer.open(str(folder / "fov_001"), plugin="fovflow")
        assert {layer.name[:7] for layer in viewer.layers} == {"fov_001"}

    @pytest.mark.slow
    def test_the_command_opens_a_window(self, folder):
        words = "there is no Qt here: apt-get install libgl1"
        pytest.importorskip("qtpy.QtWidgets", reason=words, exc_type=ImportError)
        script = (
            "import os, napari, fovflow.cli\n"
            "def look():\n"
            "    shown = napari.current_viewer()\n"
            "    print(shown.window._qt_window.isVisible(), *shown.layers, sep='|', flush=True)\n"
            "    os._exit(0)\n"
            "napari.run = look\n"
            f"fovflow.cli.main(['napari', {str(folder)!r}, '--fovs', '1'])\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        visible, *names = done.stdout.strip().split("|")
        assert visible == "True"
        assert names[:2] == ["fov_001 Phase", "fov_001 GFP"]
        assert names[-2:] == ["fov_001 cells", "fov_001 tracks"]

    def test_other_files_are_left_to_others(self, folder):
        from fovflow.export.napari import get_reader

        assert get_reader(str(folder / "fov_000" / "plate_fov_000_traces.csv")) is None
        assert get_reader(str(folder)) is None


def test_each_format_says_what_it_is(capsys):
    assert main(["export", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == format_names()
    assert all(find_format(name, installed=False).words in line
               for name, line in zip(format_names(), lines, strict=True))  # fmt: skip
