"""Bytes of a run per raw byte, when it has ended and at its peak, and its CPU time.

    python -m benchmarks.disk [--size 2048] [--frames 8] [--fovs 4] [--cores 2] [--against PYTHON]

For each choice of `keep` the pipeline runs on one raw file, in turn; `--against` runs that of
another checkout, by its Python, between them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.measuring import run_measured
from benchmarks.project import NAME, Project
from benchmarks.rendering import Scene, cells_of
from benchmarks.tables import table

KEEPS = ("[seg_labeled]", "[pc, fl, seg_labeled]", "all")
_EVERY_S = 0.1


@contextmanager
def watched(folder: Path) -> Iterator[list[int]]:
    """Yield a list whose only number is the most bytes that files of a folder have had."""
    most, ended = [0], threading.Event()

    def look() -> None:
        while not ended.wait(_EVERY_S):
            most[0] = max(most[0], bytes_of(folder))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def bytes_of(folder: Path) -> int:
    """Return the bytes of the files of a folder; some may go meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def measure(scene: Scene, folder: Path, cores: int, rounds: int, against: str | None) -> str:
    """Run all choices in turn, and return the table."""
    project = Project(folder, scene)
    pairs = scene.frames * scene.fovs
    choices = [(sys.executable, keep, keep) for keep in KEEPS]
    choices += [(against, keep, f"{keep}, of {against}") for keep in ("all",) if against]
    found: dict[str, list[tuple[float, float, float]]] = {}
    for _ in range(rounds):
        for python, keep, words in choices:
            project.clear()
            text = f"datasets: {{{NAME}: {{path: raw/{NAME}.nd2}}}}\nkeep: {keep}\n"
            (project.folder / "config" / "config.yaml").write_text(text, encoding="utf-8")
            command = [python, "-m", "fovflow", "run", "--cores", str(cores)]
            with watched(project.results) as most:
                cost = run_measured(command, project.folder)
            stay = bytes_of(project.results)
            ratios = (stay / scene.raw_bytes, max(most[0], stay) / scene.raw_bytes)
            found.setdefault(words, []).append((*ratios, cost.cpu_s / pairs))
            say(words, found[words][-1])
    rows = [
        [words, *(f"{median(numbers):.2f}" for numbers in zip(*each, strict=True))]
        for words, each in found.items()
    ]
    return table(["keep", "bytes per raw byte", "at the peak", "CPU s per frame pair"], rows)


def say(words: str, numbers: tuple[float, float, float]) -> None:
    """Say on the error stream that a run has ended."""
    print(words, *(f"{number:.3f}" for number in numbers), file=sys.stderr, flush=True)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, default in (("size", 2048), ("frames", 8), ("fovs", 4), ("cores", 2), ("rounds", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--against", metavar="PYTHON", help="Python of another checkout")
    given = parser.parse_args()
    if given.against:
        subprocess.run([given.against, "-c", "import fovflow"], check=True)
    scene = Scene(given.size, cells_of(given.size), given.frames, given.fovs)
    with tempfile.TemporaryDirectory(prefix="fovflow-bench-") as folder:
        print(measure(scene, Path(folder), given.cores, given.rounds, given.against))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
