"""Differences between two runs, or a run and today: what they were made with, made and found."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fovflow.errors import FovflowError
from fovflow.jobrecord import read_records
from fovflow.records import mapping_of
from fovflow.runs.assets import is_of_script, last_of
from fovflow.runs.datasets import members_of
from fovflow.runs.state import outputs_of, read_with_files
from fovflow.runs.store import RunFolder
from fovflow.tables import read_csv

SECTIONS = ("code", "config", "parameters", "environment", "inputs", "outputs")

_CODE = ("name", "version", "repository", "commit", "dirty", "diff_sha256")
_ENVIRONMENT = ("python", "implementation", "os", "machine")
_CONTENT = ("bytes", "files", "sha256", "digest", "fingerprint", "format")
_IDS = ("SLURM_JOB_ID", "SLURM_JOB_NODELIST")
_PLACES = ("run", "outdir")
_ABSENT = "nothing"
_CIRCUMSTANCES = {
    "ids": ("id", "name"),
    "times": ("created", "started", "ended"),
    "host": ("host", "pid"),
    "paths": ("working_directory", "outdir", "command", "configfiles"),
}
_MACHINE = ("host", "cpu", "memory_mib")

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
    current, found = Current(run.outdir), dict[Place, dict[str, float]]()
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
                found[place] = numbers_of(output.file(run.outdir))
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


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """A thing that two runs do not share."""

    section: str
    key: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.section}: {self.key}: {self.first} | {self.second}"


@dataclass(slots=True)
class Comparison:
    """What two runs, named by their ids, do not share and what of it matters."""

    first: str
    second: str
    differences: list[Difference] = field(default_factory=list)
    circumstances: list[str] = field(default_factory=list)
    """Which of ids, times, host and paths differ; these do not matter."""
    outputs: int = 0
    """Number of outputs with equal SHA-256."""
    unknown: list[str] = field(default_factory=list)
    """Outputs of both whose content is not known, for want of a checksum."""
    effects: Effects = field(default_factory=Effects)
    """What they found in each FOV."""

    @property
    def same(self) -> bool:
        """Whether the runs differ in nothing that matters."""
        return not self.differences and not self.unknown

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as plain values."""
        return {
            "first": self.first,
            "second": self.second,
            "same": self.same,
            "differences": [asdict(difference) for difference in self.differences],
            "circumstances": self.circumstances,
            "equal_outputs": self.outputs,
            "outputs_without_checksum": self.unknown,
            **({"found": found} if (found := self.effects.to_json()) else {}),
        }


def compare_runs(first: RunFolder, second: RunFolder) -> Comparison:
    """Compare two runs, of one output folder or of two."""
    records = first.read_record(), second.read_record()
    found = Comparison(first.id, second.id)
    found.differences = compare_records(*records)
    one, other = map(_circumstances, records)
    found.circumstances = [word for word in one if one[word] != other[word]]
    outputs = _contents(first, records[0]), _contents(second, records[1])
    for path in sorted({*outputs[0], *outputs[1]}):
        digests = [side.get(path) for side in outputs]
        if not all(path in side for side in outputs):
            words = ["made" if path in side else _ABSENT for side in outputs]
            found.differences.append(Difference("outputs", path, *words))
        elif None in digests:
            found.unknown.append(path)
        elif digests[0] != digests[1]:
            words = [f"SHA-256 {digest[:16]}…" for digest in digests if digest]
            found.differences.append(Difference("outputs", path, *words))
        else:
            found.outputs += 1
    if not found.same:
        found.effects = effects_of(first, second)
    return found


def _contents(run: RunFolder, record: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the SHA-256 of what a run made: outputs of jobs, and what scripts made or kept."""
    made = {} if is_of_script(record) else outputs_of(run)
    found = {path: output.digest.sha256 if output.digest else None for path, output in made.items()}
    for asset in last_of(read_with_files(run).assets):
        if asset.category == "output":
            dataset = asset.types[:1] == ("dataset",)
            whole = dataset and not asset.misplaced(run.path)
            found[asset.key] = _members(run.path / asset.path) if whole else asset.sha256
    return found


def _members(record: Path) -> str:
    """Return a digest of the members of a dataset: its record names the run, too."""
    told = sorted(f"{Path(m['path']).name} {m.get('sha256')}" for m in members_of(record))
    return hashlib.sha256("\n".join(told).encode(errors="replace")).hexdigest()


def compare_records(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """Return the differences of two ``run.json`` in code, configuration, environment and inputs."""
    found = []
    for section, values_of in _VALUES.items():
        one, other = values_of(first), values_of(second)
        for key in sorted({*one, *other}):
            values = one.get(key), other.get(key)
            if values[0] != values[1] or len({isinstance(value, bool) for value in values}) > 1:
                words = [_ABSENT if value is None else str(value) for value in values]
                found.append(Difference(section, key, *words))
    return found


def _code(record: Mapping[str, Any]) -> dict[str, Any]:
    workflow = record.get("workflow") or {}
    files = mapping_of(workflow.get("files"))
    return {
        **{key: workflow.get(key) for key in _CODE},
        "workflow_type": record.get("workflow_type"),
        **{f"file {name}": digest for name, digest in files.items()},
    }


def _config(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration in single values, without names and places."""
    config = {k: v for k, v in (record.get("config") or {}).items() if k not in _PLACES}
    return {
        key: value
        for key, value in _flat("", config)
        if not (key.startswith("datasets.") and key.endswith(".path"))
    }


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), item)
    elif prefix:
        yield prefix, value


def _environment(record: Mapping[str, Any]) -> dict[str, Any]:
    environment = record.get("environment") or {}
    packages = mapping_of(environment.get("packages"))
    variables = mapping_of(environment.get("variables"))
    return {
        **{key: environment.get(key) for key in _ENVIRONMENT},
        **{f"package {name}": version for name, version in packages.items()},
        **{f"variable {name}": value for name, value in variables.items() if name not in _IDS},
    }


def _inputs(record: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, item in enumerate(_input_records(record)):
        name = item.get("dataset") or item.get("name") or f"input {number + 1}"
        found |= {f"{name} {key}": item[key] for key in _CONTENT if item.get(key) is not None}
    return found


def _input_records(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [mapping_of(item) for item in record.get("inputs") or []]


def _parameters(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of an execution in single values."""
    return dict(_flat("", record.get("parameters") or {}))


_VALUES = {
    "code": _code,
    "config": _config,
    "parameters": _parameters,
    "environment": _environment,
    "inputs": _inputs,
}
"""What of a record is compared in each section but ``outputs``, by key."""


def _circumstances(record: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the values of a record that have no part in the results, by what they tell."""
    environment = record.get("environment") or {}
    found = {word: [record.get(key) for key in keys] for word, keys in _CIRCUMSTANCES.items()}
    found["host"] += [environment.get(key) for key in _MACHINE]
    found["paths"] += [item.get("path") for item in _input_records(record)]
    return found


MOST_OUTPUTS = 10
"""Outputs that are named one by one, at most."""


def format_comparison(found: Comparison) -> list[str]:
    """Return the comparison as lines for people."""
    lines = [str(each) for each in found.differences if each.section != "outputs"]
    outputs = [str(each) for each in found.differences if each.section == "outputs"]
    outputs += [f"outputs: {path}: no checksum was recorded" for path in found.unknown]
    lines += outputs[:MOST_OUTPUTS]
    if len(outputs) > MOST_OUTPUTS:
        lines.append(f"outputs: and {len(outputs) - MOST_OUTPUTS} more, in --json")
    equal = f"{found.outputs} outputs have equal hashes"
    if found.same:
        what = ", ".join(found.circumstances) or "nothing"
        return [f"The runs differ only in {what}; all {equal}."]
    counts = Counter(difference.section for difference in found.differences)
    told = ", ".join(f"{counts[section]} in {section}" for section in SECTIONS if counts[section])
    last = f"{found.first} | {found.second}: {told or 'no'} differences; {equal}."
    return [*lines, *found.effects.lines(), last]
