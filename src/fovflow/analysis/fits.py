"""Fits: a kinetic model for each cell of an analysis CSV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fovflow.analysis.reading import read_analysis, write_table

FIT_REVISION = 2
"""Raised whenever the same table would give other fits."""


def write_fits(
    tidy: str | Path,
    fitted: str | Path,
    settings: Mapping[str, Any],
    petab: str | Path | None = None,
) -> Any:
    """Fit each cell of an analysis CSV; write and return the table, one row per cell.

    `settings`: arguments of `fovflow.fit_traces`; ``time_units`` is that of a file that tells none.
    `petab`: folder that gets the fits as a PEtab problem, see `fovflow.analysis.petab`.
    """
    from fovflow.kinetics import fit_traces

    arguments = {key: value for key, value in settings.items() if key != "time_units"}
    traces = read_analysis(tidy, time_units=settings.get("time_units"))
    table = fit_traces(traces, **arguments)
    words = table["success"].map({True: "TRUE", False: "FALSE"})  # what R takes for logical
    write_table(fitted, table.assign(success=words))
    if petab is not None:
        from fovflow.analysis.petab import write_petab

        write_petab(petab, traces, table, arguments)
    return table


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise ConfigError where there is no such model, or a parameter of it is given wrongly."""
    from fovflow.kinetics import get_model

    parts = (settings[key] for key in ("start", "bounds", "fixed", "shared"))
    get_model(settings["model"]).changed(*parts)


def fitted_name(tidy: str | Path, model: str) -> str:
    """Return the name of the table of fits to an analysis CSV."""
    return f"{Path(tidy).stem}_fitted_{model}.csv"


def describe_models() -> Iterator[str]:
    """Yield a line for each model, with its formula, and for each of its parameters."""
    from fovflow.kinetics import MODELS

    for name, model in MODELS.items():
        yield f"{name}: {model.formula}"
        for each in model.parameters:
            bounds = f"start {each.start:g}, bounds {each.low:g} to {each.high:g}"
            yield f"  {each.name} ({each.unit}): {bounds}"
