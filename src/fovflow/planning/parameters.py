"""The steps' parameters: what each rule passes on, and what reruns it when it changes."""

from __future__ import annotations

from typing import Any

from fovflow.config.features import FEATURES, check_ratios, plotted_intensity, ratio_channel
from fovflow.config.methods import (
    CORRECTORS,
    EXTRACT_REVISION,
    QC_REVISION,
    SEGMENTERS,
    TRACKERS,
    TilesCorrect,
)
from fovflow.config.model import Config
from fovflow.copying import OF_TIMES
from fovflow.planning.dataset import DatasetPlan
from fovflow.plugins import code_files
from fovflow.stages import STAGES

_METHODS = {"segment": SEGMENTERS, "correct": CORRECTORS, "track": TRACKERS}


def needs_pixel_size(config: Config) -> bool:
    """Tell whether a chosen method has parameters in µm that are set."""
    if any(
        methods.needs_pixel_size(getattr(config, step).method) for step, methods in _METHODS.items()
    ):
        return True
    sections = config.model_dump(include={"correct", "extract", "qc"}).values()
    return any(
        name.endswith("_um") and value for section in sections for name, value in section.items()
    )


def step_parameters(config: Config, step: str, plan: DatasetPlan) -> dict[str, Any]:
    """Return the parameters of a step for one dataset, as plain values.

    `step`: one of the steps in `fovflow.stages.STAGES`.

    Returns
    -------
    dict
        ``arguments`` go to the step's function; ``revision`` changes when an algorithm's output
        does. A rule runs again when any of it changes.
    """
    special = {
        "copy": _copy,
        "flat_field": _flat_field,
        "correct": _correct,
        "corrected": _correct,
        "extract": _extract,
        "browse": _browse,
    }
    return special[step](config, plan) if step in special else _section(config, step, plan)


def code_of(config: Config, step: str) -> dict[str, str]:
    """Return the files with the code that plug-ins bring to a step; see `code_files`."""
    if step == "extract":
        features = config.extract.features
        names = [n for n in (*features.pc, *features.fl) if ratio_channel(n) is None]
        return code_files("features", names, FEATURES)
    section = "correct" if step == "corrected" else step
    methods = _METHODS.get(section)
    if methods is None:
        return {}
    return code_files(methods.kind, [getattr(config, section).method], methods)


def _section(config: Config, step: str, plan: DatasetPlan) -> dict[str, Any]:
    """Return the keys of a step's section as arguments, with the pixel size where it matters."""
    stage = STAGES[step]
    (section,) = stage.settings
    options = config.model_dump(include={section})[section]
    methods = _METHODS.get(step)
    plugin = options.pop("options", None)
    lengths = [key for key, value in options.items() if "_um" in key and value is not None]
    needed = plugin is not None or bool(lengths)  # else a changed pixel size is no reason to rerun
    return {
        "arguments": {
            **options,
            **(plugin or {}),
            "pixel_um": plan.pixel_um if needed else None,
        },
        "revision": methods.revision(options["method"]) if methods else stage.revision,
    }


def _copy(config: Config, plan: DatasetPlan) -> dict[str, Any]:
    dataset = config.dataset(plan.name)
    return {
        **dataset.model_dump(include={"axes", "pattern"}, exclude_none=True),
        "frames": plan.frames,
        "shape": [plan.height, plan.width],
        "crop": None if config.copy_.crop is None else config.copy_.crop.model_dump(),
        "z": config.copy_.z,
        "interval_s": dataset.interval_s,
    }


def _flat_field(config: Config, plan: DatasetPlan) -> dict[str, Any]:
    copy = _copy(config, plan)
    dark = getattr(config.correct, "dark", 0.0)
    return {
        **{key: value for key, value in copy.items() if key not in OF_TIMES},
        "arguments": {
            "dark": dark if isinstance(dark, int | float) else 0.0,
            "pixel_um": plan.pixel_um,
            "tile_px": getattr(config.correct, "tile_px", TilesCorrect.tile_px),
            "tile_um": getattr(config.correct, "tile_um", None),
        },
        "revision": CORRECTORS.revision("tiles"),
    }


def _correct(config: Config, plan: DatasetPlan) -> dict[str, Any]:
    made = _section(config, "correct", plan)
    arguments = made["arguments"]
    made["bleach"] = arguments.pop("bleach", "none")
    for key in ("dark", "flat_field"):  # the rule gives files as inputs
        if isinstance(arguments.get(key), str):
            del arguments[key]
    return made


def _extract(config: Config, plan: DatasetPlan) -> dict[str, Any]:
    check_ratios(config.extract.features.fl, plan.fl)
    qc = config.qc.arguments()
    if config.track.method == "classic":  # its confidence is a margin, and no probability
        qc["min_confidence"] = 0.0
    return {
        "arguments": {
            **config.extract.model_dump(),
            "pc": plan.phase,
            "fl": plan.fl,
            "pixel_um": plan.pixel_um,
        },
        "qc": qc,
        "time_units": config.time_units,
        "revision": [EXTRACT_REVISION, QC_REVISION],
    }


def _browse(config: Config, plan: DatasetPlan) -> dict[str, Any]:
    features = config.extract.features
    intensity = plotted_intensity(features.fl)
    area = [] if "area" not in features.pc else ["area_um2" if plan.pixel_um else "area"]
    columns = [name if name == "area_um2" else f"{name}_ch_{plan.phase}" for name in area]
    columns += [f"{intensity}_ch_{channel}" for channel in plan.fl] if intensity else []
    return {
        "arguments": config.browse.model_dump(),
        "columns": columns,
        "channels": plan.metadata(config.time_units)["channel_names"],
        "pixel_um": plan.pixel_um,
        "time_units": config.time_units,
        "revision": STAGES["browse"].revision,
    }
