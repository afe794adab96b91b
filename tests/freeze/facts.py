"""What stays the same from run to run: text without times and ids, digests, shapes of records."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from projects import CLONE

RUN_ID = re.compile(r"\b\d{8}T\d{6}Z(-[\w-]+)?")
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:?\d\d:?\d\d([.,]\d+)?( ?UTC|Z|[+-]\d\d:?\d\d)?")
CLOCK = re.compile(
    r"\[?[A-Z][a-z]{2} [A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d \d{4}\]?|\d+:\d\d:\d\d\b(\.\d+)?"
)
COMMIT = re.compile(r"\bcommit [0-9a-f]{7,40}( with changes)?|\b[0-9a-f]{40}\b")
GIT = re.compile(r"(\b(branch|commit|diff_sha256|dirty_files|repository|untracked)\b).*")
"""Facts whose kind depends on the state of the clone."""
SCRIPT_COPY = re.compile(r"\btmp\w{8}(?=\.\w+\.py)")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PLACEHOLDERS = {
    RUN_ID: "run", TIME: "time", CLOCK: "time", COMMIT: "commit", SCRIPT_COPY: "name", UUID: "uuid"
}  # fmt: skip
MEASURED = re.compile(
    r"(?<![\w.-])\d[\d.,]*(e-?\d+)? ?(ms|s|min|h|kB|KiB|MB|MiB|GB|GiB|%)(?![\w/])"
)
NUMBER_KEYS = re.compile(
    r"(^|_)(pid|seconds|duration|peak|rss|cpu|memory|mtime|clock|free)(_|$)|_mib$|^(logical|usable)$"
)
TEXT_KEYS = re.compile(
    r"^(host|hostname|user|os|machine|model|commit|diff_sha256|platform|python)$"
)
DURATION = re.compile(r"(?<![\w:.])\d+:\d\d(?![\w:])")
CHOSEN_BY_TIME, ORDERED_BY_TIME = "slowest jobs", "alerts"
"""Headings of lists whose items or order differ from run to run."""
NOT_SAID = re.compile(
    r"^ *(Base directory|Command|Config MD5|Config file\(s\)|Date|Host|Platform|Python version|"
    r"Run directory|Snakefile|Snakemake version|User|Work\w+ \w+|Elapsed time):|"
    r"^[\w-]+: (?!.*\b(completed|failed|terminated)\b).*\d+/\d+ jobs"
)
"""Snakemake's account of itself, and lines of progress."""


def plain(text: str, folder: Path) -> str:
    """Put placeholders for folders, programs, times and ids."""
    places = {
        str(folder): "<folder>",
        str(CLONE): "<clone>",
        sys.executable: "<python>",
        sys.prefix: "<environment>",
        f" on {socket.gethostname()}": " on <host>",
        f"host {socket.gethostname()}": "host <host>",
    }
    for place in sorted(places, key=len, reverse=True):
        text = text.replace(place, places[place])
    for pattern, name in PLACEHOLDERS.items():
        text = pattern.sub(f"<{name}>", text)
    return text


def spoken(text: str, folder: Path) -> list[str]:
    """Return the lines of what a command printed, without measurements and alignment."""
    text = MEASURED.sub(r"<n> \2", DURATION.sub("<n> s", plain(text, folder)))
    text = re.sub(r"(?<=\S) {2,}", "  ", text)
    text = re.sub(r"\bpid \d+|(?<=\.smk\", )line \d+", "<n>", text)
    found = []
    lines = iter(line.rstrip() for line in text.splitlines())
    for line in lines:
        if line != CHOSEN_BY_TIME:
            found.append(line)
        if line in (CHOSEN_BY_TIME, ORDERED_BY_TIME):
            block = list(itertools.takewhile(bool, lines))
            found += sorted(block) if line == ORDERED_BY_TIME else []
    return found


def steady(value: Any, folder: Path, key: str = "") -> Any:
    """Return the content of a JSON document with placeholders for what differs between runs."""
    if isinstance(value, dict):
        if key in ("packages", "workflow"):  # versions, and hashes of the clone's files
            return sorted(value) if key == "workflow" else "<packages>"
        found = {plain(k, folder): steady(v, folder, k) for k, v in value.items()}
        if "findings" in found:  # of copies of the workflow's files and of records, too
            found["bytes"] = "<number>"
        return found
    if isinstance(value, list):
        items = [steady(item, folder, key) for item in value]
        if key == "alerts":
            items.sort(key=json.dumps)
        return "<jobs>" if key == "slowest" else items
    if isinstance(value, str):
        return "<text>" if TEXT_KEYS.search(key) else plain(value, folder)
    if isinstance(value, int | float) and not isinstance(value, bool) and NUMBER_KEYS.search(key):
        return "<number>"
    return value


# ---------------------------------------------------------------- the shape of records


def shape(value: Any, path: str = "") -> Iterator[str]:
    """Yield the path and kind of each fact of a document; names that are data are left out."""
    if isinstance(value, dict):
        for key, item in value.items():
            name = str(key)
            if path.endswith("packages") or re.search(r"[\d/.]", name):
                name = "*"
            yield from shape(item, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for item in value:
            yield from shape(item, f"{path}[]")
        if not value:
            yield f"{path}: []"
    else:
        yield f"{path}: {type(value).__name__}"


def record_shapes(folder: Path) -> dict[str, list[str]]:
    """Return the shapes of all records below a folder, by kind of record."""
    found: dict[str, set[str]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix in {".json", ".jsonl", ".yaml"}):
        place = re.sub(
            r"(?<=publish-)[0-9a-f]+|\d+",
            "N",
            RUN_ID.sub("RUN", path.relative_to(folder).as_posix()),
        )
        kind = place.split("/")[-1] if "/fov_" not in place else f"fov_N/{path.name}"
        if "/jobs/" in place:
            kind = "jobs/attempt-N.jsonl"
        elif "/logs/" in place:
            kind = "logs/*.json"
        elif "artifacts/" in place or "outputs/" in place:
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".jsonl":
            for line in text.splitlines():
                event = json.loads(line)
                if event.get("type") == "resources":  # only of jobs that take long
                    continue
                form = f"{kind} {event.get('type', '')}".strip()
                found.setdefault(form, set()).update(shape(event))
        elif path.name == "ro-crate-metadata.json":
            for entity in json.loads(text)["@graph"]:
                form = f"{kind} {entity['@type']}"
                found.setdefault(form, set()).update(shape(entity))
        else:
            content = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)
            found.setdefault(kind, set()).update(shape(content))
    return {
        kind: sorted({GIT.sub(r"\1", line) for line in lines})
        for kind, lines in sorted(found.items())
    }


def record_names(folder: Path) -> list[str]:
    """Return the names of the files that are no outputs, without numbers and names of jobs."""
    names = set()
    for path in folder.rglob("*"):
        name = RUN_ID.sub("RUN", path.relative_to(folder).as_posix())
        if path.is_file() and not is_output(path.relative_to(folder)):
            names.add(re.sub(r"(?<=publish-)[0-9a-f]+|[0-9a-f]{16,}|\d+", "N", name))
    return sorted(names)


# ---------------------------------------------------------------- files


def is_output(path: Path) -> bool:
    """Tell whether a file below an output folder is an output, and not a record of one."""
    parts = set(path.parts)
    return not parts & {"logs", "runs", "provenance"} and not path.name.startswith(
        (".", "ro-crate-metadata", "report.html")
    )


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files_of(folder: Path, chosen: Callable[[Path], bool] = lambda _: True) -> dict[str, str]:
    """Return the SHA-256 of files by their names; links count as what they lead to."""
    paths = [folder] if folder.is_file() else sorted(folder.rglob("*"))
    return {
        path.relative_to(folder.parent).as_posix(): digest(path)
        for path in paths
        if path.is_file() and chosen(path.relative_to(folder))
    }


def page(path: Path, folder: Path) -> list[str]:
    """Return the tags of a report, pictures as their hashes."""
    text = re.sub(
        r"data:[^\"')]{100,}",
        lambda found: f"<picture {hashlib.sha256(found[0].encode()).hexdigest()}>",
        path.read_text(encoding="utf-8"),
    )
    return spoken(text.replace("><", ">\n<"), folder)
