"""The report in a browser: time to the first view, time to answer a click, and bytes.

    python -m benchmarks.browser [--fovs 100 --cells 300 --frames 200] [--keep FOLDER]
    python -m benchmarks.browser --share    # what making it takes of a run's CPU time

A result of that size, with a fit to each cell, is made up, opened from disk in headless Chromium
(Debian's package, and `playwright` of the extra `dev`), and measured by the page's own clock.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.project import Project
from benchmarks.rendering import Scene
from fovflow.browsing import Channel, numbers_script, pictures_script, shown_frames
from fovflow.layout import ANALYSIS, Layout
from fovflow.report.gather import (
    Answer,
    DatasetSummary,
    FovSummary,
    FrameSeries,
    Ledger,
    answer_in,
    column_words,
)
from fovflow.report.page import page
from fovflow.stacks import StackReader
from fovflow.tables import write_csv
from tests.chromium import Seen, chromium

COLUMNS = ["area_um2", "intensity_total_ch_1"]
SIZE = 2048
SCENES = (Scene(512, 12, 50, fovs=4), Scene(2048, 200, 24))
_CLICK = """() => new Promise((done) => {
  const before = document.querySelector('.card h3')?.textContent, start = performance.now();
  document.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowDown', bubbles: true}));
  const look = () => {
    const now = document.querySelector('.card h3')?.textContent;
    const small = [...document.querySelectorAll('.thumbs canvas')];
    const drawn = (each) => each.getContext('2d').getImageData(76, 76, 1, 1).data[3];
    const charts = ['.own', '.curve'].every((part) => document.querySelector(`svg.chart ${part}`));
    if (now !== before && charts && document.querySelector('.fit .facts')
        && small.length >= 5 && drawn(small.at(-1)))
      requestAnimationFrame(() => done(performance.now() - start));
    else setTimeout(look, 1);
  };
  look();
})"""
_FIRST = """() => new Promise((done) => {
  const look = () => document.querySelector('h1') && document.readyState === 'complete'
    ? requestAnimationFrame(() => done(performance.now())) : setTimeout(look, 1);
  look();
})"""


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.browser")
    for name, default in (("fovs", 100), ("cells", 300), ("frames", 200), ("pictures", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--keep", type=Path, help="folder to leave the made-up result in")
    parser.add_argument("--share", action="store_true", help="its part of a run's CPU time")
    options = parser.parse_args()
    if options.share:
        with tempfile.TemporaryDirectory() as made:
            print(json.dumps([_share(scene, Path(made)) for scene in SCENES], indent=1))
        return 0
    with tempfile.TemporaryDirectory() as made:
        folder = options.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        found = _make(folder, options) | _open(folder / "report.html")
    print(json.dumps(found, indent=1))
    return 0


def _share(scene: Scene, folder: Path) -> dict[str, Any]:
    """Run the pipeline; return the CPU time of the jobs that make the browser, and of all of it."""
    project = Project(folder, scene)
    run = project.run()
    project.remove()
    browse, report = run.cpu_s("browse"), run.cpu_s("report")
    return {
        "size": scene.size, "cells": scene.cells, "frames": scene.frames, "fovs": scene.fovs,
        "browse_cpu_s": round(browse, 2), "report_cpu_s": round(report, 2),
        "jobs_cpu_s": round(sum(job.cpu_s for job in run.jobs), 2),
        "run_cpu_s": round(run.cost.cpu_s, 2),
        "share_of_run": round(browse / run.cost.cpu_s, 3),
        "share_with_report": round((browse + report) / run.cost.cpu_s, 3),
    }  # fmt: skip


def _make(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Write a report and the files that it loads; return their sizes and the CPU time per FOV."""
    layout, rng = Layout(folder), np.random.default_rng(0)
    frames = shown_frames(range(options.frames), options.pictures)
    about = {
        "time": (10.0 * np.arange(options.frames)).tolist(), "unit": "min", "missing": [],
        "width": SIZE, "height": SIZE, "scale": 768 / SIZE, "shown": frames, "pixel_um": 0.65,
    }  # fmt: skip
    traces, links, pictures, spent = *_tables(rng, options.cells, options.frames), "", [0.0, 0.0]
    summary = DatasetSummary("plate", content={}, ledger=Ledger())
    summary.columns = {name: column_words(name, {"1": "GFP"}) for name in COLUMNS}
    answer = _fits(layout, rng, traces, options)
    for fov in range(options.fovs):
        begun = time.process_time()
        numbers = numbers_script("plate", fov, traces, links, columns=COLUMNS, about=about)
        spent[0] += time.process_time() - begun
        if not pictures:
            pictures, spent[1] = _pictures(folder, rng, traces, frames)
        files = {}
        own = pictures.replace('fovflow.pictures("plate",0', f'fovflow.pictures("plate",{fov}', 1)
        for kind, text in (("numbers", numbers), ("pictures", own)):
            path = Path(layout.file(f"browse_{kind}", "plate", fov))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            files[kind] = path.relative_to(folder).as_posix()
        series = [FrameSeries("cells per frame", np.full(options.frames, options.cells), {})]
        summary.fovs.append(
            FovSummary(fov, "complete", files=files, cells=options.cells, frames=options.frames,
                       good_cells=options.cells - fov % 7, median_frames=1.0, series=series)
        )  # fmt: skip
    (folder / "report.html").write_text(page([summary], answer), "utf-8")

    def megabytes(pattern: str) -> float:
        return round(sum(path.stat().st_size for path in folder.glob(pattern)) / 1e6, 1)

    return {
        "fovs": options.fovs, "cells": options.cells, "frames": options.frames,
        "pictures_per_fov": options.pictures,
        "page_mb": megabytes("report.html"),
        "fits_mb_of_it": round(sum(len(each["data"]) for each in answer.fits) / 1e6, 1),
        "numbers_mb": megabytes("**/*_browse.js"),
        "pictures_mb": megabytes("**/*_pictures.js"),
        "numbers_cpu_s_per_fov": round(spent[0] / options.fovs, 3),
        "pictures_cpu_s_per_fov": round(spent[1], 3),
    }  # fmt: skip


def _tables(
    rng: np.random.Generator, cells: int, frames: int
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Return traces and links: cells that wander, with noise of some per cent in their values."""
    shape = (cells, frames)
    places = [
        rng.uniform(60, SIZE - 60, cells)[:, None] + np.cumsum(rng.normal(0, 3, shape), axis=1)
        for _ in "xy"
    ]
    rise = 1 - np.exp(-np.arange(frames) / 60)
    cell, frame = np.repeat(np.arange(1, cells + 1), frames), np.tile(np.arange(frames), cells)
    odd = rng.random(cell.size)
    traces = {
        "cell": cell, "frame": frame, "good": odd > 0.05,
        "position_x": places[0].ravel().clip(0, SIZE - 1),
        "position_y": places[1].ravel().clip(0, SIZE - 1),
        "flags": np.where(odd < 0.05, "border", "").astype(object),
        "area_um2": (
            300 * np.exp(rng.normal(0, 0.3, (cells, 1)) + rng.normal(0, 0.05, shape))
        ).ravel(),
        "intensity_total_ch_1": (
            rng.lognormal(9, 0.8, (cells, 1)) * rise * (1 + rng.normal(0, 0.03, shape))
        ).ravel(),
    }  # fmt: skip
    for axis in "xy":
        for end in (0, 1):
            traces[f"bbox_{axis}{end}"] = traces[f"position_{axis}"] + 18 * (2 * end - 1)
    links = {
        "cell": cell,
        "frame": frame,
        "parent": 0 * cell,
        "confidence": rng.beta(20, 1, cell.size),
    }
    return traces, links


def _fits(
    layout: Layout, rng: np.random.Generator, traces: dict[str, Any], options: argparse.Namespace
) -> Answer:
    """Write two samples, and fits to all cells; return what the report tells of them."""
    cells, model = options.cells, "expression_delay"
    level = traces["intensity_total_ch_1"].reshape(cells, -1)[:, -1]
    times, folder = Path(layout.file("times", "plate", 0)), Path(layout.outdir, ANALYSIS)
    for each in (times.parent, folder):
        each.mkdir(parents=True)
    write_csv(times, {"time_s": 600.0 * np.arange(options.frames)})
    half = options.fovs // 2
    lines = ["dataset,sample,condition,replicate,fovs\n"]
    for sample, fovs in (("control", range(half)), ("drug", range(half, options.fovs))):
        lines.append(f"plate,{sample},{sample},1,{len(fovs)}\n")
        stem = f"{sample}_intensity_total_ch_1"
        (folder / f"{stem}.csv").write_text("time,fov,cell,value\n", "utf-8")
        heads = ",".join(f"fov_{fov:03d}_cell_1" for fov in fovs)
        (folder / f"{stem}_wide.csv").write_text(f"time,{heads}\n", "utf-8")
        rows = len(fovs) * cells
        found = {
            "fov": np.repeat(fovs, cells), "cell": np.tile(np.arange(1, cells + 1), len(fovs)),
            "success": rng.random(rows) > 0.1, "r_squared": rng.beta(50, 1, rows),
        }  # fmt: skip
        values = (("t0", 0.2), ("ktl", 0.1 * np.tile(level, len(fovs))), ("beta", 0.1),
                  ("offset", 5.0))  # fmt: skip
        for name, value in values:
            fitted, error = value * rng.lognormal(0, 0.1, rows), 0.05 * value + np.zeros(rows)
            found |= {name: fitted, f"{name}_se": error, f"{name}_low": fitted - 2 * error,
                      f"{name}_high": fitted + 2 * error}  # fmt: skip
        found["verdict"] = np.where(found["success"], "ok", "residuals are not independent")
        write_csv(folder / f"{stem}_fitted_{model}.csv", found)
    (folder / "samples.csv").write_text("".join(lines), "utf-8")
    return answer_in(Path(layout.outdir))


def _pictures(
    folder: Path, rng: np.random.Generator, traces: dict[str, NDArray[Any]], frames: list[int]
) -> tuple[str, float]:
    """Return the script with pictures of one FOV, disks on a noisy ground, and its CPU time."""
    rows, columns = np.mgrid[-18:19, -18:19]
    disk = rows**2 + columns**2 <= 18**2
    images = rng.normal(1000, 30, (len(frames), SIZE, SIZE)).astype(np.uint16)
    labels = np.zeros(images.shape, np.uint16)
    for k, t in enumerate(frames):
        for row in np.flatnonzero(traces["frame"] == t).tolist():
            y, x = (
                int(np.clip(traces[f"position_{axis}"][row], 18, SIZE - 19)) - 18 for axis in "yx"
            )
            labels[k, y : y + 37, x : x + 37][disk] = traces["cell"][row]
    images[labels > 0] -= 200
    paths = [folder / name for name in (".images.npy", ".labels.npy")]
    for path, stack in zip(paths, (images, labels), strict=True):
        np.save(path, stack)
    with StackReader(paths[0]) as shown, StackReader(paths[1]) as of_cells:
        channels = [Channel(0, "Phase", "pc", shown), Channel(1, "GFP", "fl", shown)]
        begun = time.process_time()
        made = pictures_script(
            "plate", 0, channels, of_cells, frames=list(range(len(frames))), size_px=768
        )
        spent = time.process_time() - begun
    for path in paths:
        path.unlink()
    index = json.dumps(list(range(len(frames))), separators=(",", ":"))
    return made.replace(index, json.dumps(frames, separators=(",", ":")), 1), spent


def _open(path: Path) -> dict[str, Any]:
    """Open the report; return milliseconds by the page's clock."""
    with chromium() as browser:
        seen = Seen(browser, path, viewport={"width": 1500, "height": 950})
        first = seen.page.evaluate(_FIRST)
        start = time.perf_counter()
        seen.go("fov/plate/0", ".listed table")
        field = time.perf_counter() - start
        seen.page.wait_for_timeout(1000)  # nobody clicks sooner
        clicks = [seen.page.evaluate(_CLICK) for _ in range(15)]
        start = time.perf_counter()
        seen.go("cells", "canvas.scatter")
        listed = time.perf_counter() - start
        seen.page.wait_for_selector("text=Loading the cells", state="detached")
        everything = time.perf_counter() - start
        wrong = seen.wrong
        seen.context.close()
    return {
        "first_view_ms": round(first),
        "field_ms": round(1e3 * field),
        "click_ms_median": round(median(clicks)),
        "click_ms_most": round(max(clicks)),
        "list_ms": round(1e3 * listed),
        "all_cells_ms": round(1e3 * everything),
        "errors": wrong,
    }


if __name__ == "__main__":
    sys.exit(main())
