"""Lists of files with their SHA-256: the raw data of a project, and what came out of it.

Both are for people who do a published analysis again: the first list tells whether they have the
same raw data, the second whether they got the same files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fovflow.atomic import atomic_open, digest_of
from fovflow.config import Config
from fovflow.errors import FovflowError, reading
from fovflow.layout import EXPORTS, LOGS, OVERLAYS
from fovflow.readers.fingerprint import raw_files
from fovflow.runs.crate import FILE_NAME as MANIFEST
from fovflow.tables import read_csv
from fovflow.userfiles import is_left_by_system, open_regular

RAW_LIST = "raw_data.sha256"
OUTPUT_LIST = "outputs.sha256"
_RECORDS = frozenset({"runs", LOGS, "provenance", OVERLAYS, EXPORTS})
"""Folders of records, which tell of one run and differ between runs, and of pictures and exports
made by hand."""
_ABOUT = re.compile(
    r"# (?P<bytes>\d+) bytes(?:; used by: (?P<used_by>.*?); source: ?(?P<source>.*))?"
)
_LINE = re.compile(r"(\\?)([0-9A-Fa-f]{64}) [ *](.+)")
_ESCAPED = {"\\": r"\\", "\n": r"\n", "\r": r"\r"}
_MEANING = {short: long for long, short in _ESCAPED.items()}
_SPECIAL = re.compile(r"[\\\n\r]")
_ESCAPE = re.compile(r"\\[\\nr]")
_COLUMNS = ("used_by", "file", "bytes", "sha256", "source")


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file of a list: its name with ``/``, and its SHA-256 in lower case."""

    file: str
    bytes: int | None
    """None where a list does not tell."""
    sha256: str
    used_by: str = ""
    """The dataset that it belongs to, or the key of the configuration that names it."""
    source: str = ""
    """Where others get it, such as a DOI; written by a person."""


Advance = Callable[[int, int], object]
"""Told the bytes that were just read, and those in all."""


def raw_data(config: Config, *, advance: Advance | None = None) -> list[ListedFile]:
    """Return every raw file of a configuration, dark frame and flat-field included.

    `config`: paths in it are relative to the working directory, and so are those of the list.
    Raises FovflowError if a file is absent or cannot be read.
    """
    return _hashed(list(_named(config)), advance)


def outputs(
    folders: Iterable[str | os.PathLike[str]], *, advance: Advance | None = None
) -> list[ListedFile]:
    """Return every output below some folders that is the same whenever and wherever it is made.

    Logs, records of runs and manifests are left out: they tell of one run.

    `folders`: output folders, or folders of one's own tables. Raises FovflowError if a folder is
    absent, or a file cannot be read.
    """
    found = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise FovflowError(f"there is no folder {folder}", remedy="run the pipeline first")
        for path in folder.rglob("*"):
            inner = path.relative_to(folder)
            hidden = (
                path.name == MANIFEST or path.name.startswith(".") or is_left_by_system(path.name)
            )
            if path.is_file() and not hidden and not _RECORDS & set(inner.parts[:-1]):
                found.append(("", path))
    return _hashed(found, advance)


def read_list(path: str | os.PathLike[str]) -> list[ListedFile]:
    """Read a list that `write_list`, an earlier version (a CSV table) or ``sha256sum`` wrote.

    Raises FovflowError if it is absent or no such list.
    """
    with reading(path), open_regular(path) as opened:
        text = opened.read().decode("utf-8-sig", errors="surrogateescape")
    found: list[ListedFile] = []
    about: dict[str, Any] = {}
    for line in filter(None, (line.removesuffix("\r") for line in text.split("\n"))):
        if line.startswith("#"):
            match = _ABOUT.fullmatch(line)
            about = match.groupdict("") if match else {}
        elif match := _LINE.fullmatch(line):
            escaped, sha256, file = match.groups()
            if escaped:
                file = _ESCAPE.sub(lambda part: _MEANING[part[0]], file)
            size = int(about.pop("bytes")) if about else None
            found.append(ListedFile(file, size, sha256.lower(), **about))
            about = {}
        elif not found:
            return _read_table(path)
        else:
            raise _no_list(path, repr(line[:80]))
    return found


def _read_table(path: str | os.PathLike[str]) -> list[ListedFile]:
    """Read a list in the form of earlier versions."""
    table = read_csv(path, kinds={**dict.fromkeys(_COLUMNS, str), "bytes": int})
    missing = [name for name in ("file", "bytes", "sha256") if name not in table]
    if missing or table["bytes"].dtype.kind != "i":
        raise _no_list(path, f"the columns {', '.join(table)}")
    columns = {name: table[name].tolist() for name in _COLUMNS if name in table}
    rows = zip(*columns.values(), strict=True)
    return [ListedFile(**dict(zip(columns, row, strict=True))) for row in rows]


def _no_list(path: str | os.PathLike[str], found: str) -> FovflowError:
    return FovflowError(
        f"{os.fspath(path)} is no list of checksums",
        found=found,
        remedy="make it with: fovflow checksums raw --write",
    )


def default_list(name: str) -> str:
    """Return the list that is there: `name`, or the CSV table of an earlier version."""
    former = Path(name).with_suffix(".csv")
    return str(former) if former.exists() and not Path(name).exists() else name


def write_list(
    path: str | os.PathLike[str],
    files: Sequence[ListedFile],
    former: str | os.PathLike[str] | None = None,
) -> None:
    """Write a list atomically, as ``sha256sum -c`` takes it.

    Before each file stands a comment with its size, what uses it, and its source; sources of the
    list that is there already (of `former`, where its name was another one) are kept.
    """
    former = path if former is None else former
    known = {item.file: item.source for item in read_list(former)} if Path(former).exists() else {}
    lines = []
    for item in files:
        source = " ".join((item.source or known.get(item.file, "")).split())
        given = item.used_by or source
        uses = f"; used by: {item.used_by}; source: {source}".rstrip() if given else ""
        name = _SPECIAL.sub(lambda part: _ESCAPED[part[0]], item.file)
        mark = "\\" if name != item.file else ""
        lines += [f"# {item.bytes} bytes{uses}", f"{mark}{item.sha256}  {name}"]
    with atomic_open(path, "wb") as file:
        file.writelines(f"{line}\n".encode(errors="surrogateescape") for line in lines)


def differences(
    listed: Iterable[ListedFile], found: Iterable[ListedFile], *, name: str
) -> list[str]:
    """Return what does not hold, one sentence per file; `name` is that of the list."""
    then = {item.file: item for item in listed}
    now = {item.file: item for item in found}
    problems = []
    for file in sorted(then.keys() | now.keys()):
        if file not in now:
            problems.append(f"{file}: in {name}, but not here")
        elif file not in then:
            problems.append(f"{file}: here, but not in {name}")
        elif then[file].bytes not in (None, now[file].bytes):
            problems.append(
                f"{file}: has {now[file].bytes} bytes where {name} says {then[file].bytes}"
            )
        elif now[file].sha256 != then[file].sha256:
            problems.append(
                f"{file}: other content: SHA-256 {now[file].sha256[:12]}… where {name} says "
                f"{then[file].sha256[:12]}…"
            )
    return problems


def _named(config: Config) -> Iterator[tuple[str, Path]]:
    """Yield every file that the configuration names, with what uses it."""
    assert not isinstance(config.datasets, str)
    for name, dataset in config.datasets.items():
        for file in raw_files(dataset.path, dataset.pattern):
            yield name, file
    for key in ("dark", "flat_field"):
        value = getattr(config.correct, key, None)
        if isinstance(value, str) and value != "estimate":
            yield f"correct.{key}", Path(value)


def _hashed(files: list[tuple[str, Path]], advance: Advance | None) -> list[ListedFile]:
    found = []
    total = sum(_size(path) for _, path in files)
    for used_by, path in sorted(files, key=lambda item: (item[0], item[1].as_posix())):
        with reading(path):
            digest = digest_of(path, lambda piece: advance and advance(len(piece), total))
        found.append(ListedFile(path.as_posix(), digest.bytes, digest.sha256, used_by))
    return found


def _size(path: Path) -> int:
    with reading(path):
        return path.stat().st_size
