"""Samples: which FOVs belong together, checked against the FOVs that there are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fovflow.config.analysis import SampleConfig
from fovflow.errors import ConfigError, did_you_mean
from fovflow.units import format_fovs, parse_ranges

_WELL = re.compile(r"([A-Za-z]{1,2})[ /_-]?0*(\d{1,2})(?!\d)")

NOT_SELECTED = "left out by the configuration's fovs"


@dataclass(frozen=True, slots=True)
class Places:
    """The FOVs of a dataset."""

    names: Mapping[int, str]
    """Name of the position of each FOV that there is; empty where it has none."""
    selected: frozenset[int]
    """Those that are processed."""


@dataclass(frozen=True, slots=True)
class Sample:
    """FOVs of one dataset that are analysed together."""

    name: str
    dataset: str
    fovs: Mapping[int, str]
    """Name of the position of each FOV, by index; empty where it has none."""
    condition: str = ""
    replicate: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[int, str] = field(default_factory=dict)
    """FOVs that are not processed, and why."""
    problem: str = ""
    """Why its FOVs are not known."""


def resolve_samples(
    samples: Sequence[SampleConfig], datasets: Mapping[str, Places | None]
) -> tuple[Sample, ...]:
    """Find the FOVs of each sample.

    `datasets`: the FOVs of each dataset; None where they are not known, since its raw file cannot
    be read: samples of it have no FOVs. Raises ConfigError with all that is wrong: datasets, FOVs,
    wells and positions that there are not, and FOVs in two samples.
    """
    problems: list[str] = []
    owners: dict[tuple[str, int], list[str]] = {}
    found = []
    for sample in samples:
        dataset = sample.dataset or (next(iter(datasets)) if len(datasets) == 1 else "")
        if dataset not in datasets:
            what = f"the dataset {dataset!r} does not exist" if dataset else "no dataset is named"
            hint = did_you_mean(dataset, datasets)
            problems.append(f"sample {sample.name}: {what}{hint}; there are {_listed(datasets)}")
            continue
        places = datasets[dataset]
        if places is None:
            problem = f"the dataset {dataset} cannot be processed"
            found.append(Sample(dataset=dataset, fovs={}, problem=problem, **_about(sample)))
            continue
        chosen = set(_chosen(sample, places.names, problems))
        for fov in sorted(chosen):
            owners.setdefault((dataset, fov), []).append(sample.name)
        fovs = {fov: places.names[fov] for fov in sorted(chosen & places.selected)}
        left_out = dict.fromkeys(sorted(chosen - places.selected), NOT_SELECTED)
        found.append(Sample(dataset=dataset, fovs=fovs, left_out=left_out, **_about(sample)))
    shared: dict[tuple[str, ...], list[int]] = {}
    for (dataset, fov), names in owners.items():
        if len(names) > 1:
            shared.setdefault((dataset, *names), []).append(fov)
    problems += [
        f"{format_fovs(fovs)} of {dataset} in the samples {_listed(names)}"
        for (dataset, *names), fovs in shared.items()
    ]
    if problems:
        count = "an error" if len(problems) == 1 else f"{len(problems)} errors"
        raise ConfigError(
            "\n  ".join([f"the samples have {count}:", *problems, "see docs/analysis.md"])
        )
    return tuple(found)


def _about(given: SampleConfig) -> dict[str, Any]:
    return {key: getattr(given, key) for key in ("name", "condition", "replicate", "columns")}


def _chosen(sample: SampleConfig, names: Mapping[int, str], problems: list[str]) -> Iterator[int]:
    """Yield the FOVs that a sample names; add what is wrong to `problems`."""
    if sample.fovs is not None:
        wanted = tuple(names) if sample.fovs == "all" else parse_ranges(sample.fovs)
        if unknown := [fov for fov in wanted if fov not in names]:
            problems.append(
                f"sample {sample.name}: {format_fovs(unknown)} of {len(names)} that there are, "
                "counted from 0"
            )
        yield from (fov for fov in wanted if fov in names)
        return
    kind, read = ("well", well_of) if sample.wells else ("position", str.casefold)
    for name in sample.wells or sample.positions:
        fovs = [fov for fov, own in names.items() if own and read(own) == read(name)]
        if not fovs:
            there = _listed(dict.fromkeys(filter(None, names.values()))) or "none has a name"
            problems.append(f"sample {sample.name}: no {kind} {name!r}; positions: {there}")
        yield from fovs


def well_of(position: str) -> str:
    """Return the well that a position's name begins with; the name itself where there is none.

    Examples
    --------
    >>> well_of("B03_0001"), well_of("b3"), well_of("B/03/2"), well_of("left")
    ('B3', 'B3', 'B3', 'left')
    """
    match = _WELL.match(position)
    return f"{match[1].upper()}{match[2]}" if match else position.casefold()


def place_of_well(position: str) -> tuple[float, float] | None:
    """Return column and row of the well that a position's name begins with; None without one.

    Examples
    --------
    >>> place_of_well("B03_0001"), place_of_well("AA1"), place_of_well("left")
    ((3.0, 2.0), (1.0, 27.0), None)
    """
    match = _WELL.match(position)
    if match is None:
        return None
    letters = enumerate(reversed(match[1].upper()))
    return float(match[2]), float(sum(26**i * (ord(letter) - 64) for i, letter in letters))


def _listed(names: Iterable[str], most: int = 12) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f", and {len(names) - most} more" * (len(names) > most))
