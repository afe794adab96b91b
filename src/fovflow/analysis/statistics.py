"""Statistics of samples and conditions in which the replicate counts, not the cell.

Cells of one field of view, and fields of one day, resemble each other. A test that takes each cell
for an independent observation finds differences where there are none (Lazic 2010,
doi:10.1186/1471-2202-11-5; Lord et al. 2020, doi:10.1083/jcb.202001064). Here each replicate gives
one number per quantity, the median of its cells, and conditions are compared by these numbers.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import ConfigError, check_columns, did_you_mean
from fovflow.units import number

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

LEAST_REPLICATES = 3
"""Replicates that each side of a comparison needs for a p-value."""

KEY = ["feature", "model", "quantity", "unit"]
"""Columns that tell what a value is."""
CELL_COLUMNS = (
    *KEY, "sample", "condition", "replicate", "fov", "cell", "value", "good", "verdict",
)  # fmt: skip

_SEEN = 0.9
"""Least ratio of the times for which cells of two conditions are seen that is not told."""
_UNPAIRED = "not paired"
_UNEQUAL = "the cells were not seen for equally long"
_LOST = {
    "half not reached": "did not fall to half in time: the true median is longer",
    "onset not seen": "rose from the beginning: the true median is earlier",
    "part of the movie": "were seen for part of the movie alone: they have no area",
}
"""Verdicts of cells without a value, and what that means for the others."""
_CHUNK = 2_000_000
_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Settings:
    """How samples and conditions are described and compared.

    `reference`: the condition that all others are compared with; without it, each with each.
    `paired`: whether replicates of one name belong together, as conditions of one day do; None:
    where two conditions have at least three names in common. `correction` for many comparisons:
    ``holm``, ``bh`` (Benjamini-Hochberg) or ``none``. `draws`, `seed`: of the bootstrap.
    """

    reference: str | None = None
    paired: bool | None = None
    correction: str = "holm"
    draws: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        if self.correction not in ("holm", "bh", "none"):
            raise ConfigError(
                "statistics.correction: no such correction",
                found=self.correction,
                remedy="use holm, bh or none",
            )
        if self.draws < 100:
            raise ConfigError("statistics.draws: at least 100", found=str(self.draws))


class Group(NamedTuple):
    """One quantity of one condition: its replicates, and how well each is known."""

    names: tuple[str, ...]
    centres: Array
    """(R,) medians over the cells."""
    draws: Array
    """(B, R) the same of bootstrapped FOVs and cells."""
    cells: int
    left_out: tuple[str, ...] = ()
    """Replicates without a usable value."""


class Estimate(NamedTuple):
    """A number and its 95 % interval."""

    value: float = np.nan
    low: float = np.nan
    high: float = np.nan

    def columns(self, name: str) -> dict[str, float]:
        """Return these as columns of a table."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


def describe(cells: pd.DataFrame, settings: Settings | None = None) -> pd.DataFrame:
    """Describe each quantity of each sample and of each condition.

    Parameters
    ----------
    cells : pandas.DataFrame
        One row per cell and quantity, with the columns `CELL_COLUMNS`: values that are not `good`
        or not finite are counted, and not used. `verdict` is ``ok``, or reasons joined by ``;``.
        With ``x`` and ``y`` (places of the FOVs on the plate) the effect of the place is told.
    settings : Settings, optional

    Returns
    -------
    pandas.DataFrame
        One row per quantity and sample or condition (then ``sample`` is empty): numbers of
        replicates, FOVs and cells; cells flagged, left out, and why; ``median`` and quartiles over
        the cells; ``estimate`` with ``estimate_low`` and ``estimate_high``: the mean over the
        replicates of a condition, or the FOVs of a sample, of their medians, with 95 % intervals
        by a nested bootstrap; ``part_replicate`` … ``part_position``: see `variance_parts`;
        ``note``.
    """
    import pandas as pd

    settings = settings or Settings()
    rows = []
    for key, own in _quantities(cells):
        groups = [("sample", *group) for group in own.groupby("sample", sort=True)]
        groups += [("condition", *group) for group in own.groupby("condition", sort=True)]
        for level, name, mine in groups:
            row = {**key, "level": level, "condition": mine["condition"].iloc[0]}
            row["sample"] = name if level == "sample" else ""
            rows.append(row | _description(mine, level, settings))
    return pd.DataFrame(rows)


def compare(cells: pd.DataFrame, settings: Settings | None = None) -> pd.DataFrame:
    """Compare conditions, replicate by replicate.

    Parameters
    ----------
    cells : pandas.DataFrame
        See `describe`.
    settings : Settings, optional

    Returns
    -------
    pandas.DataFrame
        One row per quantity and pair of conditions: ``condition``, ``reference``, numbers of
        replicates and cells of both, their estimates; ``difference`` and ``ratio`` with 95 %
        intervals; ``p`` (a t-test over replicates, ``test``), ``p_adjusted``; ``note``: why there
        is no p-value, and what else limits it. The ratio is that of geometric means. With
        ``hours`` in `cells` (for how long each was seen, where the value depends on it) it is told
        where the conditions differ in it.

    Raises
    ------
    ConfigError
        If no cell has the reference condition.
    """
    import pandas as pd

    settings = settings or Settings()
    named = cells[cells["condition"].astype(str) != ""]
    conditions = ordered(list(named["condition"].astype(str).unique()))
    pairs = [(b, a) for a, b in combinations(conditions, 2)]
    if settings.reference is not None:
        first = str(settings.reference)
        pairs = [(name, first) for name in conditions if name != first]
        if first not in conditions:
            raise ConfigError(
                f"statistics.reference: no sample has the condition {settings.reference!r}"
                f"{did_you_mean(first, conditions)}",
                found=", ".join(conditions) or "no conditions",
                remedy="name one of the conditions in the table of samples",
            )
    rows = []
    for key, own in _quantities(named):
        mine = own["condition"].astype(str)
        groups = {name: group_of(own[mine == name], settings) for name in conditions}
        seen = {name: _hours(own[mine == name]) for name in conditions}
        for a, b in pairs:
            row = {**key, "condition": a, "reference": b}
            row |= _comparison(groups[a], groups[b], settings)
            apart = min(seen[a], seen[b]) < _SEEN * max(seen[a], seen[b])
            told = f"{_UNEQUAL}: {seen[a]:.3g} h against {seen[b]:.3g} h (medians)"
            row["note"] = "; ".join(filter(None, [row["note"], told * apart]))
            rows.append(row)
    table = pd.DataFrame(rows, columns=[*KEY, "condition", "reference", *_COMPARED])
    table["p_adjusted"] = adjusted(table["p"].to_numpy(float), settings.correction)
    return table


_COMPARED = (
    "replicates", "replicates_reference", "cells", "cells_reference", "estimate",
    "estimate_reference", "difference", "difference_low", "difference_high", "ratio", "ratio_low",
    "ratio_high", "p", "p_adjusted", "test", "note",
)  # fmt: skip


def _hours(cells: pd.DataFrame) -> float:
    """Return for how long the cells with a value were seen (median); NaN where none tells."""
    hours = usable(cells).get("hours")
    return np.nan if hours is None else float(hours.median())


def _quantities(cells: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    check_columns("the table of cells", cells.columns, CELL_COLUMNS)
    for key, own in cells.groupby(KEY, sort=False):
        yield dict(zip(KEY, key, strict=True)), own


def usable(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose values are good and finite."""
    return cells[cells["good"].astype(bool) & np.isfinite(cells["value"].astype(float))]


def group_of(cells: pd.DataFrame, settings: Settings) -> Group:
    """Return the replicates of one quantity of one condition."""
    good, names, centres, draws = usable(cells), [], [], []
    # Two conditions must not be drawn alike: their errors would cancel.
    own_seed = zlib.crc32("\n".join(sorted(set(cells["sample"].astype(str)))).encode())
    rng = np.random.default_rng([settings.seed, own_seed])
    for name, own in good.groupby(good["replicate"].astype(str), sort=True):
        value = own["value"].to_numpy(float)
        names.append(str(name))
        centres.append(float(np.median(value)))
        draws.append(bootstrap_medians(value, _fovs(own), settings.draws, rng))
    lost = sorted(set(cells["replicate"].astype(str)) - set(names))
    shape = np.stack(draws, axis=1) if draws else np.empty((settings.draws, 0))
    return Group(tuple(names), np.array(centres), shape, len(good), tuple(lost))


def _fovs(cells: pd.DataFrame) -> NDArray[np.intp]:
    """Return a number for each FOV; FOVs of two samples may be called the same."""
    return np.asarray(cells.groupby(["sample", "fov"], sort=True).ngroup().to_numpy(), np.intp)


def bootstrap_medians(
    values: Array, fovs: NDArray[np.intp], draws: int, rng: np.random.Generator
) -> Array:
    """Return medians of cells in FOVs that are drawn, and then their cells, with replacement.

    `values`: (N,), one per cell. `fovs`: (N,), the FOV of each, from 0. Returns (draws,).
    """
    ordered_values = values[np.argsort(fovs, kind="stable")]
    counts = np.bincount(fovs)
    first, width = np.cumsum(counts) - counts, int(counts.max())
    step = max(1, _CHUNK // (counts.size * width))
    parts = []
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        chosen = rng.integers(counts.size, size=(rows, counts.size))
        sizes = counts[chosen][..., None]
        at = (rng.random((rows, counts.size, width)) * sizes).astype(np.intp)
        picked = ordered_values[first[chosen][..., None] + np.minimum(at, sizes - 1)]
        picked[np.arange(width) >= sizes] = np.inf
        ranked, total = np.sort(picked.reshape(rows, -1), axis=1), sizes.sum(axis=(1, 2))
        row = np.arange(rows)
        parts.append((ranked[row, (total - 1) // 2] + ranked[row, total // 2]) / 2)
    return np.concatenate(parts)


def nested_draws(centres: Array, draws: Array, rng: np.random.Generator) -> Array:
    """Return bootstrapped means over replicates, (B,).

    Replicates are drawn with replacement, and for each one of its own `draws`, (B, R). Of few
    replicates a plain bootstrap is too narrow, by (R - 1) / R of the variance, and what cells and
    FOVs contribute counts twice; both are put right (Davison & Hinkley 1997, section 3.8), so that
    the variance is that of a mean of R independent numbers, s² / R.
    """
    count, replicates = draws.shape
    inner = draws - draws.mean(axis=0)
    if replicates == 1:
        return np.asarray(centres[0] + inner[:, 0])
    between, within = float(centres.var(ddof=1)), float(inner.var(axis=0).mean())
    wide = max(between - within, 0.0) / between if between else 0.0
    narrow = min(1.0, between / within) if within else 0.0
    chosen = rng.integers(replicates, size=(count, replicates))
    outer = np.sqrt(wide * replicates / (replicates - 1)) * (centres - centres.mean())[chosen]
    noise = np.sqrt(narrow) * inner[rng.integers(count, size=chosen.shape), chosen]
    return np.asarray(centres.mean() + (outer + noise).mean(axis=1))


def _interval(centre: float, drawn: Array, freedom: float) -> Estimate:
    """Return a number with its interval: t-distributed, or of percentiles for one replicate."""
    if freedom < 1:
        tail = 100 * (1 - _LEVEL) / 2
        return Estimate(centre, *np.percentile(drawn, [tail, 100 - tail]).tolist())
    from scipy.special import stdtrit

    half = float(stdtrit(freedom, (1 + _LEVEL) / 2)) * float(drawn.std())
    return Estimate(centre, centre - half, centre + half)


def mean_of(group: Group, settings: Settings) -> Estimate:
    """Return the mean over the replicates of a group."""
    if not group.centres.size:
        return Estimate()
    centre = float(group.centres.mean())
    if group.cells == 1:
        return Estimate(centre)
    rng = np.random.default_rng([settings.seed, 2])
    drawn = nested_draws(group.centres, group.draws, rng)
    return _interval(centre, drawn, group.centres.size - 1)


class Difference(NamedTuple):
    """Mean difference of two groups, with the test over their replicates."""

    estimate: Estimate
    p: float
    test: str


def difference_of(a: Group, b: Group, settings: Settings) -> Difference:
    """Compare two groups: replicates of one name as pairs, else both as they are.

    The p-value is NaN where a side has fewer than `LEAST_REPLICATES`, or where replicates do not
    differ at all.
    """
    if not (a.centres.size and b.centres.size):
        return Difference(Estimate(), np.nan, "")
    rng = np.random.default_rng([settings.seed, 3])
    common = [name for name in a.names if name in b.names]
    enough = len(common) >= LEAST_REPLICATES
    if common and (enough if settings.paired is None else settings.paired):
        i, j = ([side.names.index(name) for name in common] for side in (a, b))
        apart = a.centres[i] - b.centres[j]
        drawn = nested_draws(apart, a.draws[:, i] - b.draws[:, j], rng)
        centre, freedom, test = float(apart.mean()), len(common) - 1.0, "paired t"
        error = float(apart.std(ddof=1)) / np.sqrt(len(common)) if enough else 0.0
    else:
        drawn = nested_draws(a.centres, a.draws, rng) - nested_draws(b.centres, b.draws, rng)
        centre, test = float(a.centres.mean() - b.centres.mean()), "Welch t"
        error, freedom = _welch(a.centres, b.centres)
        enough = min(a.centres.size, b.centres.size) >= LEAST_REPLICATES
    p = np.nan
    if enough and error > 0:
        from scipy.special import stdtr

        p = float(2 * stdtr(freedom, -abs(centre) / error))
    lone = 1 in (a.cells, b.cells)  # how far such a side may be off is not known
    estimate = Estimate(centre) if lone else _interval(centre, drawn, freedom)
    return Difference(estimate, p, test if enough else "")


def _welch(a: Array, b: Array) -> tuple[float, float]:
    """Return the standard error of a difference of means, and its degrees of freedom."""
    if min(a.size, b.size) < 2:
        return 0.0, 0.0
    va, vb = a.var(ddof=1) / a.size, b.var(ddof=1) / b.size
    if not va + vb:
        return 0.0, float(a.size + b.size - 2)
    freedom = (va + vb) ** 2 / (va**2 / (a.size - 1) + vb**2 / (b.size - 1))
    return float(np.sqrt(va + vb)), float(freedom)


def _comparison(a: Group, b: Group, settings: Settings) -> dict[str, Any]:
    found, ratio = difference_of(a, b, settings), Estimate()
    if all((side.centres > 0).all() and (side.draws > 0).all() for side in (a, b)):
        logs = [s._replace(centres=np.log(s.centres), draws=np.log(s.draws)) for s in (a, b)]
        ratio = Estimate(*map(float, np.exp(difference_of(logs[0], logs[1], settings).estimate)))
    row: dict[str, Any] = found.estimate.columns("difference") | ratio.columns("ratio")
    for end, side in (("", a), ("_reference", b)):
        row[f"replicates{end}"], row[f"cells{end}"] = side.centres.size, side.cells
        row[f"estimate{end}"] = float(side.centres.mean()) if side.centres.size else np.nan
    note = _comparison_note(a, b, found, ratio, settings)
    return row | {"p": found.p, "test": found.test, "note": note}


def _comparison_note(
    a: Group, b: Group, found: Difference, ratio: Estimate, settings: Settings
) -> str:
    said = []
    for side, group in (("the condition", a), ("the reference", b)):
        if not group.centres.size:
            said.append(f"{side} has no usable value")
        if group.left_out and group.centres.size:
            said.append(f"{side}: no usable value in {_named(group.left_out)}")
    least = min(a.centres.size, b.centres.size)
    if not least:
        return "; ".join([*said, "nothing to compare"])
    if least < LEAST_REPLICATES:
        counts = f"{a.centres.size} and {b.centres.size}"
        said.append(
            f"no p-value: it needs {LEAST_REPLICATES} replicates a side, and there are {counts}; "
            "more cells or FOVs are no replacement, since they share their day"
        )
    elif np.isnan(found.p):
        said.append(
            "no p-value: the replicates do not differ from each other at all"
            if found.test
            else f"no p-value: fewer than {LEAST_REPLICATES} pairs of replicates"
        )
    if 1 in (a.cells, b.cells):
        said.append("no interval: there is one cell on a side")
    elif least == 1:
        said.append("the interval tells how well these cells are known, not whether it repeats")
    if settings.paired and not set(a.names) & set(b.names):
        said.append(f"{_UNPAIRED}: no replicate has the same name on both sides")
    lone = sorted(set(a.names) ^ set(b.names))
    if found.test == "paired t" and lone:
        said.append(f"without a partner, and left out of the test: {_named(lone)}")
    if np.isnan(ratio.value):
        said.append("no ratio: not all medians are above zero")
    return "; ".join(said)


def _named(replicates: Sequence[str]) -> str:
    return f"replicate {', '.join(name or '(no name)' for name in replicates)}"


def sentence(row: Mapping[Any, Any]) -> str:
    """Return a row of `compare` in words."""
    pair = f"{row['condition']} against {row['reference']}"
    size = f"{pair}: difference {_with_interval(row, 'difference')}"
    # The p-value is that of the difference: an interval of the ratio that says otherwise is not.
    apart = row["ratio_low"] > 1 or row["ratio_high"] < 1
    if math.isfinite(row["ratio"]) and not (math.isfinite(row["p"]) and apart != (row["p"] < 0.05)):
        size = f"{pair}: ratio {_with_interval(row, 'ratio')}"
    parts = row["note"].split("; ")
    end = "".join(f"; {part}" for part in parts if part.startswith((_UNEQUAL, _UNPAIRED)))
    if math.isfinite(row["p"]):
        p = f"p = {row['p']:.2g}" if row["p"] >= 1e-4 else "p < 0.0001"
        corrected = f", corrected {row['p_adjusted']:.2g}" if row["p_adjusted"] > row["p"] else ""
        return f"{size}, {p} ({row['test']} over replicates{corrected}){end}"
    why = next((part for part in parts if part.startswith("no p-value")), parts[0])
    return f"{size}; {why}{end}" if math.isfinite(row["difference"]) else f"{pair}: {why}"


def _with_interval(row: Mapping[Any, Any], name: str) -> str:
    value, low, high = (number(float(f"{row[name + end]:.3g}")) for end in ("", "_low", "_high"))
    return f"{value} [{low}, {high}]"


def adjusted(p: Array, correction: str = "holm") -> Array:
    """Correct p-values for their number; NaN stay, and do not count.

    ``holm`` keeps the chance of any false positive at the level, however the quantities depend on
    each other (Holm 1979); ``bh`` keeps the expected share of false ones among the positives
    (Benjamini & Hochberg 1995).

    Examples
    --------
    >>> adjusted(np.array([0.01, 0.04, 0.03, np.nan])).round(3).tolist()
    [0.03, 0.06, 0.06, nan]
    """
    found = np.array(p, float)
    there = np.flatnonzero(np.isfinite(found))
    if correction == "none" or not there.size:
        return found
    order = there[np.argsort(found[there], kind="stable")]
    ranks = np.arange(order.size)
    if correction == "holm":
        raised = np.maximum.accumulate(found[order] * (order.size - ranks))
    else:
        raised = found[order] * order.size / (ranks + 1)
        raised = np.minimum.accumulate(raised[::-1])[::-1]
    found[order] = np.minimum(raised, 1.0)
    return found


def _description(cells: pd.DataFrame, level: str, settings: Settings) -> dict[str, Any]:
    good = usable(cells)
    values = good["value"].to_numpy(float)
    there = cells[cells["cell"].notna()]
    verdicts = there["verdict"].fillna("").astype(str)
    flagged = verdicts[~verdicts.isin(["", "ok"])]
    reasons = Counter(reason for text in flagged for reason in text.split(";"))
    # A sample is one of a kind: its interval tells how well its FOVs and cells know it.
    units = cells if level == "condition" else cells.assign(replicate=cells["fov"])
    group = group_of(units, settings)
    lower, median, upper = np.percentile(values, [25, 50, 75]) if values.size else [np.nan] * 3
    return {
        "replicates": good["replicate"].astype(str).nunique(),
        "fovs": len(good[["sample", "fov"]].drop_duplicates()),
        "cells": len(good),
        "cells_left_out": len(there) - len(good),
        "cells_flagged": len(flagged),
        "share_flagged": len(flagged) / len(there) if len(there) else np.nan,
        "reasons": "; ".join(f"{name}: {count}" for name, count in reasons.most_common()),
        "median": median,
        "lower_quartile": lower,
        "upper_quartile": upper,
        **mean_of(group, settings).columns("estimate"),
        **variance_parts(good),
        "note": _description_note(cells, group, level, len(there)),
    }


def _description_note(cells: pd.DataFrame, group: Group, level: str, there: int) -> str:
    said = []
    if not there:
        return f"the {level} has no cells"
    if not group.cells:
        return "no cell has a usable value"
    if level == "condition" and group.left_out:
        said.append(f"no usable value in {_named(group.left_out)}")
    if level == "condition" and group.names == ("",):
        said.append("no replicates are named: everything counts as one")
    unit = "replicate" if level == "condition" else "FOV"
    if group.cells == 1:
        said.append("one cell: there is no interval")
    elif len(group.names) == 1:
        said.append(
            f"one {unit}: the interval tells how well its cells are known, not whether it repeats"
        )
    if len(group.names) == 2:
        said.append(f"two {unit}s: the interval is wide")
    verdicts = cells["verdict"].astype(str)
    for verdict, words in _LOST.items():
        if lost := int((verdicts == verdict).sum()):
            said.append(f"{lost} cells {words}")
    return "; ".join(said)


def variance_parts(cells: pd.DataFrame) -> dict[str, float]:
    """Return which part of the variance lies between replicates, FOVs and cells.

    By nested analysis of variance with unequal numbers (Searle, Casella & McCulloch 1992, chapter
    5), negative parts taken as zero; values farther than three interquartile ranges from the
    quartiles are held there. ``part_position``: which part of the variance between the medians of
    FOVs of a replicate a plane over ``x`` and ``y`` explains (adjusted R², at least 6 FOVs).
    """
    parts = dict.fromkeys([f"part_{n}" for n in ("replicate", "fov", "cell", "position")], np.nan)
    if len(cells) < 3:
        return parts
    value = cells["value"].to_numpy(float)
    lower, upper = np.percentile(value, [25, 75])
    reach = 3 * (upper - lower)
    value = np.clip(value, lower - reach, upper + reach) if reach else value
    fov = _fovs(cells)
    replicate = np.unique(cells["replicate"].astype(str), return_inverse=True)[1]
    # A FOV belongs to one replicate.
    n_fov = np.bincount(fov)
    of_fov = np.zeros(n_fov.size, int)
    of_fov[fov] = replicate
    n_rep = np.bincount(replicate)
    total, fovs, replicates = value.size, n_fov.size, n_rep.size
    mean_fov = np.bincount(fov, value) / n_fov
    mean_rep = np.bincount(replicate, value) / n_rep
    if total <= fovs:
        return parts
    cell = float(((value - mean_fov[fov]) ** 2).sum() / (total - fovs))
    inside = float((np.bincount(of_fov, n_fov**2) / n_rep).sum())
    field = 0.0
    if fovs > replicates:
        square = (n_fov * (mean_fov - mean_rep[of_fov]) ** 2).sum() / (fovs - replicates)
        field = max(0.0, (square - cell) * (fovs - replicates) / (total - inside))
    day = 0.0
    if replicates > 1:
        square = (n_rep * (mean_rep - value.mean()) ** 2).sum() / (replicates - 1)
        share = (inside - (n_fov**2).sum() / total) / (replicates - 1)
        size = (total - (n_rep**2).sum() / total) / (replicates - 1)
        day = max(0.0, (square - cell - share * field) / size)
    whole = cell + field + day
    if whole:
        parts["part_cell"] = cell / whole
        parts["part_fov"] = field / whole if fovs > replicates else np.nan
        parts["part_replicate"] = day / whole if replicates > 1 else np.nan
    if {"x", "y"} <= set(cells.columns):
        parts["part_position"] = _position_part(cells, fov, of_fov)
    return parts


def _position_part(cells: pd.DataFrame, fov: NDArray[np.intp], of_fov: NDArray[Any]) -> float:
    """Return the adjusted R² of the FOVs' medians over their places, within replicates."""
    place = cells.groupby(fov)[["value", "x", "y"]].median().to_numpy(float)
    known = np.isfinite(place).all(axis=1)
    place, of_fov = place[known], of_fov[known]
    if not len(place):
        return np.nan
    count = np.maximum(np.bincount(of_fov), 1)
    means = [np.bincount(of_fov, column) / count for column in place.T]
    place -= np.stack(means, axis=1)[of_fov]
    freedom = len(place) - len(np.unique(of_fov))
    spread = float((place[:, 0] ** 2).sum())
    plane, rank = np.linalg.lstsq(place[:, 1:], place[:, 0], rcond=None)[::2]
    if len(place) < 6 or freedom <= rank or not spread or not rank:
        return np.nan
    rest = float(((place[:, 0] - place[:, 1:] @ plane) ** 2).sum())
    return max(0.0, 1 - (rest / (freedom - int(rank))) / (spread / freedom))


def is_number(text: str) -> bool:
    """Tell whether a condition is a number."""
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def ordered(conditions: Sequence[str]) -> list[str]:
    """Return conditions by number where all are numbers, else by name."""
    return sorted(conditions, key=float if all(map(is_number, conditions)) else None)
