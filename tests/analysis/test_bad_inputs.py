"""Analysis tables that are not as they should be: a sentence, and nothing else is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import fovflow
from fovflow.analysis.answer import write_statistics
from fovflow.cli import main
from fovflow.kinetics import Model, Parameter

TIME = np.arange(0, 24, 0.5)
CURVE = 100 * np.exp(-0.1 * TIME)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tidy(*values: np.ndarray, time: np.ndarray = TIME, head: str = "# Time units: h\n") -> Path:
    """Write a table with a cell for each series of values."""
    rows = [
        pd.DataFrame({"time": time, "fov": 0, "cell": cell, "value": value})
        for cell, value in enumerate(values, 1)
    ]
    path = Path("a_intensity_total_ch_1.csv")
    path.write_text(head + pd.concat(rows).to_csv(index=False))
    return path


def fit(*arguments: object) -> pd.DataFrame:
    assert main(["fit", *map(str, arguments), "--model", "decay", "--fix", "offset=0"]) == 0
    return pd.read_csv(next(Path().glob("*_fitted_decay.csv")))


def test_traces_that_hold_nothing_cost_themselves(capsys):
    empty, noise = np.full(TIME.size, np.nan), np.random.default_rng(0).normal(0, 1, TIME.size)
    table = tidy(CURVE, empty, np.full(TIME.size, 7.0), noise - 50, CURVE)
    fits = fit(table)
    assert fits.verdict[:3].to_list() == ["ok", "no valid values", "constant values"]
    assert "negative values" in fits.verdict[3]
    assert fits.success.to_list()[:3] == [True, False, False]
    assert fits.beta[4] == pytest.approx(0.1)
    assert "5 cells, 2 of them ok" in capsys.readouterr().out


def test_a_table_without_cells(capsys):
    path = Path("a_intensity_total_ch_1.csv")
    path.write_text("# Time units: h\ntime,fov,cell,value\n")
    assert fit(path).empty
    assert "0 cells" in capsys.readouterr().out


def test_times_that_do_not_ascend_are_put_in_order_and_it_is_said(capsys):
    order = np.random.default_rng(1).permutation(TIME.size)
    fits = fit(tidy(CURVE[order], CURVE[order], time=TIME[order]))
    assert fits.beta.to_list() == pytest.approx([0.1, 0.1])
    assert "times of 2 cells do not ascend: their rows are put in order" in capsys.readouterr().err
    assert main(["fit", str(tidy(CURVE, time=np.where(TIME == 3, 2.5, TIME)))]) == 1
    assert "a cell has two values at one time; found: FOV 0, cell 1" in capsys.readouterr().err


def test_times_with_gaps():
    kept = (TIME < 5) | (TIME > 15)
    assert fit(tidy(CURVE[kept], time=TIME[kept])).beta[0] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--bounds", "beta=1:0.1"], "bounds of beta: the lower one must be below the upper one"),
        (["--bounds", "beta=-1:1"], "bounds of beta: a rate must stay above zero"),
        (["--bounds", "beta=nan:1"], "--bounds beta=nan:1 is not of the form NAME=LOW:HIGH"),
        (["--start", "beta=50"], "the start of beta lies outside its bounds; found: 50"),
        (["--start", "bta=1"], "the model decay has no parameter 'bta' (did you mean beta?)"),
        (["--fix", "speed=1"], "the model decay has no parameter 'speed'"),
        (["--fix", "beta=inf"], "--fix beta=inf is not of the form NAME=VALUE"),
    ],
)
def test_settings_that_are_wrong_fit_nothing(capsys, arguments, expected):
    assert main(["fit", str(tidy(CURVE)), "--model", "decay", *arguments]) == 2
    assert expected in capsys.readouterr().err
    assert not list(Path().glob("*fitted*"))


def test_a_model_that_raises_costs_the_cells_for_which_it_does():
    def basis(t, theta):
        if (t.max(axis=1) > 20).any():
            raise ZeroDivisionError("too late")
        return [np.exp(-theta * t)], None

    model = Model("fragile", "G·exp(−k·t)", (
        Parameter("k", "1/h", 0.1, 1e-3, 10.0, log=True),
        Parameter("G", "a.u.", 1.0, 0.0, 1e6, linear=True),
    ), basis)  # fmt: skip
    early = TIME < 15
    rows = [
        pd.DataFrame({"time": TIME, "fov": 0, "cell": 1, "value": CURVE}),
        pd.DataFrame({"time": TIME[early], "fov": 1, "cell": 1, "value": CURVE[early]}),
    ]
    for part, verdict in zip(rows, ("model failed", "ok"), strict=True):
        assert fovflow.fit_traces(part, model).verdict.to_list() == [verdict]


@pytest.mark.parametrize("head", ["# Time units: min\n", ""])
@pytest.mark.parametrize("form", ["tidy", "wide"])
def test_tables_of_another_program(capsys, form, head):
    minutes = 60 * TIME if head else TIME
    if form == "tidy":
        path = tidy(CURVE, CURVE, time=minutes, head=head)
    else:
        path = Path("b.csv")
        wide = pd.DataFrame({"Time": minutes, "A1, 5 nM": CURVE, "A1, 50 nM": CURVE})
        path.write_text(head + wide.to_csv(index=False))
    assert fit(path).beta.to_list() == pytest.approx([0.1, 0.1])
    assert ("times are taken as hours" in capsys.readouterr().err) is (not head)


def sample(name: str, factor: float) -> None:
    rows = [
        pd.DataFrame({"time": TIME, "fov": f, "cell": c, "value": factor * CURVE * (1 + 0.1 * c)})
        for f in (0, 1)
        for c in (1, 2, 3)
    ]
    text = pd.concat(rows).to_csv(index=False)
    Path(f"{name}_intensity_total_ch_1.csv").write_text(f"# Time units: h\n{text}")


def test_one_replicate_and_a_condition_in_one_sample_only(capsys):
    for name, factor in (("a", 1.0), ("b", 2.0), ("c", 2.2), ("d", 2.1)):
        sample(name, factor)
    Path("samples.tsv").write_text(
        "sample\tcondition\treplicate\na\tcontrol\t1\nb\tdrug\t1\nc\tdrug\t2\nd\tdrug\t3\n"
    )
    write_statistics(".", "samples.tsv", {"draws": 200})
    rows = pd.read_csv("comparisons.csv").set_index("quantity")
    assert rows.p.isna().all()
    assert rows.loc["mean", "note"].startswith("no p-value: it needs 3 replicates a side")
    assert "not whether it repeats" in rows.loc["mean", "note"]
    assert rows.loc["mean", "ratio"] == pytest.approx(2.1, rel=0.01)
    assert main(["statistics", ".", "--samples", "samples.tsv", "--reference", "control"]) == 0
    told = capsys.readouterr().out
    assert "mean of intensity_total_ch_1: drug against control: ratio 2.1 [" in told
    assert "no p-value: it needs 3 replicates a side, and there are 3 and 1" in told
    assert main(["statistics", ".", "--samples", "samples.tsv", "--reference", "ctrl"]) == 2
    assert "no sample has the condition 'ctrl'" in capsys.readouterr().err
    assert main(["statistics", "nowhere", "--samples", "samples.tsv"]) == 1
    assert "nowhere has no tables of the samples a, b, c, d" in capsys.readouterr().err
    assert main(["statistics", "."]) == 1
    assert "cannot read samples.csv" in capsys.readouterr().err
