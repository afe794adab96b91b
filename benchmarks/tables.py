"""Figures as tables in Markdown: for the screen and for docs/performance.md alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.plan import GROWTH
from benchmarks.reaches import WORK, default_arrays, reaches

Figures = dict[str, Any]
ABSENT = "–"


def everything(found: Figures) -> str:
    """Return all tables that these figures fill, each with its title."""
    parts = []
    for name, (title, make) in TABLES.items():
        text = make(found)
        if text:
            parts.append(f"{title or name}\n\n{text}")
    return "\n\n".join(parts)


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _pair(sample: dict[str, float] | None, form: str = "{:.1f}") -> str:
    """Return ``least (median)``."""
    if sample is None:
        return ABSENT
    return f"{form.format(sample['least'])} ({form.format(sample['median'])})"


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.0f}"


def _times(value: float | None) -> str:
    if value is None:
        return ABSENT
    return f"{value:.0f} ×" if value >= 20 else f"{value:.1f} ×"


def _machine(found: Figures) -> str:
    m = found["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in m["packages"].items())
    loads = ", ".join(f"{part} {value:g}" for part, value in found["loads"].items())
    return (
        f"{m['cpu']}, {m['cores']} cores, {m['memory_gib']:g} GiB, {m['system']}, Python "
        f"{m['python']}; {packages}. Load of the machine (5 min) before each part: {loads}."
    )


def _jobs(found: Figures) -> str:
    if "jobs" not in found:
        return ""
    arrays = default_arrays(found)
    rows = []
    for row in found["jobs"]:
        beside = arrays.get(row["step"], {})
        rows.append([
            row["step"], _pair(row["job_ms"]), _pair(beside.get("arrays_ms")),
            _pair(row["moving_ms"]),
            _times(beside.get("faster_than_reference")), _times(beside.get("times_copy")),
            str(row["peak_mib"]), str(row["peak_mib_few"]), f"{row['fixed_s']:.2f}",
            _number(row["cells_per_s"]),
        ])  # fmt: skip
    rows.append([
        "**the last four**",
        *(_pair(_sum_of_work(source)) for source in (
            {row["step"]: row["job_ms"] for row in found["jobs"]},
            {step: row["arrays_ms"] for step, row in arrays.items()},
            {row["step"]: row["moving_ms"] for row in found["jobs"]},
        )),
        *[""] * 6,
    ])  # fmt: skip
    few, many = (found["scenes"][name]["frames"] for name in ("few", "many"))
    return table(
        ["step", "job: CPU ms per frame", "on arrays", "moving its bytes", "faster than plain",
         "times a copy", f"peak MiB, T = {many}", f"T = {few}", "fixed CPU s", "cells per CPU s"],
        rows,
    )  # fmt: skip


def _sum_of_work(samples: dict[str, dict[str, float]]) -> dict[str, float] | None:
    """Return the sum over the steps that compute, if all are there."""
    if not samples.keys() >= set(WORK):
        return None
    return {key: sum(samples[step][key] for step in WORK) for key in ("least", "median")}


def _arrays(found: Figures) -> str:
    rows = [
        [
            row["step"], row["method"], _pair(row["arrays_ms"]), _pair(row["reference_ms"]),
            _times(row["faster_than_reference"]), _pair(row["copy_ms"], "{:.2f}"),
            _times(row["times_copy"]), f"{row['bytes_per_frame'] / 1e6:.1f}",
        ]
        for row in found.get("arrays", ())
    ]  # fmt: skip
    header = ["step", "method", "CPU ms per frame", "plain version", "faster", "numpy.copy",
              "times a copy", "MB read and made"]  # fmt: skip
    return table(header, rows) if rows else ""


def _reaches(found: Figures) -> str:
    rows = [reach.row for reach in reaches(found)]
    return table(["what", "reach", "measured", ""], rows) if rows else ""


def _run(found: Figures) -> str:
    if "run" not in found:
        return ""
    r = found["run"]
    rows = [
        ["wall", f"{_pair(r['walls'])} s"],
        ["CPU, engine and all jobs", f"{r['cpu_s']:.1f} s"],
        ["work of the jobs, wall", f"{r['work_s']:.1f} s"],
        ["the engine's overhead", f"{r['overhead_s']:.1f} s, {r['overhead_share']:.0%}"],
        ["raw file", f"{r['raw_file_bytes'] / 1e6:.0f} MB"],
        ["outputs", f"{r['output_bytes'] / 1e6:.0f} MB"],
        ["read and written by system calls", f"{_mb(r['read_bytes'])}, {_mb(r['written_bytes'])}"],
        ["moving the same bytes, wall", f"{_pair(r['floor'], '{:.2f}')} s"],
        ["run against that", f"{r['times_floor']:.1f} × ({r['times_floor_median']:.1f} ×)"],
        ["cells × frames per s of wall", f"{r['cells_per_s']:.0f}"],
    ]
    return table([f"{r['frames']} frames, one FOV, one core", ""], rows)


def _mb(value: int | None) -> str:
    return ABSENT if value is None else f"{value / 1e6:.0f} MB"


def _growth(found: Figures) -> str:
    rows = [
        [what, *_point(point)] for what in GROWTH for point in found.get("growth", {}).get(what, ())
    ]
    header = ["what grows", "size", "T", "cells", "FOVs", "cores", "wall s", "CPU s",
              "CPU ms per frame", "engine wall s", "engine CPU s", "peak MiB",
              "cells per s"]  # fmt: skip
    return table(header, rows) if rows else ""


def _point(r: Figures) -> list[str]:
    return [
        *(str(r[key]) for key in ("size", "frames", "cells", "fovs", "cores")),
        *(f"{r[key]:.1f}" for key in ("wall_s", "cpu_s", "cpu_ms_per_frame")),
        f"{r['overhead_s']:.1f} ({r['overhead_share']:.0%})",
        f"{r['cpu_s'] - r['jobs_cpu_s']:.1f}",
        f"{r['peak_mib']} ({r['peak_step']})",
        _number(r["cells_per_s"]),
    ]


def _recording(found: Figures) -> str:
    if "recording" not in found:
        return ""
    r = found["recording"]
    rows = [
        [words, f"{_pair(r[f'recorded_{name}'])} s", f"{_pair(r[f'plain_{name}'])} s",
         f"{r[f'share_{name}']:+.1%} ({r[f'share_{name}_median']:+.1%})"]
        for name, words in (("wall_s", "wall"), ("cpu_s", "CPU"))
    ]  # fmt: skip
    size, scene = r["size"], f"{r['fovs']} FOVs × {r['frames']} frames of"
    first = f"{scene} {size} × {size}, {r['events']} events"
    return table([first, "recorded", "not recorded", "difference"], rows)


def _events(found: Figures) -> str:
    rows = [
        [row["event"], _pair(row["ms"], "{:.4f}"), _times(row["times_append"])]
        for row in found.get("events", ())
    ]
    return table(["event", "ms", "times a bare append"], rows) if rows else ""


TABLES: dict[str, tuple[str, Callable[[Figures], str]]] = {
    "machine": ("Machine", _machine),
    "jobs": ("CPU per frame and peak memory of each step, in jobs of the pipeline", _jobs),
    "reaches": ("Reach", _reaches),
    "arrays": ("Steps on arrays", _arrays),
    "run": ("A whole run", _run),
    "growth": ("Runs as they grow", _growth),
    "recording": ("Recording a run", _recording),
    "events": ("Recording an event", _events),
}
"""Title and maker of each table; a maker returns nothing where figures are missing."""
