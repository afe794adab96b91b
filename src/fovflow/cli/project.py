"""Commands that lay out a project: init, demo."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import fovflow
from fovflow.cli.common import argument, command
from fovflow.errors import FovflowError

PAPER = Path(fovflow.__file__).resolve().parent / "paper"
"""Makefile, figures and README of a paper's folder; ``gitignore`` gets its dot there."""

_DATASETS = re.compile(r"^datasets:.*\n(?:[ \t]+.*\n|\n(?=[ \t]))*", re.MULTILINE)


@command(
    "fovflow init my_project --raw data/plate1.nd2",
    argument("folder", nargs="?", default=".", help="project folder (default: this one)"),
    argument("--raw", nargs="+", default=[], metavar="FILE", help="raw files: one dataset each"),
    argument("--paper", action="store_true", help="add what others need to do the analysis again"),
)
def init(folder: str, raw: list[str], paper: bool) -> int:
    """Lay out the folder; files that are there already are left alone."""
    from fovflow.adapter.engine import workflow_folder

    place, template = Path(folder), workflow_folder()
    config = place / "config" / "config.yaml"
    if config.exists():
        raise FovflowError(
            f"{config} exists already",
            remedy="edit it, or choose another folder; nothing was changed",
        )
    try:
        config.parent.mkdir(parents=True, exist_ok=True)
        text = (template / "config" / "config.yaml").read_text(encoding="utf-8")
        config.write_text(with_datasets(text, raw, place) if raw else text, encoding="utf-8")
        for name in ("README.md", "config.schema.json"):
            shutil.copyfile(template / "config" / name, config.parent / name)
        profile = place / "profiles" / "default"
        if not profile.exists():
            shutil.copytree(template / "profiles" / "default", profile)
        if paper:
            _lay_out_paper(place)
    except OSError as error:
        raise FovflowError(
            f"cannot lay out {place}", found=error.strerror or str(error), remedy="choose a folder"
        ) from error
    print(f"made {config}: {'look through it' if raw else 'name your raw files in it'}")
    step = "" if folder == "." else f"cd {folder} && "
    print(f"then: {step}{'make record' if paper else 'fovflow run --cores all'}")
    return 0


def with_datasets(text: str, files: list[str], folder: Path) -> str:
    """Return the configuration's text with one dataset per raw file."""
    lines = ["datasets:"]
    taken: set[str] = set()
    for file in files:
        name = base = re.sub(r"[^\w+-]+", "_", Path(file).stem).strip("_") or "dataset"
        number = 2
        while name.casefold() in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name.casefold())
        path = file if Path(file).is_absolute() else os.path.relpath(file, folder)
        quoted = [json.dumps(word, ensure_ascii=False) for word in (name, path)]
        lines.append(f"  {quoted[0]}: {{path: {quoted[1]}}}")
    return _DATASETS.sub(lambda _: "\n".join(lines) + "\n", text, count=1)


def _lay_out_paper(folder: Path) -> None:
    """Add Makefile, figures, README and pinned versions; files that are there are left alone."""
    from fovflow.atomic import write_text

    texts = {"constraints.txt": "".join(f"{line}\n" for line in pinned_versions())}
    for source in sorted(path for path in PAPER.rglob("*") if path.is_file()):
        inner = source.relative_to(PAPER)
        if "__pycache__" not in inner.parts:
            name = ".gitignore" if inner.name == "gitignore" else inner.name
            text = source.read_text(encoding="utf-8").replace("@VERSION@", fovflow.__version__)
            texts[str(inner.with_name(name))] = text
    for name, text in texts.items():
        target = folder / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            write_text(target, text)


def pinned_versions(package: str = "fovflow") -> list[str]:
    """Return ``name==version`` of everything that a package needs, as it is installed here.

    Optional dependencies are left out. What is not installed (for another system, say) is, too.
    """
    found: dict[str, str] = {}
    waiting = [package]
    while waiting:
        name = re.split(r"[^A-Za-z0-9._-]", waiting.pop(), maxsplit=1)[0]
        name = re.sub(r"[-_.]+", "-", name).lower()
        if name in found:
            continue
        try:
            found[name], needed = version(name), requires(name) or []
        except PackageNotFoundError:
            continue
        waiting += [line for line in needed if not re.search(r";.*\bextra\b", line)]
    found.pop(package, None)
    return [f"{name}=={number}" for name, number in sorted(found.items())]


@command(
    "fovflow demo demo",
    argument("folder", nargs="?", default="demo", help="folder to work in (default: demo)"),
    argument("--cores", default="all", help="number of cores (default: all)"),
)
def demo(folder: str, cores: str) -> int:
    """Simulate, run, compare; return 1 if the run failed or found nothing."""
    from fovflow.accuracy import compare, format_comparison
    from fovflow.adapter.engine import snakemake_command
    from fovflow.cli.data import write_simulation
    from fovflow.results import load_results
    from fovflow.simulation import MovieParams

    start = time.perf_counter()
    place = Path(folder)
    movie, truth = place / "raw" / "demo.nd2", place / "truth"
    results = place / "results" / "demo"
    _say("simulating a movie of three fields of view")
    if not (movie.exists() and truth.exists()):
        movie.parent.mkdir(parents=True, exist_ok=True)
        params = MovieParams(
            seed=7, positions=3, frames=36, cells=24, touching=0.2, divisions=3, births=2, deaths=2
        )
        write_simulation(params, movie, truth)
    if not (place / "config" / "config.yaml").exists():
        init.run(folder, [str(movie)], paper=False)
    _say("running the pipeline")
    status = subprocess.run(snakemake_command(["--cores", cores]), cwd=place, check=False)
    if status.returncode:
        _say(f"the run failed with exit status {status.returncode}; see the messages above")
        return 1
    comparison = compare(load_results(results), truth)
    print(f"\n{format_comparison(comparison)}\n")
    print(f"results: {results / 'processing_results.yaml'}")
    print(f"traces:  {results / 'fov_000' / 'demo_fov_000_traces.csv'}, and so on")
    print(f"report:  {place / 'results' / 'report.html'}")
    print(f"raw:     {movie}, truth: {truth}")
    _say(f"done in {time.perf_counter() - start:.0f} s")
    return 0 if comparison["cells_found"] else 1


def _say(text: str) -> None:
    print(f"demo: {text}", file=sys.stderr, flush=True)
