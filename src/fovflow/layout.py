"""Names of all files, in one place: written and read back.

Everything of a dataset lies in ``{outdir}/{dataset}/``, everything of a field of view in
``{outdir}/{dataset}/fov_{fov}/``. Every function takes strings as well as numbers, so that
Snakemake wildcards such as ``"{fov}"`` pass through unchanged.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fovflow.stages import FILES, STACKS, of_fov
from fovflow.userfiles import is_left_by_system

PLAN_NAME = "dataset.json"
STAMP_NAME = ".raw_stamp.json"
RESULTS_NAME = "processing_results.yaml"
REPORT_NAME = "report.html"
LOGS = "logs"
ANALYSIS = "analysis"
ANSWER_RECORD = f"{LOGS}/{ANALYSIS}/statistics.json"
"""In the output folder: the record of the job that compares the samples."""
EVERYTHING_RECORD = f"{LOGS}/{ANALYSIS}/merge_everything.json"
"""That of the job that merges the traces of all samples."""
OVERLAYS = "overlays"
"""Folder, in the dataset's, of the pictures that ``fovflow overlay`` draws."""
EXPORTS = "exports"
"""Folder, in the dataset's, of what ``fovflow export`` writes."""
WANTED_NAME = f"{LOGS}/.wanted"
"""In a dataset's folder: what its files should have been made with; see `fovflow.states`."""

_OWN = frozenset({ANALYSIS, LOGS, REPORT_NAME, "runs", "null"})
_DEVICES = frozenset({"con", "prn", "aux", "nul"}) | {
    f"{d}{n}" for d in ("com", "lpt") for n in range(10)
}
_TABLE = re.compile(r"(?P<measure>[^\W\d]\w*_ch_\d+)(?:_fitted_(?P<model>\w+))?")
_DATASET_NAME = re.compile(r"\w([\w .+-]*[\w+-])?")
MOST_NAME_BYTES = 100
"""Longest name of a dataset, in bytes of UTF-8: names of its files add up to 150 to it."""


def dataset_name_problem(name: str) -> str:
    """Return which names a dataset may have, where this is none; else an empty text."""
    composed = unicodedata.normalize("NFC", name)
    if composed != name:
        return f"names in composed letters (Unicode NFC): {composed!r}"
    if not _DATASET_NAME.fullmatch(name) or ".." in name or not name.isprintable():
        allowed = "names of letters, digits, spaces and _ - + . only"
        return f"{allowed} (not {name!r}); a name becomes a folder"
    if len(name.encode()) > MOST_NAME_BYTES:
        return f"names of up to {MOST_NAME_BYTES} bytes (not {len(name.encode())})"
    if name.casefold() in _OWN:
        return f"another name than {name!r}, which fovflow uses itself"
    if name.casefold().partition(".")[0].rstrip() in _DEVICES:
        return f"another name than {name!r}, which is a device of Windows"
    return ""


class FileName(NamedTuple):
    """What a name says; `fov` and `channel` are empty where it has none."""

    kind: str
    dataset: str
    fov: str
    channel: str


def fit_record(sample: str, measure: str) -> str:
    """Return the record, in the output folder, of the job that fits a measure of a sample."""
    return f"{LOGS}/{ANALYSIS}/{sample}/fit_{measure}.json"


def merge_record(sample: str) -> str:
    """Return the record, in the output folder, of the job that merges the traces of a sample."""
    return f"{LOGS}/{ANALYSIS}/{sample}/merge.json"


def parse_table(stem: str, samples: Iterable[str]) -> tuple[str, str, str] | None:
    """Return sample, measure and model of a table of samples; no model of traces; else None."""
    sample = max((name for name in samples if stem.startswith(f"{name}_")), key=len, default="")
    match = _TABLE.fullmatch(stem[len(sample) + 1 :]) if sample else None
    return (sample, match["measure"], match["model"] or "") if match else None


def fov_name(fov: int | str) -> str:
    """Return the FOV's number with three or more digits; strings pass through.

    Examples
    --------
    >>> fov_name(7), fov_name(1234), fov_name("{fov}")
    ('007', '1234', '{fov}')
    """
    return fov if isinstance(fov, str) else f"{fov:03d}"


def parse(path: str) -> FileName | None:
    """Return what the name of a step's file says, whatever its folder; None for other names.

    Examples
    --------
    >>> parse("fov_003/plate1_fov_003_fl_corrected_ch_1.npy")
    FileName(kind='fl_corrected', dataset='plate1', fov='003', channel='1')
    """
    name = path.rpartition("/")[2]
    if is_left_by_system(name):
        return None
    for kind, pattern in _patterns().items():
        if match := pattern.fullmatch(name):
            return FileName(kind, **{"fov": "", "channel": "", **match.groupdict()})
    return None


def kept_kind(path: str) -> str | None:
    """Return the kind of a bulky stack, which may be removed after its use; None for other files.

    Examples
    --------
    >>> kept_kind("fov_000/a_fov_000_fl_corrected_ch_1.npy")
    'fl_corrected'
    """
    found = parse(path)
    return found.kind if found and found.kind in STACKS else None


def inspected(traces: str) -> str:
    """Return the name of a person's verdicts on the cells of a table of traces."""
    return f"{traces.removesuffix('.csv')}_inspected.csv"


DRAWN = f"{OVERLAYS}/drawn.json"
"""What is recorded of these pictures."""


def overlay(
    dataset: str, fov: int, channel: int | None, kind: str, frame: int | None = None
) -> str:
    """Return the name of a picture of the cells of an FOV in a frame, or of a movie of them.

    Examples
    --------
    >>> overlay("plate1", 3, None, "png", 7), overlay("plate1", 3, 1, "mp4")
    ('plate1_fov_003_frame_0007.png', 'plate1_fov_003_ch_1.mp4')
    """
    of_channel = "" if channel is None else f"_ch_{channel}"
    in_frame = "" if frame is None else f"_frame_{frame:04d}"
    return f"{dataset}_fov_{fov_name(fov)}{of_channel}{in_frame}.{kind}"


def made_by_hand() -> re.Pattern[str]:
    """Return what matches pictures and exports in a dataset's folder, relative to it."""
    picture = r"[^/]+_fov_\d{3,}(_ch_\d+)?(_frame_\d{4,}\.png|\.(mp4|gif))"
    return re.compile(rf"{DRAWN}|{OVERLAYS}/{picture}|{EXPORTS}/[a-z0-9-]+/.+")


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    """Return for each kind of file what matches its name."""
    groups = {"dataset": ".+", "fov": r"\d{3,}", "channel": r"\d+"}
    patterns = {}
    for kind, file in FILES.items():
        text = re.escape(file.path.rpartition("/")[2])
        for name, inside in groups.items():
            text = text.replace(re.escape(f"{{{name}}}"), f"(?P<{name}>{inside})")
        patterns[kind] = re.compile(text)
    return patterns


def parse_record(path: str) -> tuple[str, str, str]:
    """Return step, FOV and channel of a job from its record's name; empty where it has none.

    Examples
    --------
    >>> parse_record("logs/fov_003/segment_ch_0.json"), parse_record("logs/results.json")
    (('segment', '003', '0'), ('results', '', ''))
    """
    folder, _, name = path.rpartition("/")
    inside = re.fullmatch(r"fov_(\d{3,})", folder.rpartition("/")[2])
    match = re.fullmatch(r"(.+?)(?:_ch_(\d+))?", name.removesuffix(".json"))
    step, channel = match.groups("") if match else (name, "")
    return step, inside[1] if inside else "", channel


class Layout:
    """File names below one output folder.

    `outdir`: the output folder, as the user gave it.

    Examples
    --------
    >>> Layout("results").file("traces", "plate1", 3)
    'results/plate1/fov_003/plate1_fov_003_traces.csv'
    """

    def __init__(self, outdir: str | Path):
        self.outdir = str(outdir).rstrip("/") or "."

    def dataset(self, dataset: str) -> str:
        """Folder of a dataset."""
        return f"{self.outdir}/{dataset}"

    def fov(self, dataset: str, fov: int | str) -> str:
        """Folder of a field of view."""
        return f"{self.outdir}/{dataset}/fov_{fov_name(fov)}"

    def file(self, kind: str, dataset: str, fov: int | str = "", channel: int | str = "") -> str:
        """File of one of the kinds in `fovflow.stages.FILES`."""
        return self.place(FILES[kind].path, dataset, fov, channel)

    def output(self, dataset: str, fov: int | str, name: str) -> str:
        """Output of a user step."""
        return self.place(of_fov(name), dataset, fov)

    def place(self, path: str, dataset: str, fov: int | str, channel: int | str = "") -> str:
        """File whose name relative to the dataset's folder is `path`; see `StageFile`."""
        name = path.format(dataset=dataset, fov=fov_name(fov), channel=channel)
        return f"{self.outdir}/{dataset}/{name}"

    def plan(self, dataset: str) -> str:
        """Plan file: what the raw file's header says."""
        return f"{self.outdir}/{dataset}/{PLAN_NAME}"

    def stamp(self, dataset: str) -> str:
        """Path, size and modification time of the raw file when the plan was made."""
        return f"{self.outdir}/{dataset}/{STAMP_NAME}"

    def problem(self, dataset: str) -> str:
        """Target that is asked for, and never made, when a dataset cannot be processed."""
        return f"{self.outdir}/{dataset}/.problem"

    def results(self, dataset: str) -> str:
        """Results file of a dataset, ``processing_results.yaml``."""
        return f"{self.outdir}/{dataset}/{RESULTS_NAME}"

    def report(self) -> str:
        """Page that shows all datasets, ``report.html``."""
        return f"{self.outdir}/{REPORT_NAME}"

    def analysis(self, name: str) -> str:
        """File of the analysis of all datasets."""
        return f"{self.outdir}/{ANALYSIS}/{name}"

    def log(
        self, rule: str, dataset: str | None = None, fov: int | str | None = None, rest: str = ""
    ) -> str:
        """Log file of a job; without a dataset, of one for all datasets."""
        return self._job_file(rule, dataset, fov, rest, "log")

    def benchmark(
        self, rule: str, dataset: str | None = None, fov: int | str | None = None, rest: str = ""
    ) -> str:
        """Time and memory of a job, as Snakemake measures them."""
        return self._job_file(rule, dataset, fov, rest, "tsv")

    def record(self, rule: str, dataset: str, fov: int | str | None = None, rest: str = "") -> str:
        """Small record of how a job ended last: complete, or failed and why."""
        return self._job_file(rule, dataset, fov, rest, "json")

    def _job_file(
        self, rule: str, dataset: str | None, fov: int | str | None, rest: str, suffix: str
    ) -> str:
        folder = f"{self.outdir if dataset is None else self.dataset(dataset)}/{LOGS}"
        if fov is not None:
            folder = f"{folder}/fov_{fov_name(fov)}"
        return f"{folder}/{rule}{rest}.{suffix}"
