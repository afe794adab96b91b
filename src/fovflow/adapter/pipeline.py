"""Planning for the Snakefile: datasets, targets, parameters and resources of the rules."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fovflow.adapter.engine import Engine
from fovflow.atomic import sha256_or_none
from fovflow.config import Config, parse_config
from fovflow.config.steps import TABLES, StepConfig
from fovflow.errors import FovflowError
from fovflow.illumination import MAX_FRAMES
from fovflow.layout import STACKS, Layout, fov_name
from fovflow.planning import DatasetPlan, needs, plan_dataset, refresh_header
from fovflow.results import Made
from fovflow.usersteps import FROM


class UserSteps:
    """The steps of a configuration.

    Parameters
    ----------
    config : Config
    layout : Layout
    datasets : mapping of str to DatasetPlan
    """

    def __init__(self, config: Config, layout: Layout, datasets: Mapping[str, DatasetPlan]):
        self.config = config
        self.layout = layout
        self.datasets = datasets
        self._digests = {step.script: sha256_or_none(step.script) for step in config.steps}

    def names(self) -> dict[str, tuple[str, ...]]:
        """Return the names of the outputs of each step."""
        return {step.name: step.outputs for step in self.config.steps}

    def inputs(self, step: StepConfig) -> Callable[[Any], dict[str, Any]]:
        """Return the input function of a step's rule."""
        return lambda wildcards: self._inputs(step, wildcards.dataset, wildcards.fov)

    def _inputs(self, step: StepConfig, dataset: str, fov: str) -> dict[str, Any]:
        found: dict[str, Any] = {"times": self.layout.times(dataset, fov)}
        for name in step.inputs:
            if name in STACKS:
                channels = self._channels(name, self.datasets[dataset])
                found[name] = [self.layout.stack(name, dataset, fov, c) for c in channels]
            elif name in TABLES:
                found[name] = getattr(self.layout, name)(dataset, fov)
            else:
                earlier, _, output = name.partition("/")
                names = (output,) if output else self.names()[earlier]
                files = found.setdefault(FROM + earlier, [])
                files += [self.layout.output(dataset, fov, each) for each in names]
        inspected = self.layout.output(dataset, fov, "traces_inspected.csv")
        if "traces" in found and Path(inspected).exists():
            found["inspected"] = inspected
        return found

    def _channels(self, kind: str, plan: DatasetPlan) -> tuple[int, ...]:
        if kind in ("fl", "fl_corrected"):
            return plan.fl
        if kind == "pc":
            return () if plan.pc is None else (plan.pc,)
        return (plan.seg,)

    def options(self, step: StepConfig) -> Callable[[Any], dict[str, Any]]:
        """Return the function of a step's parameters: a change of these reruns it."""
        return lambda wildcards: self.fov_options(step, wildcards.dataset, int(wildcards.fov))

    def fov_options(self, step: StepConfig, dataset: str, fov: int) -> dict[str, Any]:
        """Return the parameters of a step for one FOV."""
        return {
            **self._code(step),
            "args": step.arguments(dataset, fov),
            "metadata": self.datasets[dataset].metadata(self.config.time_units),
        }

    def _code(self, step: StepConfig) -> dict[str, Any]:
        return {
            "script": step.script,
            "sha256": self._digests[step.script],
            "function": step.function,
        }

    def all_options(self, dataset: str, fov: int) -> dict[str, Any]:
        """Return the parameters of every step for one FOV, by step."""
        return {step.name: self.fov_options(step, dataset, fov) for step in self.config.steps}

    def parameters(self) -> dict[str, Any]:
        """Return what the results file tells of the steps; empty where there are none."""
        told = {
            step.name: {**self._code(step), "args": step.args, "fov_args": step.fov_args}
            for step in self.config.steps
        }
        return {"steps": told} if told else {}

    def made(self, dataset: str, fov: int) -> list[Made]:
        """Return the files that the steps make of one FOV."""
        number = fov_name(fov)
        return [
            Made(
                step.name,
                self.layout.record(step.name, dataset, number),
                self.layout.output(dataset, number, name),
            )
            for step in self.config.steps
            for name in step.outputs
        ]

    def warnings(self) -> list[str]:
        """Return a sentence for each script that is not there: its jobs will fail."""
        return [
            f"warning: step {step.name}: there is no script {step.script}"
            for step in self.config.steps
            if self._digests[step.script] is None
        ]


class Pipeline:
    """All that the rules ask for, from one configuration.

    Parameters
    ----------
    config : mapping
        The configuration as Snakemake merged it.
    is_main : bool
        Whether this is the main process; only that one looks at raw files and writes plans.

    Raises
    ------
    ConfigError
        If the configuration is wrong, with all its errors.

    Attributes
    ----------
    config : Config
    layout : Layout
    datasets : dict of str to DatasetPlan
    """

    def __init__(self, config: Mapping[str, Any], *, is_main: bool = True):
        self.is_main = is_main
        self.config: Config = parse_config(config)
        self.layout = Layout(self.config.outdir)
        if is_main:
            _check_folder(Path(self.config.outdir))
        self.datasets = {name: self._plan(name, is_main) for name in self._names()}
        self.kept = self.config.kept()
        self.user_steps = UserSteps(self.config, self.layout, self.datasets)
        self._parameters: dict[tuple[str, str], dict[str, Any]] = {}

    def _names(self) -> list[str]:
        assert not isinstance(self.config.datasets, str)
        return list(self.config.datasets)

    def raw(self, dataset: str) -> Any:
        """Return the dataset's part of the configuration."""
        assert not isinstance(self.config.datasets, str)
        return self.config.datasets[dataset]

    def _plan(self, name: str, is_main: bool) -> DatasetPlan:
        raw = self.raw(name)
        try:
            header = refresh_header(self.layout, name, raw.path, raw.pattern, write=is_main)
        except FovflowError as error:
            return DatasetPlan(name=name, problems=(str(error),))
        return plan_dataset(name, self.config, header, needs_pixel_size=self.needs_pixel_size)

    @property
    def needs_pixel_size(self) -> bool:
        """Whether a chosen method has parameters in µm."""
        from fovflow.steps import needs_pixel_size

        return needs_pixel_size(self.config)

    # ---- wildcards and rules

    def constraint(self, names: list[str] | None = None) -> str:
        """Return a regular expression that matches the datasets' names only."""
        chosen = list(self.datasets) if names is None else names
        return "|".join(re.escape(name) for name in chosen) or "(?!)"

    def channel_sets(self) -> dict[tuple[tuple[str, int], ...], list[str]]:
        """Return the datasets by the channels that are copied: one copy rule for each set."""
        found: dict[tuple[tuple[str, int], ...], list[str]] = {}
        for plan in self.datasets.values():
            if plan.fovs:
                found.setdefault(plan.channels, []).append(plan.name)
        return found or {(("pc", 0),): []}

    def segmented_channels(self) -> dict[int, list[str]]:
        """Return the datasets by the channel in which cells are found."""
        found: dict[int, list[str]] = {}
        for plan in self.datasets.values():
            if plan.fovs:
                found.setdefault(plan.seg, []).append(plan.name)
        return found or {0: []}

    def dark(self, _: Any) -> dict[str, str]:
        """Return the file of the dark frame, where there is one."""
        dark = getattr(self.config.correct, "dark", None)
        return {"dark": dark} if isinstance(dark, str) else {}

    def illumination(self, wildcards: Any) -> dict[str, str]:
        """Return the files of dark frame and flat-field that the correction asks for."""
        files = self.dark(wildcards)
        flat = getattr(self.config.correct, "flat_field", None)
        if flat == "estimate":
            files["flat_field"] = self.layout.flat_field(wildcards.dataset, wildcards.channel)
        elif flat is not None:
            files["flat_field"] = flat
        return files

    def source(self, wildcards: Any) -> str:
        """Return the copied stack of the channel that ``wildcards`` name."""
        plan = self.datasets[wildcards.dataset]
        kind = plan.kind(int(wildcards.channel))
        return self.layout.stack(kind, wildcards.dataset, wildcards.fov, wildcards.channel)

    def segmented(self, kind: str, wildcards: Any) -> str:
        """Return the ``seg`` or ``seg_labeled`` stack that belongs to ``wildcards``."""
        channel = self.datasets[wildcards.dataset].seg
        return self.layout.stack(kind, wildcards.dataset, wildcards.fov, channel)

    def extract_inputs(self, wildcards: Any) -> dict[str, str | list[str]]:
        """Return the stacks that traces are made from."""
        plan = self.datasets[wildcards.dataset]
        name, fov = wildcards.dataset, wildcards.fov
        stack = self.layout.stack
        inputs: dict[str, str | list[str]] = {
            "labeled": stack("seg_labeled", name, fov, plan.seg),
            "times": self.layout.times(name, fov),
            "tracks": self.layout.tracks(name, fov),
            "fl": [stack("fl", name, fov, channel) for channel in plan.fl],
            "corrected": [stack("fl_corrected", name, fov, channel) for channel in plan.fl],
        }
        shapes = plan.seg if plan.pc is None else plan.pc
        inputs["pc"] = stack(plan.kind(shapes), name, fov, shapes)
        return inputs

    def made(self, dataset: str, fov: int) -> list[Made]:
        """Return every file of one FOV that stays, in the order of the steps."""
        plan, layout = self.datasets[dataset], self.layout
        number = fov_name(fov)

        def record(step: str, channel: int | None = None) -> str:
            rest = "" if channel is None else f"_ch_{channel}"
            return layout.record(step, dataset, number, rest)

        files = [Made("copy", record("copy"), layout.times(dataset, number))]
        for kind, channel in plan.channels:
            if kind in self.kept:
                name = layout.stack(kind, dataset, number, channel)
                files.append(Made("copy", record("copy"), name))
        for step, kind, channels in (
            ("segment", "seg", (plan.seg,)),
            ("correct", "fl_corrected", plan.fl),
        ):
            for channel in channels:
                job = record(step, channel)
                table = layout.segment_frames if step == "segment" else layout.correct_frames
                files.append(Made(step, job, table(dataset, number, channel)))
                if kind in self.kept:
                    files.append(Made(step, job, layout.stack(kind, dataset, number, channel)))
        files.append(Made("track", record("track"), layout.tracks(dataset, number)))
        if "seg_labeled" in self.kept:
            name = layout.stack("seg_labeled", dataset, number, plan.seg)
            files.append(Made("track", record("track"), name))
        files.append(Made("extract", record("extract"), layout.traces(dataset, number)))
        return files + self.user_steps.made(dataset, fov)

    # ---- parameters and resources

    def parameters(self, step: str, dataset: str) -> dict[str, Any]:
        """Return the parameters of a step: its part of the configuration and its revision.

        All jobs of a step share them: they are not to be changed.
        """
        from fovflow.steps import step_parameters

        if (step, dataset) not in self._parameters:
            own = self.user_steps.parameters() if step == "results" else {}
            made = step_parameters(self.config, step, self.datasets[dataset]) | own
            self._parameters[step, dataset] = made
        return self._parameters[step, dataset]

    def memory_mb(self, step: str, dataset: str) -> int:
        """Return the memory that a job declares, from its frame size."""
        plan = self.datasets[dataset]
        return needs.memory_mb(step, plan.height, plan.width, len(plan.channels))

    def runtime_min(self, step: str, dataset: str) -> int:
        """Return the time limit of a job on a cluster, from frame size and number of frames."""
        plan = self.datasets[dataset]
        frames = MAX_FRAMES if step == "flat_field" else plan.n_frames
        return needs.runtime_min(step, plan.height, plan.width, len(plan.channels), frames)

    def disk_mb(self, step: str, dataset: str) -> int:
        """Return the disk space that a job's outputs take, at most."""
        plan = self.datasets[dataset]
        channels = len(plan.channels)
        return needs.disk_mb(step, plan.height, plan.width, plan.n_frames, channels)

    # ---- what a person reads

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
        return "\n".join(lines + self.user_steps.warnings())

    def tell(self, *, problems: bool = False) -> None:
        """Print the summary on the error stream, where Snakemake talks."""
        text = self.summary(problems=problems)
        if text:
            print(text, file=sys.stderr, flush=True)


def _check_folder(outdir: Path) -> None:
    """Make the output folder; it must be a folder that can be written."""
    remedy = "choose another outdir, or mend its permissions or the disk's free space"
    try:
        outdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FovflowError(
            f"cannot make the output folder {outdir}",
            found=error.strerror or str(error),
            remedy=remedy,
        ) from error
    if not os.access(outdir, os.W_OK | os.X_OK):
        raise FovflowError(
            f"cannot write into the output folder {outdir}", found="no permission", remedy=remedy
        )


def targets(pipeline: Pipeline) -> list[str]:
    """Return what a run makes: the results of each dataset, the report, and files that are gone.

    The engine makes a file that is gone again only where it is asked for by name, since what was
    made from it may be there.
    """
    layout = pipeline.layout
    gone = missing_files(pipeline) if pipeline.is_main else []
    results = [layout.results(name) for name, plan in pipeline.datasets.items() if plan.fovs]
    return [*gone, *results, layout.report(), *problem_targets(pipeline)]


def trace_targets(pipeline: Pipeline) -> list[str]:
    """Return the traces of all FOVs."""
    return [
        pipeline.layout.traces(name, fov)
        for name, plan in pipeline.datasets.items()
        for fov in plan.fovs
    ] + problem_targets(pipeline)


def problem_targets(pipeline: Pipeline) -> list[str]:
    """Return the targets that stand for datasets, or FOVs, that cannot be processed."""
    problems = (name for name, plan in pipeline.datasets.items() if plan.problems)
    return [pipeline.layout.problem(name) for name in problems]


def last_files(pipeline: Pipeline, dataset: str) -> list[str]:
    """Return the files of a dataset's FOVs that are made last: all others are made before them."""
    fovs = pipeline.datasets[dataset].fovs
    return [name for fov in fovs for name in _last_of(pipeline, dataset, fov)]


def _last_of(pipeline: Pipeline, dataset: str, fov: int) -> list[str]:
    made = pipeline.user_steps.made(dataset, fov)
    return [pipeline.layout.traces(dataset, fov), *(item.path for item in made)]


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
            if there:
                paths = [item.path for item in pipeline.made(name, fov)]
                gone += [path for path in paths if path.rpartition("/")[2] not in there]
            elif begun:
                gone += _last_of(pipeline, name, fov)
    return gone


def _listed(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return frozenset()


def report_inputs(pipeline: Pipeline) -> list[str]:
    """Return the results of all datasets: they are made again whenever traces are."""
    plans = [plan for plan in pipeline.datasets.values() if plan.fovs]
    return [pipeline.layout.results(plan.name) for plan in plans]


def report_options(pipeline: Pipeline) -> dict[str, Any]:
    """Return what the report depends on besides files: its revision, and datasets' problems."""
    from fovflow.report import REPORT_REVISION

    problems = {n: list(plan.problems) for n, plan in pipeline.datasets.items() if plan.problems}
    return {"revision": REPORT_REVISION, "datasets": list(pipeline.datasets), "problems": problems}


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
        print(f"cannot write {file}: {error}", file=sys.stderr)
