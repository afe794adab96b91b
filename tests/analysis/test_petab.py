"""Fits as PEtab problems: read back by the community's own package, and equal to our models."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest

from fovflow.analysis.petab import sbml, write_petab
from fovflow.cli import main
from fovflow.errors import FovflowError
from fovflow.kinetics import MODELS, fit_traces, get_model

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the package's own dependencies
    import libsbml
    import petab.v1 as petab
    import sympy
    from petab.v1.lint import lint_problem
    from petab.v1.math import sympify_petab

# sympy's call of mpmath
pytestmark = pytest.mark.filterwarnings("ignore:bitcount function is deprecated")
TIMES = np.arange(0, 30, 0.5)


def valid(path) -> petab.Problem:
    """Return a problem that the package finds no fault with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses options of pandas that are deprecated
        problem = petab.Problem.from_yaml(path)
        assert lint_problem(problem) is False
    return problem


def traces_of(model, cells=3, noise=0.01) -> pd.DataFrame:
    """Return noisy curves of a model, each cell a little different."""
    chosen, rng = get_model(model), np.random.default_rng(1)
    parts = []
    for cell in range(cells):
        theta = [each.start * (1 + 0.2 * cell) for each in chosen.parameters]
        curve = chosen.evaluate(TIMES, np.array(theta))[0]
        value = curve + noise * np.ptp(curve) * rng.standard_normal(len(curve))
        parts.append(pd.DataFrame({"time": TIMES, "fov": 2, "cell": cell + 1, "value": value}))
    return pd.concat(parts, ignore_index=True)


def curves_in(problem) -> dict[str, np.ndarray]:
    """Return the observable of each condition at the nominal values, from the files alone."""
    of_model = problem.model.sbml_model
    observable = problem.observable_df.loc["value", "observableFormula"]
    rule = libsbml.formulaToL3String(of_model.getRuleByVariable(observable).getMath())
    formula = sympify_petab(rule)
    symbols = sorted(formula.free_symbols, key=str)
    function = sympy.lambdify(symbols, formula, "numpy")
    nominal = problem.parameter_df["nominalValue"].to_dict()
    found = {}
    for ident, row in problem.condition_df.iterrows():
        known = {name: nominal[row.get(name, name)] for name in map(str, symbols) if name != "time"}
        found[ident] = function(**known, time=TIMES)
    return found


@pytest.mark.parametrize("model", list(MODELS))
def test_the_problem_is_valid_and_its_curves_are_those_of_the_model(tmp_path, model):
    traces, fixed = traces_of(model), {"offset": 0.0}
    fits = fit_traces(traces, model, fixed=fixed)
    fits.loc[0, get_model(model).names[0]] = np.nan  # starts from the start
    settings = {"model": model, "fixed": fixed}
    problem = valid(write_petab(tmp_path / "p", traces, fits, settings))
    document = problem.model.sbml_document
    assert document.checkConsistency() == document.getNumErrors(libsbml.LIBSBML_SEV_WARNING)
    assert document.getNumErrors(libsbml.LIBSBML_SEV_ERROR) == 0
    assert len(problem.measurement_df) == len(traces)
    for ident, curve in curves_in(problem).items():
        names = [n if n in fixed else f"{n}_{ident}" for n in get_model(model).names]
        theta = problem.parameter_df.loc[names, "nominalValue"].to_numpy(float)
        expected = get_model(model).evaluate(TIMES, theta)[0]
        assert np.abs(curve - expected).max() <= 1e-9 * np.abs(expected).max()


def test_parameters_have_bounds_scales_and_fitted_values(tmp_path):
    traces = traces_of("decay")
    traces.loc[traces["cell"] == 3, "value"] = np.nan
    options = {"bounds": {"G0": (1, 500)}, "fixed": {"offset": 0.5}, "shared": ["beta"]}
    fits = fit_traces(traces, "decay", **options)
    beta = fits.beta[1]
    fits.loc[0, "beta"] = np.nan  # as of a cell that was not fitted
    problem = valid(write_petab(tmp_path, traces, fits, {"model": "decay", **options}))
    table = problem.parameter_df
    assert list(table.index) == ["G0_fov2_cell1", "G0_fov2_cell2", "beta", "offset"]
    assert table["estimate"].to_list() == [1, 1, 1, 0]
    assert table["parameterScale"].to_list() == ["lin", "lin", "log10", "lin"]
    assert table.loc["G0_fov2_cell2", ["lowerBound", "upperBound"]].to_list() == [1, 500]
    assert table["nominalValue"].to_list() == [*fits.G0[:2], beta, 0.5]
    rest = traces["value"][:60] - fits.G0[0] * np.exp(-beta * TIMES) - 0.5
    noise = problem.measurement_df["noiseParameters"].astype(float)
    assert noise.iloc[0] == pytest.approx(np.std(rest))
    assert len(noise) == 120


def test_nothing_to_export_is_told(tmp_path):
    traces = traces_of("decay")
    fits = fit_traces(traces, "decay")
    with pytest.raises(FovflowError, match="nothing to export"):
        write_petab(tmp_path, traces.assign(value=np.nan), fits, {"model": "decay"})


def test_rates_that_are_not_told_apart_have_their_sum_and_product(tmp_path):
    traces = traces_of("trivial")
    fits = fit_traces(traces, "trivial", fixed={"offset": 0.0})
    fits.loc[0, ["delta", "beta", "sum", "product"]] = np.nan, np.nan, 0.3, 0.02
    settings = {"model": "trivial", "fixed": {"offset": 0.0}}
    table = valid(write_petab(tmp_path, traces, fits, settings)).parameter_df
    rates = table.loc[["delta_fov2_cell1", "beta_fov2_cell1"], "nominalValue"]
    assert rates.to_list() == pytest.approx([0.2, 0.1])


def test_the_noise_of_a_cell_without_fitted_values_is_that_of_its_trace(tmp_path):
    traces = traces_of("maturation")
    fits = fit_traces(traces, "maturation", fixed={"offset": 0.0})
    fits.loc[0, ["ktl", "km", "delta", "beta"]] = np.nan  # as of rates that can be exchanged
    problem = valid(write_petab(tmp_path, traces, fits, {"model": "maturation"}))
    noise = problem.measurement_df.groupby("simulationConditionId")["noiseParameters"].first()
    scale = traces.groupby("cell")["value"].agg(np.ptp).to_numpy()
    assert (noise.astype(float) / scale).to_list() == pytest.approx([0.01] * 3, rel=0.4)


def test_logarithms_are_compared_where_the_fit_did(tmp_path):
    traces = traces_of("exponential")
    traces.loc[0, "value"] = -1.0
    settings = {"model": "exponential", "scale": "log"}
    fits = fit_traces(traces, **settings)
    problem = valid(write_petab(tmp_path, traces, fits, settings))
    assert problem.observable_df["observableTransformation"].to_list() == ["log"]
    assert len(problem.measurement_df) == len(traces) - 1


def test_the_command_writes_a_problem_for_each_file(tmp_path, capsys):
    traces = traces_of("decay")
    for name in ("one", "two & <three>"):
        traces.to_csv(tmp_path / f"{name}.csv", index=False)
    files = [str(path) for path in sorted(tmp_path.glob("*.csv"))]
    out = str(tmp_path / "petab")
    arguments = ["--time-units", "h", "--model", "decay", "--petab", out]
    assert main(["fit", *files, *arguments]) == 0
    for name in ("one", "two & <three>"):
        valid(tmp_path / "petab" / f"{name}_fitted_decay" / "problem.yaml")


@pytest.mark.parametrize("formula", ["__import__('os').getcwd()", "G0·sin(t)", "a curve", "dt"])
def test_a_formula_that_cannot_be_exported_is_told(formula):
    model = dataclasses.replace(get_model("decay"), formula=formula)
    values = {each.name: each.start for each in model.parameters}
    with pytest.raises(FovflowError, match="the formula of the model decay cannot be exported"):
        sbml(model, values)


def test_names_are_escaped():
    model = dataclasses.replace(get_model("decay"), name='<"&')
    values = {each.name: each.start for each in model.parameters}
    document = libsbml.readSBMLFromString(sbml(model, values))
    assert document.getModel().getName() == '<"&'
