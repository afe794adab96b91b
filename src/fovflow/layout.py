"""Names of all files, in one place.

Everything of a dataset lies in ``{outdir}/{dataset}/``, everything of a field of view in
``{outdir}/{dataset}/fov_{fov}/``. Every function takes strings as well as numbers, so that
Snakemake wildcards such as ``"{fov}"`` pass through unchanged.
"""

from __future__ import annotations

from pathlib import Path

RESERVED = frozenset({"analysis", "logs", "report.html", "runs"})
"""Names in the output folder that no dataset may have."""

STACKS = ("pc", "fl", "seg", "fl_corrected", "seg_labeled")
"""Kinds of npy stacks, in the order in which they are made."""


STAMP_NAME = ".raw_stamp.json"


def fov_name(fov: int | str) -> str:
    """Return the FOV's number with three or more digits; strings pass through.

    Examples
    --------
    >>> fov_name(7), fov_name(1234), fov_name("{fov}")
    ('007', '1234', '{fov}')
    """
    return fov if isinstance(fov, str) else f"{fov:03d}"


class Layout:
    """File names below one output folder.

    Parameters
    ----------
    outdir : str or path-like
        The output folder, as the user gave it.

    Examples
    --------
    >>> Layout("results").traces("plate1", 3)
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

    def _file(self, dataset: str, fov: int | str, rest: str) -> str:
        number = fov_name(fov)
        return f"{self.outdir}/{dataset}/fov_{number}/{dataset}_fov_{number}_{rest}"

    def stack(self, kind: str, dataset: str, fov: int | str, channel: int | str) -> str:
        """Npy stack of one of the kinds in `STACKS`."""
        return self._file(dataset, fov, f"{kind}_ch_{channel}.npy")

    def times(self, dataset: str, fov: int | str) -> str:
        """Table of the frames: source frame, time, where the time is from, missing or not."""
        return self._file(dataset, fov, "times.csv")

    def segment_frames(self, dataset: str, fov: int | str, channel: int | str) -> str:
        """Per-frame table of the segmentation: threshold, objects, …."""
        return self._file(dataset, fov, f"seg_ch_{channel}_frames.csv")

    def correct_frames(self, dataset: str, fov: int | str, channel: int | str) -> str:
        """Per-frame table of the background: level, noise, …."""
        return self._file(dataset, fov, f"fl_corrected_ch_{channel}_frames.csv")

    def tracks(self, dataset: str, fov: int | str) -> str:
        """Table of links between detections."""
        return self._file(dataset, fov, "tracks.csv")

    def traces(self, dataset: str, fov: int | str) -> str:
        """Traces, one row per cell and frame."""
        return self._file(dataset, fov, "traces.csv")

    def output(self, dataset: str, fov: int | str, name: str) -> str:
        """Output of a user step."""
        return self._file(dataset, fov, name)

    def flat_field(self, dataset: str, channel: int | str) -> str:
        """Flat-field of a fluorescence channel, estimated over all FOVs."""
        return f"{self.outdir}/{dataset}/{dataset}_flat_field_ch_{channel}.npy"

    def plan(self, dataset: str) -> str:
        """Plan file: what the raw file's header says."""
        return f"{self.outdir}/{dataset}/dataset.json"

    def stamp(self, dataset: str) -> str:
        """Path, size and modification time of the raw file when the plan was made."""
        return f"{self.outdir}/{dataset}/{STAMP_NAME}"

    def problem(self, dataset: str) -> str:
        """Target that is asked for, and never made, when a dataset cannot be processed."""
        return f"{self.outdir}/{dataset}/.problem"

    def results(self, dataset: str) -> str:
        """Results file of a dataset, ``processing_results.yaml``."""
        return f"{self.outdir}/{dataset}/processing_results.yaml"

    def report(self) -> str:
        """Page that shows all datasets, ``report.html``."""
        return f"{self.outdir}/report.html"

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
        folder = f"{self.outdir if dataset is None else self.dataset(dataset)}/logs"
        if fov is not None:
            folder = f"{folder}/fov_{fov_name(fov)}"
        return f"{folder}/{rule}{rest}.{suffix}"
