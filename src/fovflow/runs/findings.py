"""What a check of records found, and the small questions that all checks ask."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fovflow.atomic import Digest
from fovflow.events import moment
from fovflow.terminal import printable
from fovflow.userfiles import read_regular

CLOCK_TOLERANCE_S = 1.0
"""Seconds by which two recorded times may contradict each other."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that does not hold: the file that it is about, and a sentence."""

    file: str
    problem: str

    def __str__(self) -> str:
        return printable(f"{self.file}: {self.problem}", one_line=True)


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is gone, or whose content is none of those that are recorded."""

    path: Path
    name: str
    """As in the report."""
    dataset: str
    """The dataset's folder; empty for a file of none."""
    expected: tuple[Digest, ...]
    """What records say of it; none where they tell of no content."""
    found: Digest | None = None
    """None where it is gone or cannot be read."""
    text: str | None = None
    """What the file should hold, where it is known."""


@dataclass(slots=True)
class Report:
    """What a verification found, and how much was read and compared."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    """What a reader should know and is no fault: failed jobs, outputs without a checksum."""
    damaged: list[Damage] = field(default_factory=list)
    """Each has a finding, too."""
    files: int = 0
    bytes: int = 0

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.findings

    def find(self, file: str | Path, problem: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(str(file), problem))

    def note(self, file: str | Path, text: str) -> None:
        """Add a note."""
        self.notes.append(Finding(str(file), text))

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "ok": self.ok,
            "files": self.files,
            "bytes": self.bytes,
            "findings": [{"file": f.file, "problem": f.problem} for f in self.findings],
            "notes": [{"file": f.file, "note": f.problem} for f in self.notes],
        }


def read_object(path: Path, name: str, report: Report) -> dict[str, Any] | None:
    """Return a JSON object; what is wrong with it, and keys that stand twice, are findings."""
    twice: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(key for key, _ in items)
        twice.extend(sorted(key for key, count in counts.items() if count > 1))
        return dict(items)

    try:
        content = json.loads(read_regular(path), object_pairs_hook=pairs)
    except OSError as error:
        report.find(name, f"cannot be read: {error.strerror or error}")
        return None
    except (ValueError, RecursionError) as error:
        report.find(name, f"is not JSON: {error}")
        return None
    if not isinstance(content, dict):
        report.find(name, "is no JSON object")
        return None
    for key in twice:
        report.find(name, f"the key {key!r} stands twice")
    return content


def out_of_order(first: Any, second: Any) -> bool:
    """Tell whether two times are known and the second lies before the first, or is no time."""
    if not first or not second:
        return False
    before, after = moment(first), moment(second)
    if before is None or after is None:
        return True
    return (after - before).total_seconds() < -CLOCK_TOLERANCE_S


def format_report(report: Report, *, notes: bool = True) -> Iterable[str]:
    """Yield a report's lines for people: findings, notes, and a summary."""
    yield from map(str, report.findings)
    if notes:
        yield from (f"note: {note}" for note in report.notes)
    words = "everything holds" if report.ok else f"{len(report.findings)} findings"
    yield f"{report.files} files, {report.bytes / 1e6:.1f} MB compared: {words}"


def listed_paths(value: Any) -> list[str]:
    """Return all file names in the nested lists and mappings of ``results_paths``."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [path for item in inner for path in listed_paths(item)]
