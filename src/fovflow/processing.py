"""The work of each step on files: frames of its inputs go through the library into its outputs.

Every function here is what one script calls, with the job that it is part of.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.layout import parse
from fovflow.stacks import StackReader, StackWriter, read_image, write_image
from fovflow.tables import read_csv, write_csv

if TYPE_CHECKING:
    from fovflow.readers import RawReader
    from fovflow.tracking.edits import Edit


class Job(Protocol):
    """What the work of a step needs of the job that it is part of: `fovflow.adapter.job.Job`."""

    input: Any
    output: Any
    params: Any
    wildcards: Any
    options: Any
    threads: int

    def frames(self, total: int, message: str = "") -> Iterator[int]:
        """Iterate over frame indices and report progress."""

    def measure(self, **values: float) -> None:
        """Take numbers of the frame at work for the run's records."""

    def tell(self, **found: Any) -> None:
        """Keep what was found, as plain values, in the job's record."""

    def note(self, message: str) -> None:
        """Write a line to the log."""

    def was_done_but_for(self, keys: Collection[str]) -> bool:
        """Tell whether these options alone differ from those that its outputs were made with."""


def copy(job: Job) -> None:
    """Copy one FOV's planes from the raw file into stacks."""
    from fovflow.copying import OF_TIMES, choose_z, frame_table, read_frame, retimed

    options, channels, p = job.options, job.params.channels, int(job.wildcards.fov)
    whole = job.was_done_but_for(OF_TIMES)
    if whole and options["interval_s"] is not None:
        times = retimed(read_csv(job.output.times), options["interval_s"])
        write_csv(job.output.times, times)
        return
    with ExitStack() as stack:
        raw, check = stack.enter_context(_open_raw(job))
        names = {channel.index: channel.name for channel in raw.info.channels}
        planes = {c: choose_z(options["z"], c, names[c]) for c in channels}
        table = frame_table(raw, p, options["frames"], options["interval_s"], planes)
        shape = (len(table["frame"]), *options["shape"])
        writers = {
            c: stack.enter_context(StackWriter(name, shape, np.dtype(raw.info.dtype)))
            for c, name in zip(channels, job.output.stacks, strict=True)
            if not whole
        }
        for i in job.frames(0 if whole else len(table["frame"])):
            for c, writer in writers.items():
                writer.append(read_frame(raw, p, int(table["source_frame"][i]), c, options))
        check()
        write_csv(job.output.times, table)


def flat_field(job: Job) -> None:
    """Estimate the flat-field of one fluorescence channel over all FOVs of a dataset."""
    from fovflow.background import estimate_flat_field
    from fovflow.copying import sampled_frames

    options, dark = job.options, job.input.get("dark")
    with _open_raw(job) as (raw, check):
        frames = sampled_frames(raw, int(job.wildcards.channel), options, note=job.note)
        given = {"dark": read_image(dark, tuple(options["shape"]))} if dark else {}
        image = estimate_flat_field(frames, **(options["arguments"] | given))
        check()
        write_image(job.output[0], image)


def segment(job: Job) -> None:
    """Find the cells of each frame of one FOV."""
    import cv2

    from fovflow.segmentation import FrameStats, get_segmenter, segment_frames
    from fovflow.segmentation.stack import takes_many

    rows = []
    missing = _missing(job, job.input.stack)
    with (
        StackReader(job.input.stack) as images,
        StackWriter(job.output.labels, images.shape, np.uint16) as out,
    ):
        segmenter = get_segmenter(**job.options["arguments"])
        if takes_many(segmenter):
            cv2.setNumThreads(1)  # frames go side by side, and not parts of one
        found = segment_frames(segmenter, images, missing, job.threads)
        for _, (labels, stats) in zip(job.frames(len(images)), found, strict=True):
            out.append(labels)
            rows.append(stats)
            if stats is not None:
                job.measure(n_objects=stats.n_objects, threshold=stats.threshold)
    kind = next((type(stats) for stats in rows if stats is not None), FrameStats)
    write_csv(job.output.frames, statistics_table(kind, rows))


def correct(job: Job) -> None:
    """Find the background of one fluorescence channel of one FOV."""
    from fovflow.background import (
        BackgroundStats,
        background_levels,
        bleaching_factors,
        correct_frames,
        get_corrector,
    )
    from fovflow.corrected import IMAGES, model_writer

    options, times = job.options, read_csv(job.input.times)
    missing, rows = _missing(job, job.input.stack), []
    with StackReader(job.input.stack) as images, StackReader(job.input.seg) as labels:
        shape = images.shape[1:]
        files = {name: job.input.get(name) for name in IMAGES}
        fields = {name: read_image(file, shape) for name, file in files.items() if file}
        arguments = options["arguments"] | fields
        make = partial(get_corrector, shape=shape, **arguments)
        factors = np.ones(len(images))
        if options["bleach"] == "exponential":
            levels = background_levels(make(), _frames(job, images, "levels"), labels, missing)
            factors = bleaching_factors(levels, times["time_s"])
        corrector = make()
        with model_writer(
            job.output.background,
            images.shape,
            corrector,
            factors=factors,
            missing=missing,
            arguments=arguments,
        ) as append:
            whole = not hasattr(corrector, "remake")
            given = (_frames(job, images), labels, missing, factors)
            for frame, stats in correct_frames(corrector, *given, whole=whole):
                append(frame)
                rows.append(stats)
                if stats is not None:
                    job.measure(
                        background_level=stats.background_level, noise_sigma=stats.noise_sigma
                    )
    write_csv(job.output.frames, statistics_table(BackgroundStats, rows))


def corrected(job: Job) -> None:
    """Write the corrected frames of one fluorescence channel of one FOV."""
    from fovflow.corrected import CorrectedFrames

    given = job.input
    with (
        CorrectedFrames(given.background, given.stack) as frames,
        StackWriter(job.output[0], frames.shape, frames.dtype) as out,
    ):
        for t in job.frames(len(frames)):
            out.append(frames.frame(t))


def track(job: Job) -> None:
    """Give the cells of one FOV one id over time."""
    from fovflow.tracking import get_tracker, link_frames, relabel_frames
    from fovflow.tracking.edits import edited

    missing = _missing(job, job.input.labels)
    with StackReader(job.input.labels) as seg:
        tracker = get_tracker(**job.options["arguments"])
        lineage = link_frames(tracker, _frames(job, seg, "link"), missing)
        if said := job.options.get("corrections"):
            lineage, told = edited(lineage, list(_edits(seg, said)))
            job.tell(corrections_not_followed=told)
        job.note(f"{lineage.n_cells} cells")
        job.measure(n_cells=lineage.n_cells)
        with StackWriter(job.output.labeled, seg.shape, lineage.dtype) as out:
            for labeled in relabel_frames(lineage, _frames(job, seg, "label")):
                out.append(labeled)
    write_csv(job.output.tracks, lineage.links)


def _edits(seg: StackReader, said: Sequence[Mapping[str, Any]]) -> Iterator[Edit]:
    """Yield people's corrections of tracks with the labels at their places, 0 where none is."""
    from fovflow.corrections import Correction, label_near
    from fovflow.tracking.edits import Edit

    def label(t: int, x: float, y: float) -> int:
        return label_near(seg.frame(t), x, y) if t < len(seg) else 0

    for number, values in enumerate(said, 1):
        each = Correction.from_json(values, number)
        edit = Edit(each.action, each.frame, label(each.frame, each.x, each.y), each.place)
        if each.target is not None:
            frame = each.target[0]
            edit = dataclasses.replace(edit, target_frame=frame, target_label=label(*each.target))
        yield edit


def extract(job: Job) -> None:
    """Measure the cells of one FOV over time, and judge them.

    What a channel lacks in a frame is empty in the table, and no reason to reject the cell.
    """
    from fovflow.copying import missing_frames
    from fovflow.corrected import CorrectedFrames
    from fovflow.corrections import Correction, with_verdicts
    from fovflow.features import get_extractor, measure_frames
    from fovflow.quality import judge, ledger
    from fovflow.quality.verdict import telling_links
    from fovflow.rowfile import RowFile
    from fovflow.units import SECONDS_PER

    options, given, times = job.options, job.input, read_csv(job.input.times)
    arguments = options["arguments"]
    with ExitStack() as stack:

        def opened(name: str) -> StackReader:
            return stack.enter_context(StackReader(name))

        labeled, phase = opened(given.seg_labeled), opened(given.phase)
        pairs = {
            c: (opened(raw), stack.enter_context(CorrectedFrames(model, raw)))
            for c, raw, model in zip(arguments["fl"], given.fl, given.fl_background, strict=True)
        }
        extractor = get_extractor(
            rows=stack.enter_context(RowFile(job.output.traces)),
            fov=int(job.wildcards.fov),
            time=times["time_s"] / SECONDS_PER[options["time_units"]],
            **arguments,
        )
        unlabeled = missing_frames(times, _channel_of(given.seg_labeled))
        no_phase = missing_frames(times, arguments["pc"])
        lacking = {c: missing_frames(times, c) for c in pairs}
        nothing = np.full(labeled.shape[1:] if no_phase.any() else (), np.nan, np.float32)
        frames = (
            (
                labeled.frame(t),
                nothing if no_phase[t] else phase.frame(t),
                {
                    c: None if lacking[c][t] else (raw.frame(t), corrected.pixels(t))
                    for c, (raw, corrected) in pairs.items()
                },
            )
            for t in job.frames(len(labeled))
        )
        traces = judge(
            measure_frames(extractor, frames, unlabeled),
            shape=labeled.shape,
            pixel_um=arguments["pixel_um"],
            missing=np.flatnonzero(unlabeled).tolist(),
            unrecorded={c: np.flatnonzero(each).tolist() for c, each in lacking.items()},
            links=telling_links(
                read_csv(
                    given.tracks,
                    columns={"cell", "frame", "parent", "merged", "iou", "confidence"}.__contains__,
                ),
                options["qc"]["min_confidence"],
            ),
            frame_flags=_frame_flags(given.segment_frames),
            **options["qc"],
        )
        if said := options.get("corrections"):
            read = [Correction.from_json(values, n) for n, values in enumerate(said, 1)]
            traces, told = with_verdicts(traces, read, labeled.frame)
            job.tell(corrections_not_followed=told)
        found = ledger(traces, options["qc"].get("reject") or ())
        job.note(f"detected and kept: {found}")
        job.measure(n_cells=found["cells"]["detected"], n_good_cells=found["cells"]["kept"])
        job.tell(cells=found["cells"]["detected"], good_cells=found["cells"]["kept"])
        write_csv(job.output.traces, traces)


def browse(job: Job) -> None:
    """Write what the report loads of one FOV: numbers of the cells, pictures, outlines."""
    from fovflow.atomic import write_text
    from fovflow.browsing import (
        NEEDED,
        Channel,
        numbers_script,
        picture_size,
        pictures_script,
        shown_frames,
    )
    from fovflow.copying import missing_frames
    from fovflow.labels import compact
    from fovflow.units import SECONDS_PER

    options, given, times = job.options, job.input, read_csv(job.input.times)
    arguments, place = options["arguments"], (job.wildcards.dataset, int(job.wildcards.fov))
    missing = missing_frames(times, _channel_of(given.seg_labeled))
    with ExitStack() as stack:
        labels = stack.enter_context(StackReader(given.seg_labeled))
        channels = [
            Channel(
                (index := _channel_of(path)),
                str(options["channels"][index]),
                "fl" if path in given.fl else "pc",
                stack.enter_context(StackReader(path)),
                frozenset(np.flatnonzero(missing_frames(times, index)).tolist()),
            )
            for path in dict.fromkeys([given.phase, *given.fl])
        ]
        frames = shown_frames(np.flatnonzero(~missing).tolist(), arguments["pictures"])
        size = arguments["size_px"]
        height, width = labels.shape[1:]
        pixels = picture_size((height, width), size)
        write_text(
            job.output.pictures,
            pictures_script(*place, channels, labels, frames=frames, size_px=size),
        )
        about = {
            "time": _told_times(times["time_s"] / SECONDS_PER[options["time_units"]]),
            "unit": options["time_units"],
            "missing": np.flatnonzero(missing).tolist(),
            "width": width,
            "height": height,
            "scale": pixels[1] / width,
            "shown": frames,
            "pixel_um": options["pixel_um"],
        }

    def table(path: str, *columns: str) -> dict[str, NDArray[Any]]:
        read = read_csv(path, columns=columns.__contains__)
        return {n: compact(each) if each.dtype.kind == "i" else each for n, each in read.items()}

    links = table(given.tracks, "cell", "frame", "parent", "confidence")
    traces = table(given.traces, *NEEDED, *options["columns"])
    write_text(
        job.output.numbers,
        numbers_script(*place, traces, links, columns=options["columns"], about=about),
    )


def _told_times(times: NDArray[np.float64]) -> list[float]:
    """Return times for the report: those that are not known lie between the known ones."""
    known, frames = np.isfinite(times), np.arange(times.size)
    if known.any():
        times = np.interp(frames, frames[known], times[known])
    return [float(each) for each in np.round(times if known.any() else frames, 4)]


def user_step(job: Job) -> None:
    """Call a function of the user's own with one FOV."""
    from fovflow.usersteps import run_step, step_fov

    options, wildcards = job.options, job.wildcards
    inputs = dict(job.input.items())
    run_step(
        options["script"],
        options["function"],
        step_fov(wildcards.dataset, int(wildcards.fov), inputs, options["metadata"]),
        dict(zip(job.params.outputs, job.output, strict=True)),
        options["args"],
    )


def problem(job: Job) -> None:
    """Say why a dataset, or FOVs that the configuration names, cannot be processed."""
    raise FovflowError("; ".join(job.params.problems))


def statistics_table(kind: type, rows: Sequence[Any]) -> dict[str, NDArray[Any]]:
    """Return the statistics of frames as a table, one row per frame.

    `kind`: the dataclass of the statistics; its fields are the columns after ``frame``. `rows`:
    statistics of each frame; None for one that the acquisition lacks: its numbers with a fraction
    are NaN, its counts 0, its flag ``missing``.

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class Stats:
    ...     level: float
    ...     flag: str = ""
    >>> table = statistics_table(Stats, [Stats(1.5), None])
    >>> {name: column.tolist() for name, column in table.items()}
    {'frame': [0, 1], 'level': [1.5, nan], 'flag': ['', 'missing']}
    """
    table = {"frame": np.arange(len(rows))}
    absent = {"float": math.nan, "int": 0, "str": "missing", "bool": False}
    for field in dataclasses.fields(kind):
        lacking = absent[str(field.type)]
        values = [lacking if row is None else getattr(row, field.name) for row in rows]
        table[field.name] = np.array(values)
    return table


def _frame_flags(path: str) -> dict[int, str]:
    """Return what the segmentation flagged frames with, from its table."""
    table = read_csv(path, columns={"frame", "flag"}.__contains__)
    words = zip(table["frame"].tolist(), table["flag"].tolist(), strict=True)
    return {frame: word for frame, word in words if isinstance(word, str) and word}


def _channel_of(path: str) -> int:
    """Return the channel of a stack from its name."""
    found = parse(path)
    assert found is not None
    return int(found.channel)


def _missing(job: Job, path: str) -> NDArray[np.bool_]:
    """Return which frames are missing of the channel that a stack is of."""
    from fovflow.copying import missing_frames

    return missing_frames(read_csv(job.input.times), _channel_of(path))


def _frames(job: Job, stack: StackReader, message: str = "") -> Iterator[NDArray[Any]]:
    return (stack.frame(t) for t in job.frames(len(stack), message))


@contextmanager
def _open_raw(job: Job) -> Iterator[tuple[RawReader, Callable[[], object]]]:
    """Open the raw file that the run was planned with.

    With it comes what is to be called before anything is made of what was read. Both raise
    FovflowError if the content is no longer what it was when the run was planned.
    """
    from fovflow.readers import open_raw
    from fovflow.readers.fingerprint import check_unchanged

    pin, digest = job.params.raw, job.options["content"]["raw"]
    begun = check_unchanged(pin, digest, "")
    with open_raw(pin["path"], pattern=pin["pattern"], axes=pin.get("axes")) as raw:
        yield raw, partial(check_unchanged, pin, digest, begun)
