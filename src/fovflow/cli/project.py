"""Commands that lay out a project: init, demo."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import fovflow
from fovflow.cli.common import CORES, argument, command
from fovflow.config.methods import CORRECTORS, SEGMENTERS, TRACKERS
from fovflow.config.model import Config
from fovflow.errors import FovflowError
from fovflow.layout import MOST_NAME_BYTES, dataset_name_problem
from fovflow.readers.base import RawInfo
from fovflow.readers.locate import is_zarr
from fovflow.readers.names import PHASE_WORDS
from fovflow.records import parse_yaml
from fovflow.terminal import printable

PAPER = Path(fovflow.__file__).resolve().parent / "paper"
"""Makefile, figures and README of a paper's folder; ``gitignore`` gets its dot there."""

_LONGEST = MOST_NAME_BYTES - 20
"""Bytes of a name that is made from a file's: a number or a word may be put to it."""


@command(
    "fovflow init my_project --raw data/plate1.nd2",
    argument("folder", nargs="?", default=".", help="project folder (default: this one)"),
    argument("--raw", nargs="+", default=[], metavar="FILE", help="raw files: one dataset each"),
    argument("--pattern", help="for a TIFF series: such as '{position}/{channel}_{time}.tif'"),
    argument("--paper", action="store_true", help="add what others need to do the analysis again"),
)
def init(folder: str, raw: list[str], paper: bool, pattern: str | None = None) -> int:
    """Lay out the folder; files that are there already are left alone."""
    from fovflow.adapter.engine import workflow_folder

    place, template = Path(folder), workflow_folder()
    if place.is_file() or is_zarr(place):
        raise FovflowError(
            f"{folder} is no folder for a project",
            found="a file" if place.is_file() else "a Zarr folder, whose files are data",
            remedy=f"if it is the raw data: fovflow init --raw {shlex.quote(folder)}",
        )
    config = place / "config" / "config.yaml"
    if config.exists():
        raise FovflowError(
            f"{config} exists already",
            remedy="edit it, or choose another folder; nothing was changed",
        )
    found = look_at(raw, pattern)
    try:
        config.parent.mkdir(parents=True, exist_ok=True)
        full = (template / "config" / "config.yaml").read_text(encoding="utf-8")
        method, why = _method(found, pattern) if found else ("", "")
        text = short_config(found, place, pattern, method, why) if found else full
        config.write_text(text, encoding="utf-8")
        if not (place / "Snakefile").exists() and place.resolve() != template.resolve():
            (place / "Snakefile").write_text(SNAKEFILE, encoding="utf-8")
        for name in ("README.md", "config.schema.json"):
            shutil.copyfile(template / "config" / name, config.parent / name)
        profile = place / "profiles" / "default"
        if not profile.exists():
            shutil.copytree(template / "profiles" / "default", profile)
        if paper:
            _lay_out_paper(place)
    except OSError as error:
        raise FovflowError(
            f"cannot lay out {place}", found=error.strerror or str(error), remedy="choose a folder"
        ) from error
    print(f"made {config}: {_what_to_do(text) if found else 'name your raw files in it'}")
    if found:
        print(f"segment with method {method}: {why}")
    for file, info in found:
        for warning in info.warnings:
            print(f"{file}: {warning}", file=sys.stderr)
    step = "" if folder in ("", ".") else f"cd {shlex.quote(folder)} && "
    print(f"then: {step}{'make record' if paper else 'fovflow run --cores all'}")
    if found:
        print(f"see first which cells are found: {step}{_try_command(text)}")
    return 0


def _method(found: Sequence[tuple[str, RawInfo]], pattern: str | None) -> tuple[str, str]:
    """Return the method of segmentation that suits the files' frames, and why; the default else."""
    from fovflow.planning.choice import BOTH, choose_for

    try:
        raws = [(path, Channels.of(info).phase) for path, info in found]
        choice = choose_for(raws, pattern)
    except Exception as error:  # whatever is wrong with a frame, the project is laid out
        why = error.message if isinstance(error, FovflowError) else str(error) or repr(error)
        why = printable(" ".join(why.split()))
        return BOTH[0], f"not tried on frames, since {why}; later: fovflow try --write"
    return choice.method, choice.reason


def _try_command(text: str) -> str:
    """Return the command that shows what settings find in the configuration's first dataset."""
    first, *others = parse_yaml(text)["datasets"]
    return f"fovflow try --dataset {shlex.quote(first)}" if others else "fovflow try"


def _what_to_do(text: str) -> str:
    open_lines = text.count("FILL_IN")
    return f"fill in what says FILL_IN ({open_lines})" if open_lines else "look through it"


def dataset_name(path: str, taken: Iterable[str] = ()) -> str:
    """Return a name for the dataset of a raw file that is none of those taken."""
    stem = re.sub(r"(\.ome)?\.[A-Za-z]\w*$|/?\*.*$", "", unicodedata.normalize("NFC", path))
    base = re.sub(r"[^\w+-]+", "_", Path(stem).name).strip("_-+")
    base = base.encode(errors="replace")[:_LONGEST].decode(errors="ignore")
    if dataset_name_problem(base):
        base = f"dataset_{base}".rstrip("_")
    others = {name.casefold() for name in taken}
    names = (base if n == 1 else f"{base}_{n}" for n in itertools.count(1))
    return next(name for name in names if name.casefold() not in others)


@dataclass(frozen=True)
class Channels:
    """Names or indices of a raw file's channels, and which is phase contrast beyond doubt."""

    names: tuple[str | int, ...]
    phase: str | int | None

    @classmethod
    def of(cls, info: RawInfo) -> Channels:
        """Choose the one channel whose name says phase contrast or transmitted light."""
        names = [channel.name for channel in info.channels]
        unique = len({name.casefold() for name in names}) == len(names) and all(names)
        usable = names if unique else list(range(len(names)))
        phases = [usable[i] for i, name in enumerate(names) if PHASE_WORDS.search(name)]
        return cls(tuple(usable), phases[0] if len(phases) == 1 else None)

    def lines(self) -> list[str]:
        """Return the lines of the configuration."""
        if self.phase is None:
            listed = ", ".join(_quote(name) for name in self.names)
            return [
                "channels:",
                f"  pc: FILL_IN  # which channel is phase contrast? one of {listed}; or null",
                "  fl: all",
            ]
        others = ", ".join(_quote(name) for name in self.names if name != self.phase)
        return ["channels:", f"  pc: {_quote(self.phase)}", f"  fl: [{others}]"]


def look_at(files: Sequence[str], pattern: str | None = None) -> list[tuple[str, RawInfo]]:
    """Open raw files; return the path of each dataset and what it holds.

    TIFF files of one folder whose names make them one series are one dataset; several files of one
    image each that are no series are refused.
    """
    from fovflow.readers import open_raw
    from fovflow.readers.locate import TIFF_SUFFIXES, one_path

    refused: FovflowError | None = None
    if len(files) > 1 and all(file.lower().endswith(TIFF_SUFFIXES) for file in files):
        try:
            path = one_path(files)
            with open_raw(path, pattern=pattern) as raw:
                return [(path, raw.info)]
        except FovflowError as error:
            refused = error
            if pattern is not None:
                raise
    found = []
    for file in files:
        with open_raw(file, pattern=pattern) as raw:
            found.append((file, raw.info))
    if refused is not None and all(info.n_frames == 1 for _, info in found):
        raise FovflowError(
            f"{len(files)} files of one image each, and how they belong together is not clear",
            found=f"{refused.message}: {refused.found}",
            remedy="say it with --pattern, such as '{position}_{time}.tif'",
        )
    return found


def short_config(
    found: Sequence[tuple[str, RawInfo]],
    folder: Path,
    pattern: str | None = None,
    method: str = "logstd",
    why: str = "",
) -> str:
    """Return a configuration of what differs from the defaults, with the rest in comments.

    `method`, `why`: of segmentation, and a comment on it.
    """
    lines = [
        "# Configuration of fovflow. What does not stand here has its default; config/README.md",
        "# explains every key. Paths are relative to the folder of the project.",
        *("outdir: results", "", "datasets:"),
    ]
    channels = [Channels.of(info) for _, info in found]
    names: list[str] = []
    for (file, info), own in zip(found, channels, strict=True):
        names.append(dataset_name(file, names))
        path = file if Path(file).is_absolute() else os.path.relpath(file, folder)
        keys = [f"path: {_quote(path)}"]
        keys += [f"pattern: {_quote(pattern)}"] if pattern is not None else []
        keys += ["pixel_um: FILL_IN"] * (info.pixel_um is None)
        keys += ["interval_s: FILL_IN"] * (info.time_source == "unknown" and info.n_frames > 1)
        about = ""
        if own != channels[0]:
            listed = ", ".join(_quote(name) for name in own.names if name != own.phase)
            pc, fl = ("FILL_IN", "all") if own.phase is None else (_quote(own.phase), f"[{listed}]")
            keys.append(f"channels: {{pc: {pc}, fl: {fl}}}")
            about = f"; pc is one of {listed}, or null" * (own.phase is None)
        counts = {"position": len(info.positions), "frame": info.n_frames}
        sizes = ", ".join(f"{n} {what}{'s' * (n != 1)}" for what, n in counts.items())
        lines += [
            f"  # {info.format}: {sizes}{about}",
            f"  {_quote(names[-1])}: {{{', '.join(keys)}}}",
        ]
    lines += ["", *channels[0].lines(), ""]
    defaults = Config(datasets={"any": {"path": "any"}})
    methods = {"segment": SEGMENTERS, "correct": CORRECTORS, "track": TRACKERS}
    for section, registry in methods.items():
        used = method if section == "segment" else getattr(defaults, section).method
        others = ", ".join(name for name in registry if name != used)
        reason = f"; {why}" if why and section == "segment" else ""
        lines.append(f"{section}: {{method: {used}}}  # or {others}{reason}")
    lines += [
        *("", '# fovs: "0-5, 7"', '# frames: "0-99"', "# time_units: min", "# keep: all"),
        *("# samples: config/samples.tsv", "# fit: {model: trivial}"),
        "# statistics: {reference: control}",
    ]
    return "\n".join(lines).rstrip() + "\n"


def _quote(value: str | int) -> str:
    """Return a value as YAML has it; letters that cannot be printed are escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)


SNAKEFILE = """\
# The pipeline of fovflow: snakemake --cores all runs it in this folder, as does fovflow run.
from fovflow.adapter.engine import workflow_folder


include: str(workflow_folder() / "Snakefile")


rule everything:  # the first rule of an included file is no default
    default_target: True
    input:
        targets(PIPELINE),
    message:
        "all datasets: everything is there"
"""


def _lay_out_paper(folder: Path) -> None:
    """Add Makefile, figures, README and pinned versions; files that are there are left alone."""
    from fovflow.atomic import write_text

    texts = {"constraints.txt": "".join(f"{line}\n" for line in pinned_versions())}
    for source in sorted(path for path in PAPER.rglob("*") if path.is_file()):
        inner = source.relative_to(PAPER)
        if "__pycache__" not in inner.parts:
            name = ".gitignore" if inner.name == "gitignore" else inner.name
            text = source.read_text(encoding="utf-8").replace("@VERSION@", fovflow.__version__)
            texts[str(inner.with_name(name))] = text
    for name, text in texts.items():
        target = folder / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            write_text(target, text)


def pinned_versions(package: str = "fovflow") -> list[str]:
    """Return ``name==version`` of everything that a package needs, as it is installed here.

    Optional dependencies are left out. What is not installed (for another system, say) is, too.
    """
    found: dict[str, str] = {}
    waiting = [package]
    while waiting:
        name = re.split(r"[^A-Za-z0-9._-]", waiting.pop(), maxsplit=1)[0]
        name = re.sub(r"[-_.]+", "-", name).lower()
        if name in found:
            continue
        try:
            found[name], needed = version(name), requires(name) or []
        except PackageNotFoundError:
            continue
        waiting += [line for line in needed if not re.search(r";.*\bextra\b", line)]
    found.pop(package, None)
    return [f"{name}=={number}" for name, number in sorted(found.items())]


_ANSWERS = """\
samples: config/samples.tsv
fit: {model: trivial, fixed: {beta: 0.05}}
statistics: {reference: control}
"""
"""What the demo's configuration has in place of its last comments."""


@command(
    "fovflow demo demo",
    argument("folder", nargs="?", default="demo", help="folder to work in (default: demo)"),
    CORES,
)
def demo(folder: str, cores: str) -> int:
    """Simulate, run, compare; return 1 if the run failed or found nothing."""
    from fovflow.accuracy import compare, describe_answers, format_comparison
    from fovflow.adapter.engine import snakemake_command
    from fovflow.cli.data import write_simulation
    from fovflow.results import load_results
    from fovflow.simulation import MovieParams, write_samples
    from fovflow.simulation.truth import PARAMS_NAME

    start = time.perf_counter()
    place = Path(folder)
    movie, truth = place / "raw" / "demo.nd2", place / "truth"
    results = place / "results" / "demo"
    params = MovieParams(
        seed=7, positions=6, frames=36, cells=24, touching=0.2, divisions=3, births=2, deaths=2,
        conditions=("control", "drug"), replicates=3, effects={"drug": {"ktl": 0.3}},
    )  # fmt: skip
    _say("simulating a movie of six fields of view, two conditions in three replicates")
    if not (movie.exists() and (truth / PARAMS_NAME).exists()):  # which is written last
        movie.parent.mkdir(parents=True, exist_ok=True)
        write_simulation(params, movie, truth)
    config = place / "config" / "config.yaml"
    if not config.exists():
        init.run(folder, [str(movie)], paper=False)
        write_samples(params, config.with_name("samples.tsv"))
        text = config.read_text(encoding="utf-8").partition("# samples:")[0]
        config.write_text(text + _ANSWERS, encoding="utf-8")
    _say("running the pipeline")
    status = subprocess.run(snakemake_command(["--cores", cores]), cwd=place, check=False)
    if status.returncode:
        _say(f"the run failed with exit status {status.returncode}; see the messages above")
        return 1
    comparison = compare(load_results(results), truth)
    print(f"\n{format_comparison(comparison)}")
    print("\n".join(describe_answers(load_results(results), truth)), end="\n\n")
    print(f"results: {results / 'processing_results.yaml'}")
    print(f"traces:  {results / 'fov_000' / 'demo_fov_000_traces.csv'}, and so on")
    print(f"report:  {place / 'results' / 'report.html'}")
    print(f"raw:     {movie}, truth: {truth}")
    _say(f"done in {time.perf_counter() - start:.0f} s")
    return 0 if comparison["cells_found"] else 1


def _say(text: str) -> None:
    print(f"demo: {text}", file=sys.stderr, flush=True)
