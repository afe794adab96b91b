"""Fits as a PEtab problem (version 1), for other programs that estimate parameters.

The model is a small SBML file in which the curve is an assignment rule. Each cell is a condition
with parameters of its own; those that are fixed or shared stand once.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np

from fovflow.analysis.answer import fitted_parameters
from fovflow.analysis.reading import write_table
from fovflow.analysis.summaries import noise_of
from fovflow.atomic import write_text
from fovflow.errors import FovflowError
from fovflow.kinetics import Model, get_model
from fovflow.records import yaml_text

if TYPE_CHECKING:
    import pandas as pd

_MATHML = "http://www.w3.org/1998/Math/MathML"
_TIME = {"encoding": "text", "definitionURL": "http://www.sbml.org/sbml/symbols/time"}
_SIGNS = str.maketrans({"δ": "delta", "β": "beta", "−": "-", "·": "*"})
_OPERATORS = {ast.Add: "plus", ast.Sub: "minus", ast.Mult: "times", ast.Div: "divide"}
_CURVE = "fitted_curve"
_FILES = {
    "sbml": "model.xml",
    "measurement": "measurements.tsv",
    "observable": "observables.tsv",
    "condition": "conditions.tsv",
    "parameter": "parameters.tsv",
}


def write_petab(
    folder: str | os.PathLike[str],
    traces: pd.DataFrame,
    fits: pd.DataFrame,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Write a folder with a PEtab problem of traces and the fits to them.

    Nominal values are the fitted ones; where a cell has none, the start. The noise of a cell is the
    standard deviation of its residuals, a number; where a cell lacks a fitted value, what its
    second differences tell. Times are hours.

    Parameters
    ----------
    folder : path-like
    traces : pandas.DataFrame
        Columns ``time`` (hours), ``fov``, ``cell`` and ``value``; see `fovflow.read_analysis`.
    fits : pandas.DataFrame
        What `fovflow.fit_traces` made of them; cells without a value at any time are left out.
    settings : mapping, optional
        Arguments of `fovflow.fit_traces`: ``model``, ``start``, ``bounds``, ``fixed``, ``shared``,
        ``scale``.

    Returns
    -------
    pathlib.Path
        ``problem.yaml`` in the folder.

    Raises
    ------
    ConfigError
        As `fovflow.fit_traces`.
    FovflowError
        If no cell has values, or the formula of the model, which may be a plug-in's, cannot be
        written as MathML.
    """
    import pandas as pd

    given = settings or {}
    model = get_model(given.get("model", "trivial"))
    fixed, shared = dict(given.get("fixed") or {}), tuple(given.get("shared") or ())
    about = model.changed(given.get("start") or {}, given.get("bounds") or {}, fixed, shared)
    log = given.get("scale") == "log"
    kept = traces[np.isfinite(traces["value"]) & ((traces["value"] > 0) | (not log))]
    kept = kept.assign(id=_names(kept))
    cells = fits.assign(id=_names(fits))
    cells = cells[cells["id"].isin(kept["id"])].reset_index(drop=True)
    if not len(cells):
        raise FovflowError(
            f"there is nothing to export to {folder}",
            found="no cell with values",
            remedy="give traces and the fits to them",
        )
    start = {name: fixed.get(name, each.start) for name, each in about.items()}
    fitted = fitted_parameters(model, cells)
    fitted[[*shared]] = fitted[[*shared]].bfill().ffill()  # cells that were not fitted have none
    theta = fitted.fillna(start)
    own = [name for name in model.names if name not in fixed and name not in shared]
    conditions = pd.DataFrame({"conditionId": cells["id"]})
    rows = []
    for name, each in about.items():
        single = name not in own
        rows.append(
            pd.DataFrame(
                {
                    "parameterId": [name] if single else name + "_" + cells["id"],
                    "parameterScale": "log10" if each.log and name not in fixed else "lin",
                    "lowerBound": each.low,
                    "upperBound": each.high,
                    "nominalValue": theta[name][:1] if single else theta[name],
                    "estimate": int(name not in fixed),
                }
            )
        )
        if not single:
            conditions[name] = rows[-1]["parameterId"]
    tables = {
        "measurement": _measurements(model, kept, cells["id"], fitted.fillna(fixed), log),
        "observable": pd.DataFrame(
            {
                "observableId": ["value"],
                "observableFormula": _CURVE,
                "observableTransformation": "log" if log else "lin",
                "noiseFormula": "noiseParameter1_value",
                "noiseDistribution": "normal",
            }
        ),
        "condition": conditions,
        "parameter": pd.concat(rows, ignore_index=True),
    }
    place = Path(folder)
    text = sbml(model, start)
    for kind, table in tables.items():
        write_table(place / _FILES[kind], table, sep="\t")
    write_text(place / _FILES["sbml"], text)
    problem = {f"{kind}_files": [name] for kind, name in _FILES.items() if kind != "parameter"}
    content = {"format_version": 1, "parameter_file": _FILES["parameter"], "problems": [problem]}
    write_text(place / "problem.yaml", yaml_text(content))
    return place / "problem.yaml"


def _names(table: pd.DataFrame) -> Any:
    return "fov" + table["fov"].astype(str) + "_cell" + table["cell"].astype(str)


def _measurements(
    model: Model, traces: pd.DataFrame, cells: pd.Series[str], theta: pd.DataFrame, log: bool
) -> pd.DataFrame:
    """Return the table of measurements, with the noise of each cell."""
    import pandas as pd

    noise = {}
    groups = dict(iter(traces.groupby("id")))
    for name, values in zip(cells, theta.to_numpy(float), strict=True):
        curve = model.evaluate(groups[name]["time"].to_numpy(float), values)[0]
        value = groups[name]["value"].to_numpy(float)
        with np.errstate(all="ignore"):
            rest = np.log(value) - np.log(curve) if log else value - curve
        noise[name] = float(np.std(rest))
        if not np.isfinite(noise[name]):
            noise[name] = noise_of(np.log(value) if log else value)
    spread = traces["id"].map({k: v if np.isfinite(v) and v > 0 else 1.0 for k, v in noise.items()})
    return pd.DataFrame(
        {
            "observableId": "value",
            "simulationConditionId": traces["id"],
            "measurement": traces["value"],
            "time": traces["time"],
            "noiseParameters": spread,
        }
    )[spread.notna()]


def sbml(model: Model, values: Mapping[str, float]) -> str:
    """Return a model as SBML Level 3: its parameters, and the curve as an assignment rule.

    Raises FovflowError if its formula holds other than numbers, names, ``+ − · / ^`` and ``exp``.
    """
    root = ET.Element(
        "sbml", xmlns="http://www.sbml.org/sbml/level3/version1/core", level="3", version="1"
    )
    body = ET.SubElement(root, "model", id="kinetics", name=model.name, timeUnits="hour")
    unit = ET.SubElement(ET.SubElement(body, "listOfUnitDefinitions"), "unitDefinition", id="hour")
    second = {"kind": "second", "exponent": "1", "scale": "0", "multiplier": "3600"}
    ET.SubElement(ET.SubElement(unit, "listOfUnits"), "unit", second)
    parameters = ET.SubElement(body, "listOfParameters")
    for each in model.parameters:
        keys = {"id": each.name, "name": f"{each.name} ({each.unit})", "constant": "true"}
        ET.SubElement(parameters, "parameter", keys, value=repr(float(values[each.name])))
    ET.SubElement(parameters, "parameter", id=_CURVE, name=model.formula, constant="false")
    rule = ET.SubElement(ET.SubElement(body, "listOfRules"), "assignmentRule", variable=_CURVE)
    ET.SubElement(rule, "math", xmlns=_MATHML).append(_rule(model))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _rule(model: Model) -> ET.Element:
    """Return the curve as MathML: flat before the onset."""
    known: dict[str, Callable[[], ET.Element]] = {
        name: partial(_leaf, "ci", name) for name in model.names
    }
    known["t"] = time = partial(_leaf, "csymbol", "t", _TIME)
    onset = next((each.name for each in model.parameters if each.onset), None)
    if onset is not None:
        known["dt"] = lambda: _apply("minus", time(), known[onset]())
    text = model.formula.translate(_SIGNS).replace("^", "**")
    try:
        curve = _mathml(ast.parse(text, mode="eval").body, known)
    except (SyntaxError, LookupError) as error:
        raise FovflowError(
            f"the formula of the model {model.name} cannot be exported",
            found=model.formula,
            remedy="write it with the names of its parameters, t or dt, numbers, + − · / ^ and exp",
        ) from error
    if onset is None:
        return curve
    whole = ET.Element("piecewise")
    ET.SubElement(whole, "piece").extend([curve, _apply("geq", time(), known[onset]())])
    before = known["offset"]() if "offset" in known else _leaf("cn", "0.0")
    ET.SubElement(whole, "otherwise").append(before)
    return whole


def _mathml(node: ast.expr, known: Mapping[str, Callable[[], ET.Element]]) -> ET.Element:
    """Return an expression as MathML; LookupError where it holds anything else."""
    match node:
        case ast.BinOp(left, ast.Pow(), right):
            return _apply("power", _mathml(left, known), _mathml(right, known))
        case ast.BinOp(left, operator, right):
            sign = _OPERATORS[type(operator)]
            return _apply(sign, _mathml(left, known), _mathml(right, known))
        case ast.UnaryOp(ast.USub(), operand):
            return _apply("minus", _mathml(operand, known))
        case ast.Call(ast.Name("exp"), [argument], []):
            return _apply("exp", _mathml(argument, known))
        case ast.Name(name):
            return known[name]()
        case ast.Constant(int() | float() as value):
            return _leaf("cn", repr(float(value)))
    raise LookupError(ast.dump(node))


def _apply(function: str, *arguments: ET.Element) -> ET.Element:
    element = ET.Element("apply")
    ET.SubElement(element, function)
    element.extend(arguments)
    return element


def _leaf(tag: str, text: str, attributes: Mapping[str, str] | None = None) -> ET.Element:
    element = ET.Element(tag, dict(attributes or {}))
    element.text = text
    return element
