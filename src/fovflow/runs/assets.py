"""Files that scripts made, kept or linked, as events tell of them, and whether they still hold."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fovflow.atomic import Digest, digest_of
from fovflow.records import leads_out

_ATTEMPT = re.compile(r"/attempt-\d+/")


def is_of_script(record: Mapping[str, Any]) -> bool:
    """Tell by its record whether a run is a script's own, or an execution: it has no jobs."""
    return record.get("kind") in ("script", "execution")


@dataclass(frozen=True, slots=True)
class Asset:
    """A file, or a folder, of a run: an output of an execution, or what `Run.save` kept."""

    path: str
    """Relative to the run's folder; an input that is recorded by reference has its own path."""
    name: str
    category: str
    """``input``, ``output`` or ``code``."""
    types: tuple[str, ...]
    """What kind of output it is, in the words of the script."""
    mode: str
    """``copy``, ``link`` (of a file elsewhere) or ``reference`` (path and digest only)."""
    bytes: int | None
    sha256: str | None
    """Of several files and of large inputs, a digest with its definition's name in front."""
    time: str
    job: str = ""
    """Name of the job that it was made in; empty for a script's own run."""

    @classmethod
    def of(cls, event: Mapping[str, Any], job: str = "") -> Asset:
        """Return the asset of an event; TypeError where it has values of other kinds."""
        path, size, sha256 = (event.get(key) for key in ("path", "bytes", "sha256"))
        if not isinstance(path, str) or not isinstance(size, int | None):
            raise TypeError("no path, or no size")
        return cls(
            path=path,
            name=str(event.get("name") or path.rpartition("/")[2]),
            category=str(event["category"]),
            types=tuple(map(str, event.get("types") or ())),
            mode=str(event.get("mode") or "copy"),
            bytes=size,
            sha256=sha256 if isinstance(sha256, str) else None,
            time=str(event["time"]),
            job=job,
        )

    @property
    def key(self) -> str:
        """Its path without the number of the attempt: the same in runs that did the same."""
        return _ATTEMPT.sub("/", self.path)

    @property
    def digest(self) -> Digest | None:
        """What the file's content was; None where it is not known of a single file."""
        whole = self.bytes is not None and self.sha256 is not None and ":" not in self.sha256
        return Digest(self.bytes or 0, self.sha256 or "") if whole else None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {name: getattr(self, name) for name in self.__slots__}

    def misplaced(self, run: Path) -> str:
        """Return why its name is none of a file in the run's folder; empty where it is."""
        wrong = "" if self.mode == "reference" else leads_out(run, self.path)
        return "" if self.mode == "link" and "link" in wrong else wrong

    def problem(self, run: Path) -> str:
        """Return what does not hold of it, in a run's folder; empty where all does."""
        if self.mode == "reference":
            return ""
        if wrong := self.misplaced(run):
            return f"names {self.path!r}, which {wrong}"
        return changed(run / self.path, self.bytes, self.sha256, linked=self.mode == "link")


def changed(path: Path, size: int | None, sha256: str | None, *, linked: bool = False) -> str:
    """Return how a file, or a folder of files, differs from what was recorded of it."""
    place = f"its source {os.path.realpath(path)} " if linked and path.is_symlink() else ""
    if not path.exists():
        return f"{place}is gone" if place else "missing"
    if not (path.is_file() or path.is_dir()):
        return f"{place}is no file".strip()
    if sha256 is None:
        return ""
    if ":" in sha256:
        from fovflow.runs.provenance import capture_inputs

        (found,) = capture_inputs([path])
        now, bytes_now = found.get("digest"), found["bytes"]
    else:
        digest = digest_of(path)
        now, bytes_now = digest.sha256, digest.bytes
    if now == sha256:
        return ""
    place = place or "its content "
    if bytes_now != size:
        return f"{place}was changed: it has {bytes_now} bytes where {size} are recorded"
    return f"{place}was changed: {str(now)[:24]}… where {sha256[:24]}… is recorded"


def last_of(assets: list[Asset]) -> list[Asset]:
    """Return the last state of each file, by its path: what was told last."""
    return list({asset.path: asset for asset in assets}.values())


def problems(run: Path, assets: list[Asset]) -> Iterator[tuple[str, str]]:
    """Yield what does not hold of a run's files: a name relative to its folder, a sentence."""
    for asset in last_of(assets):
        if problem := asset.problem(run):
            yield "events.jsonl" if asset.misplaced(run) else asset.path, problem
