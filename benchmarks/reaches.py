"""What fovflow is meant to reach, and how far it is from that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

STEPS_MS = 100.0
FASTER = {"segment": 15.0, "correct": 20.0, "track": 5.0, "extract": 30.0}
TIMES_FLOOR = 4.0
PEAK_MIB = 350.0
FIXED_S = 0.6
ENGINE_SHARE = 0.10
RECORDING_SHARE = 0.02
EVENT_MS = 5.0
WORK = ("segment", "correct", "track", "extract")

Figures = dict[str, Any]


@dataclass(frozen=True)
class Reach:
    """One aim with what was measured; `more` is better where `at_least`."""

    what: str
    aim: float
    measured: float
    form: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the aim is held."""
        return self.measured >= self.aim if self.at_least else self.measured <= self.aim

    @property
    def verdict(self) -> str:
        """``met``, or by how much it is missed."""
        if self.met:
            return "met"
        if self.at_least:
            return f"missed: {self.measured / self.aim:.0%} of it"
        return f"missed: {self.measured / self.aim:.1f} × as much"

    @property
    def row(self) -> list[str]:
        """The cells of a table's row."""
        sign = "≥" if self.at_least else "≤"
        aim, measured = (self.form.format(value) for value in (self.aim, self.measured))
        return [self.what, f"{sign} {aim}", measured, self.verdict]


def reaches(found: Figures) -> list[Reach]:
    """Return every aim that these figures say something about."""
    return [*_steps(found), *_runs(found), *_records(found)]


def default_arrays(found: Figures) -> dict[str, Figures]:
    """Return the figures on arrays of each step's default method; it comes first."""
    rows: dict[str, Figures] = {}
    for row in found.get("arrays", ()):
        rows.setdefault(row["step"], row)
    return rows


def _steps(found: Figures) -> Iterator[Reach]:
    jobs = {row["step"]: row for row in found.get("jobs", ())}
    if jobs:
        what = "segment + correct + track + extract, CPU per frame, {}"
        alone = default_arrays(found)
        sums = {"in jobs": sum(jobs[step]["job_ms"]["least"] for step in WORK)}
        if alone:
            sums["on arrays"] = sum(alone[step]["arrays_ms"]["least"] for step in WORK)
        for where, total in sums.items():
            yield Reach(what.format(where), STEPS_MS, total, "{:.0f} ms")
    for row in found.get("arrays", ()):
        ratio = row["faster_than_reference"]
        if row["step"] in FASTER and ratio is not None:
            what = f"{row['step']} ({row['method']}) against its plain version"
            yield Reach(what, FASTER[row["step"]], ratio, "{:.1f} × faster", at_least=True)
    if jobs:
        yield Reach("peak memory of the largest job", PEAK_MIB,
                    max(row["peak_mib"] for row in jobs.values()), "{:.0f} MiB")  # fmt: skip
        long = memory_of_long_movie(found)
        if long is not None:
            frames = [row["frames"] for row in found["growth"]["frames"]]
            what = f"the same at T = {frames[-1]}: the row above, and what a step grew by from "
            what += f"T = {frames[0]}"
            yield Reach(what, PEAK_MIB, long, "{:.0f} MiB")
        yield Reach("fixed cost of a job, CPU", FIXED_S,
                    max(row["fixed_s"] for row in jobs.values()), "{:.2f} s")  # fmt: skip


def memory_of_long_movie(found: Figures) -> float | None:
    """Return the largest job's peak, each with what a long movie adds to it (MiB)."""
    rows = found.get("growth", {}).get("frames", [])
    if len(rows) < 2 or rows[-1]["frames"] < 1000:
        return None
    first, last = rows[0]["peaks_mib"], rows[-1]["peaks_mib"]
    return float(max(
        row["peak_mib"] + max(0, last[row["step"]] - first[row["step"]]) for row in found["jobs"]
    ))  # fmt: skip


def _runs(found: Figures) -> Iterator[Reach]:
    if "run" in found:
        yield Reach("whole run, wall, against moving the same bytes", TIMES_FLOOR,
                    found["run"]["times_floor"], "{:.1f} ×")  # fmt: skip
    rows = found.get("growth", {}).get("fovs", [])
    if rows and rows[-1]["fovs"] >= 100:
        last = rows[-1]
        size = last["size"]
        yield Reach(f"engine's share of a run, 100 FOVs × 100 frames of {size} × {size}",
                    ENGINE_SHARE, last["overhead_share"], "{:.1%}")  # fmt: skip
        share = 1 - last["jobs_cpu_s"] / last["cpu_s"]
        yield Reach("the same, by CPU time", ENGINE_SHARE, share, "{:.1%}")
        work = sum(row["job_ms"]["least"] for row in found.get("jobs", ())) / 1e3
        if work:
            large = found["scenes"]["many"]["size"]
            share = last["overhead_s"] / (last["overhead_s"] + last["frames"] * 100 * work)
            yield Reach(f"the same overhead beside frames of {large} × {large}", ENGINE_SHARE,
                        share, "{:.1%}")  # fmt: skip


def _records(found: Figures) -> Iterator[Reach]:
    if "recording" in found:
        what = "recording, share of a run's {}"
        for name, words in (("wall_s", "wall time"), ("cpu_s", "CPU time")):
            yield Reach(what.format(words), RECORDING_SHARE, found["recording"][f"share_{name}"],
                        "{:.1%}")  # fmt: skip
    if "events" in found:
        slowest = max(row["ms"]["least"] for row in found["events"])
        yield Reach("recording, slowest event", EVENT_MS, slowest, "{:.3f} ms")
