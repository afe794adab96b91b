"""What a check found wrong, and small checks that several parts share."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

CLOCK_TOLERANCE_S = 1.0
"""Seconds by which two recorded times may contradict each other."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that does not hold: the file that it is about, and a sentence."""

    file: str
    problem: str

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}"


@dataclass(slots=True)
class Report:
    """What a verification found.

    Attributes
    ----------
    findings : list of Finding
        What does not hold.
    notes : list of Finding
        What a reader should know and is no fault: failed jobs, outputs without a checksum.
    files, bytes : int
        How much was read and compared.
    """

    findings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
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


def climbs_out(path: str) -> bool:
    """Tell whether a recorded name leaves the folder that it is relative to.

    Examples
    --------
    >>> climbs_out("fov_000/a.npy"), climbs_out("../a.npy"), climbs_out("/a.npy")
    (False, True, True)
    """
    return PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\\" in path


def seconds_between(first: Any, second: Any) -> float | None:
    """Return how many seconds `second` lies after `first`; None where either is no time."""
    try:
        moments = [datetime.fromisoformat(str(item)) for item in (first, second)]
    except ValueError:
        return None
    aware = [m if m.tzinfo else m.replace(tzinfo=UTC) for m in moments]
    return (aware[1] - aware[0]).total_seconds()


def out_of_order(first: Any, second: Any) -> bool:
    """Tell whether two times are known and the second lies before the first."""
    if not first or not second:
        return False
    seconds = seconds_between(first, second)
    return seconds is None or seconds < -CLOCK_TOLERANCE_S


def read_object(path: Path) -> tuple[dict[str, Any] | None, str, list[str]]:
    """Read a JSON object.

    Returns
    -------
    (dict or None, str, list of str)
        The object, what is wrong with the file, and keys that stand twice in one object.
    """
    twice: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(key for key, _ in items)
        twice.extend(sorted(key for key, count in counts.items() if count > 1))
        return dict(items)

    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=pairs)
    except OSError as error:
        return None, f"cannot be read: {error.strerror or error}", []
    except (ValueError, RecursionError) as error:
        return None, f"is not JSON: {error}", []
    if not isinstance(content, Mapping):
        return None, "is no JSON object", []
    return dict(content), "", twice
