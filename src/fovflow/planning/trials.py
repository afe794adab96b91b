"""Settings of segmentation, tried on single frames of one FOV: which, and what each finds."""

from __future__ import annotations

import difflib
import itertools
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovflow.config.load import parse_config
from fovflow.config.methods import SEGMENTERS
from fovflow.config.model import Config
from fovflow.errors import ConfigError, FovflowError
from fovflow.planning.choice import BOTH
from fovflow.planning.dataset import DatasetPlan, plan_dataset
from fovflow.planning.header import RawHeader
from fovflow.planning.parameters import needs_pixel_size, step_parameters
from fovflow.plugins import find
from fovflow.records import parse_yaml
from fovflow.segmentation.frames import FrameStats
from fovflow.units import first_middle_last, format_ranges, parse_ranges

MOST_SETTINGS = 24
MOST_FRAMES = 12


@dataclass(frozen=True)
class Setting:
    """One setting of segmentation."""

    number: int
    """From 1."""
    section: Mapping[str, Any]
    """What stands under ``segment`` of the configuration."""
    name: str
    """The method, and what differs from the other settings of that method."""
    config: Config


@dataclass(frozen=True)
class Subject:
    """Frames of one FOV, read once, in which cells are looked for."""

    plan: DatasetPlan
    fov: int
    frames: tuple[int, ...]
    images: tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class Attempt:
    """What a setting found in a frame; `seconds` of a core."""

    labels: NDArray[np.uint16]
    stats: FrameStats
    seconds: float
    pixel_um: float | None

    @cached_property
    def median_area(self) -> float:
        """Median area of the cells in µm², in pixels without a pixel size; NaN without cells."""
        areas = np.bincount(self.labels.ravel())[1:]
        areas = areas[areas > 0]
        return float(np.median(areas)) * (self.pixel_um or 1.0) ** 2 if areas.size else math.nan


def of_both(settings: Sequence[Setting]) -> dict[str, int]:
    """Return the place of each method's setting, where one of each of both methods is tried."""
    methods = [setting.config.segment.method for setting in settings]
    comparable = all(methods.count(method) == 1 for method in BOTH)
    return {method: methods.index(method) for method in BOTH} if comparable else {}


def parse_sets(texts: Iterable[str]) -> dict[str, list[Any]]:
    """Return the values to try of each parameter, from ``segment.n_sigma=3,4,5``."""
    found: dict[str, list[Any]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        section, _, name = key.strip().rpartition(".")
        if not equals or section != "segment" or not all(v.strip() for v in values.split(",")):
            raise ConfigError(
                f"--set {text!r} is no parameter of segment with its values",
                remedy="write it as segment.n_sigma=3,4,5",
            )
        for value in values.split(","):
            try:
                parsed = parse_yaml(value.strip())
            except Exception as error:  # PyYAML raises many kinds of errors for garbage
                raise ConfigError(f"--set {text!r}: {value!r} is no value") from error
            if parsed not in found.setdefault(name, []):
                found[name].append(parsed)
    return found


def choose_settings(
    content: Mapping[str, Any], methods: Sequence[str] = (), varied: Mapping[str, list[Any]] = {}
) -> list[Setting]:
    """Return the settings to try: every combination of the values that a method knows.

    `content`: the configuration, as read. `methods`: those to try; by default the configuration's
    own, where it has the parameters of `varied`, else one that has; without `varied` the
    configuration's own and `BOTH`. What the configuration says of a method holds for its settings.

    Raises ConfigError for methods and parameters that there are not, values that are not allowed,
    and more settings than `MOST_SETTINGS`.
    """
    varied = dict(varied)
    own = parse_config(content).segment
    methods = list(dict.fromkeys(map(str, methods or varied.pop("method", ()))))
    if not methods and not varied:
        methods = list(dict.fromkeys([own.method, *BOTH]))
    elif not methods:
        able = [m for m in dict.fromkeys([own.method, *BOTH, *SEGMENTERS]) if _knows(m, *varied)]
        methods = able[:1] or [own.method]
    for method in methods:
        find("segmenters", method, SEGMENTERS)
    for name in varied:
        if not any(_knows(method, name) for method in methods):
            raise _unknown(name, methods)
    chosen = {m: {k: v for k, v in varied.items() if _knows(m, k)} for m in methods}
    count = sum(math.prod(map(len, values.values())) for values in chosen.values())
    if count > MOST_SETTINGS:
        raise ConfigError(
            f"--set: these are {count} settings, which nobody can compare",
            remedy=f"give fewer values: {MOST_SETTINGS} settings at most",
        )
    found: list[Setting] = []
    for method, values in chosen.items():
        base = _base(content, own, method)
        for combination in itertools.product(*values.values()):
            given = dict(zip(values, combination, strict=True))
            section = _section(method, base | given)
            changed = {k: v for k, v in given.items() if len(values[k]) > 1} or given
            name = ", ".join([method, *(f"{k} {_plain(v)}" for k, v in changed.items())])
            config = _checked({**content, "segment": section})
            found.append(Setting(len(found) + 1, section, name, config))
    return found


def _knows(method: str, *names: str) -> bool:
    """Tell whether a method has parameters; those of a plug-in are checked by itself."""
    return method not in SEGMENTERS or {*names} <= {*SEGMENTERS[method].parameters}


def _unknown(name: str, methods: Sequence[str]) -> ConfigError:
    known = list(dict.fromkeys(p for m in methods if m in SEGMENTERS for p in _parameters(m)))
    near = difflib.get_close_matches(name, known, n=1)
    return ConfigError(
        f"--set: {' and '.join(methods)} {'has' if len(methods) == 1 else 'have'} no parameter "
        f"{name!r}",
        found=", ".join(known) or "none",
        remedy=f"did you mean {near[0]}?" if near else "use one of these, or other --methods",
    )


def _parameters(method: str) -> list[str]:
    return SEGMENTERS[method].parameters


def _base(content: Mapping[str, Any], own: Any, method: str) -> dict[str, Any]:
    """Return what the configuration says of a method, and is not its default anyway."""
    written = content.get("segment")
    if own.method != method or not isinstance(written, Mapping):
        return {}
    if method not in SEGMENTERS:
        return dict(written.get("options") or {})
    default = SEGMENTERS[method].settings()
    return {
        key: value
        for key, value in written.items()
        if key != "method" and getattr(own, key) != getattr(default, key)
    }


def _section(method: str, parameters: dict[str, Any]) -> dict[str, Any]:
    if method in SEGMENTERS or not parameters:
        return {"method": method, **parameters}
    return {"method": method, "options": parameters}


def _checked(content: Mapping[str, Any]) -> Config:
    try:
        return parse_config(content)
    except ConfigError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        raise ConfigError(f"--set: {'; '.join(lines[1:-1]) or lines[0]}") from error


def _plain(value: Any) -> str:
    """Return a value as YAML has it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def read_subject(
    settings: Sequence[Setting], dataset: str, fov: int = 0, frames: str | None = None
) -> Subject:
    """Read the frames to try settings on: by default the first, the middle and the last.

    `fov`: as in the raw file, from 0. `frames`: indices among those that the configuration
    processes, from 0. Raises ConfigError for an FOV or a frame that there is not, and what
    `plan_dataset` finds wrong; FovflowError for one that cannot be read.
    """
    from fovflow.copying import lacks_channel, read_frame
    from fovflow.readers import open_raw

    config = settings[0].config
    raw_file = config.dataset(dataset)
    header = RawHeader.read(raw_file.path, raw_file.pattern, raw_file.axes)
    needed = any(needs_pixel_size(setting.config) for setting in settings)
    timed = replace(header, time_source="config")  # when frames were taken does not matter here
    plan = plan_dataset(dataset, config, timed, needs_pixel_size=needed)
    if not plan.fovs:
        raise ConfigError(f"dataset {dataset}: {plan.problems[0]}")
    if not 0 <= fov < len(header.positions):
        raise ConfigError(
            f"--fov: there is no FOV {fov}",
            found=f"{len(header.positions)} in the file, counted from 0",
        )
    options = step_parameters(config, "copy", plan)
    first, _, step = plan.frames
    with open_raw(raw_file.path, pattern=raw_file.pattern, axes=raw_file.axes) as raw:

        def absent(t: int) -> bool:
            source = first + t * step
            return (fov, source) in header.missing or lacks_channel(raw, fov, source, plan.seg)

        if frames is None:
            chosen = first_middle_last([t for t in range(plan.n_frames) if not absent(t)])
        else:
            chosen = [*parse_ranges(frames, "--frames")]
        _check_frames(chosen, plan.n_frames, absent)
        images = [read_frame(raw, fov, first + t * step, plan.seg, options) for t in chosen]
    return Subject(plan, fov, tuple(chosen), tuple(images))


def _check_frames(chosen: Sequence[int], n_frames: int, absent: Callable[[int], bool]) -> None:
    wrong = [t for t in chosen if t >= n_frames]
    if wrong:
        raise ConfigError(
            f"--frames: there is no frame {format_ranges(wrong)}",
            found=f"{n_frames} frames, counted from 0",
        )
    if len(chosen) > MOST_FRAMES:
        raise ConfigError(
            f"--frames: these are {len(chosen)} frames, which nobody can compare",
            remedy=f"give fewer: {MOST_FRAMES} at most",
        )
    if gone := [t for t in chosen if absent(t)]:
        raise ConfigError(
            f"--frames: {format_ranges(gone)} was never acquired", remedy="choose other frames"
        )
    if not chosen:
        raise ConfigError("no frame of this FOV was acquired", remedy="choose another --fov")


def try_settings(
    settings: Sequence[Setting], subject: Subject, note: Callable[[], object] = lambda: None
) -> list[list[Attempt]]:
    """Return what each setting finds in each frame; each frame by itself, as if it were the first.

    `note` is called after each. The work is shared among the cores; OpenCV uses one for each.
    """
    import cv2

    from fovflow.segmentation import get_segmenter

    pixel_um = subject.plan.pixel_um

    def attempt(task: tuple[Setting, int]) -> Attempt:
        setting, place = task
        try:
            arguments = step_parameters(setting.config, "segment", subject.plan)["arguments"]
            segmenter = get_segmenter(**arguments)
            begun = time.thread_time()
            labels, stats = segmenter(subject.images[place])
        except FovflowError as error:
            where = f"setting {setting.number}, frame {subject.frames[place]}"
            raise type(error)(
                f"{where}: {error.message}", found=error.found, remedy=error.remedy
            ) from error
        return Attempt(labels, stats, time.thread_time() - begun, pixel_um)

    tasks = [(s, place) for s in settings for place in range(len(subject.frames))]
    workers = min(len(os.sched_getaffinity(0)), len(tasks))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    found = []
    try:
        with ThreadPoolExecutor(workers) as executor:
            for each in executor.map(attempt, tasks):
                found.append(each)
                note()
    finally:
        cv2.setNumThreads(threads)
    width = len(subject.frames)
    return [found[i : i + width] for i in range(0, len(found), width)]
