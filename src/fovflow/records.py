"""Records as YAML and JSON files: plain values, written atomically, read strictly."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, Any

import numpy as np

from fovflow.atomic import Digest, atomic_open, remove_leftovers, write_text
from fovflow.errors import FovflowError
from fovflow.events import SECRET, as_float, is_secret, plain_values, writable
from fovflow.userfiles import open_regular

MOST_MERGED = 10_000
"""Most keys of one mapping in YAML into which others are merged."""

MOST_NESTED = 100
"""Deepest nesting of a YAML record."""

MOST_BYTES, MOST_LETTERS = 255, 2000
"""Longest name of a file, in bytes, and longest way to one below a folder."""

_OTHER_BASE = re.compile(r"[-+]?(0[0-7_]+|\d+(:\d+)+)")
"""Numbers that YAML reads to the base of 8 or 60."""
REMAKE = "delete the file and run the pipeline again: it is remade"

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def leads_out(folder: str | os.PathLike[str] | None, name: Any) -> str:
    """Return why a name that a file tells is none of a file inside `folder`; empty where it is.

    Without a folder links are not looked for.

    Examples
    --------
    >>> leads_out("results", "fov_000/a.npy"), leads_out("results", "../a.npy")
    ('', 'lies outside the folder')
    """
    if not isinstance(name, str) or not name:
        return "is no name"
    if _CONTROL.search(name):
        return "holds control characters"
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name:
        return "lies outside the folder"
    if len(name) > MOST_LETTERS or any(len(part.encode()) > MOST_BYTES for part in pure.parts):
        return "is too long"
    place = base = "" if folder is None else os.fspath(folder)
    for part in pure.parts if folder is not None else ():
        place = os.path.join(place, part)  # noqa: PTH118  (many names are looked at)
        linked = os.path.islink(place)  # noqa: PTH114
        if linked and not Path(os.path.realpath(place)).is_relative_to(os.path.realpath(base)):
            return "is reached through a link that leads out of the folder"
    return ""


def without_odd_letters(name: str) -> str:
    """Return a file's name with ``_`` for letters that `leads_out` refuses."""
    return _CONTROL.sub("_", name).replace("\\", "_")


def inside(folder: str | os.PathLike[str], name: Any) -> Path:
    """Return the path of a file that a record names; every name from a file goes through here.

    Raises FovflowError for a name that leads out of `folder`: see `leads_out`.
    """
    problem = leads_out(folder, name)
    if problem:
        remedy = "what names it was damaged or made up: get the folder anew, or run it again"
        if "link" in problem:
            remedy = "put the file itself there in place of the link"
        raise FovflowError(f"{str(name)[:200]!r} {problem}", remedy=remedy)
    return Path(folder, name)


def read_yaml(path: str | os.PathLike[str]) -> Any:
    """Read a YAML file of plain values; tags, repeated keys and several documents are refused."""
    name = Path(path)
    with readable(name, "YAML", encoding="utf-8-sig") as file:
        try:
            return _load(file.read(), strict=True, fast=True)
        except Exception as error:  # PyYAML raises many kinds of errors for garbage
            raise _garbage(name, "YAML", error) from error


def parse_yaml(text: str, *, strict: bool = False) -> Any:
    """Parse YAML of plain values as `yaml.safe_load` does, within bounds.

    Where it is `strict`, repeated keys are errors, and numbers to the base of 8 or 60. Raises
    YAMLError, ValueError, RecursionError for what is no such YAML, merges more than `MOST_MERGED`
    keys, or is nested too deeply.
    """
    return _load(text, strict=strict)


def _load(source: str, *, strict: bool = False, fast: bool = False) -> Any:
    """Load YAML of plain values; where it is `strict`, repeated keys are errors.

    `fast`: by libyaml. What it would not survive, text that is nested without end, is refused
    before; so is what would have no end for its readers, values that hold each other.
    """
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader) if fast else yaml.SafeLoader
    if fast:
        _check_nesting(source, base)

    class Loader(base):  # type: ignore[misc]
        """The safe loader; it stops where merged keys (``<<``) would multiply without end."""

        def flatten_mapping(self, node: Any) -> None:
            merges = any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value)
            super().flatten_mapping(node)
            if merges and len(node.value) > MOST_MERGED:
                what = f"more than {MOST_MERGED} keys"
                raise yaml.constructor.ConstructorError(None, None, what, node.start_mark)

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, value in node.value if strict and isinstance(node, yaml.MappingNode) else ():
                if not fast and value.tag.endswith(":int") and _OTHER_BASE.fullmatch(value.value):
                    found = self.construct_object(value)
                    what = f"{value.value} is {found} in YAML: write that, or put it into quotes"
                    raise yaml.constructor.ConstructorError(None, None, what, value.start_mark)
                if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                    if (key.tag, key.value) in seen:
                        what = f"the key {key.value!r} stands twice"
                        raise yaml.constructor.ConstructorError(None, None, what, key.start_mark)
                    seen.add((key.tag, key.value))
            return super().construct_mapping(node, deep)  # type: ignore[no-any-return]

    loader = Loader(source)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _check_nesting(source: str, loader: Any) -> None:
    """Raise YAMLError for what is nested too deeply, or multiplied by references to values."""
    import yaml

    sizes: dict[str, int] = {}
    opened, referred = [("", 0)], 0
    for event in yaml.parse(source, Loader=loader):
        size = 1
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor or "", 0))
            if len(opened) > MOST_NESTED:
                raise yaml.YAMLError(f"nested more than {MOST_NESTED} deep")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, inside = opened.pop()
            size += inside
        elif isinstance(event, yaml.AliasEvent):
            anchor, size = "", sizes.get(event.anchor or "", MOST_MERGED)
            referred += size
            if referred >= MOST_MERGED:
                what = f"references that stand for more than {MOST_MERGED} keys and values"
                raise yaml.YAMLError(what)
        else:
            anchor = getattr(event, "anchor", None) or ""
        sizes[anchor] = size
        opened[-1] = opened[-1][0], opened[-1][1] + size


def write_yaml(path: str | os.PathLike[str], data: Any) -> None:
    """Write plain values as YAML, atomically: keys in their order, non-ASCII letters as such.

    NumPy scalars and arrays, tuples and paths are written as plain numbers, lists and text.
    Anything else is a ValueError that names the key.
    """
    text = yaml_text(data)
    with atomic_open(path) as file:
        file.write(text)


def yaml_text(data: Any) -> str:
    """Return plain values as `write_yaml` writes them."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(
        _plain(data, ""), Dumper=dumper, sort_keys=False, allow_unicode=True, width=100,
        default_flow_style=False,
    )  # fmt: skip
    return text


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file; NaN and infinities, which are not JSON, are refused."""
    name = Path(path)
    with readable(name, "JSON", encoding="utf-8-sig") as file:
        try:
            return json.load(file, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise _garbage(name, "JSON", error) from error


def read_json_object(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the JSON object in a file; an empty one where there is none, or anything else."""
    try:
        content = read_json(path)
    except FovflowError:
        return {}
    return content if isinstance(content, dict) else {}


def mapping_of(value: Any) -> Mapping[Any, Any]:
    """Return what a record holds where a mapping should be; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def through_json(value: Any) -> Any:
    """Return `value` as it comes back from JSON: plain lists, mappings with text keys, numbers."""
    return json.loads(json.dumps(value))


def public(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resolved configuration, plain values, as records show it.

    Arguments of commands may be secrets and addresses are personal: both are left out, as is what
    ``run: secret`` names.
    """
    run = {key: value for key, value in (config.get("run") or {}).items() if key != "smtp"}
    if run.get("alerts"):
        run["alerts"] = [
            {**alert, "command": alert["command"][:1]} if alert.get("command") else alert
            for alert in run["alerts"]
        ]
    shown: dict[str, Any] = plain_values({**config, "run": run})
    return shown


def write_if_changed(path: Path, text: str) -> Digest:
    """Write a text, unless the file holds just that already; return its digest."""
    data = writable(text).encode()
    if not path.exists() or path.read_bytes() != data:
        write_text(path, data.decode())
    else:
        remove_leftovers(path)
    return Digest(len(data), hashlib.sha256(data).hexdigest())


def write_json(path: str | os.PathLike[str], data: Any, *, sort_keys: bool = False) -> None:
    """Write plain values as JSON, atomically: indented, keys in their order or sorted.

    NumPy scalars and arrays, tuples and paths are written as plain numbers, lists and text.
    Anything else, a NaN or an infinity, or a key that is no str is a ValueError that names it.
    """
    text = json_text(data, sort_keys=sort_keys)
    with atomic_open(path) as file:
        file.write(text)


def json_text(data: Any, *, sort_keys: bool = False) -> str:
    """Return plain values as `write_json` writes them."""
    plain = _plain(data, "", json_rules=True)
    return (
        json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False, sort_keys=sort_keys) + "\n"
    )


def not_json(data: Any) -> str:
    """Return why `write_json` would refuse `data`; an empty text where it would not.

    Examples
    --------
    >>> not_json({"a": [1, float("nan")]})
    'a[1]: nan cannot be written as JSON; use null'
    """
    try:
        _plain(data, "", json_rules=True)
    except (ValueError, RecursionError) as error:
        return str(error) or "the record cannot be written"
    return ""


def _plain(value: Any, key: str, json_rules: bool = False) -> Any:
    """Return `value` in plain Python types; `key` is its place, for errors."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, Mapping):
        if json_rules and not all(isinstance(name, str) for name in value):
            raise ValueError(f"{key or 'the record'}: JSON keys must be text")
        names = [writable(n) if isinstance(n, str) else n for n in value]
        items = zip(names, value.values(), strict=True)
        return {
            n: SECRET if is_secret(n, v) else _plain(v, f"{key}.{n}".lstrip("."), json_rules)
            for n, v in items
        }
    if isinstance(value, list | tuple):
        return [_plain(v, f"{key}[{i}]", json_rules) for i, v in enumerate(value)]
    if isinstance(value, int | float) and json_rules and as_float(value) is None:
        shown = "so large a number" if isinstance(value, int) else value
        raise ValueError(f"{key or 'the record'}: {shown} cannot be written as JSON; use null")
    if isinstance(value, str):
        return writable(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    raise ValueError(f"{key or 'the record'}: cannot be written: {type(value).__name__}")


@contextmanager
def readable(path: Path, what: str, **options: str) -> Iterator[IO[str]]:
    """Open a text file; turn the errors of reading it into sentences."""
    try:
        with io.TextIOWrapper(open_regular(path), **options) as file:  # type: ignore[arg-type]
            yield file
    except OSError as error:
        raise FovflowError(
            f"cannot open {path}",
            found=error.strerror or str(error),
            remedy="check the path; outputs that are missing are remade by running again",
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise _garbage(path, what, error) from error


def what_is_wrong(error: Exception) -> str:
    """Return in one line what an error says of a text, by line and column where YAML tells them."""
    text = (isinstance(error, OSError) and error.strerror) or str(error)
    found = re.sub(r' in "<(unicode|byte) string>",', ",", " ".join(text.split()))
    return found.removesuffix(" ^").removesuffix(":") or type(error).__name__


def _garbage(path: Path, what: str, error: Exception) -> FovflowError:
    found = what_is_wrong(error)
    if isinstance(error, UnicodeDecodeError):
        found = f"it is not UTF-8, the encoding of text (byte 0x{error.object[error.start]:02x})"
    return FovflowError(f"{path} is not a readable {what} file", found=found, remedy=REMAKE)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
