"""The answer of an analysis: statistics, comparisons and pictures of all samples, as files."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fovflow.analysis import pictures
from fovflow.analysis.reading import read_analysis, write_table
from fovflow.analysis.statistics import (
    KEY,
    Settings,
    compare,
    describe,
    is_number,
    ordered,
    sentence,
    usable,
)
from fovflow.analysis.summaries import OVER_TIME, UNITS, summaries
from fovflow.atomic import write_text
from fovflow.config.analysis import two_spellings
from fovflow.config.features import FEATURES
from fovflow.config.load import read_table
from fovflow.errors import ConfigError, FovflowError, check_columns, explained, reading
from fovflow.jobrecord import reads_others
from fovflow.layout import fit_record, merge_record, parse_table
from fovflow.tables import truths

if TYPE_CHECKING:
    import pandas as pd

    from fovflow.kinetics import Model

    Curves = Callable[[str, np.ndarray, pd.DataFrame], np.ndarray]

_FITS = 12
"""Cells of a sample whose fits are drawn."""
ANSWER_REVISION = 2
"""Raised whenever the same tables would give other statistics or pictures."""


class Table(NamedTuple):
    """A table of a sample: the traces of a measure, or with a model the fits to them."""

    sample: str
    measure: str
    """Feature and channel: ``intensity_total_ch_1``."""
    model: str
    path: Path


def write_statistics(
    folder: str | os.PathLike[str],
    samples: pd.DataFrame | str | os.PathLike[str],
    settings: Mapping[str, Any] | None = None,
    *,
    places: pd.DataFrame | None = None,
    curves: Curves | None = None,
    tables: Sequence[Table] | None = None,
    names: Iterable[str] = (),
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
        points); by default those of the models that `fovflow.kinetics` knows.
    tables : sequence of Table, optional
        The tables, in place of all that the folder has.
    names : iterable of str
        Pictures that there should be in any case, see `picture_names`.

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
    found = list(tables_in(place, list(about["sample"])) if tables is None else tables)
    if not found:
        raise FovflowError(
            f"{place} has no tables of the samples {', '.join(about['sample'])}",
            found=", ".join(sorted(path.name for path in place.glob("*.csv"))[:5])
            or "no CSV files",
            remedy="merge the traces first, and fit them",
        )
    values = pd.concat([_values(table) for table in found], ignore_index=True)
    if values.empty:
        raise FovflowError(
            f"the tables in {place} tell nothing of any cell",
            found=", ".join(table.path.name for table in found[:5]),
            remedy="merge traces that have cells; a parameter of fits has a column {name}_se",
        )
    cells = with_samples(_told(values), about)
    if places is not None:
        cells = cells.merge(places[["sample", "fov", "x", "y"]], on=["sample", "fov"], how="left")
    described, compared = describe(cells, chosen), compare(cells, chosen)
    drawn = dict(_plots(cells, described, compared))
    drawn |= dict(_fits(found, curves or model_curves))
    drawn |= {name: pictures.blank(name) for name in names if name not in drawn}
    made = [place / "statistics.csv", place / "comparisons.csv"]
    for path, table in zip(made, (described, compared), strict=True):
        write_table(path, table)
    for name, svg in drawn.items():
        made.append(place / picture_file(name))
        write_text(made[-1], svg)
    return made


def comparisons_in(folder: str | os.PathLike[str]) -> list[tuple[str, Path]]:
    """Return the comparisons that a folder has, in words with their pictures, fits first."""
    import pandas as pd

    path = Path(folder, "comparisons.csv")
    with reading(path), explained(f"{path} is no table of comparisons", KeyError, ValueError):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        numbers = [
            n for n in map(str, table) if n.partition("_")[0] in ("difference", "ratio", "p")
        ]
        table[numbers] = table[numbers].apply(pd.to_numeric)
        rows = table.sort_values("model", ascending=False, kind="stable").to_dict("records")
        nothing = "nothing is compared: the samples have fewer than two conditions"
        return [_told_of(row, Path(folder)) for row in rows] or [(nothing, Path(folder))]


def _told_of(row: Mapping[Any, Any], folder: Path) -> tuple[str, Path]:
    measure, model, quantity = (str(row[name]) for name in KEY[:3])
    words = f"{quantity}, model {model}," if model else quantity.replace("_", " ")
    picture = folder / picture_file(f"superplot_{_picture(measure, model, quantity)}")
    return f"{words} of {measure}: {sentence(row)}", picture


def picture_file(name: str) -> str:
    """Return the file of a picture, relative to the folder of the analysis."""
    return f"pictures/{name}.svg"


def picture_names(
    tables: Iterable[Table], conditions: Iterable[str], fixed: Collection[str] = ()
) -> list[str]:
    """Return the pictures that `write_statistics` makes of tables; `fixed` are not fitted."""
    tables, kinds = list(tables), ["superplot", *["dose"] * _are_doses({*conditions})]
    of_quantities = [
        f"{kind}_{_picture(table.measure, table.model, quantity)}"
        for table in tables
        for quantity in quantities(table.measure, table.model, fixed)
        for kind in kinds
    ]
    of_fits = [f"fits_{_picture(*table[:3])}" for table in tables if table.model]
    return list(dict.fromkeys([*of_quantities, *of_fits]))


def _picture(*words: str) -> str:
    return "_".join(filter(None, words))


def _are_doses(conditions: Collection[str]) -> bool:
    return len(conditions) > 2 and all(map(is_number, conditions))


def quantities(measure: str, model: str, fixed: Collection[str] = ()) -> list[str]:
    """Return what is told of a table of traces, or of fits of a model that is known."""
    if not model:
        return list(UNITS) if measure.startswith("intensity") else ["mean"]
    if (known := _model(model)) is None:
        return []
    names, rates = [name for name in known.names if name not in fixed], _exchangeable(known)
    return names + ["sum", "product"] * (bool(rates) and {*rates}.isdisjoint(fixed))


def _model(name: str) -> Model | None:
    """Return a kinetic model; None where there is none of that name."""
    from fovflow.kinetics import get_model

    with suppress(ConfigError):
        return get_model(name)
    return None


def _exchangeable(model: Model) -> list[str]:
    """Return the parameters whose rates can be exchanged without any change of the curve."""
    if model.exponents is None:
        return []
    depends = np.asarray(model.exponents(np.eye(len(model.nonlinear))).any(axis=1))
    return [model.names[i] for i, on in zip(model.nonlinear, depends, strict=True) if on]


def model_curves(model: str, times: np.ndarray, fits: pd.DataFrame) -> np.ndarray:
    """Return the curves of fits, (cells, points); NaN where the model or a value is not known."""
    if (known := _model(model)) is None:
        return np.full((len(fits), len(times)), np.nan)
    return known.evaluate(times, fitted_parameters(known, fits).to_numpy())


def fitted_parameters(model: Model, fits: pd.DataFrame) -> pd.DataFrame:
    """Return the parameters of fits in the model's order; NaN where they are not known.

    Of two rates that are not told apart, sum and product tell them in either order.
    """
    theta = fits.reindex(columns=model.names).astype(float)
    rates = _exchangeable(model)
    if len(rates) == 2 and {"sum", "product"} <= {*fits}:
        half = fits["sum"] / 2
        apart = np.sqrt(np.maximum(half**2 - fits["product"], 0))
        for name, rate in zip(rates, (half + apart, half - apart), strict=True):
            theta[name] = theta[name].fillna(rate)
    return theta


def samples_table(samples: pd.DataFrame | str | os.PathLike[str]) -> pd.DataFrame:
    """Return the table of samples, as text; conditions and replicates may be left out."""
    import pandas as pd

    if isinstance(samples, str | os.PathLike):
        with reading(samples):
            Path(samples).stat()
        columns, rows = read_table(os.fspath(samples))
        samples = pd.DataFrame([row for _, row in rows], columns=columns)
    if "sample" not in samples.columns:
        raise FovflowError(
            "the table of samples lacks the column sample",
            found=", ".join(map(str, samples.columns)),
            remedy="give the columns sample, condition and replicate",
        )
    kept = samples.reindex(columns=["sample", "condition", "replicate"]).fillna("").astype(str)
    if twice := sorted({*kept["sample"][kept["sample"].duplicated()]}):
        raise FovflowError(
            "the table of samples names a sample twice",
            found=", ".join(twice),
            remedy="give one row for each",
        )
    for key in ("condition", "replicate"):
        if found := two_spellings(kept[key]):
            raise FovflowError(
                f"the table of samples spells one number in two ways, as a {key}",
                found=found,
                remedy="spell it in one way",
            )
    return kept


def tables_in(folder: Path, samples: list[str]) -> Iterator[Table]:
    """Yield the tables of samples that a folder has, without fits to other traces than these."""
    outdir, old = folder.parent, dict[str, bool]()
    for path in sorted(folder.glob("*.csv")):
        if known := parse_table(path.stem, samples):
            sample, measure, model = known
            if model and sample not in old:
                old[sample] = reads_others(outdir, merge_record(sample))
            if not model or not (old[sample] or reads_others(outdir, fit_record(sample, measure))):
                yield Table(sample, measure, model, path)


def read_fits(path: Path) -> pd.DataFrame:
    """Read a table of fits; each has ``success`` and ``verdict``, whoever made it."""
    import pandas as pd

    with reading(path), explained(f"{path} is no table of fits", ValueError):
        fits = pd.read_csv(path, comment="#", skipinitialspace=True)
    check_columns(f"the table of fits {path}", fits, ("cell", "fov"))
    given = fits.get("success", pd.Series(True, fits.index))
    fits["success"] = truths(path, "success", given, empty=False)
    words = fits["success"].map({True: "ok", False: "no success"})
    fits["verdict"] = fits.get("verdict", words).fillna("ok").astype(str)
    return fits


def _values(table: Table) -> pd.DataFrame:
    """Return one row per cell and quantity of a table of traces or fits."""
    import pandas as pd

    sample, measure, model, path = table
    about = {"feature": measure, "model": model, "sample": sample}
    if not model:
        found = summaries(read_analysis(path), quantities(measure, ""))
        feature = measure.rpartition("_ch_")[0]
        unit = "µm²" if feature == "area_um2" else "a.u."
        if feature in FEATURES and not feature.startswith("intensity"):
            unit = FEATURES[feature].unit
        found.loc[~found["quantity"].isin(OVER_TIME), "hours"] = np.nan
        found["unit"] = [UNITS[name].format(unit) for name in found["quantity"]]
        return found.assign(good=found["verdict"] == "ok", **about)
    fits, units = read_fits(path), units_of(model)
    own = fits[["fov", "cell", "verdict"]].assign(good=fits["success"])
    parts = (
        [
            own.assign(
                quantity=name,
                unit=units.get(name, ""),
                value=pd.to_numeric(fits[name], errors="coerce"),
            )
            for name in map(str, fits)
            if f"{name}_se" in fits and fits[f"{name}_se"].max() != 0  # 0: held
        ]
        or [own.iloc[:0].assign(quantity="", unit="", value=np.nan)]
    )
    return pd.concat(parts, ignore_index=True).assign(**about)


def _told(values: pd.DataFrame) -> pd.DataFrame:
    """Leave out sums and products of rates that no cell has: its rates are told apart."""
    known = values["value"].notna().groupby([values[name] for name in KEY]).transform("any")
    return values[known | ~values["quantity"].isin(["sum", "product"])]


def units_of(model: str) -> dict[str, str]:
    """Return the units of the parameters of a model; none where it is not known."""
    if (known := _model(model)) is None:
        return {}
    power = "²" if len(_exchangeable(known)) == 2 else "³"
    own = {each.name: each.unit for each in known.parameters}
    return {**own, "sum": "1/h", "product": f"1/h{power}"}


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
        name = _picture(feature, model, quantity)
        order = ordered(list(rows.index))
        groups, good = rows.loc[order].reset_index(), usable(own)
        if good.empty:  # `names` asks for a picture that says so
            continue
        yield f"superplot_{name}", pictures.superplot(good, groups, told, title=title, label=label)
        if _are_doses(order):
            yield f"dose_{name}", pictures.dose_curve(groups, good, title=title, label=label)


def _fits(found: Sequence[Table], curves: Curves) -> Iterator[tuple[str, str]]:
    """Yield name and SVG of some fits over traces of each sample and model."""
    paths = {table[:2]: table.path for table in found if not table.model}
    for sample, measure, model, path in found:
        if not model or (sample, measure) not in paths:
            continue
        fits = read_fits(path)
        if fits.empty:
            continue
        chosen = fits.iloc[np.unique(np.linspace(0, len(fits) - 1, _FITS).round().astype(int))]
        traces = read_analysis(paths[sample, measure])
        times = np.linspace(traces["time"].min(), traces["time"].max(), 200)
        drawn = chosen[["fov", "cell", "verdict"]]
        drawn = drawn.loc[drawn.index.repeat(times.size)].assign(
            time=np.tile(times, len(chosen)), value=curves(model, times, chosen).ravel()
        )
        yield (
            f"fits_{_picture(sample, measure, model)}",
            pictures.fits_over_traces(
                traces, drawn, title=f"{sample}: {measure}, model {model}", label=measure
            ),
        )
