"""fovflow merge and fovflow fit, on results of this program and of others."""

from __future__ import annotations

import json
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis.made_traces import traces, write_results

import fovflow
import fovflow.results
from fovflow.cli import main
from fovflow.errors import ConfigError, FovflowError
from fovflow.tables import write_csv

# ---- merge


@pytest.fixture
def results(tmp_path, monkeypatch) -> Path:
    """Two output folders, each with a dataset of the same name; the second lacks an FOV."""
    monkeypatch.chdir(tmp_path)
    write_results(tmp_path / "one", "plate", {0: traces(0), 1: traces(1, bad=1)})
    write_results(tmp_path / "two", "plate", {0: traces(0), 1: None, 2: traces(2)})
    return tmp_path


def test_each_dataset_is_a_sample(results, capsys):
    assert main(["merge", "one", "two/plate"]) == 0
    out = capsys.readouterr().out
    assert "one_plate: intensity_total_ch_1, area_um2_ch_0\n" in out
    assert (
        "two_plate: intensity_total_ch_1, area_um2_ch_0; left out: FOV 1: failed: no light" in out
    )
    table = pd.read_csv("analysis/traces.csv.gz")
    assert table.groupby("sample").fov.unique().map(list).to_dict() == {
        "one_plate": [0, 1], "two_plate": [0, 2],
    }  # fmt: skip
    assert "intensity_total_GFP" in table
    assert fovflow.read_analysis("analysis/two_plate_intensity_total_ch_1.csv").value.max() == 222


def test_datasets_keep_their_names_as_samples_apart(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a b", "a_b")):
        write_results(tmp_path / "results", name, {number: traces(number)})
    assert main(["merge", "results"]) == 0
    table = pd.read_csv("analysis/traces.csv.gz")
    assert table.groupby("sample").fov.unique().map(list).to_dict() == {"a b": [0], "a_b": [1]}
    shutil.copytree("results/a_b", "results/a!b")
    capsys.readouterr()
    assert main(["merge", "results"]) == 2
    assert "the same names; found: results/a!b, results/a_b; to do" in capsys.readouterr().err


def test_a_table_of_samples_over_folders(results, capsys):
    Path("s.tsv").write_text(
        "sample\tdataset\tfovs\tcondition\nc\tone/plate\t0\tctrl\nd\ttwo/plate\tall\tdrug\n"
    )
    assert (
        main(["merge", "one", "two", "--samples", "s.tsv", "--feature", "area", "--out", "m"]) == 0
    )
    assert sorted(path.name for path in Path("m").iterdir()) == [
        "c_area_ch_0.csv", "c_area_ch_0_wide.csv", "d_area_ch_0.csv", "d_area_ch_0_wide.csv",
        "samples.csv", "traces.csv.gz", "traces.parquet",
    ]  # fmt: skip
    Path("s.tsv").write_text("sample\tdataset\tfovs\nc\tone/plate\t5\nd\tnone\tall\n")
    assert main(["merge", "one", "two", "--samples", "s.tsv"]) == 2
    error = capsys.readouterr().err
    assert "sample c: FOV 5 of 2 that there are" in error
    assert "the dataset 'none' does not exist" in error


def test_a_sample_that_fails_costs_itself(results, capsys):
    write_results(results / "three", "empty", {0: traces(0, cells=0)})
    assert main(["merge", "one", "three"]) == 1
    assert "the sample empty has no good cells; found: FOV 0: no cells" in capsys.readouterr().err
    assert Path("analysis/plate_intensity_total_ch_1.csv").exists()
    assert main(["merge", "one", "--feature", "brightness"]) == 1
    assert "has no feature brightness" in capsys.readouterr().err


def test_a_unit_of_times_that_nothing_tells(results, capsys):
    write_results(results / "four", "plate", {0: traces(0)}, time_units="")
    assert main(["merge", "four"]) == 2
    assert "give it with --time-units" in capsys.readouterr().err
    assert main(["merge", "four", "--time-units", "h"]) == 0
    assert fovflow.read_analysis("analysis/plate_intensity_total_ch_1.csv").time.max() == 20


def plain(columns: dict, *names: str) -> dict:
    """Return the columns that both forms of another program have, and some under plain names."""
    leading = {name: columns[name] for name in ("fov", "cell", "frame", "time", "good")}
    return leading | {name.partition("_ch_")[0]: columns[name] for name in names}


def test_a_table_for_each_channel_as_in_an_older_program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = {c: f"fov_000/base_fov_000_traces_ch_{c}.csv" for c in (1, 2)}
    entry = {"traces_csv": [[c, file] for c, file in files.items()]}
    content = {"channels": {"pc": 0, "fl": [1, 2]}, "channel_names": {}, "pixel_um": None}
    folder = write_results(
        tmp_path / "old", "plate", {0: None}, results_paths={"0": entry}, **content
    )
    columns = traces(0)
    write_csv(folder / files[1], plain(columns, "area_ch_0", "intensity_total_ch_1"))
    second = plain({**columns, "intensity_total_ch_2": columns["intensity_total_ch_1"] + 1000},
                   "area_ch_0", "intensity_total_ch_2")  # fmt: skip
    write_csv(folder / files[2], {name: values[1:] for name, values in second.items()})
    assert main(["merge", "old", "--feature", "intensity_total"]) == 0
    first = fovflow.read_analysis("analysis/plate_intensity_total_ch_1.csv")
    assert first.value.tolist() == columns["intensity_total_ch_1"].tolist()
    other = fovflow.read_analysis("analysis/plate_intensity_total_ch_2.csv")
    np.testing.assert_array_equal(other.value, [np.nan, *(first.value[1:] + 1000)])


def test_one_table_with_plain_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    columns = plain(traces(0), "area_ch_0", "intensity_total_ch_1")
    write_results(tmp_path / "old", "plate", {0: columns}, pixel_um=None)
    assert main(["merge", "old"]) == 0
    assert sorted(path.name for path in Path("analysis").glob("plate*ch_?.csv")) == [
        "plate_area_ch_0.csv", "plate_intensity_total_ch_1.csv",
    ]  # fmt: skip


def test_the_form_with_results_by_fov(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = write_results(tmp_path / "new", "plate", {0: traces(0)})
    (folder / "processing_results.yaml").write_text(
        "channels: {pc: [0, [area]], fl: [[1, [intensity_total]]]}\ntime_units: min\n"
        "results: {'0': {traces: fov_000/plate_fov_000_traces.csv}}\n"
    )
    assert fovflow.load_results(folder).channels == {"pc": 0, "fl": [1]}
    assert main(["merge", "new"]) == 0
    assert len(fovflow.read_analysis("analysis/plate_intensity_total_ch_1.csv")) == 6
    (folder / "processing_results.yaml").write_text("channels: {pc: 0}\nresults: {'0': []}\n")
    with pytest.raises(FovflowError, match="no results file"):
        fovflow.load_results(folder)


def test_verdicts_alone_are_put_into_the_traces(tmp_path):
    folder = write_results(tmp_path, "plate", {0: traces(0, cells=3, bad=2)})
    verdicts = folder / "fov_000" / "plate_fov_000_traces_inspected.csv"
    write_csv(verdicts, {"cell": [1, 2], "good": [False, True]})
    table = fovflow.load_results(folder).fovs[0].traces()
    assert table.groupby("cell").good.all().to_dict() == {1: False, 2: True, 3: True}
    assert (
        table.intensity_total_ch_1.to_list() == traces(0, cells=3)["intensity_total_ch_1"].tolist()
    )
    assert fovflow.load_results(folder).samples.empty
    assert fovflow.load_results(folder).fits.empty


# ---- fit


@pytest.fixture
def kinetics(monkeypatch, tmp_path) -> types.SimpleNamespace:
    """A stand-in that records how it is called; and a folder with two tables."""
    calls = []

    def fit_traces(table, model, **options):
        calls.append({"model": model, **options})
        if model == "unknown":
            raise ConfigError("there is no model unknown")
        if table.value.isna().any():
            raise FovflowError("a model that raises")
        cells = table.groupby(["fov", "cell"]).value.mean().reset_index(name="ktl")
        return cells.assign(model_type=model, success=True, verdict=["ok", "too few points"])

    parameter = types.SimpleNamespace(name="t0", unit="h", start=2, low=0, high=30)
    model = types.SimpleNamespace(formula="ktl·dt", parameters=(parameter,))
    stand_in = types.SimpleNamespace(fit_traces=fit_traces, MODELS={"line": model}, calls=calls)
    monkeypatch.setitem(sys.modules, "fovflow.kinetics", stand_in)
    monkeypatch.chdir(tmp_path)
    Path("a").mkdir()
    Path("a/one.csv").write_text("# Time units: h\ntime,fov,cell,value\n0,0,1,2\n0,0,2,4\n")
    Path("a/two.csv").write_text("# Time units: h\ntime,fov_000_cell_1,fov_000_cell_2\n0,1,\n")
    return stand_in


def test_many_files_in_one_call(kinetics, capsys):
    arguments = ["--model", "line", "--fix", "km=1.28", "--bounds", "t0=0:8", "--start", "t0=1"]
    assert (
        main(["fit", "a/one.csv", "a/two.csv", *arguments, "--population", "--share", "beta"]) == 1
    )
    told = capsys.readouterr()
    assert "a/one_fitted_line.csv: 2 cells, 1 of them ok" in told.out
    assert "fovflow: a model that raises" in told.err
    fitted = pd.read_csv("a/one_fitted_line.csv")
    assert fitted.ktl.to_list() == [2, 4]
    assert kinetics.calls[0] == {
        "model": "line", "fixed": {"km": 1.28}, "bounds": {"t0": (0, 8)}, "start": {"t0": 1},
        "shared": ["beta"], "settings": "default", "population": True,
    }  # fmt: skip
    assert not Path("a/two_fitted_line.csv").exists()


def test_the_folder_of_fits_and_the_list_of_models(kinetics, capsys):
    assert main(["fit", "a/one.csv", "--model", "line", "--out", "fits"]) == 0
    assert Path("fits/one_fitted_line.csv").exists()
    capsys.readouterr()
    assert main(["fit", "--models"]) == 0
    assert capsys.readouterr().out == ("line: ktl·dt\n  t0 (h): start 2, bounds 0 to 30\n")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "no file to fit"),
        (["a/one.csv", "--fix", "t0"], "--fix t0 is not of the form NAME=VALUE"),
        (["a/one.csv", "--start", "t0=x"], "--start t0=x is not of the form NAME=VALUE"),
        (["a/one.csv", "--bounds", "t0=1"], "--bounds t0=1 is not of the form NAME=LOW:HIGH"),
        (["a/one.csv", "--model", "unknown"], "there is no model unknown"),
    ],
)
def test_wrong_usage(kinetics, capsys, arguments, expected):
    assert main(["fit", *arguments]) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("names", [("007", "7"), ("NA", "1e3"), ("nan", "True")])
def test_results_of_a_sample_are_found_whatever_names_look_like(names, tmp_path):
    for name in names:
        write_results(tmp_path, name, {0: traces(0)})
    rows = [f"{n}\t{n}{'_2' * k}\tall\tNone\n" for k, n in enumerate(names)]
    (tmp_path / "s.tsv").write_text("dataset\tsample\tfovs\tcondition\n" + "".join(rows))
    folder, table = tmp_path / "analysis", tmp_path / "s.tsv"
    assert main(["merge", str(tmp_path), "--samples", str(table), "--out", str(folder)]) == 0
    for name in names:
        results = fovflow.load_results(tmp_path / name)
        assert results.samples["condition"].to_list() == ["None"]
        assert len(results.merged()) == len(traces(0)["cell"])


def test_fits_of_another_datasets_sample_are_not_taken_for_those_of_a_shorter_name(tmp_path):
    folder = tmp_path / "analysis"
    for name in ("one", "two"):
        write_results(tmp_path, name, {0: traces(0)})
    (tmp_path / "s.tsv").write_text("dataset\tsample\tfovs\none\tdrug\tall\ntwo\tdrug_2\tall\n")
    table = str(tmp_path / "s.tsv")
    assert main(["merge", str(tmp_path), "--samples", table, "--out", str(folder)]) == 0
    for name in ("drug", "drug_2"):
        pd.DataFrame({"fov": [0], "cell": [1], "verdict": [name]}).to_csv(
            folder / f"{name}_intensity_total_ch_1_fitted_decay.csv", index=False
        )
    found = {name: fovflow.load_results(tmp_path / name).fits for name in ("one", "two")}
    assert [*found["one"]["verdict"], *found["two"]["verdict"]] == ["drug", "drug_2"]
    assert {*found["one"]["feature"], *found["two"]["feature"]} == {"intensity_total"}


def test_a_copy_of_a_dataset_does_not_take_its_place(tmp_path):
    write_results(tmp_path, "plate", {0: traces(0)})
    shutil.copytree(tmp_path / "plate", tmp_path / "plate - copy")
    found = fovflow.results.load_datasets(tmp_path)
    assert {name: each.folder.name for name, each in found.items()} == {
        "plate": "plate", "plate - copy": "plate - copy",
    }  # fmt: skip


def test_fits_of_two_files_do_not_become_one(kinetics, capsys):
    Path("b").mkdir()
    Path("b/one.csv").write_text(Path("a/one.csv").read_text())
    arguments = ["--model", "line", "--out", "fits"]
    assert main(["fit", "a/one.csv", "b/one.csv", *arguments]) == 2
    told = capsys.readouterr().err
    assert "would be one file, fits/one_fitted_line.csv; found: a/one.csv, b/one.csv" in told
    assert main(["fit", "a/one.csv", "a/one.csv", *arguments]) == 0


def test_what_runs_made_is_not_replaced(kinetics, capsys, monkeypatch):
    folder, logs = Path("results/analysis"), Path("results/logs/analysis/control_1")
    folder.mkdir(parents=True)
    logs.mkdir(parents=True)
    shutil.copy2("a/one.csv", folder)
    for job, names in {"merge": ["one.csv", "samples.csv"],
                       "fit": ["one_fitted_line.csv", "statistics.csv"]}.items():  # fmt: skip
        outputs = {f"analysis/{name}": {"bytes": 1, "sha256": "0"} for name in names}
        record = {"v": 2, "type": "job_finished", "job": job, "rule": job, "step": job,
                  "wildcards": {"sample": "control_1"}, "attempt": 1, "status": "completed",
                  "outputs": outputs}  # fmt: skip
        (logs / f"{job}.json").write_text(json.dumps(record))
    (folder / "one_fitted_line.csv").write_text("the pipeline's")
    fit = ["fit", "results/analysis/one.csv", "--model"]
    for command in ([*fit, "line"], ["merge", "results", "--out", str(folder)],
                    ["statistics", str(folder)]):  # fmt: skip
        assert main(command) == 2
        assert "was made by the pipeline, which would make it again" in capsys.readouterr().err
    assert main([*fit, "curve"]) == 0  # another model's is another table
    assert main([*fit, "line", "--out", "mine"]) == 0
    assert Path("mine/one_fitted_line.csv").exists()
    assert (folder / "one_fitted_line.csv").read_text() == "the pipeline's"
    monkeypatch.chdir(folder)
    assert main(["fit", "one.csv", "--model", "line"]) == 2
