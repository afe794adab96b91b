"""Tables of samples: what is in them, what is left out, and who reads them."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis.made_traces import traces

import fovflow
from fovflow.analysis.merge import Measure, Source, merge_all, merge_sample
from fovflow.analysis.samples import Sample
from fovflow.errors import ConfigError, FovflowError
from fovflow.tables import write_csv

GFP = Measure("intensity_total", 1, "intensity_total_ch_1")
AREA = Measure("area_um2", 0, "area_um2")


def source(folder: Path, fovs: dict[int, dict], name: str = "s", **about) -> Source:
    """Write traces; return a sample of them."""
    files = {}
    for fov, columns in fovs.items():
        files[fov] = folder / f"{name}_fov_{fov:03d}_traces.csv"
        write_csv(files[fov], columns)
    sample = Sample(name, "plate", {fov: f"B{fov}" for fov in fovs}, **about)
    return Source(sample, files, "min", {0: "Phase", 1: "GFP (488)"})


def test_tidy_and_wide(tmp_path):
    merge_sample(source(tmp_path, {0: traces(0, bad=2), 3: traces(3)}), [GFP, AREA], tmp_path)
    lines = (tmp_path / "s_intensity_total_ch_1.csv").read_text().splitlines()
    assert lines[:3] == ["# Time units: h", "time,fov,cell,value", "0.0,0,1,10.0"]
    tidy = fovflow.read_analysis(tmp_path / "s_intensity_total_ch_1.csv")
    assert tidy.fov.tolist() == [0] * 3 + [3] * 6
    assert tidy.cell.tolist() == [1] * 6 + [2] * 3
    np.testing.assert_allclose(
        tidy.time[:6], [0, 1 / 6, 1 / 3, 0.005, 1 / 6 + 0.005, 1 / 3 + 0.005]
    )
    assert tidy.value.tolist() == [10, 11, 12, 310, 311, 312, 320, 321, 322]
    lines = (tmp_path / "s_intensity_total_ch_1_wide.csv").read_text().splitlines()
    assert lines[:2] == ["# Time units: h", "time,fov_000_cell_1,fov_003_cell_1,fov_003_cell_2"]
    wide = fovflow.read_analysis(tmp_path / "s_intensity_total_ch_1_wide.csv")
    assert wide.value.tolist() == tidy.value.tolist()
    np.testing.assert_allclose(wide.time[:3], [0.0025, 1 / 6 + 0.0025, 1 / 3 + 0.0025])
    assert fovflow.read_analysis(tmp_path / "s_area_um2_ch_0.csv").value[0] == 12.75


def test_tables_that_tell_no_frame_are_joined_by_their_times(tmp_path):
    fovs = {}
    for fov, late in ((0, 0.0), (1, 2.0)):  # photographed 12 s later; the cell comes after an hour
        time = 60.0 * np.arange(4) + late / 10 + (60 if late else 0)
        fovs[fov] = {"fov": np.full(4, fov), "cell": np.ones(4, int), "time": time,
                     "good": np.ones(4, bool), GFP.column: np.arange(4.0)}  # fmt: skip
    merge_sample(source(tmp_path, fovs), [GFP], tmp_path)
    wide = pd.read_csv(tmp_path / "s_intensity_total_ch_1_wide.csv", comment="#").set_index("time")
    assert wide.index.to_numpy() == pytest.approx([0, 1, 2, 3, 4], abs=0.01)
    assert wide["fov_000_cell_1"].dropna().tolist() == wide["fov_001_cell_1"].dropna().tolist()
    assert wide["fov_001_cell_1"].isna().tolist() == [True, False, False, False, False]


def test_bad_and_empty_fovs_cost_themselves(tmp_path):
    made = source(
        tmp_path,
        {
            0: traces(0),
            1: traces(1, cells=0),
            2: traces(2, cells=1, bad=1),
            3: traces(3),
            4: traces(4),
            5: {"fov": [5], "cell": [1], "frame": [0], "time": [0.0], "good": [True]},
            6: traces(6, frame=np.zeros(6, int)),
        },
        left_out={9: "left out by the configuration's fovs"},
    )
    made.traces[3].write_text("fov,cell\n1,2,3\n")
    made.traces[4].unlink()
    merge_sample(made, [GFP], tmp_path)
    assert fovflow.read_analysis(tmp_path / "s_intensity_total_ch_1.csv").fov.unique().tolist() == [
        0
    ]
    assert {fov: reason.split(":")[0] for fov, reason in made.left_out.items()} == {
        1: "no cells",
        2: "no good cell",
        3: "unreadable traces",
        4: "unreadable traces",
        5: "not measured",
        6: "two rows of one cell and frame",
    }
    assert "FOV 5: not measured: intensity_total_ch_1" in made.left_out_words()
    assert made.left_out_words().endswith("FOV 9: left out by the configuration's fovs")


def test_a_sample_without_good_cells_is_an_error(tmp_path):
    made = source(tmp_path, {0: traces(0, cells=0), 1: traces(1, cells=1, bad=1)})
    with pytest.raises(
        FovflowError, match="the sample s has no good cells; found: FOV 0: no cells; "
    ):
        merge_sample(made, [GFP], tmp_path)
    assert not list(tmp_path.glob("*_ch_1.csv"))


@pytest.mark.parametrize("whole", [True, False])
def test_people_win_over_the_automatic_verdict(tmp_path, whole):
    made = source(tmp_path, {0: traces(0, cells=3, bad=2)})
    verdicts = traces(0, cells=3, bad=1) if whole else {"cell": [1, 2], "good": [False, True]}
    path = tmp_path / "s_fov_000_traces_inspected.csv"
    write_csv(path, verdicts)
    path.write_text("# by hand\n" + path.read_text())
    made.traces[0] = path
    merge_sample(made, [GFP], tmp_path)
    found = fovflow.read_analysis(tmp_path / "s_intensity_total_ch_1.csv")
    assert found.cell.unique().tolist() == [2, 3]
    merge_all([made], tmp_path)
    table = pd.read_csv(tmp_path / "traces.csv.gz")
    assert table.groupby("cell").good.all().to_dict() == {1: False, 2: True, 3: True}


@pytest.fixture
def everything(tmp_path) -> Path:
    """The table of two samples, of which one has no dose of its own kind."""
    about = {"condition": "drug, 5 nM", "replicate": "d1"}
    first = source(tmp_path, {0: traces(0), 1: traces(1, bad=1)}, columns={"dose": "0"}, **about)
    second = source(tmp_path, {0: traces(0), 2: traces(2, cells=0)}, "b", columns={"dose": "2.5"})
    folder = tmp_path / "analysis"
    merge_all([first, second], folder)
    return folder


COLUMNS = [
    "dataset", "position", "sample", "condition", "replicate", "dose", "fov", "cell", "frame",
    "time_h", "good", "flags", "area_Phase", "intensity_total_GFP_488", "area_um2",
]  # fmt: skip


def test_the_table_of_everything_in_pandas(everything):
    table = pd.read_csv(everything / "traces.csv.gz")
    assert table.columns.to_list() == COLUMNS
    assert len(table) == 18
    assert table.good.dtype == bool
    assert table.good.sum() == 15
    assert table.dose.to_list() == [0.0] * 12 + [2.5] * 6
    assert table.loc[0, "condition"] == "drug, 5 nM"
    assert table.position.to_list() == ["B0"] * 6 + ["B1"] * 6 + ["B0"] * 6
    assert table.intensity_total_GFP_488[7] == 111.0
    text = gzip.decompress((everything / "traces.csv.gz").read_bytes()).decode()
    assert (text.count(",TRUE,"), text.count(",FALSE,")) == (15, 3)
    samples = pd.read_csv(everything / "samples.csv", keep_default_na=False)
    assert samples.to_dict("records") == [
        {"sample": "s", "dataset": "plate", "condition": "drug, 5 nM", "replicate": "d1",
         "dose": 0.0, "fovs": 2, "cells": 4, "good_cells": 3, "left_out": ""},
        {"sample": "b", "dataset": "plate", "condition": "", "replicate": "", "dose": 2.5,
         "fovs": 1, "cells": 2, "good_cells": 2, "left_out": "FOV 2: no cells"},
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["traces.csv.gz", "traces.parquet"])
def test_the_table_of_everything_in_polars(everything, name):
    pl = pytest.importorskip("polars")
    path = everything / name
    table = pl.read_parquet(path) if name.endswith("parquet") else pl.read_csv(path)
    assert table.columns == COLUMNS
    kinds = {"good": pl.Boolean, "dose": pl.Float64, "cell": pl.Int64, "time_h": pl.Float64}
    assert {key: table.schema[key] for key in kinds} == kinds
    assert table.filter("good").height == 15


@pytest.mark.parametrize("name", ["traces.csv.gz", "traces.parquet"])
def test_the_table_of_everything_in_duckdb(everything, name):
    duckdb = pytest.importorskip("duckdb")
    found = duckdb.sql(f"select * from '{everything / name}'")
    assert found.columns == COLUMNS
    kinds = dict(zip(found.columns, map(str, found.types), strict=True))
    expected = {"good": "BOOLEAN", "dose": "DOUBLE", "cell": "BIGINT", "time_h": "DOUBLE"}
    assert {key: kinds[key] for key in expected} == expected
    assert duckdb.sql(f"select count(*) from '{everything / name}' where good").fetchall() == [
        (15,)
    ]


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="needs R (Debian's r-base)")
def test_the_table_of_everything_in_r(everything):
    script = (
        "d <- read.csv(commandArgs(TRUE)); cat(class(d$good), class(d$dose), class(d$time_h), "
        "sum(d$good), nrow(d), '\\n'); cat(names(d), sep = ',')"
    )
    done = subprocess.run(
        ["Rscript", "-e", script, str(everything / "traces.csv.gz")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["logical numeric numeric 15 18 ", ",".join(COLUMNS)]


def test_the_same_traces_give_the_same_bytes(everything, tmp_path):
    first = {path.name: path.read_bytes() for path in everything.iterdir()}
    again = tmp_path / "again"
    about = {"condition": "drug, 5 nM", "replicate": "d1"}
    merge_all(
        [
            source(tmp_path, {0: traces(0), 1: traces(1, bad=1)}, columns={"dose": "0"}, **about),
            source(tmp_path, {0: traces(0), 2: traces(2, cells=0)}, "b", columns={"dose": "2.5"}),
        ],
        again,
    )
    assert {path.name: path.read_bytes() for path in again.iterdir()} == first


def test_text_that_looks_like_numbers_and_channels_of_one_name(tmp_path):
    made = source(tmp_path, {0: traces(0)}, replicate="007")
    made.channels = {0: "Cy", 1: "Cy"}
    merge_all([made], tmp_path)
    table = pd.read_csv(tmp_path / "traces.csv.gz", dtype={"replicate": str})
    assert table.replicate.unique().tolist() == ["007"]
    assert {"area_ch_0", "intensity_total_ch_1"} <= set(table)
    assert pd.read_parquet(tmp_path / "traces.parquet").replicate.unique().tolist() == ["007"]


def test_no_column_of_the_samples_takes_the_place_of_a_measured_one(tmp_path):
    made = source(tmp_path, {0: traces(0)}, columns={"area_um2": "3", "dose": "1"})
    with pytest.raises(ConfigError, match="called as one of the traces: area_um2"):
        merge_all([made], tmp_path)
    made = source(tmp_path, {0: traces(0)}, columns={"bbox_side": "left"})
    merge_all([made], tmp_path)
    assert pd.read_parquet(tmp_path / "traces.parquet").bbox_side.unique().tolist() == ["left"]


def test_a_channel_that_is_called_like_the_index_of_another(tmp_path):
    made = source(tmp_path, {0: traces(0)})
    merge_all([made], tmp_path / "named")
    made.channels = {0: "ch 1", 1: ""}
    merge_all([made], tmp_path)
    table, named = (pd.read_csv(p / "traces.csv.gz") for p in (tmp_path, tmp_path / "named"))
    assert table.area_ch_0.equals(named.area_Phase)
    assert table.intensity_total_ch_1.equals(named.intensity_total_GFP_488)


def test_without_pyarrow_there_is_no_parquet(tmp_path, monkeypatch):
    monkeypatch.setattr("fovflow.analysis.merge.find_spec", lambda _: None)
    merge_all([source(tmp_path, {0: traces(0)})], tmp_path / "analysis")
    assert sorted(p.name for p in (tmp_path / "analysis").iterdir()) == [
        "samples.csv", "traces.csv.gz",
    ]  # fmt: skip
