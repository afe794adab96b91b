"""What rules ask for: the files that a run, the traces, the results and the report stand for."""

from __future__ import annotations

import os

from fovflow.planning.pipeline import Pipeline
from fovflow.stages import FILES


def targets(pipeline: Pipeline) -> list[str]:
    """Return what a run makes: the results of each dataset, the report and the analysis."""
    pipeline.find_occupied()
    results = [*report_inputs(pipeline), pipeline.layout.report(), *pipeline.analysis.targets()]
    return results + problem_targets(pipeline)


def trace_targets(pipeline: Pipeline) -> list[str]:
    """Return the traces of all FOVs."""
    return [
        pipeline.layout.file("traces", name, fov)
        for name, plan in pipeline.datasets.items()
        for fov in plan.ready
    ] + problem_targets(pipeline)


def problem_targets(pipeline: Pipeline) -> list[str]:
    """Return the targets that stand for datasets, or FOVs, that cannot be processed."""
    datasets = pipeline.datasets.items()
    return [pipeline.layout.problem(name) for name, plan in datasets if plan.problems]


def last_files(pipeline: Pipeline, dataset: str) -> list[str]:
    """Return the files of a dataset's FOVs that are made last: all others are made before them.

    Those are other stacks, too, that are missing where the traces are there.
    """
    plan, layout = pipeline.datasets[dataset], pipeline.layout
    stages = [stage for stage in pipeline.stages.values() if stage.per_fov]
    last = [stage for stage in stages if stage.is_last]
    undrawn = [s for s in stages if s.name == "extract" or (s in last and s.name != "browse")]
    return [
        layout.place(file.path, dataset, fov, channel)
        for fov in plan.ready
        for stage in (undrawn if pipeline.is_unseen(dataset, fov) else last)
        for file in stage.files
        if not file.pixel_bytes or file.kind in pipeline.kept
        for channel in plan.indices(stage.role or file.role)
    ] + [
        name
        for fov in plan.ready
        if os.path.exists(layout.file("traces", dataset, fov))  # noqa: PTH110
        for kind in sorted(pipeline.kept - {file.kind for stage in last for file in stage.files})
        for channel in plan.indices(FILES[kind].role)
        if not os.path.exists(name := layout.file(kind, dataset, fov, channel))  # noqa: PTH110
    ]


def report_inputs(pipeline: Pipeline) -> list[str]:
    """Return what the report tells of: results, made again whenever traces are, and answers."""
    datasets = pipeline.datasets.items()
    results = [pipeline.layout.results(name) for name, plan in datasets if plan.ready]
    return [*results, *pipeline.analysis.reported()]
