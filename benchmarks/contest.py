"""One step on arrays, beside its plain version and beside copying what it reads and makes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measuring import Arrays, Sample, in_turn

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Contest:
    """Calls that are measured in turn.

    Attributes
    ----------
    step, method : str
    own : callable
        The step on all frames, as a job does it.
    frames : list of dict of str to numpy.ndarray
        What it reads, by frame.
    made : list of dict of str to numpy.ndarray
        What it makes, by frame; only copied.
    plain : callable or None
        The same by the version in tests/reference/; None where there is none.
    plain_frames : int
        Number of frames that the plain version gets; it is slow.
    """

    step: str
    method: str
    own: Callable[[Arrays], object]
    frames: Arrays
    made: Arrays = field(default_factory=list)
    plain: Callable[[Arrays], object] | None = None
    plain_frames: int = 1

    def measure(self, rounds: int) -> dict[str, Any]:
        """Return milliseconds per frame of each, and their ratios (of the least ones)."""
        spent = in_turn(self._calls(), self.frames, rounds, once=("reference",))
        n = len(self.frames)
        found: dict[str, Any] = {
            "step": self.step,
            "method": self.method,
            "bytes_per_frame": self._bytes() // n,
            "arrays_ms": spent["own"].times(1e3 / n),
            "copy_ms": spent["copy"].times(1e3 / n),
            "times_copy": ratio(spent["own"], spent["copy"]),
            "reference_ms": None,
            "faster_than_reference": None,
        }
        if "reference" in spent:
            per_frame = n / self.plain_frames
            found["reference_ms"] = spent["reference"].times(1e3 / self.plain_frames)
            found["faster_than_reference"] = per_frame * ratio(spent["reference"], spent["own"])
        return found

    def _calls(self) -> dict[str, Callable[[Arrays], object]]:
        def copy(frames: Arrays) -> None:
            for frame in (*frames, *self.made):
                for values in frame.values():
                    values.copy()

        calls = {"own": self.own, "copy": copy}
        if self.plain is not None:
            plain, few = self.plain, self.plain_frames
            calls["reference"] = lambda frames: plain(frames[:few])
        return calls

    def _bytes(self) -> int:
        return sum(v.nbytes for frame in (*self.frames, *self.made) for v in frame.values())


def ratio(over: Sample, under: Sample) -> float:
    """Return the ratio of the least values."""
    return over.least / under.least


def reference_available() -> bool:
    """Tell whether the plain versions stand beside the benchmarks, as in a clone; import them."""
    tests = ROOT / "tests"
    if not (tests / "reference" / "__init__.py").is_file():
        return False
    if str(tests) not in sys.path:
        sys.path.insert(0, str(tests))
    return True
