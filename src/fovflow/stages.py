"""The table of the pipeline's steps: what each makes, of which channels, and what a job needs.

Names of files, planning, results, manifest, report and rules all read this table. A new step is a
row here, a rule, a script and the function that the script calls, and a section of the
configuration where it has settings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Role = Literal["", "pc", "fl", "seg"]
"""The channels that there is one file, or one job, for: the phase-contrast channel, every
fluorescence channel, or the channel in which cells are found. Empty for one file or job alone."""

FLAT_FIELD_FRAMES = 96
"""Frames, spread evenly over FOVs and time, that a flat-field is estimated from."""


def of_fov(name: str) -> str:
    """Return where a file of an FOV lies in the dataset's folder, from the end of its name."""
    return "fov_{fov}/{dataset}_fov_{fov}_" + name


@dataclass(frozen=True, slots=True)
class StageFile:
    """A kind of file that a step writes."""

    kind: str
    """What code calls it."""
    path: str
    """Name relative to the dataset's folder, with ``{dataset}``, ``{fov}`` and ``{channel}``."""
    words: str
    """What it holds."""
    role: Role = ""
    """The channels that there is one file for."""
    pixel_bytes: int = 0
    """Bytes per pixel of a stack, at most; 0 for other files. Stacks are bulky: the configuration's
    key ``keep`` tells which of them stay after a run."""
    added: bool = False
    """Whether earlier versions did not make it. Where the record of a complete job does not name
    it, it is made when a later step needs it."""
    listed: str = ""
    """Key in the ``results_paths`` of a results file; empty for files that are not listed there."""


def stack(kind: str, role: Role, pixel_bytes: int, words: str) -> StageFile:
    """Return the row of a (T, Y, X) stack of one channel of an FOV."""
    path = of_fov(f"{kind}_ch_{{channel}}.npy")
    return StageFile(kind, path, f"{words}, (T, Y, X)", role, pixel_bytes, listed=kind)


def frames(kind: str, of: str, role: Role, words: str) -> StageFile:
    """Return the row of a table that tells of each frame of the stacks `of`."""
    return StageFile(kind, of_fov(f"{of}_ch_{{channel}}_frames.csv"), words, role)


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the pipeline."""

    name: str
    """Name of its rule, its script and its jobs' logs."""
    words: str = ""
    """What it does, as in "failed while finding the cells"."""
    files: tuple[StageFile, ...] = ()
    role: Role = ""
    """The channels that there is one job for."""
    per_fov: bool = True
    """Whether every FOV has jobs of its own, or only the dataset."""
    optional: bool = False
    """Whether its stacks are made only where they are kept, or something asks for them."""
    is_last: bool = True
    """Whether a run asks for its files by name. Where it is False, later steps use its files."""
    reads_raw: bool = False
    """Whether it reads the raw file."""
    settings: tuple[str, ...] = ()
    """The sections of the configuration that are its parameters."""
    revision: int = 1
    """Raised whenever its output changes for the same input and settings. Methods of a step have
    revisions of their own, beside their settings."""
    base_memory_mb: int = 220
    """Resident memory of a job before it holds a frame: Python, NumPy, OpenCV, a reader; and what
    `track` and `extract` keep of some hundred thousand rows, one per cell and frame."""
    frames_in_memory: int = 0
    """Frames of four bytes per pixel that a job holds at once, rounded up."""
    most_threads: int = 1
    """Cores that one job makes use of where there are more than jobs; each works on a frame."""
    all_channels: bool = False
    """Whether a job works on all channels: memory and time grow by a frame for each."""
    most_frames: int | None = None
    """Frames that a job reads at most, where their number does not grow with the movie."""
    base_runtime_min: int = 1
    """Time limit on a cluster for a movie without frames: start of the job, wrap-up."""
    cpu_s_per_megapixel: float = 0.0
    """CPU time per frame (of each channel, where it works on all) and 10⁶ pixels that the default
    method takes, for estimates; docs/performance.md has what was measured."""
    seconds_per_megapixel: float = 0.5
    """Time limit on a cluster, per frame and 10⁶ pixels: many times what the built-in methods take,
    also on a slow file system."""


_TABLE = (
    Stage(
        name="copy",
        words="copying the frames",
        files=(
            StageFile("times", of_fov("times.csv"), "times of the frames"),
            stack("pc", "pc", 2, "phase-contrast stack"),
            stack("fl", "fl", 2, "fluorescence stack"),
        ),
        is_last=False,
        reads_raw=True,
        settings=("copy",),
        frames_in_memory=6,
        all_channels=True,
        base_runtime_min=5,
        cpu_s_per_megapixel=0.006,
    ),
    Stage(
        name="flat_field",
        words="estimating the flat-field",
        files=(
            StageFile(
                "flat_field", "{dataset}_flat_field_ch_{channel}.npy", "flat-field, (Y, X)", "fl"
            ),
        ),
        role="fl",
        per_fov=False,
        is_last=False,
        reads_raw=True,
        settings=("copy", "correct"),
        frames_in_memory=6,
        all_channels=True,
        most_frames=FLAT_FIELD_FRAMES,
        base_runtime_min=5,
    ),
    Stage(
        name="segment",
        words="finding the cells",
        files=(
            frames("segment_frames", "seg", "seg", "segmentation, frame by frame"),
            stack("seg", "seg", 2, "label stack, one id per cell and frame"),
        ),
        role="seg",
        is_last=False,
        settings=("segment",),
        frames_in_memory=15,
        most_threads=6,
        cpu_s_per_megapixel=0.018,
    ),
    Stage(
        name="correct",
        words="correcting the background",
        files=(
            StageFile(
                "fl_background",
                of_fov("fl_background_ch_{channel}.npz"),
                "numbers that the background of each frame is made of",
                "fl",
                added=True,
            ),
            frames("correct_frames", "fl_corrected", "fl", "background, frame by frame"),
        ),
        role="fl",
        is_last=False,
        settings=("correct",),
        frames_in_memory=13,
        cpu_s_per_megapixel=0.009,
    ),
    Stage(
        name="corrected",
        words="writing the corrected frames",
        files=(stack("fl_corrected", "fl", 4, "background-corrected fluorescence stack"),),
        role="fl",
        optional=True,
        settings=("correct",),
        frames_in_memory=6,
        cpu_s_per_megapixel=0.009,
    ),
    Stage(
        name="track",
        words="following the cells over time",
        files=(
            StageFile("tracks", of_fov("tracks.csv"), "links between detections"),
            stack("seg_labeled", "seg", 4, "label stack, one id per cell over time"),
        ),
        is_last=False,
        settings=("track",),
        frames_in_memory=9,
        cpu_s_per_megapixel=0.009,
    ),
    Stage(
        name="extract",
        words="measuring the cells",
        files=(
            StageFile(
                "traces",
                of_fov("traces.csv"),
                "traces, one row per cell and frame",
                listed="traces_csv",
            ),
        ),
        is_last=False,
        settings=("extract", "qc"),
        revision=2,
        frames_in_memory=10,
        all_channels=True,
        cpu_s_per_megapixel=0.003,
    ),
    Stage(
        name="browse",
        words="drawing the cells for the report",
        files=(
            StageFile("browse_numbers", of_fov("browse.js"), "cells, as the report loads them"),
            StageFile(
                "browse_pictures", of_fov("pictures.js"), "pictures, as the report loads them"
            ),
        ),
        settings=("browse",),
        revision=3,
        frames_in_memory=8,
        all_channels=True,
        cpu_s_per_megapixel=0.0005,
    ),
)

STAGES = {stage.name: stage for stage in _TABLE}
"""The built-in steps that process images, by name, in the order of the work."""

FILES = {file.kind: file for stage in _TABLE for file in stage.files}
"""Every kind of file of the table."""

STACKS = tuple(kind for kind, file in FILES.items() if file.pixel_bytes)
"""Kinds of npy stacks, in the order in which they are made."""

TABLES = tuple(
    kind for kind, file in reversed(FILES.items()) if file.path.endswith(".csv") and not file.role
)
"""Kinds of tables of which an FOV has one, the last first."""

_VARIANT = re.compile(r"(copy)_\d+|(track)_ch_\d+")


def step_of_rule(rule: str) -> str:
    """Return the step that a rule belongs to.

    Where datasets differ in the files that a step makes, it has a rule for each set of files.

    Examples
    --------
    >>> step_of_rule("copy_1"), step_of_rule("track_ch_2"), step_of_rule("results")
    ('copy', 'track', 'results')
    """
    match = _VARIANT.fullmatch(rule)
    return match[1] or match[2] if match else rule


def position(step: str) -> tuple[int, str]:
    """Return where a step stands in the order of the work, to sort by it.

    Planning comes first, the user's own steps after the table's, and the results last.
    """
    names = ["plan", *STAGES]
    if step in names:
        return names.index(step), step
    return len(names) + (step == "results"), step
