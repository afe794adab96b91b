"""User steps for the rules: what each uses and makes, and with which arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fovflow.config import Config
from fovflow.config.steps import TABLES, StepConfig
from fovflow.fovstatus import Made
from fovflow.layout import STACKS, Layout, fov_name
from fovflow.planning import DatasetPlan
from fovflow.usersteps import FROM, script_digest


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
        self._digests = {step.script: script_digest(step.script) for step in config.steps}

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
