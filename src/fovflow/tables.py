r"""Tables as CSV files, written atomically, read strictly.

CSV files are UTF-8 with ``\n`` line ends, a header line and commas. Floats are written so that
they read back as the same float64; NaN is an empty field; booleans are ``True`` and ``False``;
text is quoted where it must be. Python's csv, pandas, R's ``read.csv`` and spreadsheets read
them. Lines before the header that begin with ``#`` are comments.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, dropwhile, islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fovflow.atomic import atomic_open
from fovflow.errors import FovflowError
from fovflow.records import REMAKE, readable
from fovflow.rowfile import FileColumn

Kind = type[bool] | type[int] | type[float] | type[str]

KINDS: dict[str, Kind] = {
    "fov": int, "cell": int, "frame": int, "parent": int, "good": bool, "flags": str,
}  # fmt: skip
"""Kinds of columns that cannot be seen from the values where there are none."""

_CHUNK = 1024
_DTYPES: dict[Kind, type] = {bool: np.bool_, int: np.int64, float: np.float64, str: np.object_}
_INT_CHARACTERS = frozenset("0123456789-")
_FLOAT_CHARACTERS = frozenset("0123456789+-.eEinfaN")


def write_csv(
    path: str | os.PathLike[str],
    columns: Mapping[str, ArrayLike | FileColumn],
    *,
    comment: str = "",
) -> None:
    """Write a table atomically.

    Parameters
    ----------
    path : path-like
        The final name.
    columns : mapping of str to array-like
        One-dimensional columns of one length: booleans, integers, floats (written as float64) or
        text (str; None is an empty field). Columns of no rows give a file of the header alone.
        Columns of a `fovflow.rowfile.RowFile` are read part by part.
    comment : str
        A line before the header that begins with ``#``, without its end.

    Raises
    ------
    ValueError
        If there is no column, if a column is not one-dimensional, of another length than the
        others, or of another kind of values.
    """
    arrays = {name: _column(name, values) for name, values in columns.items()}
    lengths = {array.size for array in arrays.values()}
    if len(lengths) != 1:
        raise ValueError(f"a table needs columns of one length, not of {sorted(lengths)} rows")
    lone = len(arrays) == 1
    with atomic_open(path) as file:
        file.write(f"{comment}\n" if comment else "")
        file.write(",".join(_texts(arrays, lone)) + "\n")
        for start in range(0, lengths.pop(), _CHUNK):
            fields = [_fields(array[start : start + _CHUNK], lone) for array in arrays.values()]
            file.write("\n".join(map(",".join, zip(*fields, strict=True))) + "\n")


def _column(name: str, values: ArrayLike | FileColumn) -> NDArray[Any] | FileColumn:
    array = values if isinstance(values, FileColumn) else np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "biufUOT":
        raise ValueError(
            f"column {name!r}: needs one dimension of booleans, numbers or text, not "
            f"{array.ndim} of {array.dtype}"
        )
    return array


def _fields(array: NDArray[Any], lone: bool) -> list[str]:
    kind = array.dtype.kind
    if kind == "b":
        return ["True" if value else "False" for value in array.tolist()]
    if kind in "iu":
        return list(map(str, array.tolist()))
    if kind == "f":
        numbers = array.astype(np.float64)
        fields = list(map(repr, numbers.tolist()))
        for i in np.flatnonzero(np.isnan(numbers)).tolist():
            fields[i] = '""' if lone else ""
        return fields
    return _texts(array.tolist(), lone)


def _texts(values: Iterable[str | None], lone: bool) -> list[str]:
    values = list(values)
    quoted = {value: _quoted(value, lone) for value in dict.fromkeys(values)}
    return [quoted[value] for value in values]


def _quoted(value: str | None, lone: bool) -> str:
    if value is None:
        value = ""
    elif not isinstance(value, str):
        raise ValueError(f"text columns hold str or None, not {value!r}")
    if (lone and not value) or value.startswith(("#", "\ufeff")) or set(value) & set(',"\n\r'):
        return '"' + value.replace('"', '""') + '"'
    return value


def read_csv(
    path: str | os.PathLike[str],
    *,
    kinds: Mapping[str, Kind] = KINDS,
    columns: Callable[[str], bool] | None = None,
) -> dict[str, NDArray[Any]]:
    """Read a table: the inverse of `write_csv`, for tables of any origin.

    A column is boolean where all its fields are ``True`` or ``False``, int64 where all are
    integers without leading zeros, float64 where all are numbers or empty (NaN), and text
    (object dtype, str) otherwise.

    `kinds`: what a column is where its values cannot tell: ``str`` columns are always text,
    whatever they hold, and ``bool`` ones are read by `truths`, as spreadsheets and R spell them; a
    column without any value has this kind, or float. `columns`: tells by its
    name whether a column is wanted. Returns the columns in the file's order.

    Raises FovflowError if the file is absent, is not UTF-8 text, has no header, a repeated column,
    or a line of another number of fields (names the line), or where a boolean is none.
    """
    name = Path(path)
    text = {column for column, kind in kinds.items() if kind is str}
    while True:
        with readable(name, "table", newline="", encoding="utf-8-sig") as file:
            header, chunks = _parse(name, file, text, columns)
        mixed = {column for column, parts in zip(header, chunks, strict=True) if _mixed(parts)}
        if not mixed - text:
            break
        text |= mixed  # read again: these columns hold text, though some parts look like numbers
    chunks.reverse()  # each is let go of once it is joined
    table = {
        column: _joined(chunks.pop(), str if column in text else kinds.get(column, float))
        for column in header
    }
    for column, values in table.items():
        if kinds.get(column) is bool and values.dtype != np.bool_:
            table[column] = truths(path, column, values.tolist())
    return table


def read_header(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of a table's columns."""
    with readable(Path(path), "table", newline="", encoding="utf-8-sig") as file:
        return next(csv.reader(dropwhile(lambda line: line.startswith("#"), file)), [])


def _parse(
    path: Path, file: IO[str], text: set[str], wanted: Callable[[str], bool] | None
) -> tuple[list[str], list[list[NDArray[Any]]]]:
    """Return the header and each wanted column in parts."""
    skipped = 0
    while (line := next(file, "")).startswith("#"):
        skipped += 1
    rows = csv.reader(chain([line], file), strict=True)
    header = next(rows, [])
    if not header:
        raise FovflowError(f"{path} is an empty file where a table was expected", remedy=REMAKE)
    if len(set(header)) != len(header):
        raise FovflowError(
            f"{path} has two columns of one name",
            found=", ".join(sorted({n for n in header if header.count(n) > 1})),
        )

    def checked() -> Iterator[list[str]]:
        for row in rows:
            if len(row) != len(header):
                if not row:
                    continue
                raise FovflowError(
                    f"{path}, line {skipped + rows.line_num}: not as many fields as the header",
                    found=f"{len(row)} where the header has {len(header)}",
                    remedy=REMAKE,
                )
            yield row

    where = [i for i, column in enumerate(header) if wanted is None or wanted(column)]
    chosen = [header[i] for i in where]
    parts: list[list[NDArray[Any]]] = [[] for _ in where]
    source = checked()
    while chunk := list(islice(source, _CHUNK)):
        values = list(zip(*chunk, strict=True))
        for i, column, into in zip(where, chosen, parts, strict=True):
            into.append(_typed(values[i], column in text))
    return chosen, parts


_WORDS = dict.fromkeys(("true", "t", "yes", "y", "1", "1.0"), True)
_WORDS |= dict.fromkeys(("false", "f", "no", "n", "0", "0.0"), False)


def truths(
    path: str | os.PathLike[str], column: str, values: Iterable[Any], *, empty: bool | None = None
) -> NDArray[np.bool_]:
    """Return a column as booleans, however the program that wrote it spells them.

    `empty`: what an empty field is. Raises FovflowError where a field is neither true nor false.
    """
    known: dict[str, bool] = _WORDS if empty is None else {**_WORDS, "": empty, "nan": empty}
    texts = [str(value).strip().lower() for value in values]
    if wrong := [text for text in texts if text not in known]:
        raise FovflowError(
            f"{os.fspath(path)}: a field of the column {column} is neither true nor false",
            found=repr(wrong[0]),
            remedy="write True or False, as this program, TRUE or FALSE, or 1 or 0",
        )
    return np.array([known[text] for text in texts], dtype=bool)


_EMPTY = np.dtype("V1")


def _typed(values: tuple[str, ...], text: bool) -> NDArray[Any]:
    """Turn fields into an array of the narrowest kind; of `_EMPTY` where there is no value."""
    if not text:
        characters = set("".join(values))
        if not characters:
            return np.empty(len(values), _EMPTY)
        with suppress(ValueError, OverflowError):
            if characters <= _INT_CHARACTERS and "" not in values:
                numbers = list(map(int, values))
                if tuple(map(str, numbers)) == values:
                    return np.array(numbers, np.int64)
            elif characters <= _FLOAT_CHARACTERS:
                return np.array([float(value or "nan") for value in values])
            elif set(values) <= {"True", "False"}:
                return np.array([value == "True" for value in values])
    known: dict[str, str] = {}  # what stands in many rows is in memory once
    return np.array([known.setdefault(value, value) for value in values], dtype=object)


def _mixed(parts: list[NDArray[Any]]) -> bool:
    """Tell whether text stands beside numbers, or booleans beside anything else."""
    kinds = {part.dtype.kind for part in parts}
    return bool(kinds & {"O", "b"}) and len(kinds) > 1


def _joined(parts: list[NDArray[Any]], kind: Kind) -> NDArray[Any]:
    filled = [part for part in parts if part.dtype != _EMPTY]
    if not filled:
        rows = sum(part.size for part in parts)
        if kind is str or not rows:
            return np.full(rows, "", dtype=_DTYPES[kind])
        return np.full(rows, np.nan)
    if len(filled) < len(parts):
        filled = [np.full(p.size, np.nan) if p.dtype == _EMPTY else p for p in parts]
    return np.concatenate(filled)
