"""Every key of the configuration with another value than a project has."""

from __future__ import annotations

import copy
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from fovflow.config.load import parse_config
from fovflow.config.section import fields_of
from fovflow.errors import ConfigError
from fovflow.planning.pipeline import Pipeline

SCRIPT = """
def count(fov, outputs, by=1):
    (path,) = outputs.values()
    path.write_text(f"n\\n{by * len(fov.traces())}\\n")

def more(fov, outputs, by=1):
    count(fov, outputs, by + 5)
"""

BASE: dict[str, Any] = {
    "outdir": "results",
    "datasets": {"sim": {"path": "raw/sim.nd2"}},
    "keep": "all",
    "correct": {"method": "tiles", "tile_px": 32, "dilation_um": 3.0},
    "extract": {"features": {"fl": ["intensity_total", "intensity_mean", "background_mean"]}},
    "qc": {"min_frames": 1},
    "samples": [
        {"name": "a", "fovs": "0", "condition": "x"},
        {"name": "b", "fovs": "1", "condition": "y"},
    ],
    "fit": {"model": "trivial"},
    "statistics": {"reference": "x"},
    "steps": [
        {"name": "count", "script": "s.py", "function": "count", "outputs": ["n.csv"]},
        {"name": "twice", "script": "s.py", "function": "count", "outputs": ["t.csv"],
         "inputs": ["count", "traces"], "args": {"by": 2}},
    ],
}  # fmt: skip
"""A configuration that has something of each section."""

OF_SAMPLES = ("samples", "fit", "statistics", "steps")
METHODS: dict[str, dict[str, Any]] = {
    "": {},
    "samples": {
        **{key: BASE[key] for key in OF_SAMPLES},
        "time_units": "min",
        "channels": {"pc": 0},
        "merge": {"features": None},
    },
    "threshold": {"segment": {"method": "threshold", "smooth_um": 0.5}},
    "segment: classic": {"segment": {"method": "classic"}},
    "unet": {"segment": {"method": "unet"}},
    "estimated": {"correct": {"method": "tiles", "flat_field": "estimate", "tile_um": 20.0}},
    "constant": {"correct": {"method": "constant"}},
    "none": {"correct": {"method": "none"}},
    "track: classic": {"track": {"method": "classic"}},
    "cell": {"qc": {"min_frames": 1, "verdict": "cell", "preset": "classic"}},
}
"""What of it is otherwise, so that keys of all methods that need no extra are there."""

ANOTHER: dict[str, Any] = {
    "outdir": "elsewhere",
    "datasets.sim.path": "moved/sim.nd2",
    "datasets.sim.pixel_um": 0.5,
    "datasets.sim.interval_s": 60,
    "datasets.sim.channels": {"fl": [2]},
    "datasets.sim.fovs": "1",
    "datasets.sim.frames": "0-2",
    "channels.pc": 1,
    "channels.fl": [1],
    "channels.seg": 2,
    "fovs": "0",
    "frames.range": "1-3",
    "keep": ["pc", "fl"],
    "container": "image.sif",
    "copy.z": "max",
    "copy.crop": {"y1": 60, "x0": 4, "x1": 70},
    "correct.dark": "raw/dark.npy",
    "correct.flat_field": "raw/flat.npy",
    "extract.features.pc": ["area", "perimeter"],
    "extract.features.fl": ["intensity_total", "intensity_max"],
    "extract.saturation": 200,
    "qc.reject": ["min_frames"],
    "qc.note": ["gap"],
    "segment.model": "net.onnx",
    "corrections": "corrections.csv",
    "merge.features": ["intensity_total", "area"],
    "fit.model": "maturation",
    "fit.features": ["intensity_mean"],
    "fit.start": {"beta": 0.02},
    "fit.bounds": {"beta": [0.001, 1]},
    "fit.fixed": {"beta": 0.01},
    "fit.shared": ["beta"],
    "statistics.reference": "y",
    "samples.0.name": "c",
    "samples.0.dataset": "sim",
    "samples.0.fovs": "1",
    "samples.0.condition": "z",
    "samples.0.replicate": "1",
    "samples.0.columns": {"dose": 3},
    "steps.0.name": "tally",
    "steps.0.script": "t.py",
    "steps.0.function": "more",
    "steps.0.inputs": ["traces", "tracks"],
    "steps.0.outputs": ["m.csv"],
    "steps.0.args": {"by": 4},
    "steps.0.fov_args": {"0": {"by": 3}},
}  # fmt: skip
"""Values of keys of which the type does not tell another one."""

WITH: dict[str, dict[str, Any]] = {
    "segment.rule": {"segment.level": 120.0},
    "segment.level": {"segment.rule": "fixed"},
    "fit.features": {"merge.features": ["intensity_mean"]},
    "channels.pc": {"channels.seg": 1},
    "samples.0.fovs": {"samples.1.fovs": "0"},
    "samples.0.condition": {"statistics.reference": "z"},
    "steps.0.name": {"steps.1.inputs": ["tally", "traces"]},
}
"""What has to be changed with a key."""


OTHER_METHODS = {
    "segment": ["threshold", "logstd"],
    "correct": ["constant", "tiles"],
    "track": ["classic", "iou"],
}


def changed(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with other values, by dotted keys."""
    made: Any = copy.deepcopy(dict(content))
    for key, value in changes.items():
        *above, last = key.split(".")
        here = made
        for part in above:
            if isinstance(here, list):
                here = here[int(part)]
            else:
                if not isinstance(here.get(part), dict | list):
                    here[part] = {}
                here = here[part]
        here[last] = value
    return made  # type: ignore[no-any-return]


def configured(name: str) -> dict[str, Any]:
    """Return the configuration of one of `METHODS`."""
    base = {key: value for key, value in BASE.items() if key not in OF_SAMPLES}
    return copy.deepcopy({**base, **METHODS[name]})


def changes_of(content: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each key of a configuration, and what makes it another one."""
    config = parse_config(content)

    def walk(part: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
        if isinstance(part, tuple | dict) and not isinstance(part, str):
            items = part.items() if isinstance(part, dict) else enumerate(part[:1])
            for name, each in items:
                yield from walk(each, f"{place}{name}.")
            return
        for name, field in fields_of(type(part)).items():
            key, value = f"{place}{field.alias or name}", getattr(part, name)
            sections = isinstance(value, tuple | dict) and any(
                fields_of(type(each))
                for each in (value.values() if isinstance(value, dict) else value)
            )
            if fields_of(type(value)) or sections:
                yield from walk(value, f"{key}.")
            else:
                yield key, value, field.annotation

    for key, value, annotation in walk(config, ""):
        for other in _others(key, value, annotation):
            changes = {key: other, **WITH.get(key, {})}
            if key.endswith(".method"):
                changes = {key.removesuffix(".method"): {"method": other}}
            try:
                after = parse_config(changed(content, changes))
            except ConfigError:
                continue
            if after != config:
                yield key, changes
                break
        else:
            yield key, {}


def _others(key: str, value: Any, annotation: Any) -> list[Any]:
    if key in ANOTHER:
        return [ANOTHER[key]]
    if key.endswith(".method"):
        return OTHER_METHODS[key.partition(".")[0]]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value * 2, value / 2, value + 1, 1, 0.5, 0.1]
    return [*typing.get_args(annotation), True, 1, 0.5, 40.0, 2, "words"]


def concerned(before: Pipeline, after: Pipeline) -> set[str]:
    """Return the steps whose jobs are others in two pipelines."""

    def jobs(pipeline: Pipeline) -> dict[tuple[str, str], Any]:
        found = {
            (job.step, job.record): (job.wanted, job.outputs, job.makes, job.inputs)
            for name, plan in pipeline.datasets.items()
            for fov in plan.fovs
            for job in pipeline.jobs(name, fov)
        }
        of_samples = {
            (job.step, job.record): (job.wanted, job.outputs, job.inputs)
            for job in pipeline.analysis.jobs()
        }
        return found | of_samples

    first, second = jobs(before), jobs(after)
    return {step for step, record in {**first, **second}
            if first.get((step, record)) != second.get((step, record))}  # fmt: skip
