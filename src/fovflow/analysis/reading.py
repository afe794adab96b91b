"""Analysis CSVs: this program's and others' are read into one form, and written in one."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fovflow.atomic import atomic_open
from fovflow.errors import FovflowError, complain
from fovflow.records import readable
from fovflow.tables import read_csv
from fovflow.units import to_s

if TYPE_CHECKING:
    import pandas as pd

TIDY = ("time", "fov", "cell", "value")
_TIME_LINE = re.compile(r"#\s*time[ _-]units?\s*[:=]\s*(\w+)", re.IGNORECASE)
_WHOLE = re.compile(r"\D*(\d+)(?:\.0*)?\D*")
_BLANK = ("", "nan", "na")
_CELL = re.compile(r"\D*?(\d+)\D+(\d+)\D*")


def read_analysis(path: str | os.PathLike[str], *, time_units: str | None = None) -> pd.DataFrame:
    """Read an analysis CSV, tidy or wide, into tidy form with times in hours.

    Tidy files have the columns ``time``, ``fov``, ``cell`` and ``value``; others are left out. Wide
    ones have times in their first column and a column per cell, such as ``fov_000_cell_1``; where
    names do not hold two numbers, cells are counted from 1 and the FOV is 0. The unit of times
    stands in a line ``# Time units: min`` before the header.

    Parameters
    ----------
    path : path-like
    time_units : str, optional
        Unit of times in a file that does not tell it; without it they are taken as hours, and a
        sentence on the error stream says so.

    Returns
    -------
    pandas.DataFrame
        Columns ``time`` (hours), ``fov``, ``cell`` and ``value``, sorted by FOV, cell and time.

    Raises
    ------
    FovflowError
        If the file is no such table: names the line or the column, and what was found.

    Examples
    --------
    >>> fovflow.read_analysis("analysis/day1_intensity_total_ch_1.csv")  # doctest: +SKIP
    """
    import pandas as pd

    name, unit = Path(path), None
    try:
        with readable(name, "CSV", encoding="utf-8-sig") as file:
            for line in takewhile(lambda text: text.startswith("#"), file):
                if match := _TIME_LINE.match(line):
                    unit = match[1]
        columns = {column.strip(): values for column, values in read_csv(name, kinds={}).items()}
    except FovflowError as error:
        if isinstance(error.__cause__, OSError):
            raise
        remedy = (
            "save it as a CSV in UTF-8: columns separated by commas, each with a name of its own, "
            "decimal points; names that hold a comma between double quotes"
        )
        raise FovflowError(error.message, found=error.found, remedy=remedy) from error
    found = {key: _numbers(name, key, values) for key, values in _tidy(name, columns).items()}
    tidy = pd.DataFrame(found)
    seconds = _seconds(name, unit or time_units)
    tidy["time"] *= seconds / 3600
    back = tidy[tidy.groupby(["fov", "cell"])["time"].diff() < 0]
    if len(back):
        cells = len(back.drop_duplicates(["fov", "cell"]))
        complain(f"{name}: times of {cells} cells do not ascend: their rows are put in order")
    tidy = tidy.sort_values(["fov", "cell", "time"], kind="stable", ignore_index=True)
    again = tidy[tidy.duplicated(["fov", "cell", "time"]) & tidy["time"].notna()]
    if len(again):
        first = again.iloc[0]
        raise FovflowError(
            f"{name}: a cell has two values at one time",
            found=f"FOV {first.fov:.0f}, cell {first.cell:.0f} at {first.time:g} h",
            remedy="give one table per feature and channel",
        )
    return tidy


def write_table(
    path: str | os.PathLike[str],
    table: pd.DataFrame,
    head: str = "",
    *,
    index: bool = False,
    sep: str = ",",
) -> None:
    """Write a table as CSV, atomically, after the lines `head`."""
    with atomic_open(path) as file:
        file.write(head)
        table.to_csv(file, sep=sep, index=index, lineterminator="\n")


def _seconds(name: Path, unit: str | None) -> float:
    """Return how many seconds the unit of times has."""
    if unit is None:
        complain(f"{name}: no line '# Time units: …': times are taken as hours")
        return 3600.0
    found = to_s(1, unit)
    if found is None:
        raise FovflowError(f"{name}: unknown unit of times", found=unit, remedy="write s, min or h")
    return found


def _tidy(name: Path, columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the columns of a tidy table from those of a tidy or a wide one."""
    lower = {column.casefold(): column for column in columns}
    if set(TIDY) <= set(lower):
        return {column: columns[lower[column]] for column in TIDY}
    time, *cells = columns
    of_tidy = {*TIDY[1:]} & {*lower}  # and no column of a cell is called so
    if of_tidy or not cells or columns[time].dtype.kind not in "iuf":
        raise FovflowError(
            f"{name} lacks {', '.join(sorted({*TIDY} - {*lower})) if of_tidy else 'columns'} of an "
            "analysis CSV",
            found=", ".join(columns),
            remedy=f"give a table with the columns {', '.join(TIDY)}, or one column per cell, "
            "separated by commas",
        )
    if "time" in lower and lower["time"] != time:
        raise FovflowError(
            f"{name}: the times of a table with a column per cell are not in its first column",
            found=", ".join(columns),
            remedy="take out what stands before the column time, such as an index",
        )
    matches = [_CELL.fullmatch(cell) for cell in cells]
    keys = [(int(match[1]), int(match[2])) for match in matches if match]
    if len(set(keys)) < len(cells):
        keys = [(0, number) for number in range(1, len(cells) + 1)]
    points = len(columns[time])
    return {
        "time": np.tile(columns[time], len(cells)),
        "fov": np.repeat([fov for fov, _ in keys], points),
        "cell": np.repeat([cell for _, cell in keys], points),
        "value": np.concatenate([_numbers(name, cell, columns[cell]) for cell in cells]),
    }


def _numbers(name: Path, column: str, values: NDArray[Any]) -> NDArray[Any]:
    """Return a column as numbers; those of FOVs and cells are whole, and may have words about."""
    whole, may_lack = column in ("fov", "cell"), column not in TIDY[:3]
    if values.dtype.kind in ("iu" if whole else "iuf") and (may_lack or not np.isnan(values).any()):
        return values.astype(np.int64 if whole else np.float64)
    numbers = np.full(len(values), np.nan)
    for i, value in enumerate(values.tolist()):
        text = "" if value != value else str(value).strip()  # noqa: PLR0124  (NaN)
        match = _WHOLE.fullmatch(text) if whole else None
        with suppress(ValueError):
            numbers[i] = float(match[1] if match else text)
        if part := whole and not np.isnan(numbers[i]) and not numbers[i].is_integer():
            numbers[i] = np.nan
        if np.isnan(numbers[i]) and not (may_lack and text.casefold() in _BLANK):
            raise FovflowError(
                f"{name}: not a {'whole ' * part}number in row {i + 1} of the column {column}",
                found=repr(text),
                remedy="correct it; a value that is not known may be empty",
            )
    return numbers.astype(np.int64) if whole else numbers
