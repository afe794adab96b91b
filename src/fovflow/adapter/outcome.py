"""What came of a run: results file and manifest of each dataset, and a plain summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fovflow.adapter.engine import Engine, workflow_folder
from fovflow.adapter.job import Job
from fovflow.errors import complain
from fovflow.planning.pipeline import Pipeline, report_inputs
from fovflow.records import through_json
from fovflow.results import results_paths, write_results
from fovflow.runs.manifest_records import write_manifest
from fovflow.runs.rawcheck import pixels_of
from fovflow.units import format_fovs

_NO_PARAMETERS = frozenset({"problems", "fovs"})
"""What a results file depends on besides the steps' parameters; it stands under keys of its own."""


def make_results(job: Job) -> None:
    """Write a dataset's results file and manifest: the work of a script."""
    write_dataset_results(Pipeline(job.config, is_main=False), job.wildcards.dataset)


def make_report(job: Job) -> None:
    """Write the report: the work of a script."""
    from fovflow.report import write_report

    page = Path(job.output[0])
    write_report(page, page.parent, job.options["datasets"], job.options["problems"])


def make_merged(job: Job) -> None:
    """Write the tables of one sample: the work of a script."""
    left_out = Pipeline(job.config, is_main=False).analysis.merge(job.wildcards.sample)
    job.note(f"left out: {left_out or 'nothing'}")


def make_everything(job: Job) -> None:
    """Write the tables of all samples: the work of a script."""
    Pipeline(job.config, is_main=False).analysis.merge_everything()


def make_fits(job: Job) -> None:
    """Write the fits to one table: the work of a script."""
    of = job.wildcards
    Pipeline(job.config, is_main=False).analysis.fit(of.sample, f"{of.feature}_ch_{of.channel}")


def write_dataset_results(pipeline: Pipeline, dataset: str) -> None:
    """Write a dataset's results file and manifest from what exists now; safe to repeat.

    It is called by the post-run rule, when a run ends badly, and by the command line.
    """
    plan, layout = pipeline.datasets[dataset], pipeline.layout
    assert plan.header is not None
    channels = {"pc": plan.pc, "fl": list(plan.fl), "seg": plan.seg}
    statuses, made_with = pipeline.statuses(dataset), pipeline.parameters("results", dataset)
    content = {
        "dataset": dataset,
        "output_dir": ".",
        **plan.metadata(pipeline.config.time_units),
        "kept": sorted(pipeline.kept),
        "counts": {"fovs": len(statuses), **Counter(s["status"] for s in statuses.values())},
        "params": through_json({k: v for k, v in made_with.items() if k not in _NO_PARAMETERS}),
        "results_paths": {
            str(fov): results_paths(
                layout,
                dataset,
                fov,
                channels,
                pipeline.kept,
                steps={name: step.outputs for name, step in pipeline.user_steps.items()},
            )
            for fov in plan.fovs
        },
        "fovs": {str(fov): status for fov, status in statuses.items()},
        "pixels": {
            str(fov): pixels
            for fov in plan.fovs
            if (pixels := pixels_of(layout.record("copy", dataset, fov)))
        },
        "problems": list(plan.problems),
    }
    write_results(layout.results(dataset), content)
    update_manifest(pipeline, dataset)


def record_failure(pipeline: Pipeline, workflow: Any) -> None:
    """Bring the results files and the report up to date after a run that did not succeed.

    Snakemake forgets that the files were ever made, and they are dated before their inputs: the
    next run makes them again in any case.
    """
    for name, plan in pipeline.datasets.items():
        if not plan.fovs:
            continue
        file = Path(pipeline.layout.results(name))
        try:
            write_dataset_results(pipeline, name)
            Engine(workflow).forget(file, [Path(pipeline.layout.plan(name))])
        except Exception as error:  # the run has failed already: say so, and go on
            complain(f"{name}: cannot write {file}: {error}")
    record_analysis(pipeline, workflow)
    record_report(pipeline, workflow)


def describe_outcome(pipeline: Pipeline) -> str:
    """Return a plain summary: FOVs that are complete, those that are not and why, and where."""
    lines = [""]
    for name, plan in pipeline.datasets.items():
        statuses = pipeline.statuses(name)
        complete = sum(status["status"] == "complete" for status in statuses.values())
        if statuses:
            lines.append(f"{name}: {complete} of {len(statuses)} FOVs complete")
        groups: dict[str, list[int]] = {}
        for fov, status in statuses.items():
            if status["status"] != "complete":
                groups.setdefault(_in_words(status), []).append(fov)
        lines += [f"  {format_fovs(fovs)}: {words}" for words, fovs in groups.items()]
        stale = pipeline.stale_verdicts(name)
        lines += [
            f"  {format_fovs([fov])}: a person's verdicts are not used: {reason}"
            for fov, reason in stale.items()
        ]
        if stale:
            lines.append(f"  to do: fovflow verdicts {pipeline.layout.outdir} --carry-over")
        lines += [f"{name}: {problem}" for problem in plan.problems]
        if complete:
            lines.append(f"  results: {pipeline.layout.results(name)}")
    if pipeline.analysis.measures:
        lines.append(f"{len(pipeline.analysis.measures)} samples: {pipeline.layout.analysis('')}")
    return "\n".join(lines)


def _in_words(status: dict[str, Any]) -> str:
    if status["status"] == "failed":
        frame = f" at frame {status['frame']}" if "frame" in status else ""
        return f"{status['step']} failed{frame}: {status['error']}"
    if status["status"] == "outdated":
        return f"made with other parameters from step {status['step']} on; run again"
    return f"not made yet from step {status['step']} on; run again"


def update_manifests(pipeline: Pipeline) -> None:
    """Write the manifest of each dataset of which there is anything; see `update_manifest`."""
    for name, plan in pipeline.datasets.items():
        if plan.fovs and Path(pipeline.layout.dataset(name)).is_dir():
            update_manifest(pipeline, name)


def update_manifest(pipeline: Pipeline, dataset: str) -> None:
    """Write a dataset's manifest from what is recorded now; safe to repeat.

    It is called with the results file, and when the run ends. A failure is said on the error
    stream and disturbs nothing.
    """
    config = pipeline.config.model_dump(mode="json", by_alias=True)
    try:
        engine = ("Snakemake", version("snakemake"))
        write_manifest(pipeline.layout.outdir, dataset, config, workflow_folder(), engine)
    except Exception as error:  # records are no reason for results to fail
        complain(f"{dataset}: cannot write the manifest: {error}")


def report_options(pipeline: Pipeline) -> dict[str, Any]:
    """Return what the report depends on besides files: its revision, and datasets' problems."""
    from fovflow.report import REPORT_REVISION

    problems = {n: list(plan.problems) for n, plan in pipeline.datasets.items() if plan.problems}
    return {"revision": REPORT_REVISION, "datasets": list(pipeline.datasets), "problems": problems}


def record_analysis(pipeline: Pipeline, workflow: Any) -> None:
    """Make the tables of samples with failed FOVs: their rules cannot run without all of these.

    Samples that are not done yet, since the run was stopped, are left alone. As with the results
    files, the next run makes these files again in any case.
    """
    plan, engine = pipeline.analysis, Engine(workflow)
    states = {name: pipeline.statuses(name) for name in {s.dataset for s in plan.samples.values()}}
    lost: dict[str, dict[int, str]] = {}
    waits = False
    for name, sample in plan.samples.items():
        mine = {fov: states[sample.dataset][fov] for fov in sample.fovs}
        if any(state["status"] not in ("complete", "failed") for state in mine.values()):
            waits = True
        elif failed := {f: _in_words(s) for f, s in mine.items() if s["status"] == "failed"}:
            lost[name] = failed

    def make(
        job: str, files: Collection[str], work: Callable[..., object], *arguments: Any
    ) -> None:
        try:
            work(*arguments)
            record = Path(pipeline.layout.log(f"analysis/{job}")).with_suffix(".json")
            record.unlink(missing_ok=True)  # they are no longer what a job has recorded
            for file in files:
                engine.forget(Path(file), [Path(pipeline.layout.plan(name)) for name in states])
        except Exception as error:  # the run has failed already: say so, and go on
            complain(f"{job}: {error}")

    for name in lost:
        make(f"{name}/merge", plan.merged(name), plan.merge, name, lost)
        for each in plan.fits[name]:
            fitted = [plan.fitted(name, each.name)]
            make(f"{name}/fit_{each.name}", fitted, plan.fit, name, each.name)
    if lost and not waits:
        make("merge_everything", plan.everything().values(), plan.merge_everything, lost)


def record_report(pipeline: Pipeline, workflow: Any) -> None:
    """Bring the report up to date after a run that did not succeed.

    As with the results files, Snakemake forgets that it was ever made, and it is dated before its
    inputs: the next run makes it again in any case.
    """
    from fovflow.report import write_report

    file = Path(pipeline.layout.report())
    options = report_options(pipeline)
    try:
        write_report(file, pipeline.layout.outdir, options["datasets"], options["problems"])
        Engine(workflow).forget(file, [Path(name) for name in report_inputs(pipeline)])
    except Exception as error:  # the run has failed already: say so, and go on
        complain(f"cannot write {file}: {error}")
