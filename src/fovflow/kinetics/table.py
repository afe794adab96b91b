"""Fits of a tidy table of traces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovflow.errors import FovflowError, check_columns
from fovflow.kinetics.exponentials import Array
from fovflow.kinetics.fitting import Fits, fit_cells
from fovflow.kinetics.models import Model
from fovflow.units import SECONDS_PER, TimeUnit

if TYPE_CHECKING:
    import pandas as pd


def fit_traces(
    table: pd.DataFrame, model: str | Model = "trivial", *, unit: TimeUnit = "h", **options: Any
) -> pd.DataFrame:
    """Fit a kinetic model to each cell of a tidy table.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``time``, ``fov``, ``cell``, ``value``; the times of each cell ascend. Times may
        differ from FOV to FOV, and cells may lack some.
    model : str or Model
        See `fovflow.kinetics.MODELS`; plug-ins come in the entry point group ``fovflow.models``.
    unit : {"h", "min", "s"}
        Of ``time``. Times and rates of the result are in hours.
    **options
        ``start``, ``bounds``, ``fixed``, ``shared``, ``loss``, ``settings``, ``noise``, ``scale``,
        ``population``, ``threads``: see `fovflow.kinetics.fit_cells`.

    Returns
    -------
    pandas.DataFrame
        One row per cell, sorted by FOV and cell: ``fov``, ``cell``, ``model_type``, ``success``,
        ``r_squared``, the parameters, ``sum`` and ``product`` of rates that can be exchanged, of
        each ``{name}_se``, ``{name}_low``, ``{name}_high`` (95 %), ``aic``, ``bic``, ``n_points``,
        ``verdict``; with ``population`` also ``{name}_shrunk`` and ``{name}_shrinkage``.

    Raises
    ------
    ConfigError
        For unknown models and parameters, bounds in the wrong order, starts outside the bounds.
    FovflowError
        If columns are missing, or the times of a cell do not ascend.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> t = np.arange(0, 30, 0.25)
    >>> y = 100 * np.exp(-0.1 * t)
    >>> table = pd.DataFrame({"time": t, "fov": 0, "cell": 1, "value": y})
    >>> fitted = fit_traces(table, "decay", fixed={"offset": 0.0})
    >>> round(float(fitted.beta[0]), 6), round(float(fitted.G0[0]), 6), fitted.verdict[0]
    (0.1, 100.0, 'ok')
    """
    import pandas as pd

    check_columns("the table of traces", table.columns, ("time", "fov", "cell", "value"))
    if unit not in SECONDS_PER:
        raise FovflowError(f"there is no unit of time {unit!r}", remedy="use h, min or s")
    cells, times, values = _matrix(table)
    if not len(cells):
        times, values = np.arange(1.0)[None], np.empty((0, 1))
    fits = fit_cells(times * SECONDS_PER[unit] / SECONDS_PER["h"], values, model, **options)
    return pd.concat([cells, pd.DataFrame(columns(fits))], axis=1)


def columns(fits: Fits) -> dict[str, Any]:
    """Return the columns of a table of fits."""
    found: dict[str, Any] = {
        "model_type": [fits.model.name] * len(fits.verdict),
        "success": fits.success,
        "r_squared": fits.r_squared,
        **fits.value,
    }
    for name in fits.value:
        found |= {
            f"{name}_se": fits.se[name],
            f"{name}_low": fits.low[name],
            f"{name}_high": fits.high[name],
        }
    for name, drawn in fits.population.items():
        found |= {f"{name}_shrunk": drawn["shrunk"], f"{name}_shrinkage": drawn["shrinkage"]}
    found |= {"aic": fits.aic, "bic": fits.bic, "n_points": fits.n_points}
    return {**found, "verdict": fits.verdict}


def _matrix(table: pd.DataFrame) -> tuple[pd.DataFrame, Array, Array]:
    """Return fov and cell of each row, and its times and values; NaN where a cell lacks a time."""
    import pandas as pd

    groups = table.groupby(["fov", "cell"], sort=True)
    number = groups.ngroup().to_numpy()
    cells = groups.size().index.to_frame(index=False)
    time = pd.to_numeric(table["time"]).to_numpy(float)
    order = np.argsort(number, kind="stable")
    same = number[order][1:] == number[order][:-1]
    wrong = np.flatnonzero(same & ~(np.diff(time[order]) > 0))
    if wrong.size or not np.isfinite(time).all():
        row = order[wrong[0] + 1] if wrong.size else int(np.flatnonzero(~np.isfinite(time))[0])
        fov, cell = table["fov"].iloc[row], table["cell"].iloc[row]
        raise FovflowError(
            f"the times of cell {cell} of FOV {fov} do not ascend",
            found=f"time {time[row]:g} in row {row}",
            remedy="sort the table by time, and keep one row for each cell and time",
        )
    fovs = table["fov"].to_numpy()
    value = pd.to_numeric(table["value"]).to_numpy(float)
    rows = {}
    for fov in pd.unique(cells["fov"]):
        own = np.flatnonzero(fovs == fov)
        rows[fov] = own, np.unique(time[own])
    width = max((len(grid) for _, grid in rows.values()), default=0)
    times, values = np.zeros((len(cells), width)), np.full((len(cells), width), np.nan)
    for fov, (own, grid) in rows.items():
        # Short ones are filled with times after the last, at which there are no values.
        rest = grid[-1] + np.arange(1, width - len(grid) + 1) * max(np.ptp(grid), 1.0) / width
        times[(cells["fov"] == fov).to_numpy()] = np.concatenate([grid, rest])
        values[number[own], np.searchsorted(grid, time[own])] = value[own]
    return cells, times, values
