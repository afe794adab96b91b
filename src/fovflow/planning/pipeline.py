"""Planning for the Snakefile: datasets, files, parameters and resources of the rules."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from fovflow.atomic import sha256_or_none
from fovflow.config import Config, parse_config
from fovflow.config.usersteps import StepConfig
from fovflow.copying import OF_TIMES
from fovflow.corrections import of_step, read_corrections
from fovflow.errors import ConfigError, FovflowError
from fovflow.layout import LOGS, Layout, fov_name, inspected
from fovflow.planning.analysis import AnalysisPlan
from fovflow.planning.dataset import DatasetPlan, plan_dataset
from fovflow.planning.header import (
    OUTDIR_REMEDY,
    RawHeader,
    RawSource,
    find_source,
    planned_header,
    raw_place,
)
from fovflow.planning.parameters import code_of, needs_pixel_size, step_parameters
from fovflow.stages import FILES, STAGES, Stage, StageFile, of_fov
from fovflow.states import (
    COMPLETE,
    CONTENT,
    Folder,
    Wanted,
    WantedJob,
    differs_only_in,
    state_of,
    to_run,
    write_wanted,
)
from fovflow.units import format_fovs
from fovflow.userfiles import broken_link
from fovflow.usersteps import FROM


class Place(NamedTuple):
    """Where a job works: what the wildcards of its rule say."""

    dataset: str
    fov: str = ""
    channel: int | str = ""


class Decision(NamedTuple):
    """What has to be made again, and why, by the path of each file."""

    reasons: dict[str, str]
    """Why the job of a file runs; empty where it need not."""
    restored: set[str]
    """Files that are made with the content that they had; see `fovflow.states.to_run`."""
    idle: set[str]
    """Files whose jobs need not run because of those."""


class Pipeline:
    """All that the rules ask for, from one configuration; nothing is written but by `begin`.

    `config`: the configuration as Snakemake merged it. `is_main`: whether this process may look at
    raw files: it is no job's. `planned`: for processes of jobs, what the run's main process found,
    by dataset: `RawSource.to_json`. Raises ConfigError if the configuration is wrong, with all its
    errors.

    Attributes
    ----------
    datasets : dict of str to DatasetPlan
    kept : frozenset of str
        Kinds of stacks that stay after a run.
    occupied : set of str
        Names of outputs that folders have, as far as `find_occupied` has seen.
    stages : dict of str to Stage
        The steps of the table, then those of the user's own.
    analysis : AnalysisPlan
        What is made of the samples.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        is_main: bool = True,
        planned: Mapping[str, Any] | None = None,
    ):
        self.is_main = is_main
        self.config: Config = parse_config(config)
        _check_given(self.config)
        self.layout = Layout(self.config.outdir)
        self.kept = self.config.kept()
        self.occupied: set[str] = set()
        self.user_steps = {step.name: step for step in self.config.steps}
        self.stages = STAGES | {step.name: _stage_of(step) for step in self.config.steps}
        self._sources: dict[str, RawSource] = {}
        self._planned = planned or {}
        self._sha256: dict[str, str | None] = {}
        self._parameters: dict[tuple[str, str], dict[str, Any]] = {}
        self._wanted: dict[tuple[str, str], Wanted] = {}
        path = self.config.corrections
        self.corrections = {} if path is None else read_corrections(path)
        self._records: dict[str, dict[str, Any]] = {}
        self._unseen: dict[tuple[str, int], bool] = {}
        self._first_look: dict[str, Folder] = {}
        self.datasets = {name: self._plan(name) for name in self.config.datasets}
        for name, source in self._sources.items():
            if source.files is None:
                self.datasets[name] = self._without_raw(name)
        self.analysis = AnalysisPlan(self.config, self.layout, self.datasets)

    def _plan(self, name: str) -> DatasetPlan:
        try:
            header = self._header(name)
        except FovflowError as error:
            return DatasetPlan(name=name, problems=(str(error),))
        needed = needs_pixel_size(self.config)
        return plan_dataset(name, self.config, header, needs_pixel_size=needed)

    def _header(self, name: str) -> RawHeader:
        raw = self.config.dataset(name)
        if self.is_main:
            self._sources[name] = find_source(self.layout, name, raw)
            return self._sources[name].header
        if name in self._planned:
            return RawHeader.from_json(self._planned[name]["header"], name)
        return planned_header(self.layout, name)

    def _without_raw(self, name: str) -> DatasetPlan:
        """Return the plan of a dataset whose raw file is gone: what needs it is left as it is."""
        plan, reasons = self.datasets[name], dict[str, list[int]]()
        for fov in plan.fovs:
            for job, reason in self.needs_raw(name, fov)[:1]:
                words = "files are missing" if reason.startswith("missing") else reason
                reasons.setdefault(f"{job.step}: {words}", []).append(fov)
        problems = tuple(
            f"the raw file {self.config.dataset(name).path} is not there, and {format_fovs(fovs)} "
            f"cannot be made again without it ({reason}): nothing of that is removed; to do: make "
            "the file available again, or undo the change"
            for reason, fovs in reasons.items()
        )
        held = frozenset(fov for fovs in reasons.values() for fov in fovs)
        return dataclasses.replace(plan, problems=(*plan.problems, *problems), held=held)

    def needs_raw(self, dataset: str, fov: int) -> list[tuple[WantedJob, str]]:
        """Return the jobs that would read the raw file to make an FOV again, and why they run."""
        jobs, folder = self.jobs(dataset, fov), self.look(dataset)
        found = to_run(jobs, folder)
        return [
            (job, found[job.record])
            for job in jobs
            if job.record in found
            and self.stages[job.step].reads_raw
            and not (job.step == "copy" and self._only_retimes(job, dataset, folder))
        ]

    def _only_retimes(self, job: WantedJob, dataset: str, folder: Folder) -> bool:
        """Tell whether a copy job has its pixels already, and is told the frames' times."""
        options, record = self.parameters("copy", dataset), folder.record(job.record)
        return (
            options["interval_s"] is not None
            and differs_only_in(OF_TIMES, record, options)
            and record is not None
            and {*record.outputs} == {*job.makes}
            and all(folder.has(n) and folder.holds(n, d) for n, d in record.outputs.items())
        )

    def find_occupied(self) -> None:
        """Find folders that lie where files of FOVs belong."""
        for name, plan in self.datasets.items():
            for folder in (self.layout.fov(name, fov) for fov in plan.fovs if self.is_main):
                with suppress(OSError), os.scandir(folder) as entries:
                    self.occupied |= {f"{folder}/{each.name}" for each in entries if each.is_dir()}

    def begin(self) -> None:
        """Write down what this run works with; only to be called once the folder is claimed.

        Raises FovflowError where the output folder cannot be written.
        """
        place = self.layout.outdir
        try:
            check_folder(Path(place))
            for name, source in self._sources.items():
                place = self.layout.dataset(name)
                Path(place, LOGS).mkdir(parents=True, exist_ok=True)
                source.write(self.layout, name)
                self.note_state(name)
                if not self.datasets[name].problems:  # what an earlier run could not do is done
                    Path(self.layout.record("problem", name)).unlink(missing_ok=True)
        except OSError as error:
            raise FovflowError(
                f"cannot write into the output folder {place}",
                found=error.strerror or str(error),
                remedy=OUTDIR_REMEDY,
            ) from error

    def note_state(self, name: str) -> None:
        """Write what is wanted of a dataset's FOVs, for readers of its folder; raises OSError."""
        folder = self.look(name)
        jobs = {fov: self.jobs(name, fov) for fov in self.listed(name, folder)}
        for wanted in jobs.values():
            state_of(wanted, folder)  # compares files whose times are not known
            for job in wanted:
                folder.restore(job)
        write_wanted(jobs, folder)

    def plans(self) -> dict[str, Any]:
        """Return what processes of jobs are to know of the raw files; see `planned`."""
        return {name: source.to_json() for name, source in self._sources.items()}

    def pin(self, wildcards: Any) -> dict[str, Any]:
        """Return where a dataset's raw file lies, and its stamp: jobs read no other file."""
        name = wildcards.dataset
        if name in self._sources:
            return self._sources[name].pin
        if name in self._planned:
            return dict(self._planned[name]["pin"])
        return {**raw_place(self.config.dataset(name)), "stamp": ""}

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

    # ---- jobs

    def jobs(self, dataset: str, fov: int) -> list[WantedJob]:
        """Return the jobs that make one FOV, in the order of the steps."""
        unseen = self.is_unseen(dataset, fov)
        return [job for job in self._jobs(dataset, fov) if not (unseen and job.step == "browse")]

    def is_unseen(self, dataset: str, fov: int) -> bool:
        """Tell whether an FOV was made before there was a step `browse`, and its stacks are gone.

        It is complete: to draw its cells for the report everything would have to be made again.
        """
        if (dataset, fov) not in self._unseen:
            self._unseen[dataset, fov] = False
            traces, *drawn = (
                os.path.exists(self.layout.file(kind, dataset, fov))  # noqa: PTH110
                for kind in ("traces", *(file.kind for file in STAGES["browse"].files))
            )
            if any(drawn) or not traces:
                return False
            *others, last = sorted(self._jobs(dataset, fov), key=lambda job: job.step == "browse")
            folder = self._first_look.setdefault(dataset, self.look(dataset))
            stacks = [
                self.layout.file(kind, dataset, fov, channel)[len(folder.path) + 1 :]
                for kind in ("seg_labeled", "fl")
                for channel in self.datasets[dataset].indices(FILES[kind].role)
            ]
            self._unseen[dataset, fov] = (
                folder.record(last.record) is None
                and not all(map(folder.has, stacks))
                and not any(map(folder.reason, others))
            )
        return self._unseen[dataset, fov]

    def _jobs(self, dataset: str, fov: int) -> list[WantedJob]:
        plan, found = self.datasets[dataset], []
        for stage in self.stages.values():
            if stage.name == "flat_field" and not self._estimates_flat_field:
                continue
            if stage.optional and not self._uses(stage):
                continue
            for channel in plan.indices(stage.role):
                place = Place(dataset, fov_name(fov) if stage.per_fov else "", channel)
                found.append(self._job(stage, place))
        return found

    def _uses(self, stage: Stage) -> bool:
        """Tell whether a run makes the files of an optional step."""
        kinds = self.kept.union(*(step.inputs for step in self.config.steps))
        return any(file.kind in kinds for file in stage.files)

    @property
    def _estimates_flat_field(self) -> bool:
        return getattr(self.config.correct, "flat_field", None) == "estimate"

    def _job(self, stage: Stage, place: Place) -> WantedJob:
        dataset, fov, channel = place
        plan, layout = self.datasets[dataset], self.layout
        start = len(layout.dataset(dataset)) + 1
        makes, kept = [], []
        for file in stage.files:
            for own in (channel,) if stage.role else plan.indices(file.role):
                makes.append(layout.place(file.path, dataset, fov, own)[start:])
                if not file.pixel_bytes or file.kind in self.kept:
                    kept.append(makes[-1])
        step = self.user_steps.get(stage.name)
        inputs: list[str] = []
        for name, value in self._user_inputs(step, place).items() if step else ():
            if name != "inspected":
                inputs += [path[start:] for path in ([value] if isinstance(value, str) else value)]
        rest = f"_ch_{channel}" if stage.role else ""
        record = layout.record(stage.name, dataset, fov or None, rest)[start:]
        wanted = self._wanted_of(stage.name, dataset, fov)
        return WantedJob(stage.name, record, wanted, tuple(kept), tuple(makes), tuple(inputs))

    def _wanted_of(self, step: str, dataset: str, fov: str) -> Wanted:
        if step in self.user_steps or self._corrections(step, dataset, fov):
            return Wanted.of(self.parameters(step, dataset, fov))
        if (step, dataset) not in self._wanted:
            self._wanted[step, dataset] = Wanted.of(self.parameters(step, dataset))
        return self._wanted[step, dataset]

    def look(self, dataset: str) -> Folder:
        """Return a dataset's folder as it is now, for `fovflow.states`."""
        known, seg = self._records.setdefault(dataset, {}), str(self.datasets[dataset].seg)
        return Folder(self.layout.dataset(dataset), known, seg)

    def reasons(self, dataset: str, folder: Folder) -> Decision:
        """Return what of a dataset's FOVs, also others than wanted, has to be made again."""
        found, restored, idle = dict[str, str](), set[str](), set[str]()
        for fov in (*self.datasets[dataset].fovs, *self._others(dataset, folder)):
            jobs, same = self.jobs(dataset, fov), set[str]()
            running = to_run(jobs, folder, same)
            for job in jobs:
                files = [f"{folder.path}/{name}" for name in job.makes]
                found |= dict.fromkeys(files, folder.reason(job))
                if job.record in same:
                    restored.update(files)
                elif same and job.record not in running:
                    idle.update(files)
        return Decision(found, restored, idle)

    # ---- parameters

    def parameters(self, step: str, dataset: str, fov: int | str | None = None) -> dict[str, Any]:
        """Return the parameters of a step: its part of the configuration and its revision.

        All jobs of a built-in step share them: they are not to be changed. Those of a user step
        are of one FOV.
        """
        if step in self.user_steps:
            assert fov is not None
            own = self.user_steps[step]
            return {
                **self._code(step),
                "args": own.arguments(dataset, int(fov)),
                "metadata": self.datasets[dataset].metadata(self.config.time_units),
                **self._content(step, Place(dataset, fov_name(fov))),
            }
        if (step, dataset) not in self._parameters:
            plan = self.datasets[dataset]
            if step == "results":
                steps = [s.name for s in STAGES.values() if s.per_fov and not s.optional]
                made: dict[str, Any] = {each: self.parameters(each, dataset) for each in steps}
                made |= {"problems": plan.problems, "fovs": plan.fovs}
                if self.user_steps:
                    made["steps"] = {
                        name: {**self._code(name), "args": own.args, "fov_args": own.fov_args}
                        for name, own in self.user_steps.items()
                    }
            else:
                made = step_parameters(self.config, step, plan)
                made |= self._content(step, Place(dataset, "000", "0"))
            self._parameters[step, dataset] = made
        made, said = self._parameters[step, dataset], self._corrections(step, dataset, fov)
        return made | {"corrections": said} if said else made

    def _corrections(self, step: str, dataset: str, fov: int | str | None) -> list[dict[str, Any]]:
        """Return what people say of an FOV's cells, as far as a step takes it into account."""
        of_fov = self.corrections.get((dataset, int(fov)), []) if fov not in (None, "") else []
        return [each.to_json() for each in of_step(step, of_fov)]

    def _content(self, step: str, place: Place) -> dict[str, Any]:
        """Return digests of what a user gives to a step, by name; see `fovflow.states.CONTENT`."""
        found: dict[str, str | None] = {}
        header = self.datasets[place.dataset].header
        if self.stages[step].reads_raw and header is not None:
            found |= {"raw": header.fingerprint, **header.code()}
        if step in ("flat_field", "correct", "corrected"):
            found |= {name: self.digest(path) for name, path in self._given(place).items()}
        elif step == "segment":
            model = getattr(self.config.segment, "model", None)
            if model:  # it may be a name that is no file
                files = {"model": model, "description": str(Path(model).with_suffix(".json"))}
                found |= {name: known for name, p in files.items() if (known := self.digest(p))}
        elif step in self.user_steps:
            path = self._user_inputs(self.user_steps[step], place).get("inspected")
            found |= {"inspected": sha256_or_none(str(path))} if path else {}
        found |= {name: self.digest(path) for name, path in code_of(self.config, step).items()}
        return {CONTENT: found} if found else {}

    def _given(self, place: Place) -> dict[str, str]:
        return self.dark(place) if self._estimates_flat_field else self.illumination(place)

    def digest(self, path: str) -> str | None:
        """Return the SHA-256 of a file that a user gives, None where it cannot be read."""
        if path not in self._sha256:
            self._sha256[path] = sha256_or_none(path)
        return self._sha256[path]

    def _code(self, step: str) -> dict[str, Any]:
        script, function = self.user_steps[step].script, self.user_steps[step].function
        return {"script": script, "sha256": self.digest(script), "function": function}

    # ---- what there is

    def listed(self, dataset: str, folder: Folder) -> list[int]:
        """Return the FOVs that results tell of: those of this run, and others that are complete."""
        others = self._others(dataset, folder)
        states = {fov: state_of(self.jobs(dataset, fov), folder) for fov in others}
        complete = [fov for fov, state in states.items() if state == COMPLETE]
        return sorted([*self.datasets[dataset].fovs, *complete])

    def _others(self, dataset: str, folder: Folder) -> set[int]:
        """Return the FOVs of a folder that this run was not asked for."""
        wanted, numbers = self.datasets[dataset].fovs, list[str]()
        with suppress(OSError), os.scandir(folder.path) as entries:
            numbers = [e.name.removeprefix("fov_") for e in entries if e.name.startswith("fov_")]
        return {int(n) for n in numbers if wanted and n.isdecimal()} - {*wanted}

    def statuses(self, dataset: str, folder: Folder | None = None) -> dict[int, dict[str, Any]]:
        """Return the state of each FOV of a dataset; see `fovflow.states.state_of`."""
        folder = folder or self.look(dataset)
        return {
            fov: state_of(self.jobs(dataset, fov), folder) for fov in self.datasets[dataset].fovs
        }

    def to_measure(self, dataset: str) -> set[int]:
        """Return the FOVs of its samples of which the traces have to be measured again."""
        folder, found = self.look(dataset), set[int]()
        samples = [each for each in self.analysis.samples.values() if each.dataset == dataset]
        for fov in (fov for sample in samples for fov in sample.fovs):
            jobs, restored = self.jobs(dataset, fov), set[str]()
            again = to_run(jobs, folder, restored).keys() - restored
            found |= {fov for job in jobs if job.step == "extract" and job.record in again}
        return found

    def found(self, step: str, dataset: str, fov: int, folder: Folder) -> Mapping[str, Any]:
        """Return what the job of a step without a channel found, if it was made as is wanted."""
        record = self.layout.record(step, dataset, fov_name(fov))[len(folder.path) + 1 :]
        as_wanted = folder.made_with(record) == self._wanted_of(step, dataset, fov_name(fov))
        known = folder.record(record) if as_wanted else None
        return known.found if known else {}


def _stage_of(step: StepConfig) -> Stage:
    """Return a step of the user's own as a row of the table; it declares what the user says."""
    return Stage(
        name=step.name,
        files=tuple(StageFile(f"{step.name}/{name}", of_fov(name), "") for name in step.outputs),
        base_memory_mb=step.mem_mb,
        base_runtime_min=step.runtime_min,
        seconds_per_megapixel=0,
    )


def check_folder(outdir: Path) -> None:
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


def _check_given(config: Config) -> None:
    """Refuse files that steps need and that are not there, before anything is done.

    The engine would leave out steps without their inputs, where there are outputs of before.
    """
    unet = config.segment if config.segment.method == "unet" else None  # others know names
    for section, key, what in (
        (unet, "model", "segment: unet: the network"),
        (config.correct, "dark", "correct: the dark frame"),
        (config.correct, "flat_field", "correct: the flat-field"),
    ):
        path = getattr(section, key, None)
        if isinstance(path, str) and path != "estimate" and not os.path.isfile(path):  # noqa: PTH113
            raise ConfigError(
                f"{what} {path} is not there",
                found=broken_link(path) or "no such file",
                remedy=f"correct its path, or leave {key} out",
            )
