"""Commands of the analysis: merge, fit, statistics."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovflow.cli.common import argument, command
from fovflow.errors import ConfigError, FovflowError, complain
from fovflow.layout import ANALYSIS
from fovflow.units import SECONDS_PER

if TYPE_CHECKING:
    from fovflow.analysis.merge import Measure, Source
    from fovflow.analysis.samples import Sample
    from fovflow.results import Results

_TIME_UNITS = argument(
    "--time-units", choices=("s", "min", "h"), help="unit of times in files that do not tell it"
)


@command(
    "fovflow merge run1/results run2/results --samples samples.tsv --out analysis",
    argument("folders", nargs="+", metavar="FOLDER", help="output folder, or a dataset's in it"),
    argument("--samples", help="table of samples (default: each dataset is a sample)"),
    argument("--out", default="analysis", help="folder of the tables (default: analysis)"),
    argument(
        "--feature", action="append", help="feature to write (default: intensity_total and area)"
    ),
    _TIME_UNITS,
    description="Merge results that lie in several output folders, this program's or another's, "
    "into tables of samples.",
)
def merge(
    folders: list[str], samples: str | None, out: str, feature: list[str] | None, time_units: str
) -> int:
    """Write the tables; a sample that fails costs itself."""
    from fovflow.analysis.merge import merge_all, merge_sample

    _refuse_replacing(Path(out))
    datasets = _datasets(folders)
    chosen = _samples(datasets, samples)
    sources = [_source(sample, datasets[sample.dataset], time_units) for sample in chosen]
    failed = 0
    for source in sources:
        name = source.sample.name
        try:
            measures = _measures(source, datasets[source.sample.dataset], feature)
            merge_sample(source, measures, Path(out))
            left_out = source.left_out_words()
            print(f"{name}: {', '.join(each.name for each in measures)}"
                  + f"; left out: {left_out}" * bool(left_out))  # fmt: skip
        except FovflowError as error:
            failed += 1
            complain(f"fovflow: {error}")
    merge_all(sources, out)
    print(f"tables: {out}")
    return 1 if failed else 0


def _refuse_replacing(folder: Path, *names: str) -> None:
    """Raise ConfigError where runs of the pipeline made one of these files of a folder, or any."""
    from fovflow.jobrecord import read_records

    place = folder.resolve()
    records = read_records(place.parent) if place.name == ANALYSIS else []
    made = {Path(file) for record in records for file in record.outputs}
    here = {file.name for file in made if file.parts[0] == ANALYSIS}
    if found := sorted(here.intersection(names) if names else here):
        raise ConfigError(
            f"{folder / found[0]} was made by the pipeline, which would make it again",
            remedy="write into another folder (--out, or a copy of this one), or change the "
            "configuration",
        )


def _datasets(folders: Iterable[str]) -> dict[str, Results]:
    """Return the datasets in all folders by name, those of one name by their folders."""
    from fovflow.results import load_datasets

    found = [results for folder in folders for results in load_datasets(folder).values()]
    names = [results.dataset for results in found]
    return {
        str(results.folder) if names.count(results.dataset) > 1 else results.dataset: results
        for results in found
    }


def _samples(datasets: Mapping[str, Results], path: str | None) -> tuple[Sample, ...]:
    """Return the samples of a table, or one for each dataset."""
    from fovflow.analysis.samples import Places, Sample, resolve_samples
    from fovflow.config import parse_config
    from fovflow.layout import PLAN_NAME
    from fovflow.records import read_json_object

    places = {}
    for name, results in datasets.items():
        positions = read_json_object(results.folder / PLAN_NAME).get("positions") or []
        known = dict(enumerate(positions))
        names = {fov: str(known.get(fov) or "") for fov in results.fovs}
        places[name] = Places(names, frozenset(names))
    if path is None:
        named = {name: re.sub(r"[^\w .,+-]+", "_", name) for name in places}
        counts = Counter(name.casefold() for name in named.values())
        if alike := [name for name, short in named.items() if counts[short.casefold()] > 1]:
            raise ConfigError(
                "the tables of these datasets would have the same names",
                found=", ".join(alike),
                remedy="name the samples in a table, and give it with --samples",
            )
        return tuple(Sample(named[name], name, place.names) for name, place in places.items())
    given = parse_config({"datasets": {"any": {"path": "any"}}, "samples": path}).samples
    return resolve_samples(given, places)


def _source(sample: Sample, results: Results, time_units: str | None) -> Source:
    from fovflow.analysis.merge import Source

    units = results.time_units or time_units or ""
    if units not in SECONDS_PER:
        raise ConfigError(
            f"{results.folder} does not say the unit of its times",
            found=units or "nothing",
            remedy="give it with --time-units",
        )
    fovs = {fov: results.fovs[fov] for fov in sample.fovs}
    traces = {
        fov: found.channel_traces or found.traces_path
        for fov, found in fovs.items()
        if found.traces_path is not None and not found.outdated
    }
    lost = {
        fov: f"{found.status}: {found.error or found.outdated or 'no traces'}"
        for fov, found in fovs.items()
        if fov not in traces
    }
    names = {
        int(index): name for index, name in (results.content.get("channel_names") or {}).items()
    }
    return Source(sample, traces, units, names, lost)


def _measures(source: Source, results: Results, wanted: list[str] | None) -> list[Measure]:
    """Return what the traces of a sample hold of the features that are wanted."""
    from fovflow.analysis.merge import Measure

    pc, fl = results.channels.get("pc"), results.channels.get("fl") or [0]
    known: dict[str, list[Measure]] = {}
    for column in filter(re.compile(r"\w+").fullmatch, source.header()):
        feature, _, channel = column.partition("_ch_")
        own = pc if feature.startswith("area") and pc is not None else fl[0]
        index = int(channel) if channel.isdecimal() else int(own)
        known.setdefault(feature, []).append(Measure(feature, index, column))
    areas = ["area_um2"] * bool(results.content.get("pixel_um")) + ["area"]
    defaults = ["intensity_total", *[name for name in areas if name in known][:1]]
    names = wanted or [name for name in defaults if name in known]
    if lacking := [name for name in names if name not in known]:
        raise FovflowError(
            f"the sample {source.sample.name} has no feature {', '.join(lacking)}",
            found=", ".join(known) or source.left_out_words() or "no traces",
            remedy="name one of these with --feature",
        )
    return [measure for name in names for measure in known[name]]


def _values(items: Iterable[str] | None, option: str, form: str) -> dict[str, Any]:
    """Read ``name=value`` and ``name=low:high``."""
    found: dict[str, Any] = {}
    for item in items or ():
        name, _, text = item.partition("=")
        try:
            numbers = tuple(map(float, text.split(":")))
        except ValueError:
            numbers = ()
        if not name or len(numbers) != form.count(":") + 1 or not all(map(isfinite, numbers)):
            raise ConfigError(f"--{option} {item} is not of the form {form}")
        found[name] = numbers if ":" in form else numbers[0]
    return found


@command(
    "fovflow fit analysis/*_intensity_total_ch_1.csv --model maturation --fix km=1.28",
    argument("files", nargs="*", metavar="FILE", help="analysis CSV, tidy or wide"),
    argument("--model", default="trivial", help="kinetic model (default: trivial)"),
    argument("--models", action="store_true", help="list the models and their parameters"),
    argument("--out", metavar="DIR", help="folder of the tables (default: that of each file)"),
    argument("--fix", action="append", metavar="NAME=VALUE", help="parameter that is not fitted"),
    argument("--share", action="append", metavar="NAME",
             help="parameter that has one value in all cells of a file"),
    argument("--start", action="append", metavar="NAME=VALUE", help="value to start from"),
    argument("--bounds", action="append", metavar="NAME=LOW:HIGH", help="bounds of a parameter"),
    argument("--settings", choices=("default", "classic"), default="default",
             help="classic reproduces an older program's fits"),
    argument("--population", action="store_true",
             help="shrink cells towards the distribution of their file"),
    argument("--petab", metavar="DIR", help="also write each file's fits as a PEtab problem, in a "
             "folder of its own in DIR"),
    _TIME_UNITS,
    description="Fit a kinetic model to each cell of analysis CSVs, this program's or another's.",
)  # fmt: skip
def fit(files: list[str], model: str, models: bool, out: str | None, **options: Any) -> int:
    """Write a table for each file; one that fails costs itself."""
    from fovflow.analysis.fits import describe_models, fitted_name, write_fits

    if models:
        print("\n".join(describe_models()))
        return 0
    if not files:
        raise ConfigError("no file to fit", remedy="name analysis CSVs, or ask for --models")
    settings = {
        "model": model,
        "start": _values(options["start"], "start", "NAME=VALUE"),
        "fixed": _values(options["fix"], "fix", "NAME=VALUE"),
        "bounds": _values(options["bounds"], "bounds", "NAME=LOW:HIGH"),
        "shared": options["share"] or (),
        **{key: options[key] for key in ("settings", "population", "time_units")},
    }
    failed, made = 0, dict[Path, str]()
    for file in dict.fromkeys(files):
        path = Path(out or Path(file).parent, fitted_name(file, model))
        if made.setdefault(path, file) != file:
            raise ConfigError(
                f"the fits of two files would be one file, {path}",
                found=f"{made[path]}, {file}",
                remedy="fit them into folders of their own",
            )
    for folder in {path.parent for path in made}:
        _refuse_replacing(folder, *(path.name for path in made if path.parent == folder))
    for path, file in made.items():
        petab = Path(options["petab"], path.stem) if options["petab"] else None
        try:
            table = write_fits(file, path, settings, petab)
        except ConfigError:
            raise
        except FovflowError as error:
            failed += 1
            complain(f"fovflow: {error}")
            continue
        print(f"{path}: {len(table)} cells, {int((table['verdict'] == 'ok').sum())} of them ok")
    return 1 if failed else 0


@command(
    "fovflow statistics analysis --samples samples.tsv --reference control",
    argument("folder", nargs="?", default="analysis", help="folder of the tables of the samples "
             "and of the fits to them (default: analysis)"),
    argument("--samples", metavar="FILE", help="table with the columns sample, condition and "
             "replicate (default: samples.csv in the folder)"),
    argument("--reference", metavar="CONDITION", help="condition that all others are compared "
             "with (default: each with each)"),
    argument("--correction", choices=("holm", "bh", "none"), default="holm",
             help="for many comparisons (default: holm)"),
    description="Compare the conditions of samples, replicate by replicate: tables and pictures.",
)  # fmt: skip
def statistics(folder: str, samples: str | None, reference: str | None, correction: str) -> int:
    """Write the statistics of a folder; print the comparisons."""
    from fovflow.analysis.answer import comparisons_in, write_statistics

    settings = {"reference": reference, "correction": correction}
    _refuse_replacing(Path(folder), "statistics.csv")
    made = write_statistics(folder, samples or Path(folder, "samples.csv"), settings)
    print("\n".join(words for words, _ in comparisons_in(folder)))
    print(f"{made[0]}, {made[1]}, and {len(made) - 2} pictures in {Path(folder, 'pictures')}")
    return 0
