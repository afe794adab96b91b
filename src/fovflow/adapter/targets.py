"""What the rules that gather many files ask for.

The engine looks at every input of such a rule together with every job that makes one, so that
their number must stay small: each FOV stands for itself by the last files that are made of it.
"""

from __future__ import annotations

import os

from fovflow.adapter.pipeline import Pipeline


def targets(pipeline: Pipeline) -> list[str]:
    """Return what a run makes: the results of each dataset, the report, and files that are gone.

    The engine makes a file that is gone again only where it is asked for by name, since what was
    made from it may be there.
    """
    layout = pipeline.layout
    gone = missing_files(pipeline) if pipeline.is_main else []
    results = [layout.results(name) for name, plan in pipeline.datasets.items() if plan.fovs]
    return [*gone, *results, layout.report(), *problem_targets(pipeline)]


def trace_targets(pipeline: Pipeline) -> list[str]:
    """Return the traces of all FOVs."""
    return [
        pipeline.layout.traces(name, fov)
        for name, plan in pipeline.datasets.items()
        for fov in plan.fovs
    ] + problem_targets(pipeline)


def problem_targets(pipeline: Pipeline) -> list[str]:
    """Return the targets that stand for datasets, or FOVs, that cannot be processed."""
    problems = (name for name, plan in pipeline.datasets.items() if plan.problems)
    return [pipeline.layout.problem(name) for name in problems]


def last_files(pipeline: Pipeline, dataset: str) -> list[str]:
    """Return the files of a dataset's FOVs that are made last: all others are made before them."""
    fovs = pipeline.datasets[dataset].fovs
    return [name for fov in fovs for name in _last_of(pipeline, dataset, fov)]


def _last_of(pipeline: Pipeline, dataset: str, fov: int) -> list[str]:
    made = pipeline.user_steps.made(dataset, fov)
    return [pipeline.layout.traces(dataset, fov), *(item.path for item in made)]


def missing_files(pipeline: Pipeline) -> list[str]:
    """Return the files that are gone while what was made from them may be there.

    Of an FOV of which nothing is there its last files stand for all, and where the dataset has no
    results yet, these ask for it already. Each FOV's folder is listed once.
    """
    gone: list[str] = []
    for name, plan in pipeline.datasets.items():
        begun = os.path.exists(pipeline.layout.results(name))  # noqa: PTH110
        for fov in plan.fovs:
            there = _listed(pipeline.layout.fov(name, fov))
            if there:
                paths = [item.path for item in pipeline.made(name, fov)]
                gone += [path for path in paths if path.rpartition("/")[2] not in there]
            elif begun:
                gone += _last_of(pipeline, name, fov)
    return gone


def _listed(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return frozenset()
