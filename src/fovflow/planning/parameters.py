"""The steps' parameters: what each rule passes on, and what reruns it when it changes."""

from __future__ import annotations

from typing import Any

from fovflow.config.model import Config
from fovflow.planning.dataset import DatasetPlan
from fovflow.stages import STAGES

_FILES = ("dark", "flat_field")
"""Keys of `correct` that may name files: the rule gives those as inputs."""


def needs_pixel_size(config: Config) -> bool:
    """Tell whether a chosen method has parameters in µm that are set."""
    from fovflow.segmentation import NEEDS_PIXEL_SIZE as SEGMENT
    from fovflow.tracking import NEEDS_PIXEL_SIZE as TRACK

    if config.segment.method in SEGMENT or config.track.method in TRACK:
        return True
    set_um = [
        name
        for section in (config.correct, config.extract, config.qc)
        for name in type(section).model_fields
        if name.endswith("_um") and getattr(section, name)
    ]
    return bool(set_um)


def step_parameters(config: Config, step: str, plan: DatasetPlan) -> dict[str, Any]:
    """Return the parameters of a step for one dataset, as plain values.

    Parameters
    ----------
    config : Config
    step : str
        One of the steps in `fovflow.stages.STAGES`, or ``results``.
    plan : DatasetPlan

    Returns
    -------
    dict
        ``arguments`` go to the step's function; ``revision`` changes when an algorithm's output
        does. A rule runs again when any of it changes.
    """
    if step in _MAKERS:
        return _MAKERS[step](config, plan)
    stage = STAGES[step]
    return _arguments(getattr(config, stage.settings[0]), plan, stage.revision)


def _copy(config: Config, plan: DatasetPlan) -> dict[str, Any]:
    dataset = config.datasets[plan.name]  # type: ignore[index]
    return {
        "frames": plan.frames,
        "shape": [plan.height, plan.width],
        "crop": None if config.copy_.crop is None else config.copy_.crop.model_dump(),
        "z": config.copy_.z,
        "interval_s": dataset.interval_s,  # type: ignore[union-attr]
    }


def _arguments(section: Any, plan: DatasetPlan, revision: int) -> dict[str, Any]:
    """Return the keys of a section as arguments, and the pixel size where any is a length in µm."""
    options = section.model_dump()
    plugin = options.pop("options", None)
    lengths = [key for key, value in options.items() if "_um" in key and value is not None]
    needed = plugin is not None or bool(lengths)  # else a changed pixel size is no reason to rerun
    return {
        "arguments": {
            **options,
            **(plugin or {}),
            "pixel_um": plan.pixel_um if needed else None,
        },
        "revision": revision,
    }


def _segment(config: Config, plan: DatasetPlan) -> dict[str, Any]:
    from fovflow.segmentation import ALGORITHM_REVISION

    return _arguments(config.segment, plan, ALGORITHM_REVISION.get(config.segment.method, 0))


def _correct(config: Config, plan: DatasetPlan) -> dict[str, Any]:
    from fovflow.background import ALGORITHM_REVISION

    made = _arguments(config.correct, plan, ALGORITHM_REVISION.get(config.correct.method, 0))
    arguments = made["arguments"]
    made["bleach"] = arguments.pop("bleach", "none")
    for key in _FILES:
        if isinstance(arguments.get(key), str):
            del arguments[key]
    return made


def _track(config: Config, plan: DatasetPlan) -> dict[str, Any]:
    from fovflow.tracking import ALGORITHM_REVISION

    return _arguments(config.track, plan, ALGORITHM_REVISION.get(config.track.method, 0))


def _extract(config: Config, plan: DatasetPlan) -> dict[str, Any]:
    from fovflow.features import ALGORITHM_REVISION
    from fovflow.quality import ALGORITHM_REVISION as QC_REVISION

    return {
        "arguments": {
            **config.extract.model_dump(),
            "pc": plan.seg if plan.pc is None else plan.pc,
            "fl": plan.fl,
            "pixel_um": plan.pixel_um,
        },
        "qc": config.qc.arguments(),
        "time_units": config.time_units,
        "revision": [ALGORITHM_REVISION, QC_REVISION],
    }


def _flat_field(config: Config, plan: DatasetPlan) -> dict[str, Any]:
    from fovflow.background import ALGORITHM_REVISION

    copy = _copy(config, plan)
    dark = getattr(config.correct, "dark", 0.0)
    return {
        **{key: copy[key] for key in ("frames", "crop", "shape", "z")},
        "arguments": {
            "dark": dark if isinstance(dark, int | float) else 0.0,
            "pixel_um": plan.pixel_um,
            "tile_px": getattr(config.correct, "tile_px", 256),
            "tile_um": getattr(config.correct, "tile_um", None),
        },
        "revision": ALGORITHM_REVISION["tiles"],
    }


def _results(config: Config, plan: DatasetPlan) -> dict[str, Any]:
    steps = [stage.name for stage in STAGES.values() if stage.per_fov]
    return {
        **{step: step_parameters(config, step, plan) for step in steps},
        "problems": plan.problems,
        "fovs": plan.fovs,
    }


_MAKERS = {
    "copy": _copy,
    "segment": _segment,
    "correct": _correct,
    "track": _track,
    "extract": _extract,
    "flat_field": _flat_field,
    "results": _results,
}
