"""The figure of docs/performance.md, as SVG."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element, tostring

from benchmarks import reaches
from benchmarks.charts import BLUE, HEIGHT, PALE, SOFT, WIDTH, bars, label, lines, panel, tag

Figures = dict[str, Any]
_HEAD = 66
BOTTOM_KEY = 100


def draw(found: Figures) -> str:
    """Return the figure; figures of steps are needed, those of growing runs may be absent."""
    grown = found.get("growth", {})
    panels = [_cpu(found), _faster(found), _memory(found)]
    panels += [make(found) for what, make in _GROWTH.items() if what in grown]
    width, height = 3 * WIDTH, _HEAD + 2 * HEIGHT + 20
    drawn = tag(
        "svg",
        tag("rect", x=0, y=0, width=width, height=height, fill="#ffffff"),
        _heading(found),
        tag("g", panels, transform=f"translate(12 {_HEAD})"),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        font_family="Helvetica, Arial, 'DejaVu Sans', sans-serif",
    )
    return tostring(drawn, encoding="unicode") + "\n"


def _heading(found: Figures) -> list[Element]:
    machine, scene = found["machine"], found["scenes"]["many"]
    words = (
        f"fovflow: {scene['size']} × {scene['size']}, {scene['cells']} cells, one phase and one "
        "fluorescence channel, one core"
    )
    below = f"{machine['cpu']}, Python {machine['python']}; least of several rounds; red: the reach"
    return [label(words, 20, 30, size=21, bold=True), label(below, 20, 52, size=14, fill=SOFT)]


def _cpu(found: Figures) -> Element:
    arrays = reaches.default_arrays(found)
    rows, total = [], 0.0
    for row in found["jobs"]:
        job = max(row["job_ms"]["least"], 0.0)
        own = min(arrays[row["step"]]["arrays_ms"]["least"], job)
        rows.append((row["step"], (own, job - own), f"{job:.0f}"))
        total += job if row["step"] in reaches.WORK else 0.0
    key = [
        tag("rect", x=WIDTH - 190, y=HEIGHT - BOTTOM_KEY, width=12, height=12, fill=BLUE),
        label("on arrays", WIDTH - 172, HEIGHT - BOTTOM_KEY + 11, size=12),
        tag("rect", x=WIDTH - 190, y=HEIGHT - BOTTOM_KEY + 19, width=12, height=12, fill=PALE),
        label("read, write, hash", WIDTH - 172, HEIGHT - BOTTOM_KEY + 30, size=12),
    ]
    words = f"without copy {total:.0f} ms; reach {reaches.STEPS_MS:.0f} ms"
    return panel("CPU per frame", words, 0, 0, bars(rows, unit="ms, in a job"), key)


def _faster(found: Figures) -> Element:
    rows, aims = [], []
    for step, row in reaches.default_arrays(found).items():
        ratio = row["faster_than_reference"]
        if ratio is not None:
            rows.append((step, (ratio,), f"{ratio:.0f} ×"))
            aims.append(reaches.FASTER[step])
    drawn = bars(rows, aims=aims, log=True, unit="times faster") if rows else []
    return panel("Against the plain float64 version", "SciPy and NumPy, same result", 1, 0, drawn)


def _memory(found: Figures) -> Element:
    rows = [(row["step"], (row["peak_mib"],), f"{row['peak_mib']}") for row in found["jobs"]]
    aim = reaches.PEAK_MIB
    words = f"reach {aim:.0f} MiB"
    return panel("Peak memory of a job", words, 2, 0, bars(rows, aims=[aim], unit="MiB"))


def _sizes(found: Figures) -> Element:
    points = [(r["size"], r["cpu_ms_per_frame"]) for r in found["growth"]["size"]]
    drawn = lines(points, x_title="rows and columns (px)", log_y=True)
    words = f"ms, engine and all jobs, {found['growth']['size'][0]['frames']} frames"
    return panel("CPU per frame of a whole run", words, 0, 1, drawn)


def _frames(found: Figures) -> Element:
    rows = found["growth"]["frames"]
    points = [(r["frames"], r["peak_mib"]) for r in rows]
    size, cells = rows[0]["size"], rows[0]["cells"]
    words = f"MiB, frames of {size} × {size}, {cells} cells"
    drawn = lines(points, x_title="frames, T", aim=reaches.PEAK_MIB)
    return panel("Peak memory as T grows", words, 1, 1, drawn)


def _fovs(found: Figures) -> Element:
    rows = found["growth"]["fovs"]
    points = [(r["fovs"], r["overhead_share"]) for r in rows]
    words = f"share of the run, {rows[0]['frames']} frames of {rows[0]['size']} × {rows[0]['size']}"
    drawn = lines(points, x_title="fields of view", aim=reaches.ENGINE_SHARE, percent=True)
    return panel("The engine's overhead", words, 2, 1, drawn)


_GROWTH = {"size": _sizes, "frames": _frames, "fovs": _fovs}
