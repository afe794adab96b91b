"""A page on two runs: what they do not share, and what each found in each FOV, with pictures."""

from __future__ import annotations

from dataclasses import dataclass

from fovflow.errors import FovflowError
from fovflow.report.gather import without_folders
from fovflow.report.page import rendered
from fovflow.report.pictures import Picture, picture
from fovflow.results import load_results
from fovflow.runs.compare import NUMBERS, Comparison, Current, Place
from fovflow.runs.state import outputs_of
from fovflow.runs.store import RunFolder
from fovflow.stacks import StackReader
from fovflow.verdicts import read_traces

MOST_PICTURES = 12
"""FOVs that are shown, those that differ most first."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A frame of an FOV as both runs have it; None where a run's files are no longer there."""

    dataset: str
    fov: int
    pictures: tuple[Picture | None, Picture | None]


def comparison_page(runs: tuple[RunFolder, RunFolder], found: Comparison) -> str:
    """Return the page; a picture is left out where a later run has replaced a run's files."""
    shown = found.effects.changed()[:MOST_PICTURES]
    sides = [_pictures(run, shown) for run in runs]
    pairs = [Pair(*place, (sides[0].get(place), sides[1].get(place))) for place in shown]
    records = [run.read_record() for run in runs]
    return rendered(
        "comparison.html.j2",
        names=[
            str(record.get("name") or run.id) for record, run in zip(records, runs, strict=True)
        ],
        found=found,
        settings=[
            (each.key, *map(without_folders, (each.first, each.second)))
            for each in found.differences
            if each.section in ("config", "parameters")
        ],
        totals=[(words, *found.effects.total(name)) for name, words in NUMBERS.items()],
        numbers=NUMBERS,
        pairs=[pair for pair in pairs if any(pair.pictures)],
    )


def _pictures(run: RunFolder, places: list[Place]) -> dict[Place, Picture]:
    """Return the middle frame of FOVs, where the run's own cells are still in the folder."""
    outdir, made = run.outdir, outputs_of(run)
    current, found = Current(outdir), dict[Place, Picture]()
    for dataset, fov in places:
        try:
            result = load_results(outdir / dataset).fovs[fov]
            paths, traces = result.to_draw, result.traces_path
            if not paths or traces is None:
                continue
            own = [path.relative_to(outdir).as_posix() for path in [*paths, traces]]
            if any(path in made and current.digest(path) != made[path].digest for path in own):
                continue
            with StackReader(paths[0]) as images, StackReader(paths[1]) as labels:
                t = len(images) // 2
                table = read_traces(traces)
                found[dataset, fov] = picture(t, images.frame(t), labels.frame(t), table)
        except (FovflowError, KeyError, OSError, ValueError):  # it is not there any more
            continue
    return found
