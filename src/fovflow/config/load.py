"""Read and check configurations; every error of one is told at once."""

from __future__ import annotations

import csv
import difflib
import io
import os
import re
import reprlib
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from fovflow.config.analysis import SampleConfig
from fovflow.config.model import Config, DatasetConfig
from fovflow.config.section import Truth, fields_of, method_of
from fovflow.errors import ConfigError, FovflowError
from fovflow.events import keep_secret
from fovflow.records import parse_yaml, what_is_wrong
from fovflow.userfiles import broken_link, read_regular, user_path

_REMEDY = "see config/README.md for every key"
_LABEL = re.compile(
    r"(str|int|float|bool|constrained-\w+|(literal|tuple|list|dict|function-\w+)\[.*)$"
)
"""What pydantic calls branches of a union that are no models."""

_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
"""Types of pydantic's error for a key that there is not, in models and in dataclasses."""

_WORDS = (
    ("a valid dictionary", "a mapping of keys to values"),
    ("a valid string", "text"),
    ("a valid tuple", "a list"),
    ("a valid list", "a list"),
    ("a valid number", "a number"),
    ("a valid integer", "a whole number"),
    ("a valid boolean", "true or false"),
    ("String should have at least 1 character", "text that is not empty"),
    ("Tuple should have at most 2 items", "a list of two"),
)
"""Beginnings of what pydantic says, and plain words for the whole."""

_ODD_SPACE = re.compile(
    r"^[ -]*(?:[^\s:#'\"]+:)?([\u00a0\u2000-\u200b\u202f\u2060\u3000])", re.MULTILINE
)
"""A space that pages and chats are made of, and YAML is not, where a key or value should begin."""

_ODD_QUOTE = re.compile(r"^(?:[^#\n'\"]*?[:\[]|[ ]*-)[ ]*([\u2018-\u201f\u00ab])", re.MULTILINE)
"""A quote that word processors set, where YAML would take it for part of a value."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def load_config(path: str | os.PathLike[str]) -> Config:
    """Read and check a YAML configuration file.

    Raises ConfigError if the file is absent, is no YAML mapping, or holds wrong keys or values.
    """
    return parse_config(read_config(path))


def merged_config(files: Iterable[str], changes: Iterable[str] = ()) -> dict[str, Any]:
    """Return what Snakemake makes of configuration files and of ``--config key=value``."""
    content: dict[str, Any] = {}
    for name in files:
        _merge(content, read_config(name))
    for key, equals, value in (each.partition("=") for each in changes):
        if equals:
            _merge(content, {key: _text_of(value)})
    return content


def _merge(content: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in changes.items():
        inner = content.get(key)
        if isinstance(value, Mapping) and isinstance(inner, Mapping):
            content[key] = _merge(dict(inner), value)
        else:
            content[key] = value
    return content


def _text_of(value: str) -> Any:
    """Return a list, a mapping, or a text of the command line; None for an empty one."""
    try:
        parsed = parse_yaml(value)
    except (ValueError, RecursionError, yaml.YAMLError):
        return value
    return parsed if isinstance(parsed, list | Mapping) else value or None


def read_config(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """Return the content of a configuration file, which is a mapping without repeated keys."""
    content, text = _read_yaml(path, "config file")
    if not isinstance(content, Mapping):
        raise ConfigError(
            f"the config file {os.fspath(path)} is no mapping of keys to values",
            found="nothing" if content is None else type(content).__name__,
            remedy=_REMEDY,
        )
    if names := _names_not_text(content, text):
        raise ConfigError(
            f"{os.fspath(path)}: YAML takes names of datasets for numbers, dates or truth values",
            found=", ".join(names),
            remedy="put them into quotes: " + ", ".join(f'"{name}"' for name in names),
        )
    return content


def _read_yaml(path: str | os.PathLike[str], what: str) -> tuple[Any, str]:
    """Return the content of a YAML file that a person writes, and its text."""
    try:
        text = read_regular(path)
        _check_letters(text)
        return parse_yaml(text, strict=True), text
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {what} {os.fspath(path)}",
            found=broken_link(path) or None,
            remedy="correct the path, or make a project with: fovflow init",
        ) from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(
            f"the {what} {os.fspath(path)} cannot be read",
            found=what_is_wrong(error),
            remedy="mend the YAML, saved as UTF-8: plain spaces, no tabs; a colon and a space "
            "after each key, each once",
        ) from error


def _check_letters(text: str) -> None:
    if found := _ODD_SPACE.search(text):
        line = text.count("\n", 0, found.start(1)) + 1
        raise ValueError(f"a special space, {found[1]!a}, in line {line}")
    if found := _ODD_QUOTE.search(text):
        line = text.count("\n", 0, found.start(1)) + 1
        raise ValueError(f"a typographic quote, {found[1]}, in line {line}: write ' or \"")


def _names_not_text(content: Mapping[str, Any], text: str) -> list[str]:
    """Return names of datasets that YAML takes for something else than text, as written."""
    datasets = content.get("datasets")
    if not isinstance(datasets, Mapping) or all(isinstance(name, str) for name in datasets):
        return []
    whole: Any = yaml.compose(text, yaml.SafeLoader)
    nodes = {key.value: node for key, node in whole.value}
    keys = [key for key, _ in nodes["datasets"].value]
    return [key.value for key in keys if key.tag != "tag:yaml.org,2002:str"]


MOST = 1e9
"""Largest number that a key of the configuration can have: seconds, pixels, counts, …"""

_ANY_NUMBER = ("run.metadata", "run.alerts", "options", "steps")
"""Parts of it that may hold any."""


def _too_large(value: Any, place: str = "") -> list[str]:
    """Return a line for each number that no quantity of the pipeline can be."""
    if place in _ANY_NUMBER or place.endswith(".options"):
        return []
    if isinstance(value, Mapping):
        return [
            line
            for key, item in value.items()
            for line in _too_large(item, f"{place}.{key}".lstrip("."))
        ]
    if isinstance(value, int | float) and abs(value) > MOST:
        return [f"{place}: {reprlib.repr(value)} is too large; allowed: up to {MOST:g}"]
    return []


def parse_config(content: Mapping[str, Any]) -> Config:
    """Check a configuration given as a mapping; values may be strings where unambiguous.

    Raises ConfigError, one line for each wrong key or value: which key, what was given, what is
    allowed.
    """
    content = dict(content)
    lines: list[str] = []
    tables: dict[str, Callable[[str], Any]] = {"datasets": read_datasets, "samples": read_samples}
    for key, read in tables.items():
        if isinstance(table := content.get(key), str):
            try:
                content[key] = read(table)
            except FovflowError as error:
                lines.append(f"{key}: {error}")
                del content[key]
    if lines:
        raise ConfigError("\n".join(lines))
    try:
        config = Config.model_validate(content)
        lines += _too_large(config.model_dump(mode="json", by_alias=True))
    except ValidationError as error:
        lines += describe_errors(error, Config)
    if lines:
        count = "an error" if len(lines) == 1 else f"{len(lines)} errors"
        raise ConfigError("\n  ".join([f"the configuration has {count}:", *lines, _REMEDY]))
    _check_encoding(config)
    keep_secret(config.run.secret, content)
    return config


def _check_encoding(config: Config) -> None:
    """Raise ConfigError where this Python cannot spell a name as a file's: it is not in UTF-8."""
    about = [config.dataset(name).path for name in config.datasets]
    for name in (config.outdir, *config.datasets, *about, *(s.name for s in config.samples)):
        try:
            os.fsencode(name)
        except UnicodeEncodeError:
            raise ConfigError(
                f"no file can be named {name!r} here",
                found=f"file names in {sys.getfilesystemencoding()}, as the environment asks for",
                remedy="set PYTHONUTF8=1, or LC_ALL to a locale of UTF-8 such as C.UTF-8",
            ) from None


def read_datasets(path: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Read a table of datasets: a header line, one dataset per row.

    Empty fields count as not given. Raises ConfigError if the table is absent or has unknown or
    repeated names.
    """
    name = os.fspath(path)
    allowed = ["dataset", *(k for k in DatasetConfig.model_fields if k != "channels"), "pc", "fl"]
    columns, rows = read_table(name)
    if set(columns) - set(allowed) or "dataset" not in columns or "path" not in columns:
        raise ConfigError(
            f"{name} needs the columns dataset and path in its header",
            found=", ".join(columns) or "nothing",
            remedy=f"allowed columns: {', '.join(allowed)}",
        )
    datasets: dict[str, dict[str, Any]] = {}
    for number, row in rows:
        given: dict[str, Any] = {key: value for key, value in row.items() if value}
        key = given.pop("dataset", "")
        if not key or key in datasets:
            what = f"the dataset {key!r} twice" if key else "no dataset name"
            raise ConfigError(f"{name}, row {number} has {what}")
        channels = {part: given.pop(part) for part in ("pc", "fl") if part in given}
        datasets[key] = {**given, **({"channels": channels} if channels else {})}
    return datasets


def read_samples(path: str | os.PathLike[str]) -> Any:
    """Read a table of samples: a header line, one sample per row; or their YAML.

    Empty fields of the columns that `SampleConfig` knows count as not given. Raises ConfigError if
    the table is absent, or lacks a column, or has one twice.
    """
    name = os.fspath(path)
    if name.endswith((".yaml", ".yml")):
        content, _ = _read_yaml(name, "table of samples")
        return content.get("samples") if isinstance(content, Mapping) else content
    columns, rows = read_table(name)
    if "sample" not in columns or not {"fovs", "wells", "positions"} & set(columns):
        raise ConfigError(
            f"{name} needs the columns sample, and fovs, wells or positions in its header",
            found=", ".join(columns) or "nothing",
        )
    known = SampleConfig.model_fields
    return [
        {"name": row["sample"]}
        | {k: value for k, value in row.items() if k != "sample" and (value or k not in known)}
        for _, row in rows
    ]


def read_table(name: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Return the columns of a table, and its rows with their numbers; comments are left out.

    Fields are separated by tabs, or by semicolons or commas as spreadsheets save them.
    """
    try:
        text = read_regular(user_path(name), "utf-8-sig")
        lines = [line for line in io.StringIO(text) if not line.startswith("#")]
        separator = next((mark for mark in "\t;," if lines and mark in lines[0]), "\t")
        reader = csv.reader(lines, delimiter=separator, strict=True)
        rows = [[field.strip() for field in row] for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        found = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"cannot read the table {name}",
            found=found,
            remedy="give the path of a table, saved as text in UTF-8; each quote needs another one",
        ) from error
    columns = rows[0] if rows else []
    while columns and not columns[-1]:
        columns.pop()
    if twice := sorted({column for column in columns if columns.count(column) > 1}):
        raise ConfigError(
            f"the table {name} has two columns of one name",
            found=", ".join(twice),
            remedy="leave one of each",
        )
    for number, row in enumerate(rows[1:], start=2):
        if any(row[len(columns) :]):
            raise ConfigError(f"{name}, row {number} has more fields than the header")
    return columns, [
        (number, {k: row[i] if i < len(row) else "" for i, k in enumerate(columns)})
        for number, row in enumerate(rows[1:], start=2)
        if any(row)
    ]


def describe_errors(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one line per error: the key, what was given, what is allowed."""
    lines: dict[str, list[str]] = {}
    found = [
        (item, *_walk(item["loc"], model, item["type"])) for item in error.errors(include_url=False)
    ]
    all_keys = [keys for _, keys, _ in found]
    for item, keys, branches in found:
        if item["type"] != "invalid_key" and any(
            len(other) > len(keys) and other[: len(keys)] == keys for other in all_keys
        ):
            continue  # a branch of a union that did not fit, where another one nearly did
        key = ".".join(keys)
        if item["type"] in _UNKNOWN:
            lines[key] = [_unknown_key(keys, branches)]
        elif item["type"] == "invalid_key":
            lines[f"{key} {item['input']}"] = [
                f"{key}: ".removeprefix(": ")
                + f"the key {item['input']!r} is no name; a number is "
                "written with a point, not a comma, and text with a comma in quotes"
            ]
        elif item["type"] == "missing":
            lines[key] = [f"{key}: this key must be given"]
        else:
            allowed = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            allowed = next((ours for start, ours in _WORDS if allowed.startswith(start)), allowed)
            given = item["input"]
            if allowed.endswith("number") and isinstance(given, str) and given[:1].isdigit():
                point = "" if "whole" in allowed else "with a decimal point and "
                allowed += f", {point}without its unit"
            if allowed == "a mapping of keys to values" and (inner := _key_of_text(keys, branches)):
                value = given if isinstance(given, str) and ":" not in given else "…"
                allowed += f", such as {{{inner}: {value}}}"
            if allowed == "text" and isinstance(given, int | float | date | Truth):
                allowed = "text; put it into quotes, as you mean it"
            shown = "a mapping" if isinstance(given, Mapping) else _SHORT.repr(given)
            start = f"{key}: {shown[:80]} is not allowed; allowed: "
            if key in lines and lines[key][0] == start:  # another branch of the same union
                lines[key].append(allowed)
            else:
                lines[key] = [start, allowed]
    return [first + " or ".join(dict.fromkeys(rest)) for first, *rest in lines.values()]


def _key_of_text(keys: list[str], branches: list[Any]) -> str:
    """Return the key that is meant where a section is given as a text: ``segment: logstd``."""
    kinds = [
        kind for outer in branches for inner in _below(outer, keys[-1]) for kind in _branches(inner)
    ]
    known = {name for kind in kinds for name in fields_of(kind)}
    return next((name for name in ("method", "path", "model") if name in known), "")


def _walk(
    loc: tuple[int | str, ...], model: type[BaseModel], kind: str
) -> tuple[list[str], list[Any]]:
    """Separate the keys in an error's location from pydantic's labels of union branches.

    Returns the keys, and the annotations that hold where the last key was looked up.
    """
    keys: list[str] = []
    here: list[Any] = [model]
    before = here
    labelled = False
    for place, part in enumerate(loc, start=1):
        choice = len([branch for branch in here if branch is not types.NoneType]) > 1
        if choice and not labelled and isinstance(part, str) and _LABEL.match(part):
            is_mapping = part.startswith("dict[")
            here = [kind for kind in here if (typing.get_origin(kind) is dict) == is_mapping]
            labelled = True
            continue
        labelled = False
        following = [inner for outer in here for inner in _below(outer, part)]
        if following:
            keys.append(str(part))
            before, here = here, [branch for inner in following for branch in _branches(inner)]
        else:
            if kind in _UNKNOWN and place == len(loc):
                keys.append(str(part))
                before = here
            named = [kind for kind in here if fields_of(kind)]
            here = [kind for kind in named if (method_of(kind) or kind.__name__) == part] or here
    return keys, before


def _branches(annotation: Any) -> list[Any]:
    """Return the members of a union, the annotation itself otherwise."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _branches(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [kind for part in typing.get_args(annotation) for kind in _branches(part)]
    return [annotation]


def _below(kind: Any, part: int | str) -> list[Any]:
    """Return the annotation behind a key or index of `kind`."""
    if fields := fields_of(kind):
        return [f.annotation for name, f in fields.items() if (f.alias or name) == part]
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is dict and not str(part).startswith("dict["):
        return [arguments[1]]
    if typing.get_origin(kind) in (tuple, list) and isinstance(part, int):
        return [arguments[0]]
    return []


def _unknown_key(keys: list[str], branches: list[Any]) -> str:
    *above, last = keys
    found = [spec.alias or name for kind in branches for name, spec in fields_of(kind).items()]
    known = list(dict.fromkeys(found))
    section, *inner = last.split(".")
    if inner and section in known:
        value = "{" + ": {".join(inner) + ": …" + "}" * len(inner)
        line = "" if above else f", on the command line --config '{section}={value}'"
        return f"{'.'.join(keys)}: a key of a section is written {section}: {value}{line}"
    near = difflib.get_close_matches(last, known, n=1)
    told = f"; known here: {', '.join(known)}" if known else ""
    if places := [place for place in _places_of(last) if [place] != above[:1]]:
        told = f"; {last} is a key of {' and '.join(places)}"
    return f"{'.'.join(keys)}: unknown key" + (f"; did you mean {near[0]}?" if near else told)


def _places_of(key: str) -> list[str]:
    """Return the sections that have a key, with any of their methods."""
    return [
        section
        for section, field in Config.model_fields.items()
        if any(key in fields_of(kind) for kind in _members(field.annotation))
    ]


def _members(annotation: Any) -> list[Any]:
    """Return the types of a section: those of a union, and those of a mapping's values."""
    found = _branches(annotation)
    inner = [typing.get_args(kind)[1] for kind in found if typing.get_origin(kind) is dict]
    return [*found, *(each for kind in inner for each in _branches(kind))]
