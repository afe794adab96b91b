"""Planning for the Snakefile: datasets, files, parameters and resources of the rules."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fovflow.atomic import sha256_or_none
from fovflow.config import Config, parse_config
from fovflow.config.usersteps import StepConfig
from fovflow.errors import FovflowError
from fovflow.layout import Layout, fov_name, inspected
from fovflow.planning.analysis import AnalysisPlan
from fovflow.planning.dataset import DatasetPlan, plan_dataset
from fovflow.planning.header import OUTDIR_REMEDY, refresh_header
from fovflow.planning.parameters import needs_pixel_size, step_parameters
from fovflow.results import StepOutput, fov_status
from fovflow.stages import FILES, STAGES, Stage, StageFile, of_fov
from fovflow.userfiles import broken_link
from fovflow.usersteps import FROM
from fovflow.verdicts import find_verdicts


class Pipeline:
    """All that the rules ask for, from one configuration.

    `config`: the configuration as Snakemake merged it. `is_main`: whether this is the main process;
    only that one looks at raw files and writes plans. Raises ConfigError if the configuration is
    wrong, with all its errors.

    Attributes
    ----------
    datasets : dict of str to DatasetPlan
    kept : frozenset of str
        Kinds of stacks that stay after a run.
    occupied : set of str
        Outputs in whose place there are folders, as far as `missing_files` has seen.
    stages : dict of str to Stage
        The steps of the table, then those of the user's own.
    analysis : AnalysisPlan
        What is made of the samples.
    """

    def __init__(self, config: Mapping[str, Any], *, is_main: bool = True):
        self.is_main = is_main
        self.config: Config = parse_config(config)
        self.layout = Layout(self.config.outdir)
        if is_main:
            _check_folder(Path(self.config.outdir))
        self.datasets = {name: self._plan(name) for name in self.config.datasets}
        self.kept = self.config.kept()
        self.occupied: set[str] = set()
        self.user_steps = {step.name: step for step in self.config.steps}
        self.stages = STAGES | {step.name: _stage_of(step) for step in self.config.steps}
        self._digests = {step.script: sha256_or_none(step.script) for step in self.config.steps}
        self.analysis = AnalysisPlan(self.config, self.layout, self.datasets)
        self._parameters: dict[tuple[str, str], dict[str, Any]] = {}
        self._outputs: dict[str, list[StepOutput]] = {}

    def _plan(self, name: str) -> DatasetPlan:
        raw = self.config.dataset(name)
        try:
            header = refresh_header(self.layout, name, raw.path, raw.pattern, write=self.is_main)
        except FovflowError as error:
            return DatasetPlan(name=name, problems=(str(error),))
        needed = needs_pixel_size(self.config)
        return plan_dataset(name, self.config, header, needs_pixel_size=needed)

    # ---- wildcards and rules

    def constraint(self, names: list[str] | None = None) -> str:
        """Return a regular expression that matches the datasets' names only."""
        chosen = list(self.datasets) if names is None else names
        return "|".join(re.escape(name) for name in chosen) or "(?!)"

    def datasets_by(self, attribute: str) -> dict[Any, list[str]]:
        """Return the datasets by an attribute of their plans that names of files depend on.

        There is one rule for each value, and one where no dataset can be processed.
        """
        found: dict[Any, list[str]] = {}
        for plan in self.datasets.values():
            if plan.fovs:
                found.setdefault(getattr(plan, attribute), []).append(plan.name)
        return found or {getattr(DatasetPlan("", pc=0), attribute): []}

    # ---- input functions of rules

    def inputs(self, *kinds: str) -> Callable[[Any], dict[str, str | list[str]]]:
        """Return a rule's input function: its FOV's files of these kinds, by kind.

        Kinds of which there is one file for each fluorescence channel have a list.
        """
        return lambda wildcards: {
            kind: files if FILES[kind].role == "fl" else files[0]
            for kind in kinds
            if (files := self._files(kind, wildcards)) or FILES[kind].role == "fl"
        }

    def _files(self, kind: str, wildcards: Any) -> list[str]:
        dataset, fov = wildcards.dataset, wildcards.fov
        channels = self.datasets[dataset].indices(FILES[kind].role)
        return [self.layout.file(kind, dataset, fov, channel) for channel in channels]

    def copied(self, wildcards: Any) -> str:
        """Return the copied stack of the channel that the wildcards name."""
        kind = self.datasets[wildcards.dataset].kind(int(wildcards.channel))
        return self.layout.file(kind, wildcards.dataset, wildcards.fov, wildcards.channel)

    def phase(self, wildcards: Any) -> str:
        """Return the copied stack in which shapes are measured."""
        plan = self.datasets[wildcards.dataset]
        kind = plan.kind(plan.phase)
        return self.layout.file(kind, wildcards.dataset, wildcards.fov, plan.phase)

    def dark(self, _: Any) -> dict[str, str]:
        """Return the file of the dark frame, where there is one."""
        dark = getattr(self.config.correct, "dark", None)
        return {"dark": dark} if isinstance(dark, str) else {}

    def illumination(self, wildcards: Any) -> dict[str, str]:
        """Return the files of dark frame and flat-field that the correction asks for."""
        files = self.dark(wildcards)
        flat = getattr(self.config.correct, "flat_field", None)
        if flat == "estimate":
            flat = self.layout.file("flat_field", wildcards.dataset, channel=wildcards.channel)
        return files if flat is None else files | {"flat_field": flat}

    def user_inputs(self, step: StepConfig) -> Callable[[Any], dict[str, str | list[str]]]:
        """Return the input function of a user step's rule."""
        return lambda wildcards: self._user_inputs(step, wildcards)

    def _user_inputs(self, step: StepConfig, wildcards: Any) -> dict[str, str | list[str]]:
        place = wildcards.dataset, wildcards.fov
        kinds = [name for name in step.inputs if name in FILES]
        found = self.inputs("times", *kinds)(wildcards)
        for name in step.inputs:
            if name not in FILES:
                earlier, _, output = name.partition("/")
                names = (output,) if output else self.user_steps[earlier].outputs
                files = found.setdefault(FROM + earlier, [])
                assert isinstance(files, list)
                files += [self.layout.output(*place, each) for each in names]
        if "traces" in found:
            verdicts = inspected(self.layout.file("traces", *place))
            if Path(verdicts).exists():
                found["inspected"] = verdicts
        return found

    # ---- files

    def outputs(self, dataset: str, fov: int, *, last: bool = False) -> list[StepOutput]:
        """Return every file of one FOV that stays, in the order of the steps.

        With `last` only those that are made last: all others are made before them.
        """
        if dataset not in self._outputs:
            self._outputs[dataset] = list(self._outputs_of(dataset))
        number = fov_name(fov)
        return [
            StepOutput(step, record.replace("{fov}", number), path.replace("{fov}", number))
            for step, record, path in self._outputs[dataset]
            if not last or self.stages[step].is_last
        ]

    def _outputs_of(self, dataset: str) -> Iterator[StepOutput]:
        plan, layout = self.datasets[dataset], self.layout
        for stage in self.stages.values():
            for channel in plan.indices(stage.role) if stage.per_fov else ():
                rest = f"_ch_{channel}" if stage.role else ""
                record = layout.record(stage.name, dataset, "{fov}", rest)
                for file in stage.files:
                    if file.pixel_bytes and file.kind not in self.kept:
                        continue
                    for own in (channel,) if stage.role else plan.indices(file.role):
                        path = layout.place(file.path, dataset, "{fov}", own)
                        yield StepOutput(stage.name, record, path)

    # ---- parameters

    def parameters(self, step: str, dataset: str, fov: int | str | None = None) -> dict[str, Any]:
        """Return the parameters of a step: its part of the configuration and its revision.

        All jobs of a built-in step share them: they are not to be changed. Those of a user step
        are of one FOV.
        """
        if step in self.user_steps:
            assert fov is not None
            return {
                **self._code(step),
                "args": self.user_steps[step].arguments(dataset, int(fov)),
                "metadata": self.datasets[dataset].metadata(self.config.time_units),
            }
        if (step, dataset) not in self._parameters:
            made = step_parameters(self.config, step, self.datasets[dataset])
            if step == "results" and self.user_steps:
                made["steps"] = {
                    name: {**self._code(name), "args": own.args, "fov_args": own.fov_args}
                    for name, own in self.user_steps.items()
                }
            self._parameters[step, dataset] = made
        return self._parameters[step, dataset]

    def _code(self, step: str) -> dict[str, Any]:
        script, function = self.user_steps[step].script, self.user_steps[step].function
        return {"script": script, "sha256": self._digests[script], "function": function}

    # ---- what a person reads

    def statuses(self, dataset: str) -> dict[int, dict[str, Any]]:
        """Return the status of each FOV of a dataset; see `fovflow.results.fov_status`."""
        steps = [stage.name for stage in self.stages.values() if stage.per_fov]
        return {
            fov: fov_status(
                self.outputs(dataset, fov),
                {step: self.parameters(step, dataset, fov) for step in steps},
            )
            for fov in self.datasets[dataset].fovs
        }

    def stale_verdicts(self, dataset: str) -> dict[int, str]:
        """Return by FOV why a person's verdicts beside its traces are not used."""
        fovs = self.datasets[dataset].fovs
        found = {fov: find_verdicts(self.layout.file("traces", dataset, fov))[1] for fov in fovs}
        return {fov: reason for fov, reason in found.items() if reason}

    def summary(self, *, problems: bool = True) -> str:
        """Return one line per dataset: what will be processed, and what cannot be."""
        lines = []
        for name, plan in self.datasets.items():
            if plan.fovs:
                channels = ", ".join(f"{kind} {index}" for kind, index in plan.channels)
                lines.append(
                    f"{name}: {len(plan.fovs)} FOVs, {plan.n_frames} frames of "
                    f"{plan.height} × {plan.width}, channels {channels}"
                )
            if plan.header is not None:
                lines += [f"{name}: warning: {text}" for text in plan.header.warnings]
            if problems:
                lines += [f"{name}: {text}" for text in plan.problems]
        lines += [
            f"warning: step {name}: "
            + (broken_link(step.script) or f"there is no script {step.script}")
            for name, step in self.user_steps.items()
            if self._digests[step.script] is None
        ]
        return "\n".join(lines)


def _stage_of(step: StepConfig) -> Stage:
    """Return a step of the user's own as a row of the table; it declares what the user says."""
    return Stage(
        name=step.name,
        files=tuple(StageFile(f"{step.name}/{name}", of_fov(name), "") for name in step.outputs),
        base_memory_mb=step.mem_mb,
        base_runtime_min=step.runtime_min,
        seconds_per_megapixel=0,
    )


def _check_folder(outdir: Path) -> None:
    """Make the output folder; it must be a folder that can be written."""
    try:
        outdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FovflowError(
            f"cannot make the output folder {outdir}",
            found=error.strerror or str(error),
            remedy=OUTDIR_REMEDY,
        ) from error
    if not os.access(outdir, os.W_OK | os.X_OK):
        raise FovflowError(
            f"cannot write into the output folder {outdir}",
            found="no permission",
            remedy=OUTDIR_REMEDY,
        )


def targets(pipeline: Pipeline) -> list[str]:
    """Return what a run makes: results of each dataset, report, analysis, and files that are gone.

    The engine makes a file that is gone again only where it is asked for by name, since what was
    made from it may be there.
    """
    gone = missing_files(pipeline) if pipeline.is_main else []
    results = [*report_inputs(pipeline), pipeline.layout.report(), *pipeline.analysis.targets()]
    return gone + results + problem_targets(pipeline)


def trace_targets(pipeline: Pipeline) -> list[str]:
    """Return the traces of all FOVs."""
    return [
        pipeline.layout.file("traces", name, fov)
        for name, plan in pipeline.datasets.items()
        for fov in plan.fovs
    ] + problem_targets(pipeline)


def problem_targets(pipeline: Pipeline) -> list[str]:
    """Return the targets that stand for datasets, or FOVs, that cannot be processed."""
    datasets = pipeline.datasets.items()
    return [pipeline.layout.problem(name) for name, plan in datasets if plan.problems]


def last_files(pipeline: Pipeline, dataset: str) -> list[str]:
    """Return the files of a dataset's FOVs that are made last: all others are made before them."""
    fovs = pipeline.datasets[dataset].fovs
    return [output.path for fov in fovs for output in pipeline.outputs(dataset, fov, last=True)]


def missing_files(pipeline: Pipeline) -> list[str]:
    """Return the files that are gone while what was made from them may be there.

    Of an FOV of which nothing is there its last files stand for all, and where the dataset has no
    results yet, these ask for it already. Each FOV's folder is listed once.
    """
    gone: list[str] = []
    for name, plan in pipeline.datasets.items():
        begun = os.path.exists(pipeline.layout.results(name))  # noqa: PTH110
        for fov in plan.fovs:
            there = _listed(pipeline.layout.fov(name, fov))
            if there or begun:
                outputs = pipeline.outputs(name, fov, last=not there)
                found = {o.path: there.get(o.path.rpartition("/")[2]) for o in outputs}
                gone += [path for path, is_folder in found.items() if is_folder is not False]
                pipeline.occupied.update(path for path, is_folder in found.items() if is_folder)
    return gone


def _listed(folder: str) -> dict[str, bool]:
    """Return what there is in a folder by name, and whether it is a folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.is_dir() for entry in entries}
    except OSError:
        return {}


def report_inputs(pipeline: Pipeline) -> list[str]:
    """Return the results of all datasets: they are made again whenever traces are."""
    datasets = pipeline.datasets.items()
    return [pipeline.layout.results(name) for name, plan in datasets if plan.fovs]
