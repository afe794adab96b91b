"""Read an output folder into what the report tells: one FOV after another, tables one by one."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from fovflow.analysis.answer import comparisons_in
from fovflow.analysis.pictures import NOTHING
from fovflow.config.features import FEATURES
from fovflow.corrections import briefly
from fovflow.errors import FovflowError
from fovflow.jobrecord import reads_others
from fovflow.layout import ANALYSIS, ANSWER_RECORD, RESULTS_NAME, Layout, merge_record
from fovflow.quality import NEEDS, ledger
from fovflow.quality.movie import drift_of
from fovflow.quality.rules import Rows
from fovflow.records import read_json
from fovflow.report.pictures import Picture, PictureBudget
from fovflow.report.samples import fits_in, samples_in
from fovflow.report.traces import TracePlot, plots_of
from fovflow.results import FovResult, load_results
from fovflow.tables import KINDS
from fovflow.verdicts import read_traces

OBJECTS = "cells per frame"

Table = dict[str, NDArray[Any]]

_FOLDERS = re.compile(r"(?<![\w.~/…])/(?:[^\s/;,:'\"()<>]+/)+")


@dataclass(frozen=True, slots=True)
class FrameSeries:
    """A number per frame of one FOV, with the frames that carry a flag."""

    title: str
    """What it is, with its unit."""
    values: NDArray[np.float64]
    """(T,), NaN where the frame has none."""
    flags: Mapping[int, str]
    """Flag of each flagged frame."""


@dataclass(slots=True)
class FovSummary:
    """One FOV. Numbers of cells are those of complete FOVs; others have None."""

    index: int
    status: str
    name: str = ""
    """Name of its position, such as that of a well."""
    files: dict[str, str] = field(default_factory=dict)
    """Addresses, relative to the page, of what the page loads of it: ``numbers``, ``pictures``."""
    embedded: dict[str, str] = field(default_factory=dict)
    """What stands in the page instead, as JSON."""
    step: str = ""
    error: str = ""
    at_frame: int | None = None
    frames: int | None = None
    missing: int | None = None
    cells: int | None = None
    good_cells: int | None = None
    median_frames: float | None = None
    reasons: dict[str, int] = field(default_factory=dict)
    flagged: dict[str, set[int]] = field(default_factory=dict)
    """The frames that carry each flag, whichever channel has it."""
    series: list[FrameSeries] = field(default_factory=list)
    levels: dict[str, float] = field(default_factory=dict)
    """Medians: of the background over the frames, and of good rows of what is plotted."""
    pictures: list[Picture] = field(default_factory=list)
    unmet: list[str] = field(default_factory=list)
    """A person's corrections that the run could not follow."""
    note: str = ""

    @property
    def objects(self) -> FrameSeries | None:
        """The number of cells per frame, where it is known."""
        return next((series for series in self.series if series.title == OBJECTS), None)


@dataclass(slots=True)
class Ledger:
    """Cells and rows of all complete FOVs: detected, kept, and the flags that they carry."""

    cells: int = 0
    cells_kept: int = 0
    rows: int = 0
    rows_kept: int = 0
    unexplained: int = 0
    reason_cells: Counter[str] = field(default_factory=Counter)
    reason_rows: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    """Cells without a good row by what made them so first of all."""
    not_evaluated: set[str] = field(default_factory=set)

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add one FOV's ledger, as `fovflow.quality.ledger` returns it."""
        self.cells += entry["cells"]["detected"]
        self.cells_kept += entry["cells"]["kept"]
        self.rows += entry["rows"]["detected"]
        self.rows_kept += entry["rows"]["kept"]
        self.unexplained += entry["unexplained"]
        self.reason_cells.update({n: v["cells"] for n, v in entry["reasons"].items()})
        self.reason_rows.update({n: v["rows"] for n, v in entry["reasons"].items()})
        self.causes.update(entry["causes"])
        if entry["rows"]["detected"]:
            self.not_evaluated.update(entry["not_evaluated"])


@dataclass(slots=True)
class DatasetSummary:
    """One dataset."""

    name: str
    content: dict[str, Any] = field(default_factory=dict)
    """Its ``processing_results.yaml``; empty where there is none."""
    problems: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    """Columns of the traces that can be looked at, with their words and units."""
    fovs: list[FovSummary] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    plots: list[TracePlot] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """What a single page lacks, a sentence each."""
    picture_note: str = ""
    """Why there are no pictures, or not of all FOVs."""
    certificate: list[str] = field(default_factory=list)
    """What `fovflow simulate --like` found, as lines of text."""

    @property
    def rejecting(self) -> list[str]:
        """The rules that make rows bad."""
        qc = ((self.content.get("params") or {}).get("extract") or {}).get("qc") or {}
        return list(qc.get("reject") or ())

    def number_of(self, status: str) -> int:
        """Return how many FOVs have this status."""
        return sum(fov.status == status for fov in self.fovs)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of the samples."""

    comparisons: Sequence[str] = ()
    """Each in words."""
    pictures: Mapping[str, str] = field(default_factory=dict)
    """SuperPlots and dose curves by name, as base64 of the SVG."""
    samples: Sequence[Mapping[str, Any]] = ()
    fits: Sequence[Mapping[str, Any]] = ()
    """What the browser is told of samples and fits, see `fovflow.report.samples`."""


_MOST_PICTURES = 8
MOST_EMBEDDED = 18_000_000
"""Bytes of what a single page holds of cells to look at."""


_OLD = (
    "Comparisons are left out, and the fits of {}: the traces are others now than those that were "
    "merged. Run again with these samples in the configuration"
)


def answer_in(outdir: Path) -> Answer:
    """Return the samples of an output folder, their fits, comparisons, and some pictures."""
    folder = outdir / ANALYSIS
    try:
        samples = samples_in(outdir)
        fits = list(fits_in(outdir, samples))
        stale = reads_others(outdir, ANSWER_RECORD)
        old = [
            name for each in samples if reads_others(outdir, merge_record(name := each["sample"]))
        ]
        if old:
            return Answer([_OLD.format(", ".join(old))], samples=samples, fits=fits)
        if stale or not (folder / "comparisons.csv").is_file():
            return Answer(samples=samples, fits=fits)
        told = comparisons_in(folder)
        drawn = {path: path.read_bytes() for _, path in told if path.is_file()}
        some = [path for path in drawn if f">{NOTHING}<".encode() not in drawn[path]]
        pictures = {path.stem: b64encode(drawn[path]).decode() for path in some[:_MOST_PICTURES]}
    except (FovflowError, OSError) as error:
        return Answer([without_folders(str(error))])
    return Answer([words for words, _ in told], pictures, samples, fits)


def find_datasets(outdir: Path) -> list[str]:
    """Return the names of the datasets of an output folder, sorted.

    A dataset is a folder with a results file, or with the record of a problem that kept it from
    being processed.
    """
    marks = (RESULTS_NAME, "logs/problem.json")
    folders = outdir.iterdir()
    return sorted(path.name for path in folders if any((path / name).is_file() for name in marks))


def gather(
    outdir: Path, names: Iterable[str], problems: Mapping[str, Iterable[str]], page: Path
) -> list[DatasetSummary]:
    """Return all that the report tells of the datasets named, in the order of their names.

    `page`: where the report will lie.
    """
    chosen = sorted(names)
    budget = PictureBudget(len(chosen))
    made = [_dataset(outdir, name, problems.get(name, ()), budget) for name in chosen]
    for dataset in made:
        _to_look_at(Layout(outdir), dataset, page.absolute().parent)
    return made


def _dataset(
    outdir: Path, name: str, problems: Iterable[str], budget: PictureBudget
) -> DatasetSummary:
    folder = outdir / name
    summary = DatasetSummary(name=name)
    found = [*problems]
    if (folder / RESULTS_NAME).is_file():
        try:
            results = load_results(folder)
        except FovflowError as error:
            summary.problems = [without_folders(str(error))]
            return summary
        summary.content = results.content
        found = found or [str(text) for text in results.content.get("problems") or ()]
        summary.plots = plots_of(results.content)
        chosen, summary.picture_note = budget.choose(results.fovs)
        for fov in results.fovs.values():
            summary.fovs.append(_fov(outdir, fov, summary, budget if fov.index in chosen else None))
    elif not found:
        found = [_recorded_problem(folder / "logs" / "problem.json")]
    summary.problems = [without_folders(text) for text in found]
    summary.certificate = _certificate(folder / "accuracy.json")
    return summary


def _to_look_at(layout: Layout, dataset: DatasetSummary, folder: Path) -> None:
    """Fill in names of positions, and what the page can load of complete FOVs."""
    made = (dataset.content.get("params") or {}).get("browse") or {}
    channels = {str(index): name for index, name in (made.get("channels") or {}).items()}
    words = {name: column_words(name, channels) for name in made.get("columns") or ()}
    alike = Counter(words.values())  # channels may have one name
    dataset.columns = {n: w if alike[w] == 1 else f"{w}, {n}" for n, w in words.items()}
    for fov in dataset.fovs:
        if fov.status != "complete":
            continue
        paths = {
            kind: Path(layout.file(f"browse_{kind}", dataset.name, fov.index)).absolute()
            for kind in ("numbers", "pictures")
        }
        if all(path.is_file() for path in paths.values()):
            fov.files = {
                kind: quote(os.path.relpath(path, folder).replace(os.sep, "/"))
                for kind, path in paths.items()
            }


def embed(layout: Layout, datasets: Sequence[DatasetSummary]) -> None:
    """Take what the page would load of FOVs into it, up to a size: numbers first, then pictures.

    Where not all can have pictures, those that do are spread evenly.
    """
    left = MOST_EMBEDDED
    for kind, share in (("numbers", 0.6), ("pictures", 1.0)):
        least = (1 - share) * MOST_EMBEDDED
        for dataset in datasets:
            able = [fov for fov in dataset.fovs if kind in fov.files]
            order = sorted(range(len(able)), key=_order)
            for fov in (able[place] for place in order):
                path = Path(layout.file(f"browse_{kind}", dataset.name, fov.index))
                del fov.files[kind]
                size, wanted = path.stat().st_size, kind == "numbers" or "numbers" in fov.embedded
                if wanted and size <= left - least:
                    text = path.read_text("utf-8").strip()
                    text = text.removeprefix(f"fovflow.{kind}(").removesuffix(");")
                    fov.embedded[kind] = f"[{text}]"
                    left -= size
            if lacking := sum(kind not in fov.embedded for fov in able):
                dataset.left_out.append(
                    f"{dataset.name}: this single file lacks the {kind} of {lacking} of "
                    f"{len(able)} FOVs: the report beside the results has them"
                )


def _order(place: int) -> float:
    """Return where a place comes if places are taken evenly: halves, quarters, eighths, …."""
    return int(f"{place:b}"[::-1], 2) / (1 << place.bit_length())


def column_words(column: str, channels: Mapping[Any, Any]) -> str:
    """Return what a column of the traces holds, with its unit.

    `channels`: their names by index, as text.

    Examples
    --------
    >>> column_words("intensity_total_ch_1", {"1": "GFP"}), column_words("area_um2", {})
    ('GFP: intensity total (counts)', 'area (µm²)')
    """
    feature, _, channel = column.rpartition("_ch_")
    if not feature:
        return {"area_um2": "area (µm²)"}.get(column, column.replace("_", " "))
    unit = FEATURES[feature].unit if feature in FEATURES else "1"
    words = feature.replace("_", " ") + ("" if unit == "1" else f" ({unit})")
    if feature in FEATURES and FEATURES[feature].kind == "pc":
        return words
    return f"{channels.get(channel) or f'channel {channel}'}: {words}"


def _certificate(path: Path) -> list[str]:
    if not path.is_file():
        return []
    from fovflow.accuracy.certificate import format_certificate

    try:
        return format_certificate(read_json(path))
    except (KeyError, TypeError, ValueError, AttributeError, OSError, FovflowError):
        return [f"{path.name} is not what `fovflow simulate --like` writes"]


def _recorded_problem(path: Path) -> str:
    try:
        return str(read_json(path)["error"])
    except (FovflowError, KeyError, TypeError):
        return "it has not been processed"


def _fov(
    outdir: Path, fov: FovResult, dataset: DatasetSummary, budget: PictureBudget | None
) -> FovSummary:
    entry = (dataset.content.get("fovs") or {}).get(str(fov.index)) or {}
    summary = FovSummary(
        index=fov.index,
        status=fov.status,
        name=fov.position,
        step=fov.step,
        error=without_folders(fov.error),
        at_frame=entry.get("frame"),
    )
    notes: list[str] = []
    _frames(Layout(outdir), summary, dataset, notes)
    unmet = (dataset.content.get("corrections_not_followed") or {}).get(fov.index, ())
    summary.unmet = [*map(str, unmet)]
    notes += briefly(summary.unmet, 3)
    table = None
    if fov.status == "complete" and fov.traces_path is not None:
        if fov.stale_verdicts:
            notes.append(f"a person's verdicts are not used: {fov.stale_verdicts}")
        table = _read(fov.traces_path, notes, _needed(dataset))
    if lacking := sorted(_ALWAYS.difference(table or _ALWAYS)):
        notes.append(f"the traces have no column {', '.join(lacking)}: nothing is told of them")
        table = None
    if table is not None:
        _cells(summary, dataset, table)
    if budget is not None:
        flags = summary.series[0].flags if summary.series else {}
        summary.pictures = budget.pictures(fov, flags, table, notes)
    summary.note = without_folders("; ".join(notes))
    return summary


_ALWAYS = frozenset({"cell", "frame", "time", "good", "flags", "position_x", "position_y"})


def _needed(dataset: DatasetSummary) -> Callable[[str], bool]:
    """Return which columns of the traces the report reads."""
    names = _ALWAYS | {plot.column for plot in dataset.plots}
    features = tuple(f"{feature}_ch_" for feature in NEEDS.values())
    return lambda column: column in names or column.startswith(features)


def _read(
    path: str | Path, notes: list[str], columns: Callable[[str], bool] | None = None
) -> Table | None:
    """Return a table; None, and a note, where it cannot be read."""
    try:
        return read_traces(path, kinds={**KINDS, "flag": str}, columns=columns)
    except FovflowError as error:
        notes.append(str(error))
        return None


def _frames(layout: Layout, summary: FovSummary, dataset: DatasetSummary, notes: list[str]) -> None:
    """Fill in what the tables of frames tell, as far as there are any."""
    name, fov, content = dataset.name, summary.index, dataset.content

    def table(path: str) -> Table:
        return (_read(path, notes) if Path(path).is_file() else None) or {}

    times = table(layout.file("times", name, fov))
    if "missing" in times:
        missing = np.asarray(times["missing"], bool)
        summary.frames, summary.missing = int(missing.size), int(missing.sum())
    channels = content.get("channels") or {}
    pc, fl = channels.get("pc"), list(channels.get("fl") or ())
    names = content.get("channel_names") or {}
    seg = content.get("seg")
    for channel in [seg] if seg is not None else [*([] if pc is None else [pc]), *fl]:
        objects = table(layout.file("segment_frames", name, fov, channel))
        if "n_objects" in objects:
            _series(summary, objects, "n_objects", OBJECTS)
            break
    for channel in fl:
        levels = table(layout.file("correct_frames", name, fov, channel))
        if "background_level" in levels:
            title = f"background, {names.get(channel, f'channel {channel}')} (counts)"
            _series(summary, levels, "background_level", title)
            _level(summary, title, summary.series[-1].values)


def _series(summary: FovSummary, table: Table, column: str, title: str) -> None:
    rows = zip(table["frame"].tolist(), table["flag"].tolist(), strict=True)
    flags = {int(frame): str(flag) for frame, flag in rows if flag}
    values = np.asarray(table[column], np.float64).copy()
    values[[i for i, flag in flags.items() if "missing" in flag and i < values.size]] = np.nan
    summary.series.append(FrameSeries(title=title, values=values, flags=flags))
    for frame, text in flags.items():
        for flag in {part.strip() for part in text.replace(";", ",").split(",")} - {"missing"}:
            summary.flagged.setdefault(flag, set()).add(frame)


def _level(summary: FovSummary, title: str, values: NDArray[Any]) -> None:
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    if finite.size:
        summary.levels[f"median {title}"] = float(np.median(finite))


def _cells(summary: FovSummary, dataset: DatasetSummary, table: Table) -> None:
    """Count the cells of one complete FOV, and add its good rows to the plots."""
    entry = ledger(table, dataset.rejecting)
    dataset.ledger.add(entry)
    summary.cells, summary.good_cells = entry["cells"]["detected"], entry["cells"]["kept"]
    summary.reasons = {name: counts["cells"] for name, counts in entry["reasons"].items()}
    if table["cell"].size:
        lengths = np.unique(table["cell"], return_counts=True)[1]
        summary.median_frames = float(np.median(lengths))
    for plot in dataset.plots:
        if plot.column in table:
            plot.sample.add(table, plot.column)
            _level(summary, plot.title, table[plot.column][np.asarray(table["good"], bool)])
    for column in table:
        if column.startswith(f"{NEEDS['focus']}_ch_"):
            _level(summary, "sharpness of cells (focus)", table[column])
    drift = drift_of(Rows(table, (summary.frames or 0, 0, 0)))
    if drift is not None:
        summary.levels["drift of all cells (pixels)"] = round(drift, 1)


def without_folders(sentence: str) -> str:
    """Return a sentence with the folders of absolute paths left out: names of files stay.

    Examples
    --------
    >>> without_folders("cannot open /home/me/data/plate1.nd2; found: nothing")
    'cannot open …/plate1.nd2; found: nothing'
    """
    return _FOLDERS.sub("…/", sentence)
