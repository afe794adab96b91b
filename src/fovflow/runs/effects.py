"""What two runs found in each FOV: cells, ids, good cells and how long they were followed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fovflow.errors import FovflowError
from fovflow.jobrecord import read_records
from fovflow.runs.state import outdir_of, outputs_of
from fovflow.runs.store import RunFolder
from fovflow.tables import read_csv

NUMBERS = {
    "cells_per_frame": "cells per frame",
    "ids": "ids",
    "good_cells": "good cells",
    "median_track": "median track (frames)",
}
"""Numbers of an FOV, in words."""
MOST_FOVS = 10
"""FOVs that are told in words, those that differ most first."""

Place = tuple[str, int]
"""Dataset and FOV."""


@dataclass(frozen=True, slots=True)
class Effects:
    """Numbers of each FOV by name, of the first run and of the second; None where not known."""

    fovs: dict[Place, tuple[Mapping[str, float], Mapping[str, float]]] = field(default_factory=dict)

    def changed(self) -> list[Place]:
        """Return the FOVs that differ, those with the most different good cells and ids first."""

        def apart(place: Place) -> float:
            one, other = self.fovs[place]
            names = ("good_cells", "ids")
            return sum(abs(one.get(n, 0) - other.get(n, 0)) for n in names)

        places = (place for place, sides in self.fovs.items() if _apart(*sides))
        return sorted(places, key=lambda place: (-apart(place), place))

    def total(self, name: str) -> tuple[float | None, float | None]:
        """Return a number of both runs over the FOVs that both tell it of: a sum, or a median."""
        pairs = [
            (one[name], two[name]) for one, two in self.fovs.values() if name in one and name in two
        ]
        if not pairs:
            return None, None
        join = np.median if name in ("median_track", "cells_per_frame") else np.sum
        one, two = (round(float(join(side)), 2) for side in zip(*pairs, strict=True))
        return one, two

    def to_json(self) -> dict[str, Any]:
        """Return them as plain values."""
        return {
            f"{dataset}/{fov}": {"first": dict(one), "second": dict(two)}
            for (dataset, fov), (one, two) in self.fovs.items()
        }

    def lines(self) -> Iterator[str]:
        """Yield what people are told."""
        totals = [(words, self.total(name)) for name, words in NUMBERS.items()]
        known = [
            f"{words} {one:g} | {two:g}"
            for words, (one, two) in totals
            if one is not None and two is not None
        ]
        if not known:
            return
        changed = self.changed()
        yield f"found: {', '.join(known)}; {len(changed)} of {len(self.fovs)} FOVs differ"
        for dataset, fov in changed[:MOST_FOVS]:
            one, two = self.fovs[dataset, fov]
            told = [
                f"{words} {_shown(one, name)} | {_shown(two, name)}"
                for name, words in NUMBERS.items()
                if name in _apart(one, two)
            ]
            yield f"  {dataset}, FOV {fov}: {', '.join(told)}"
        if len(changed) > MOST_FOVS:
            yield f"  and {len(changed) - MOST_FOVS} more, in --json and --html"


def _apart(one: Mapping[str, float], other: Mapping[str, float]) -> list[str]:
    """Return the numbers that differ: what one side does not know is no difference.

    Of an FOV that one side has not at all it is each number.
    """
    names = one.keys() & other.keys() if one and other else one.keys() | other.keys()
    return [name for name in NUMBERS if name in names and one.get(name) != other.get(name)]


def _shown(numbers: Mapping[str, float], name: str) -> str:
    return f"{numbers[name]:g}" if name in numbers else "not known"


def effects_of(first: RunFolder, second: RunFolder) -> Effects:
    """Return what two runs found."""
    sides = found_by(first), found_by(second)
    places = sorted({*sides[0], *sides[1]})
    return Effects({place: (sides[0].get(place, {}), sides[1].get(place, {})) for place in places})


def found_by(run: RunFolder) -> dict[Place, dict[str, float]]:
    """Return the numbers of each FOV as of the end of a run.

    They are read in the tables that still are those of the run; of others the records of jobs
    tell ids and good cells.
    """
    current, found = Current(outdir_of(run)), dict[Place, dict[str, float]]()
    for path, output in outputs_of(run).items():
        fov = output.job.wildcards.get("fov", "0")
        of_fov = fov.isdecimal() and len(fov) < 10
        if output.job.step != "extract" or not path.endswith("_traces.csv") or not of_fov:
            continue
        place = (output.job.dataset, int(fov))
        told = output.job.found
        names = {"ids": told.get("cells"), "good_cells": told.get("good_cells")}
        found[place] = {k: float(v) for k, v in names.items() if isinstance(v, int | float)}
        if output.digest is not None and current.digest(path) == output.digest:
            try:
                found[place] = numbers_of(output.file(outdir_of(run)))
            except FovflowError:  # it is gone, or no table
                continue
    return found


class Current:
    """What the records of an output folder say of its files now."""

    def __init__(self, outdir: Path):
        self._outdir = outdir
        self._known: dict[str, dict[str, Any]] = {}

    def digest(self, path: str) -> Any:
        """Return the digest of a file by its name relative to the output folder; None without."""
        dataset, _, name = path.partition("/")
        if dataset not in self._known:
            records = read_records(self._outdir / dataset, complete=True)
            self._known[dataset] = {n: d for record in records for n, d in record.outputs.items()}
        return self._known[dataset].get(name)


def numbers_of(traces: Path) -> dict[str, float]:
    """Return the numbers of a table of traces."""
    table = read_csv(traces, columns=lambda name: name in ("cell", "frame", "good"))
    cell, good = table["cell"], np.asarray(table["good"], bool)
    frames = np.unique(table["frame"], return_counts=True)[1]
    lengths = np.unique(cell, return_counts=True)[1]
    return {
        "cells_per_frame": round(float(frames.mean()), 2) if frames.size else 0.0,
        "ids": float(lengths.size),
        "good_cells": float(np.unique(cell[good]).size),
        "median_track": float(np.median(lengths)) if lengths.size else 0.0,
    }
