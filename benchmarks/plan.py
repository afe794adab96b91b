"""What is measured: everything, a quick selection, or next to nothing (for the tests)."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.rendering import Scene, cells_of

GROWTH = ("size", "frames", "cells", "fovs", "cores")


@dataclass(frozen=True)
class Plan:
    """Scenes and rounds.

    Attributes
    ----------
    arrays : Scene
        For the steps on arrays.
    few, many : Scene
        For the steps' jobs.
    whole : Scene
        For the run against moving the same bytes.
    recorded : Scene
        For runs with and without records.
    growth : dict of str to list of (Scene, int)
        Scenes and numbers of cores in which one thing grows.
    """

    name: str
    arrays: Scene
    few: Scene
    many: Scene
    whole: Scene
    recorded: Scene
    rounds: int
    events: int
    growth: dict[str, list[tuple[Scene, int]]] = field(default_factory=dict)


FULL = Plan(
    name="full",
    arrays=Scene(2048, 200, 4),
    few=Scene(2048, 200, 4),
    many=Scene(2048, 200, 24),
    whole=Scene(2048, 200, 60),
    recorded=Scene(512, 12, 50, fovs=4),
    rounds=3,
    events=20_000,
    growth={
        "size": [(Scene(size, cells_of(size), 20), 1) for size in (512, 1024, 2048, 4096)],
        "frames": [(Scene(1024, 200, frames), 1) for frames in (50, 200, 1000, 2000)],
        "cells": [(Scene(4096, cells, 4), 1) for cells in (10, 100, 1000, 3000)],
        "fovs": [(Scene(256, 5, 100, fovs), 1) for fovs in (1, 10, 100)],
        "cores": [
            (scene, cores)
            for scene in (Scene(1024, 50, 50, 4), Scene(2048, 200, 24))
            for cores in (1, 2)
        ],
    },
)

QUICK = Plan(
    name="quick",
    arrays=Scene(1024, 50, 3),
    few=Scene(1024, 50, 2),
    many=Scene(1024, 50, 12),
    whole=Scene(1024, 50, 40),
    recorded=Scene(256, 5, 30),
    rounds=2,
    events=4000,
    growth={
        "size": [(Scene(size, cells_of(size), 8), 1) for size in (512, 1024)],
        "frames": [(Scene(512, 50, frames), 1) for frames in (20, 100)],
        "fovs": [(Scene(128, 2, 10, fovs), 1) for fovs in (1, 6)],
        "cores": [(Scene(512, 12, 20, 2), cores) for cores in (1, 2)],
    },
)

TINY = Plan(
    name="tiny",
    arrays=Scene(128, 3, 2),
    few=Scene(96, 3, 2),
    many=Scene(96, 3, 6),
    whole=Scene(96, 3, 3),
    recorded=Scene(96, 3, 2),
    rounds=1,
    events=200,
    growth={"cores": [(Scene(96, 3, 2, 2), 2)]},
)

PLANS = {plan.name: plan for plan in (FULL, QUICK, TINY)}
