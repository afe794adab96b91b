"""Datasets that executions make: named and versioned lists of files, and of other datasets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from fovflow.errors import ConfigError, FovflowError
from fovflow.events import Clock, moment
from fovflow.records import read_json_object, write_json
from fovflow.runs.assets import changed, content_of, is_term
from fovflow.runs.store import alone_in

FOLDER = "datasets"
"""Folder, in an execution's, of the records of the datasets that it made."""


def _records(outdir: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return the records of all datasets of an output folder, the oldest first."""
    paths = sorted((outdir / "runs").glob(f"*/{FOLDER}/*.json"))
    found = [(path, read_json_object(path)) for path in paths]
    return sorted(found, key=lambda one: str(one[1].get("created") or ""))


def find_dataset(outdir: Path, name: str, version: str | None = None) -> Path:
    """Return the record of a dataset: of that version, else of the newest that was made."""
    found = _records(outdir)
    known = [(path, content) for path, content in found if content.get("name") == name]
    chosen = [path for path, content in known if version in (None, content.get("version"))]
    if not chosen:
        raise FovflowError(
            f"there is no dataset {name} {version or ''}".rstrip() + f" in {outdir / 'runs'}",
            found=", ".join(f"{c.get('name')} {c.get('version')}" for _, c in found) or "none",
            remedy="name one that create_dataset() of an execution has made",
        )
    return chosen[-1]


def write_dataset(
    outdir: Path,
    run: Path,
    members: Iterable[str | os.PathLike[str]],
    *,
    name: str,
    version: str,
    description: str,
    types: list[str],
    extends: str | None,
) -> Path:
    """Write the record of a dataset, and return its path; see `Execution.create_dataset`."""
    for what, term in (("name", name), ("version", version)):
        if not is_term(term):
            raise ConfigError(
                f"the {what} {term!r} of a dataset is no word",
                remedy="use letters, digits and _ - . +, as in 1.0.0",
            )
    file = f"{name}-{version}.json"
    if isinstance(members, str | os.PathLike):
        raise ConfigError("members of a dataset are a list of paths", found=repr(members))
    earlier = [path for path, _ in _checked(find_dataset(outdir, name, extends))] if extends else []
    given = [Path(os.path.abspath(member)) for member in members]  # noqa: PTH100
    paths = list(dict.fromkeys([*earlier, *given]))
    absent = [path for path in paths if not path.is_file()]
    if absent or not paths:
        raise FovflowError(
            f"the dataset {name} {version} has a member that is no file",
            found=str(absent[0]) if absent else "no members",
            remedy="write the files first",
        )
    content = {
        "schema_version": 1,
        "name": name,
        "version": version,
        "description": description,
        "types": types,
        "extends": extends,
        "execution": run.name,
        "members": [_member(path, run.absolute()) for path in paths],
    }
    target = run / FOLDER / file
    with alone_in(run.parent):
        known = _records(outdir)
        others = [path for path, _ in known if path.name == file]
        if others or target.exists():
            raise FovflowError(
                f"the dataset {name} has a version {version} already",
                found=str(others[0] if others else target),
                remedy="give the next version",
            )
        last = moment(known[-1][1].get("created")) if known else None  # the clock may be behind it
        now = Clock().now(last and (last + timedelta(microseconds=1)).isoformat())
        write_json(target, content | {"created": now})
    return target


def _member(path: Path, run: Path) -> dict[str, Any]:
    """Return what is recorded of a member; a record of a dataset is that dataset."""
    about = content_of(path, run)
    inner = read_json_object(path) if path.parent.name == FOLDER else {}
    known = {"dataset": inner.get("name"), "version": inner.get("version")}
    return {**about, **known} if isinstance(inner.get("members"), list) else about


def members_of(record: Path) -> list[Mapping[str, Any]]:
    """Return the members of a dataset that its record names, each with ``path``."""
    members = read_json_object(record).get("members")
    found = [m for m in members if isinstance(m, Mapping)] if isinstance(members, list) else []
    return [member for member in found if isinstance(member.get("path"), str)]


def _checked(record: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield the members of a dataset; FovflowError where one is not what was recorded."""
    for member in members_of(record):
        path = Path(os.path.abspath(record.parents[1] / member["path"]))  # noqa: PTH100
        if problem := changed(path, member.get("bytes"), str(member.get("sha256"))):
            raise FovflowError(f"{path}, a member of the dataset {record.stem}: {problem}")
        yield path, member


def files_of(record: Path, within: tuple[Path, ...] = ()) -> list[Path]:
    """Return the files of a dataset, and of the datasets in it, each once.

    Raises FovflowError where one is not what was recorded.
    """
    found = dict[Path, None]()
    for path, member in _checked(record):
        inner = member.get("dataset") is not None and path not in within
        found |= dict.fromkeys(files_of(path, (*within, path)) if inner else [path])
    return list(found)


def told_files(record: Path, within: tuple[Path, ...] = ()) -> Iterator[tuple[Path, str | None]]:
    """Yield the files that a dataset's record names, and of datasets in it, with their SHA-256."""
    for member in members_of(record):
        path, sha256 = record.parents[1] / member["path"], member.get("sha256")
        yield path, sha256 if isinstance(sha256, str) else None
        if member.get("dataset") is not None and path not in within:
            yield from told_files(path, (*within, path))


def dataset_problems(run: Path) -> Iterator[tuple[str, str, bool]]:
    """Yield what does not hold of the datasets of a run's folder: the record's name, a sentence.

    The last value tells whether it is a fault: a member that lies elsewhere may be gone.
    """
    for record in sorted((run / FOLDER).glob("*.json")):
        name, members = f"{FOLDER}/{record.name}", members_of(record)
        if not members:
            yield name, "has no members with a path", True
        for member in members:
            file = run / member["path"]
            if problem := changed(file, member.get("bytes"), str(member.get("sha256"))):
                yield name, f"the member {member['path']}: {problem}", file.exists()
