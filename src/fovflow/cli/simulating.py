"""Write a simulated movie and its truth, and show how far that is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fovflow.simulation import MovieParams


def write_simulation(
    params: MovieParams, path: Path, truth: Path | None, format: str | None = None
) -> list[Path]:
    """Simulate a movie; write its truth, if a folder is given, and then its raw file.

    Returns
    -------
    list of Path
        What the raw file consists of.
    """
    from fovflow.mapping.progress import Progress
    from fovflow.simulation import simulate, write_movie, write_truth

    movie = simulate(params)
    total = params.positions * params.frames
    if truth is not None:
        with Progress(total, "truth", unit="frame") as progress:
            write_truth(movie, truth, _counting(progress.count))
    with Progress(total, "movie", unit="frame") as progress:
        return write_movie(movie, path, format, _counting(progress.count))


def _counting(count: Callable[..., None]) -> Callable[[], None]:
    return lambda: count(ok=True)
