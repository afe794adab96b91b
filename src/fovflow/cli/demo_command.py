"""``fovflow demo``: a simulated movie through the whole pipeline, compared with its truth."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from fovflow.adapter.engine import snakemake_command

EXAMPLE = "fovflow demo demo"
NAME = "demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments."""
    parser.add_argument(
        "folder", nargs="?", default="demo", help="folder to work in (default: demo)"
    )
    parser.add_argument("--cores", default="all", help="number of cores (default: all)")


def main(arguments: argparse.Namespace) -> int:
    """Simulate, run, compare; return 1 if the run failed or found nothing."""
    start = time.perf_counter()
    folder = Path(arguments.folder)
    movie, truth = folder / "raw" / f"{NAME}.nd2", folder / "truth"
    _say("simulating a movie of three fields of view")
    if not (movie.exists() and truth.exists()):
        _simulate(movie, truth)
    _lay_out(folder, movie)
    _say("running the pipeline")
    command = snakemake_command(["--cores", str(arguments.cores)])
    status = subprocess.run(command, cwd=folder, check=False).returncode
    results = folder / "results" / NAME
    if status:
        _say(f"the run failed with exit status {status}; see the messages above")
        return 1
    found = _compare(results, truth)
    print(f"results: {results / 'processing_results.yaml'}")
    print(f"traces:  {results / 'fov_000' / f'{NAME}_fov_000_traces.csv'}, and so on")
    print(f"report:  {folder / 'results' / 'report.html'}")
    print(f"raw:     {movie}, truth: {truth}")
    _say(f"done in {time.perf_counter() - start:.0f} s")
    return 0 if found else 1


def _say(text: str) -> None:
    print(f"demo: {text}", file=sys.stderr, flush=True)


def _simulate(movie: Path, truth: Path) -> None:
    from fovflow.cli.simulating import write_simulation
    from fovflow.simulation import MovieParams

    movie.parent.mkdir(parents=True, exist_ok=True)
    params = MovieParams(
        seed=7, positions=3, frames=36, cells=24, touching=0.2, divisions=3, births=2, deaths=2
    )
    write_simulation(params, movie, truth)


def _lay_out(folder: Path, movie: Path) -> None:
    from fovflow.cli.init_command import main as init

    if not (folder / "config" / "config.yaml").exists():
        init(argparse.Namespace(folder=str(folder), raw=[str(movie)]))


def _compare(results: Path, truth: Path) -> bool:
    """Print how the results compare with the truth; return whether any cell was found."""
    from fovflow.accuracy import compare, format_comparison
    from fovflow.results import load_results

    comparison = compare(load_results(results), truth)
    print("\n" + format_comparison(comparison) + "\n")
    return bool(comparison["cells_found"])
