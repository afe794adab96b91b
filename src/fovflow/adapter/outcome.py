"""What came of a run: results file and manifest of each dataset, and a plain summary."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fovflow.adapter.engine import workflow_folder
from fovflow.adapter.job import MOST_INPUTS, Job, pipeline_of_job
from fovflow.atomic import remove_leftovers_in, sha256_or_none, write_text
from fovflow.config.findings import METHOD_NOTES
from fovflow.corrections import briefly
from fovflow.errors import FovflowError, complain, words_of
from fovflow.layout import inspected
from fovflow.planning.dataset import DatasetPlan
from fovflow.planning.pipeline import Decision, Pipeline
from fovflow.planning.summary import stale_verdicts, unmet_corrections, unseen
from fovflow.planning.targets import report_inputs
from fovflow.records import inside, through_json
from fovflow.resultsform import findings_of, results_paths, results_text
from fovflow.runs.crate import FILE_NAME
from fovflow.runs.manifest import write_manifest
from fovflow.runs.rawcheck import pixels_of
from fovflow.runs.store import RunFolder
from fovflow.stages import FILES, STACKS
from fovflow.states import COMPLETE, CONTENT, Folder, Wanted, WantedJob, reason_to_run, state_of
from fovflow.units import format_fovs

_NO_PARAMETERS = frozenset({"problems", "fovs"})
"""What a results file depends on besides the steps' parameters; it stands under keys of its own."""


_STACKS_STAY = re.compile(r"\s(--no-?temp|--nt|--until|-U)")
"""Options of the engine with which stacks stay that would be removed otherwise."""


def make_results(job: Job) -> None:
    """Write a dataset's results file and manifest: the work of a script."""
    write_dataset_results(pipeline_of_job(job.config), job.wildcards.dataset)


def make_report(job: Job) -> None:
    """Write the report: the work of a script."""
    from fovflow.report import write_report

    page = Path(job.output[0])
    write_report(page, page.parent, job.options["datasets"], job.options["problems"])


def make_merged(job: Job) -> None:
    """Write the tables of one sample: the work of a script."""
    left_out = pipeline_of_job(job.config).analysis.merge(job.wildcards.sample)
    job.note(f"left out: {left_out or 'nothing'}")


def make_everything(job: Job) -> None:
    """Write the tables of all samples: the work of a script."""
    pipeline_of_job(job.config).analysis.merge_everything()


def make_fits(job: Job) -> None:
    """Write the fits to one table: the work of a script."""
    of, analysis = job.wildcards, pipeline_of_job(job.config).analysis
    analysis.fit(of.sample, f"{of.feature}_ch_{of.channel}", job.threads)


def make_statistics(job: Job) -> None:
    """Write statistics, comparisons and pictures of all samples: the work of a script."""
    pipeline_of_job(job.config).analysis.compare()


def results_content(pipeline: Pipeline, dataset: str) -> dict[str, Any]:
    """Return what a dataset's results file should say now."""
    plan, layout = pipeline.datasets[dataset], pipeline.layout
    channels = {"pc": plan.pc, "fl": list(plan.fl), "seg": plan.seg}
    folder, start = pipeline.look(dataset), len(layout.dataset(dataset)) + 1
    statuses = dict.fromkeys(pipeline.listed(dataset, folder), COMPLETE)
    statuses |= pipeline.statuses(dataset, folder)
    others = sorted({*statuses} - {*plan.fovs})
    made_with = pipeline.parameters("results", dataset)
    return {
        "dataset": dataset,
        "output_dir": ".",
        **plan.metadata(pipeline.config.time_units),
        "kept": sorted(pipeline.kept),
        **_positions(plan, statuses),
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
            for fov in statuses
        },
        "fovs": {str(fov): status for fov, status in statuses.items()},
        "pixels": {
            str(fov): {c: pixels[c] for _, c in plan.channels if c in pixels}
            for fov in statuses
            if (pixels := pixels_of(folder.record(layout.record("copy", dataset, fov)[start:])))
        },
        "problems": list(plan.problems),
        **(
            {"corrections_not_followed": unmet_corrections(pipeline, dataset)}
            if pipeline.corrections
            else {}
        ),
        **({"not_selected": others} if others else {}),
        **({"findings": found} if (found := findings(pipeline, dataset, statuses)) else {}),
    }


def _positions(plan: DatasetPlan, fovs: Iterable[int]) -> dict[str, dict[str, str]]:
    """Return the names of FOVs' positions, such as wells; nothing where there are none."""
    names = plan.header.positions if plan.header else ()
    found = {str(fov): name for fov in fovs if fov < len(names) and (name := names[fov])}
    return {"positions": found} if found else {}


def findings(pipeline: Pipeline, dataset: str, statuses: dict[int, dict[str, Any]]) -> list[str]:
    """Return what is wrong with most frames of a dataset's complete FOVs, each in a sentence.

    What holds for every frame of the method of segmentation comes last.
    """
    seg, layout = pipeline.datasets[dataset].seg, pipeline.layout
    complete = [fov for fov, status in statuses.items() if status["status"] == "complete"]
    found = findings_of(layout.file("segment_frames", dataset, fov, seg) for fov in complete)
    note = METHOD_NOTES.get(pipeline.config.segment.method)
    return [*found, note] if complete and note else found


def write_dataset_results(pipeline: Pipeline, dataset: str, text: str = "") -> None:
    """Write a dataset's results file and manifest from what exists now; safe to repeat.

    `text`: content of the results file, where it is known.
    """
    text = text or results_text(results_content(pipeline, dataset))
    write_text(pipeline.layout.results(dataset), text)
    update_manifest(pipeline, dataset)


def reasons_to_run(pipeline: Pipeline) -> tuple[Decision, dict[str, str]]:
    """Return why jobs run, and why some must not; see `fovflow.adapter.engine.deciding`."""
    decision = Decision({}, set(), set())
    reasons, refused = decision.reasons, dict[str, str]()
    outdir = Folder(pipeline.layout.outdir)
    for name, plan in pipeline.datasets.items():
        folder = pipeline.look(name)
        found, restored, idle = pipeline.reasons(name, folder)
        outdir.know(folder, name)
        reasons |= found
        decision.restored.update(restored)
        decision.idle.update(idle)
        file = pipeline.layout.results(name)
        states = pipeline.statuses(name, folder).values()
        stale = plan.fovs and all(each == COMPLETE for each in states) and news(pipeline, name)
        reasons[file] = "it does not say what there is" if stale else ""
        if plan.fovs and not stale and not _has_manifest(pipeline, name):
            reasons[file] = f"there is no {FILE_NAME}"
        if plan.problems:
            reasons[pipeline.layout.problem(name)] = "; ".join(plan.problems)
        for fov in plan.held:
            sentence = f"{name}: {'; '.join(plan.problems)}"
            jobs = (job for job, _ in pipeline.needs_raw(name, fov))
            place = pipeline.layout.dataset(name)
            refused |= {f"{place}/{made}": sentence for job in jobs for made in job.makes}
    for job in pipeline.analysis.jobs():
        if len(job.inputs) <= MOST_INPUTS:  # of others no record tells what they were made from
            reason = reason_to_run(job, outdir)
            reasons |= {f"{outdir.path}/{made}": reason for made in job.makes}
    lacks = bool(pipeline.analysis.measures) and not _has_manifest(pipeline, "")
    # The run that makes the report writes the manifest of the analysis when it ends.
    reasons[pipeline.layout.report()] = _reason_of_report(pipeline) or (
        f"there is no {FILE_NAME} of the analysis" if lacks else ""
    )
    return decision, refused


def _has_manifest(pipeline: Pipeline, dataset: str) -> bool:
    """Tell whether a dataset's manifest is there, or that of the analysis without a name."""
    folder = pipeline.layout.dataset(dataset) if dataset else pipeline.layout.analysis("")
    return Path(folder, FILE_NAME).exists()


def news(pipeline: Pipeline, dataset: str) -> str:
    """Return what a dataset's results file should say now; empty where it says so."""
    text = results_text(results_content(pipeline, dataset))
    with suppress(OSError, ValueError):
        if Path(pipeline.layout.results(dataset)).read_text(encoding="utf-8") == text:
            return ""
    return text


def _reason_of_report(pipeline: Pipeline) -> str:
    """Return why the report has to be made again: the results file tells of every change."""
    layout = pipeline.layout
    start = len(layout.outdir) + 1
    job = WantedJob(
        step="report",
        record=layout.log("report")[start:].replace(".log", ".json"),
        wanted=Wanted.of(report_options(pipeline)),
        outputs=(layout.report()[start:],),
        inputs=tuple(name[start:] for name in report_inputs(pipeline)),
    )
    return reason_to_run(job, Folder(layout.outdir))


def bring_up_to_date(pipeline: Pipeline, *, failed: bool) -> None:
    """Write what tells of a run when it has ended, whichever way: results files and report.

    What is right already is left alone, and so is what was never made. Where the run `failed`,
    samples with failed FOVs are merged too.
    """
    from fovflow.report import write_report

    changed = False
    for name, plan in pipeline.datasets.items():
        file = pipeline.layout.results(name)
        try:
            pipeline.note_state(name)
            if plan.fovs and (text := news(pipeline, name)):
                write_dataset_results(pipeline, name, text)
                changed = True
        except Exception as error:  # the run has ended already: say so, and go on
            complain(f"{name}: cannot write {file}: {words_of(error)}")
    if failed:
        record_analysis(pipeline)
    page, options = Path(pipeline.layout.report()), report_options(pipeline)
    try:
        wanted = page.exists() or (failed and pipeline.analysis.answer())
        if changed or (wanted and _reason_of_report(pipeline)):
            write_report(page, pipeline.layout.outdir, options["datasets"], options["problems"])
    except Exception as error:
        complain(f"cannot write {page}: {words_of(error)}")


def clear_away(pipeline: Pipeline, command: str, *, stacks: bool) -> None:
    """Remove what killed runs left behind, where no later job may do it.

    These are files that were half written and, with `stacks`, see `_remove_stacks`. What belongs to
    the runs themselves stays. `command`: that of this run.
    """
    remove_leftovers_in(pipeline.layout.outdir, besides=("runs",))
    if stacks:
        _remove_stacks(pipeline, command)


def _remove_stacks(pipeline: Pipeline, command: str) -> None:
    """Remove stacks that `keep` leaves out and a run that did not complete left in complete FOVs.

    The engine removes such a stack when the last job that reads it is done. Where that run was
    killed before, and no job of a later run reads the stack, nobody would. What `command`, or that
    of the run that made it, asks for stays.
    """
    kinds = [kind for kind in STACKS if kind not in pipeline.kept]
    for name, plan in pipeline.datasets.items():
        folder = pipeline.look(name)
        start = len(folder.path) + 1
        for fov in plan.fovs:
            files = {
                pipeline.layout.file(kind, name, fov, channel)[start:]
                for kind in kinds
                for channel in plan.indices(FILES[kind].role)
            }
            left = {file for file in files if folder.has(file) and not _is_asked_for(file, command)}
            jobs = pipeline.jobs(name, fov) if left else []
            if not left or state_of(jobs, folder) != COMPLETE:
                continue
            for job in jobs:
                record = folder.record(job.record)
                for file in left.intersection(job.makes):
                    if record is not None and _left_by(pipeline, record.run, file):
                        with suppress(OSError):  # it harms nothing, and the next run tries again
                            Path(folder.path, file).unlink()


def _left_by(pipeline: Pipeline, run: str, file: str) -> bool:
    """Tell whether a run did not complete and was not asked for a file that it made."""
    with suppress(FovflowError):  # a record may say anything
        known = RunFolder(inside(Path(pipeline.layout.outdir, "runs"), run)).read_record()
        command = str(known.get("command", ""))
        return known["status"] != "completed" and not _is_asked_for(file, command)
    return False


def _is_asked_for(file: str, command: str) -> bool:
    """Tell whether a command line names a stack, or options with which stacks stay."""
    return Path(file).name in command or _STACKS_STAY.search(command) is not None


def describe_outcome(pipeline: Pipeline) -> str:
    """Return a plain summary: FOVs that are complete, those that are not and why, and where."""
    lines = [""]
    for name, plan in pipeline.datasets.items():
        folder = pipeline.look(name)
        statuses = pipeline.statuses(name, folder)
        complete = [fov for fov, status in statuses.items() if status["status"] == "complete"]
        if statuses:
            more = len(pipeline.listed(name, folder)) - len(statuses)
            rest = f"; {more} that were not asked for are complete, too" if more else ""
            traces = [pipeline.layout.file("traces", name, fov) for fov in complete]
            judged = any(Path(inspected(file)).exists() for file in traces)  # they count otherwise
            found = [pipeline.found("extract", name, fov, folder) for fov in complete]
            told = "" if judged else _cells(found)
            lines.append(f"{name}: {len(complete)} of {len(statuses)} FOVs complete{rest}{told}")
        groups: dict[str, list[int]] = {}
        for fov, status in statuses.items():
            if status["status"] != "complete":
                groups.setdefault(_in_words(status), []).append(fov)
        lines += [f"  {format_fovs(fovs)}: {words}" for words, fovs in groups.items()]
        stale = stale_verdicts(pipeline, name)
        lines += [
            f"  {format_fovs([fov])}: a person's verdicts are not used: {reason}"
            for fov, reason in stale.items()
        ]
        lines += [
            f"  {format_fovs([fov])}: a correction is not followed: {reason}"
            for fov, reasons in unmet_corrections(pipeline, name, folder).items()
            for reason in briefly(reasons)
        ]
        lines += [f"  {text}"] if (text := unseen(pipeline, name)) else []
        if stale:
            lines.append(f"  to do: fovflow verdicts {pipeline.layout.outdir} --carry-over")
        lines += [f"{name}: {problem}" for problem in plan.problems]
        lines += [f"{name}: {finding}" for finding in findings(pipeline, name, statuses)]
        if complete:
            lines.append(f"  results: {pipeline.layout.results(name)}")
    if Path(pipeline.layout.report()).is_file():
        lines.append(f"to look at: {pipeline.layout.report()}")
    if pipeline.analysis.measures:
        count = len(pipeline.analysis.measures)
        lines.append(f"{count} sample{'s' * (count != 1)}: {pipeline.layout.analysis('')}")
        lines += [f"  comparisons: {name}" for name in pipeline.analysis.answer()[1:2]]
    return "\n".join(lines)


def _cells(found: Iterable[Mapping[str, Any]]) -> str:
    """Return how many cells were found and how many are good, where all jobs' records tell it."""
    told = [(each.get("cells"), each.get("good_cells")) for each in found]
    if not told or any(not isinstance(number, int) for pair in told for number in pair):
        return ""
    cells, good = (sum(number for number in each if number) for each in zip(*told, strict=True))
    return f"; {cells} cells, {good} of them good"


def _in_words(status: dict[str, Any]) -> str:
    if status["status"] == "failed":
        frame = f" at frame {status['frame']}" if "frame" in status else ""
        return f"{status['step']} failed{frame}: {status['error']}"
    if status["status"] == "outdated":
        return f"made with other parameters from step {status['step']} on; run again"
    return f"not made yet from step {status['step']} on; run again"


def update_manifests(pipeline: Pipeline) -> None:
    """Write the manifests of datasets and analysis, where there is anything of them."""
    for name, plan in pipeline.datasets.items():
        if plan.fovs and Path(pipeline.layout.dataset(name)).is_dir():
            update_manifest(pipeline, name)
    if pipeline.analysis.measures and Path(pipeline.layout.analysis("")).is_dir():
        update_manifest(pipeline, "")


def update_manifest(pipeline: Pipeline, dataset: str) -> None:
    """Write a dataset's manifest from what is recorded now; that of the analysis without a name.

    It is called with the results file, and when the run ends. A failure is said on the error
    stream and disturbs nothing.
    """
    config = pipeline.config.model_dump(mode="json", by_alias=True)
    try:
        engine = ("Snakemake", version("snakemake"))
        write_manifest(pipeline.layout.outdir, dataset, config, workflow_folder(), engine)
    except Exception as error:  # records are no reason for results to fail
        complain(f"{dataset or 'analysis'}: cannot write the manifest: {words_of(error)}")


def report_options(pipeline: Pipeline) -> dict[str, Any]:
    """Return what the report depends on: its revision, datasets' problems, people's verdicts."""
    from fovflow.report import REPORT_REVISION

    verdicts = {
        file: sha256_or_none(file)
        for name, plan in pipeline.datasets.items()
        for fov in plan.fovs
        if os.path.exists(file := inspected(pipeline.layout.file("traces", name, fov)))  # noqa: PTH110
    }
    problems = {n: list(plan.problems) for n, plan in pipeline.datasets.items() if plan.problems}
    options = {
        "revision": REPORT_REVISION, "datasets": list(pipeline.datasets), "problems": problems
    }  # fmt: skip
    return {**options, CONTENT: verdicts} if verdicts else options


def record_analysis(pipeline: Pipeline) -> None:
    """Make the tables of samples with failed FOVs, and the statistics of the tables that there are.

    Their rules cannot run without all of these. What is not done yet, since the run was stopped, is
    left alone. The next run makes these files again: no record says what they were made from.
    """
    plan = pipeline.analysis
    states = {name: pipeline.statuses(name) for name in {s.dataset for s in plan.samples.values()}}
    lost: dict[str, dict[int, str]] = {}
    waits = False
    for name, sample in plan.samples.items():
        mine = {fov: states[sample.dataset][fov] for fov in sample.fovs}
        if any(state["status"] not in ("complete", "failed") for state in mine.values()):
            waits = True
        elif failed := {f: _in_words(s) for f, s in mine.items() if s["status"] == "failed"}:
            lost[name] = failed
    made: set[str] = set()

    def make(job: str, work: Callable[..., object], *arguments: Any) -> None:
        try:
            work(*arguments)
            record = Path(pipeline.layout.log(f"analysis/{job}")).with_suffix(".json")
            record.unlink(missing_ok=True)  # they are no longer what a job has recorded
            made.add(job)
        except Exception as error:  # the run has failed already: say so, and go on
            complain(f"{job}: {error}")

    for name in lost:
        make(f"{name}/merge", plan.merge, name, lost)
        for each in plan.fits[name] if made.issuperset({f"{name}/merge"}) else ():
            make(f"{name}/fit_{each.name}", plan.fit, name, each.name)
    if lost and not waits:
        make("merge_everything", plan.merge_everything, lost)
    of_jobs, tables = plan.states(), plan.compared()
    made |= {job for job, state in of_jobs.items() if state["status"] == "complete"}
    there = [table for table in tables if plan.maker(table) in made]
    missing = {table.sample for table in tables if table not in there}
    gone = {job.rpartition("/")[0] for job, state in of_jobs.items() if state["status"] == "failed"}
    if there and (lost or missing) and not waits and missing <= gone | {*lost}:
        make("statistics", plan.compare, there)
