"""What a plan says to a person: what is processed, what of people's own work does not count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fovflow.corrections import in_lines, of_step
from fovflow.layout import fov_name
from fovflow.planning.pipeline import Pipeline
from fovflow.states import Folder
from fovflow.units import format_fovs
from fovflow.userfiles import broken_link
from fovflow.verdicts import find_verdicts

UNMET = "corrections_not_followed"


def stale_verdicts(pipeline: Pipeline, dataset: str) -> dict[int, str]:
    """Return by FOV why a person's verdicts beside its traces are not used."""
    fovs = pipeline.datasets[dataset].fovs
    found = {fov: find_verdicts(pipeline.layout.file("traces", dataset, fov))[1] for fov in fovs}
    return {fov: reason for fov, reason in found.items() if reason}


def unmet_corrections(
    pipeline: Pipeline, dataset: str, folder: Folder | None = None
) -> dict[int, list[str]]:
    """Return by FOV which of people's corrections its jobs could not follow, in words."""
    folder, found = folder or pipeline.look(dataset), {}
    for fov in pipeline.datasets[dataset].fovs:
        told = []
        for step in ("track", "extract"):
            said = of_step(step, pipeline.corrections.get((dataset, fov), []))
            made = pipeline.found(step, dataset, fov, folder) if said else {}
            told += [in_lines(str(each), said) for each in made.get(UNMET, ())]
        if told:
            found[fov] = told
    return found


def unseen(pipeline: Pipeline, dataset: str) -> str:
    """Return of which FOVs the report cannot show cells, in a sentence; empty without any."""
    fovs = [fov for fov in pipeline.datasets[dataset].fovs if pipeline.is_unseen(dataset, fov)]
    words = (
        "the report cannot show single cells of it, as it was made before it could and its "
        "stacks are gone; to make them again, let keep name pc, fl and seg_labeled"
    )
    return f"{format_fovs(fovs)}: {words}" if fovs else ""


def stray_corrections(pipeline: Pipeline) -> str:
    """Return which corrections are of no FOV that is processed; empty where all are."""
    stray = {
        place: len(said)
        for place, said in pipeline.corrections.items()
        if place[0] not in pipeline.datasets or place[1] not in pipeline.datasets[place[0]].fovs
    }
    if not stray:
        return ""
    places = ", ".join(f"FOV {fov} of {name}" for name, fov in sorted(stray)[:10])
    more = f" and {len(stray) - 10} others" if len(stray) > 10 else ""
    return (
        f"corrections: {sum(stray.values())} lines are of FOVs that are not processed: "
        f"{places}{more}"
    )


def moved_corrections(pipeline: Pipeline) -> list[str]:
    """Return a sentence for each dataset whose corrections may name other places than before.

    They count frames and pixels as its stacks do, which begin elsewhere now.
    """
    found = []
    for name in sorted({dataset for dataset, _ in pipeline.corrections} & pipeline.datasets.keys()):
        folder, fovs = pipeline.look(name), []
        wanted = _begins(pipeline.parameters("copy", name))
        for fov in pipeline.datasets[name].fovs:
            path = pipeline.layout.record("copy", name, fov_name(fov))[len(folder.path) + 1 :]
            known = folder.record(path) if (name, fov) in pipeline.corrections else None
            fovs += [fov] if known and _begins(known.options) != wanted else []
        if fovs:
            found.append(
                f"corrections: {name}, {format_fovs(fovs)}: other frames or another crop are "
                "copied than before, so that frame, x and y of its lines may name other cells; "
                "correct them, or remove the lines"
            )
    return found


def summary(pipeline: Pipeline, *, problems: bool = True) -> str:
    """Return one line per dataset: what will be processed, and what cannot be."""
    lines = []
    for name, plan in pipeline.datasets.items():
        if plan.fovs:
            channels = ", ".join(f"{kind} {index}" for kind, index in plan.channels)
            lines.append(
                f"{name}: {len(plan.fovs)} FOVs, {plan.n_frames} frames of "
                f"{plan.height} × {plan.width}, channels {channels}"
            )
        lines += [f"{name}: {text}" for text in [unseen(pipeline, name)] if text]
        if plan.header is not None:
            given = pipeline.config.dataset(name)
            asked = [f"give {key}" for key in ("interval_s", "pixel_um") if getattr(given, key)]
            lines += [
                f"{name}: warning: {text}"
                for text in plan.header.warnings
                if not any(question in text for question in asked)
            ]
        if problems:
            lines += [f"{name}: {text}" for text in plan.problems]
    stray = stray_corrections(pipeline)
    lines += [f"warning: {text}" for text in (stray, *moved_corrections(pipeline)) if text]
    lines += [
        f"warning: step {name}: "
        + (broken_link(step.script) or f"there is no script {step.script}")
        for name, step in pipeline.user_steps.items()
        if pipeline.digest(step.script) is None
    ]
    return "\n".join(lines)


def _begins(copied: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the first frame that was copied, the step from frame to frame, first row and column.

    `copied`: parameters of a copy job.
    """
    (first, _, step), crop = copied.get("frames", (0, 0, 1)), copied.get("crop") or {}
    return first, step, crop.get("y0", 0), crop.get("x0", 0)
