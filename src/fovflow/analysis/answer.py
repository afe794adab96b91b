"""The answer of an analysis: statistics, comparisons and pictures of all samples, as files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fovflow.analysis import pictures
from fovflow.analysis.reading import read_analysis
from fovflow.analysis.statistics import (
    KEY,
    Settings,
    compare,
    describe,
    is_number,
    ordered,
    usable,
)
from fovflow.analysis.summaries import UNITS, summaries
from fovflow.atomic import atomic_open, write_text
from fovflow.errors import FovflowError, explained, reading

if TYPE_CHECKING:
    import pandas as pd

    Curves = Callable[[str, np.ndarray, pd.DataFrame], np.ndarray]

_TABLE = re.compile(r"(?P<feature>.+_ch_\d+)(?:_fitted_(?P<model>\w+))?")
_FITS = 12
"""Cells of a sample whose fits are drawn."""


def write_statistics(
    folder: str | os.PathLike[str],
    samples: pd.DataFrame | str | os.PathLike[str],
    settings: Mapping[str, Any] | None = None,
    *,
    places: pd.DataFrame | None = None,
    curves: Curves | None = None,
) -> list[Path]:
    """Write ``statistics.csv``, ``comparisons.csv`` and the folder ``pictures``.

    Parameters
    ----------
    folder : path-like
        Where the tables of the samples lie: ``{sample}_{feature}_ch_{c}.csv`` and
        ``…_fitted_{model}.csv``.
    samples : pandas.DataFrame or path-like
        Columns ``sample``, ``condition`` and ``replicate``, and perhaps ``dataset``; a path is of a
        CSV or TSV.
    settings : mapping, optional
        Fields of `fovflow.analysis.statistics.Settings`.
    places : pandas.DataFrame, optional
        Places of the FOVs on the plate: ``sample``, ``fov``, ``x``, ``y``.
    curves : callable, optional
        ``curves(model, times, fits)`` returns the curves of the rows of a table of fits, (cells,
        points); without it no fits are drawn.

    Returns
    -------
    list of Path
        The files: the two tables, then the pictures: a SuperPlot of each quantity, a dose curve
        where the conditions are numbers, and fits over traces of each sample and model.

    Raises
    ------
    FovflowError
        If a table cannot be read, or no sample has any.
    """
    import pandas as pd

    chosen, place = Settings(**(settings or {})), Path(folder)
    about = samples_table(samples)
    found = list(tables(place, list(about["sample"])))
    if not found:
        raise FovflowError(
            f"{place} has no tables of the samples {', '.join(about['sample'])}",
            found=", ".join(sorted(path.name for path in place.glob("*.csv"))[:5])
            or "no CSV files",
            remedy="merge the traces first, and fit them",
        )
    parts = [_values(path, feature, model).assign(sample=sample)
             for sample, feature, model, path in found]  # fmt: skip
    cells = with_samples(pd.concat(parts, ignore_index=True), about)
    if places is not None:
        cells = cells.merge(places[["sample", "fov", "x", "y"]], on=["sample", "fov"], how="left")
    described, compared = describe(cells, chosen), compare(cells, chosen)
    made = [place / "statistics.csv", place / "comparisons.csv"]
    for path, table in zip(made, (described, compared), strict=True):
        with atomic_open(path) as file:
            table.to_csv(file, index=False, lineterminator="\n")
    drawn = dict(_plots(cells, described, compared))
    drawn |= {} if curves is None else dict(_fits(found, curves))
    for name, svg in drawn.items():
        made.append(place / "pictures" / f"{name}.svg")
        write_text(made[-1], svg)
    return made


def samples_table(samples: pd.DataFrame | str | os.PathLike[str]) -> pd.DataFrame:
    """Return the table of samples, as text; conditions and replicates may be left out."""
    import pandas as pd

    if isinstance(samples, str | os.PathLike):
        separator = "\t" if Path(samples).suffix == ".tsv" else ","
        with reading(samples), explained(f"{samples} is no table", ValueError):
            samples = pd.read_csv(samples, sep=separator, dtype=str, keep_default_na=False)
    if "sample" not in samples.columns:
        raise FovflowError(
            "the table of samples lacks the column sample",
            found=", ".join(map(str, samples.columns)),
            remedy="give the columns sample, condition and replicate",
        )
    kept = samples.reindex(columns=["sample", "condition", "replicate"])
    return kept.fillna("").astype(str)


def tables(folder: Path, samples: list[str]) -> Iterator[tuple[str, str, str, Path]]:
    """Yield sample, feature and model of each table; the model is empty for traces."""
    for path in sorted(folder.glob("*.csv")):
        owners = [name for name in samples if path.stem.startswith(f"{name}_")]
        sample = max(owners, key=len, default=None)
        match = _TABLE.fullmatch(path.stem[len(sample) + 1 :]) if sample else None
        if sample and match:
            yield sample, match["feature"], match["model"] or "", path


def read_fits(path: Path) -> pd.DataFrame:
    """Read a table of fits."""
    import pandas as pd

    with reading(path), explained(f"{path} is no table of fits", ValueError):
        return pd.read_csv(path, comment="#", skipinitialspace=True)


def _values(path: Path, feature: str, model: str) -> pd.DataFrame:
    """Return one row per cell and quantity of a table of traces or fits."""
    import pandas as pd

    if not model:
        names = list(UNITS) if feature.startswith("intensity") else ["mean"]
        found = summaries(read_analysis(path), names)
        unit = "a.u." if feature.startswith("intensity") else ""
        found["unit"] = [UNITS[name].format(unit) for name in found["quantity"]]
        good = found["verdict"] == "ok"
        return found.assign(feature=feature, model="", good=good)
    table = read_fits(path)
    if lacking := {"fov", "cell"} - set(table.columns):
        raise FovflowError(
            f"the table of fits {feature}, {model} lacks {', '.join(sorted(lacking))}",
            found=", ".join(map(str, table.columns)),
        )
    rows = table.reindex(columns=["fov", "cell"])
    success = table["success"] if "success" in table.columns else pd.Series(True, table.index)
    good = success.astype(str).str.lower().isin(["true", "1"])
    if "verdict" in table.columns:
        verdict = table["verdict"].fillna("ok").astype(str)
    else:
        verdict = good.map({True: "ok", False: "no success"})
    parts = [
        rows.assign(
            quantity=name, unit=_unit(name), verdict=verdict, good=good,
            value=pd.to_numeric(table[name], errors="coerce"),
        )
        for name in table.columns
        if f"{name}_se" in table.columns
    ]  # fmt: skip
    if not parts:
        return rows.iloc[:0].assign(quantity="", unit="", verdict="", good=False, value=np.nan,
                                    feature=feature, model=model)  # fmt: skip
    return pd.concat(parts, ignore_index=True).assign(feature=feature, model=model)


def _unit(parameter: str) -> str:
    """Return the unit of a parameter of the models that come along."""
    known = dict.fromkeys(("delta", "beta", "km", "mu"), "1/h")
    known |= {"t0": "h", "t_half": "h", "ktl": "a.u./h"}
    return known.get(parameter, "a.u." if parameter in ("G0", "Gu0", "offset") else "")


def with_samples(cells: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Add condition and replicate; a sample without cells gets a row without a cell."""
    import pandas as pd

    keys = cells[KEY].drop_duplicates()
    every = keys.merge(samples, how="cross")
    there = cells[[*KEY, "sample"]].drop_duplicates().assign(there=True)
    lacking = every.merge(there, on=[*KEY, "sample"], how="left")
    lacking = lacking[lacking["there"].isna()].drop(columns="there")
    lacking = lacking.assign(good=False, value=np.nan, verdict="ok", fov=-1, cell=np.nan)
    named = cells.merge(samples, on="sample", how="left")
    return pd.concat([named, lacking], ignore_index=True) if len(lacking) else named


def _plots(
    cells: pd.DataFrame, described: pd.DataFrame, compared: pd.DataFrame
) -> Iterator[tuple[str, str]]:
    """Yield name and SVG of the pictures of each quantity."""
    conditions = described[described["level"] == "condition"].set_index("condition")
    for key in cells[KEY].drop_duplicates().to_numpy(str).tolist():
        feature, model, quantity, unit = key
        own, rows, told = (
            table[(table[KEY] == key).all(axis=1)] for table in (cells, conditions, compared)
        )
        words = quantity.replace("_", " ") if not model else quantity
        title = f"{words}: {feature}" + (f", model {model}" if model else "")
        label = f"{words} ({unit})" if unit else words
        name = "_".join(filter(None, (feature, model, quantity)))
        order = ordered(list(rows.index))
        groups, good = rows.loc[order].reset_index(), usable(own)
        yield f"superplot_{name}", pictures.superplot(good, groups, told, title=title, label=label)
        if len(order) > 2 and len(good) and all(map(is_number, order)):
            yield f"dose_{name}", pictures.dose_curve(groups, good, title=title, label=label)


def _fits(found: list[tuple[str, str, str, Path]], curves: Curves) -> Iterator[tuple[str, str]]:
    """Yield name and SVG of some fits over traces of each sample and model."""
    import pandas as pd

    paths = {(sample, feature): path for sample, feature, model, path in found if not model}
    for sample, feature, model, path in found:
        fits = read_fits(path) if model else pd.DataFrame()
        if not len(fits) or (sample, feature) not in paths:
            continue
        chosen = fits.iloc[np.unique(np.linspace(0, len(fits) - 1, _FITS).round().astype(int))]
        traces = read_analysis(paths[sample, feature])
        times = np.linspace(traces["time"].min(), traces["time"].max(), 200)
        verdict = chosen.get("verdict", pd.Series("ok", chosen.index)).fillna("ok")
        drawn = pd.DataFrame(
            {
                "time": np.tile(times, len(chosen)),
                "value": curves(model, times, chosen).ravel(),
                **{
                    name: np.repeat(values.to_numpy(), times.size)
                    for name, values in (("fov", chosen["fov"]), ("cell", chosen["cell"]),
                                         ("verdict", verdict))
                },
            }
        )  # fmt: skip
        title = f"{sample}: {feature}, model {model}"
        name = f"fits_{sample}_{feature}_{model}"
        yield name, pictures.fits_over_traces(traces, drawn, title=title, label=feature)
