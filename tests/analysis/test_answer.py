"""The tables and pictures of all samples, from the tables of each."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from fovflow.analysis import pictures
from fovflow.analysis.answer import (
    comparisons_in,
    model_curves,
    picture_names,
    read_fits,
    samples_table,
    tables_in,
    write_statistics,
)
from fovflow.analysis.fits import write_fits
from fovflow.errors import FovflowError
from fovflow.simulation import MovieParams, simulate_traces, write_samples
from fovflow.simulation.experiment import samples
from fovflow.simulation.population import amount
from fovflow.units import parse_ranges

PARAMS = MovieParams(
    seed=5,
    positions=12,
    frames=40,
    interval_s=1800,
    cells=15,
    conditions=("control", "drug"),
    replicates=3,
    effects={"drug": {"ktl": 0.4, "t0_h": 2.0}},
    onset_h=(1.0, 3.0),
    day_spread=0.05,
    fov_spread=0.05,
)
NAMES = {"t0": "t0_h", "ktl": "ktl", "delta": "delta", "beta": "beta"}


def analysis(folder: Path, params: MovieParams = PARAMS) -> Path:
    """Write tables as `merge` and `fit` do, with the true parameters as fits."""
    traces = pd.DataFrame(simulate_traces(params, noise=0.01))
    for row in samples(params):
        own = traces[traces["fov"].isin(parse_ranges(row["fovs"]))]
        stem = folder / f"{row['sample']}_intensity_total_ch_1"
        text = own[["time", "fov", "cell", "value"]].to_csv(index=False)
        stem.with_suffix(".csv").write_text(f"# Time units: h\n{text}")
        (folder / f"{stem.name}_wide.csv").write_text("# Time units: h\ntime,fov_000_cell_1\n")
        fits = own.drop_duplicates(["fov", "cell"]).reset_index()
        table = fits[["fov", "cell"]].assign(model_type="trivial", success=True, r_squared=0.99)
        for name, true in NAMES.items():
            table[name], table[f"{name}_se"] = fits[true], 0.1
        table["verdict"] = "ok"
        table.loc[0, ["success", "verdict"]] = [False, "bound hit"]
        table.to_csv(folder / f"{stem.name}_fitted_trivial.csv", index=False)
    write_samples(params, folder / "samples.tsv")
    return folder


def curves(model: str, times: np.ndarray, fits: pd.DataFrame) -> np.ndarray:
    rates = {true: fits[name].to_numpy()[:, None] for name, true in NAMES.items()}
    return amount(model, times[None], km=1.0, **rates)


def test_the_simulated_effects_are_found(tmp_path: Path) -> None:
    folder = analysis(tmp_path)
    made = write_statistics(
        folder, folder / "samples.tsv", {"reference": "control", "draws": 300}, curves=curves
    )
    compared = pd.read_csv(folder / "comparisons.csv", keep_default_na=False)
    keyed = compared.set_index(["model", "quantity"])
    numbers = keyed[["ratio", "ratio_low", "ratio_high", "p"]].apply(pd.to_numeric)
    for key, true in {("trivial", "ktl"): 0.4, ("trivial", "t0"): 2.0, ("", "onset"): 2.0}.items():
        assert numbers.loc[key, "ratio_low"] < true < numbers.loc[key, "ratio_high"]
        assert numbers.loc[key, "p"] < 0.05
    for quantity in ("delta", "beta"):
        assert numbers.loc[("trivial", quantity), "ratio_low"] < 1
        assert numbers.loc[("trivial", quantity), "ratio_high"] > 1
    assert set(compared["test"]) <= {"paired t", ""}
    described = pd.read_csv(folder / "statistics.csv", keep_default_na=False)
    row = described.query("level == 'sample' and sample == 'drug_2' and quantity == 'ktl'").iloc[0]
    assert (row["cells"], row["cells_left_out"], row["reasons"]) == (29, 1, "bound hit: 1")
    assert (row["condition"], row["unit"], row["fovs"]) == ("drug", "a.u./h", 2)
    names = {path.name for path in made}
    assert {"superplot_intensity_total_ch_1_trivial_ktl.svg",
            "superplot_intensity_total_ch_1_onset.svg",
            "fits_drug_3_intensity_total_ch_1_trivial.svg"} <= names  # fmt: skip
    assert not any(name.startswith("dose") for name in names)
    for path in made[2:]:
        ElementTree.fromstring(path.read_text(encoding="utf-8"))
    before = [path.read_bytes() for path in made]
    write_statistics(folder, folder / "samples.tsv", {"reference": "control", "draws": 300},
                     curves=curves)  # fmt: skip
    assert [path.read_bytes() for path in made] == before


def test_a_sample_without_cells_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    folder = analysis(tmp_path)
    for path in folder.glob("drug_2_*"):
        header = path.read_text().splitlines()[: 1 if "fitted" in path.name else 2]
        path.write_text("\n".join(header) + "\n")
    for path in folder.glob("drug_3_*"):
        path.unlink()
    write_statistics(folder, folder / "samples.tsv", {"draws": 300})
    described = pd.read_csv(folder / "statistics.csv", keep_default_na=False)
    for sample in ("drug_2", "drug_3"):
        rows = described[described["sample"] == sample]
        assert rows["note"].unique().tolist() == ["the sample has no cells"]
    compared = pd.read_csv(folder / "comparisons.csv", keep_default_na=False)
    assert compared["note"].str.contains("there are 1 and 3|nothing to compare").all()


def test_conditions_that_are_numbers_have_a_dose_curve(tmp_path: Path) -> None:
    params = MovieParams(seed=2, positions=4, frames=20, cells=10, conditions=("0", "1", "10", "a"))
    folder = analysis(tmp_path, params)
    table = pd.read_csv(folder / "samples.tsv", sep="\t", dtype=str)
    made = write_statistics(folder, table, {"draws": 300})
    assert not [path for path in made if path.name.startswith("dose")]
    table["condition"] = ["0", "1", "10", "2.5"]
    made = write_statistics(folder, table, {"draws": 300})
    dose = next(path for path in made if path.name == "dose_intensity_total_ch_1_trivial_ktl.svg")
    words = [node.text for node in ElementTree.fromstring(dose.read_text()).iter() if node.text]
    assert {"0", "1", "5", "10", "condition (logarithmic)", "//"} <= set(words)


def test_what_lacks_is_told(tmp_path: Path) -> None:
    table = pd.DataFrame({"sample": ["a"], "condition": ["x"], "replicate": ["1"]})
    with pytest.raises(FovflowError, match="no tables of the samples a"):
        write_statistics(tmp_path, table)
    with pytest.raises(FovflowError, match="lacks the column sample"):
        write_statistics(tmp_path, table.drop(columns="sample"))
    with pytest.raises(FovflowError, match="cannot read"):
        write_statistics(tmp_path, tmp_path / "samples.tsv")
    with pytest.raises(FovflowError, match="names a sample twice; found: a"):
        write_statistics(tmp_path, pd.concat([table, table]))
    other = table.assign(sample="b", replicate="1.0")
    with pytest.raises(FovflowError, match=r"as a replicate; found: 1 and 1\.0"):
        write_statistics(tmp_path, pd.concat([table, other]))
    (tmp_path / "a_area_ch_0.csv").write_text("# Time units: h\ntime,value\n1,2\n")
    with pytest.raises(FovflowError, match="lacks cell, fov"):
        write_statistics(tmp_path, table)


def test_success_is_read_however_it_is_spelled(tmp_path: Path) -> None:
    path = tmp_path / "a_area_ch_0_fitted_decay.csv"
    for words in ("True,False", "TRUE,", "1.0,0.0", "1.0,", "yes,no", "T,F", "1,0"):
        path.write_text("success,fov,cell\n{},0,1\n{},0,2\n".format(*words.split(",")))
        assert read_fits(path)["success"].tolist() == [True, False], words
    path.write_text("success,fov,cell\nconverged,0,1\n")
    with pytest.raises(FovflowError, match="success is neither true nor false; found: 'con"):
        read_fits(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a_area_ch_0.csv", "# Time units: h\ntime,fov,cell,value\n"),
        ("a_area_ch_0_fitted_decay.csv", "fov,cell,success,G0\n0,1,True,5\n"),
    ],
)
def test_tables_that_tell_nothing_are_an_error(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    about = pd.DataFrame({"sample": ["a"], "condition": ["x"], "replicate": ["1"]})
    with pytest.raises(FovflowError, match=f"tell nothing of any cell; found: {name}"):
        write_statistics(tmp_path, about)


def test_names_are_escaped_in_pictures() -> None:
    cells = pd.DataFrame({"condition": ["<b>"] * 3, "replicate": ["&"] * 3, "value": [1.0, 2, 3]})
    row = {"condition": "<b>", "replicates": 1, "cells": 3, "estimate": 2.0,
           "estimate_low": 1.0, "estimate_high": 3.0}  # fmt: skip
    svg = pictures.superplot(cells, pd.DataFrame([row]), pd.DataFrame(), title="<i>", label="<u>")
    texts = {node.text for node in ElementTree.fromstring(svg).iter() if node.text}
    assert {"<b>", "<i>", "<u>", "&"} <= texts


KINDS = {"cell": "int", "success": "bool", "ktl": "float", "verdict": "str"}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of fits, as `fovflow fit` writes it."""
    folder = tmp_path_factory.mktemp("fitted")
    table = pd.DataFrame(simulate_traces(PARAMS, noise=0.02)).query("fov == 0")
    path = folder / "a_intensity_total_ch_1.csv"
    table.to_csv(path, index=False, columns=["time", "fov", "cell", "value"])
    settings = {"model": "trivial", "fixed": {"beta": 0.05}, "time_units": "h"}
    write_fits(path, folder / "fits.csv", settings)
    return folder / "fits.csv"


def test_fits_have_the_columns_of_other_programs_first(fitted: Path) -> None:
    names = fitted.read_text().partition("\n")[0].split(",")
    assert names[:5] == ["fov", "cell", "model_type", "success", "r_squared"]
    assert names[5:10] == ["t0", "ktl", "delta", "beta", "offset"]
    assert names[-1] == "verdict"


def test_fits_open_in_pandas_polars_and_duckdb(fitted: Path) -> None:
    table = pd.read_csv(fitted)
    assert table["success"].dtype == bool
    polars = pytest.importorskip("polars")
    kinds = {"int": polars.Int64, "bool": polars.Boolean, "float": polars.Float64,
             "str": polars.String}  # fmt: skip
    read = polars.read_csv(fitted)
    assert {name: read.schema[name] for name in KINDS} == {n: kinds[k] for n, k in KINDS.items()}
    assert read.filter("success").height == table["success"].sum() > 10
    duckdb = pytest.importorskip("duckdb")
    found = duckdb.sql(f"select * from '{fitted}'")
    names = {"int": "BIGINT", "bool": "BOOLEAN", "float": "DOUBLE", "str": "VARCHAR"}
    types = dict(zip(found.columns, map(str, found.types), strict=True))
    assert {name: types[name] for name in KINDS} == {n: names[k] for n, k in KINDS.items()}


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="needs R (Debian's r-base)")
def test_fits_open_in_r(fitted: Path) -> None:
    script = (
        "d <- read.csv(commandArgs(TRUE)); "
        "cat(class(d$success), class(d$ktl), class(d$cell), sum(d$success))"
    )
    command = ["Rscript", "-e", script, str(fitted)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    good = pd.read_csv(fitted)["success"].sum()
    assert done.stdout == f"logical numeric integer {good}"


def test_curves_come_from_the_models_also_of_rates_that_are_not_told_apart() -> None:
    times = np.linspace(0, 10, 50)
    true = {"t0": 1.0, "ktl": 30.0, "delta": 0.3, "beta": 0.1, "offset": 2.0}
    rows = pd.DataFrame([true, {**true, "delta": np.nan, "beta": np.nan}]).assign(
        sum=0.4, product=0.03
    )
    known, alike = model_curves("trivial", times, rows)
    expected = 2 + amount("trivial", times, t0_h=1.0, ktl=30.0, delta=0.3, beta=0.1, km=1.0)
    np.testing.assert_allclose(known, expected, rtol=1e-9)
    np.testing.assert_allclose(alike, expected, rtol=1e-9)
    assert np.isnan(model_curves("unheard of", times, rows)).all()


def test_pictures_that_are_announced_are_made(tmp_path: Path) -> None:
    folder = analysis(tmp_path)
    found = list(tables_in(folder, [row["sample"] for row in samples(PARAMS)]))
    names = picture_names(found, PARAMS.conditions)
    made = write_statistics(folder, folder / "samples.tsv", {"draws": 100}, names=names)
    assert sorted(path.stem for path in made[2:]) == sorted(names)
    assert "superplot_intensity_total_ch_1_trivial_sum" in names
    assert "superplot_intensity_total_ch_1_trivial_sum" not in picture_names(
        found, PARAMS.conditions, ["beta"]
    )


def test_the_table_of_samples_of_the_command_is_read_as_that_of_the_configuration(tmp_path) -> None:
    path = tmp_path / "samples.tsv"
    path.write_text(
        "\ufeff# mine\nsample ;condition;replicate;\na;0.50;NA;\nb;1;None;\n;;;\n", "utf-8"
    )
    assert samples_table(path).to_numpy().tolist() == [["a", "0.50", "NA"], ["b", "1", "None"]]


def test_tables_of_a_sample_that_is_gone_are_not_those_of_one_with_a_shorter_name(tmp_path) -> None:
    for name in ("drug", "drug_1", "drug_2"):
        (tmp_path / f"{name}_area_ch_0.csv").touch()
    assert [table.sample for table in tables_in(tmp_path, ["drug", "drug_1"])] == ["drug_1", "drug"]


def test_conditions_keep_their_letters_in_sentences(tmp_path) -> None:
    head = "feature,model,quantity,unit,condition,reference,difference,difference_low,"
    head += "difference_high,ratio,ratio_low,ratio_high,p,p_adjusted,test,note\n"
    row = "area_ch_0,,mean,px,0.50,0,1,0,2,,,,,,,no p-value: because\n"
    (tmp_path / "comparisons.csv").write_text(head + row, "utf-8")
    ((words, _),) = comparisons_in(tmp_path)
    assert words == "mean of area_ch_0: 0.50 against 0: difference 1 [0, 2]; no p-value: because"
    (tmp_path / "comparisons.csv").write_text(head, "utf-8")
    ((words, path),) = comparisons_in(tmp_path)
    assert words == "nothing is compared: the samples have fewer than two conditions"
    assert not path.is_file()
