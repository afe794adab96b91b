"""Simulated experiments: conditions and replicates as samples, and traces without a movie."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from fovflow.atomic import write_text
from fovflow.simulation.params import PARAMETERS, MovieParams, stream
from fovflow.simulation.population import amount, draw_parameters
from fovflow.units import format_ranges


def samples(params: MovieParams) -> list[dict[str, str]]:
    """Return a sample for each condition and replicate: its name, FOVs, condition, replicate."""
    fovs: dict[tuple[str, int], list[int]] = {}
    for p in range(params.positions):
        fovs.setdefault(params.group(p), []).append(p)
    return [
        {
            "sample": f"{condition or 'cells'}_{replicate}",
            "fovs": format_ranges(own),
            "condition": condition,
            "replicate": str(replicate),
        }
        for (condition, replicate), own in fovs.items()
    ]


def write_samples(
    params: MovieParams, path: str | os.PathLike[str], dataset: str | None = None
) -> None:
    """Write `samples` as a table, with the dataset's name where it is given."""
    rows = [{**row, **({} if dataset is None else {"dataset": dataset})} for row in samples(params)]
    lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)]
    write_text(path, "".join(f"{line}\n" for line in lines))


def simulate_traces(params: MovieParams, *, noise: float = 0.02) -> dict[str, NDArray[np.generic]]:
    """Return the traces of the cells of frame 0, without a movie.

    Parameters
    ----------
    params : MovieParams
        The movie of the same settings has the same parameters for these cells.
    noise : float
        Standard deviation of each value, relative to the cell's greatest.

    Returns
    -------
    dict of numpy.ndarray
        ``time`` (h), ``fov``, ``cell`` (from 1), ``value`` (counts), and the parameters
        ``t0_h, ktl, delta, beta, km``; sorted by FOV, cell and time.
    """
    parts: dict[str, list[NDArray[np.generic]]] = {}
    for p in range(params.positions):
        seconds = np.arange(params.frames) * params.interval_s + p * params.position_delay_s
        time = np.asarray(seconds / 3600.0, np.float64)
        for cell in range(1, params.cells + 1):
            drawn = draw_parameters(params, p, cell, 1)
            value = amount(params.kinetics, time, **drawn)
            rng = stream(params.seed, "trace", p, cell)
            value = value + noise * value.max() * rng.standard_normal(time.size)
            same = {"fov": p, "cell": cell, **{name: drawn[name] for name in PARAMETERS}}
            columns = {"time": time, "value": value}
            columns |= {name: np.full(time.size, number) for name, number in same.items()}
            for name, values in columns.items():
                parts.setdefault(name, []).append(values)
    order = ("time", "fov", "cell", "value", *PARAMETERS)
    return {name: np.concatenate(parts[name]) for name in order}
