"""Planning for the Snakefile: datasets, targets, parameters and resources of the rules."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fovflow.adapter.usersteps import UserSteps
from fovflow.config import Config, parse_config
from fovflow.errors import FovflowError
from fovflow.fovstatus import Made
from fovflow.illumination import MAX_FRAMES
from fovflow.layout import Layout, fov_name
from fovflow.planning import DatasetPlan, needs, plan_dataset, refresh_header


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
