"""User steps: a function of one's own for every FOV, run like the other steps."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from fovflow.config.section import Section
from fovflow.layout import parse
from fovflow.stages import STACKS, STAGES, TABLES, step_of_rule
from fovflow.userfiles import user_file

_TAKEN = frozenset(
    {
        "all", "analyse", "fit", "manifest", "merge", "problem", "qc", "report", "results",
        "statistics", "total", *STAGES, *TABLES, *STACKS,
    }
)  # fmt: skip
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_OWN_JOB = re.compile(r".*_ch_\d+|merge_(\d+|everything)")
_OUTPUT = re.compile(r"[\w+-][\w.+-]{0,99}", re.ASCII)
_OWN_FILE = re.compile(
    rf"({'|'.join(STACKS)})_ch_\d+_frames\.csv|({'|'.join(TABLES)})_inspected\.csv|qc\..*|.*\.part",
    re.IGNORECASE,
)
_FOV = re.compile(r"((?P<dataset>.+)/)?(fov_)?(?P<index>\d+)")


def _with_text_keys(value: Any) -> Any:
    """Accept numbers as keys: YAML reads ``3:`` as one."""
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else value


def _fov_of(key: str) -> tuple[str | None, int]:
    """Return dataset, or None, and index of the FOV that a key of ``fov_args`` names."""
    match = _FOV.fullmatch(key)
    if not match:
        raise ValueError(f'keys such as 3, fov_003 or "plate1/3" (not {key!r})')
    return match["dataset"], int(match["index"])


class StepConfig(Section):
    """A step of one's own: a function in a Python file that is called once for each FOV."""

    name: str = Field(
        description="Name of the step, of its rule and its log: lower-case letters, digits and _."
    )
    script: Annotated[str, AfterValidator(user_file)] = Field(
        min_length=1, description="Path of the Python file, relative to the working directory."
    )
    function: str = Field(
        description="Function in it, called as function(fov, outputs, **args): fov opens the files "
        "of the FOV, outputs tells for each output where to write it."
    )
    inputs: tuple[str, ...] = Field(
        ("traces",),
        description=f"What it uses: {', '.join((*TABLES, *STACKS))}, an earlier step's name, or "
        "one of its outputs as step/output.",
    )
    outputs: tuple[str, ...] = Field(
        min_length=1,
        description="Names of the files that it writes for each FOV, such as nuclei.csv; they "
        "become {dataset}_fov_{fov}_nuclei.csv in the FOV's folder.",
    )
    args: dict[str, Any] = Field({}, description="Arguments of the function, by name.")
    fov_args: Annotated[dict[str, dict[str, Any]], BeforeValidator(_with_text_keys)] = Field(
        {},
        description="Arguments for single FOVs, which win over args: a mapping of dataset/fov, or "
        "of fov for every dataset, to arguments.",
    )
    mem_mb: int = Field(1000, ge=1, description="Memory that a job may take (MB).")
    runtime_min: int = Field(
        30, ge=1, description="Time that a job on a cluster may take (minutes)."
    )
    threads: int = Field(1, ge=1, description="Cores that a job may take.")

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("up to 40 lower-case letters, digits and _, the first a letter")
        if value in _TAKEN or step_of_rule(value) != value or _OWN_JOB.fullmatch(value):
            raise ValueError("another name than those that fovflow uses itself")
        return value

    @field_validator("function")
    @classmethod
    def _check_function(cls, value: str) -> str:
        if not value.isidentifier():
            raise ValueError("the name of a function")
        return value

    @field_validator("outputs")
    @classmethod
    def _check_outputs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _OUTPUT.fullmatch(name):
                raise ValueError(
                    "file names of letters, digits and _ - + . that do not begin with a point "
                    f"(not {name!r})"
                )
            if _OWN_FILE.fullmatch(name) or parse(f"dataset_fov_000_{name.lower()}"):
                raise ValueError(f"other names than {name!r}, which fovflow uses itself")
        return value

    @field_validator("fov_args")
    @classmethod
    def _check_fovs(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        known: dict[tuple[str | None, int], str] = {}
        for key in value:
            other = known.setdefault(_fov_of(key), key)
            if other != key:
                raise ValueError(f"each FOV once (not {other!r} and {key!r})")
        return value

    def named_fovs(self) -> list[tuple[str | None, int]]:
        """Return (dataset or None, index) of each FOV that has arguments of its own."""
        return list(map(_fov_of, self.fov_args))

    def arguments(self, dataset: str, fov: int) -> dict[str, Any]:
        """Return the arguments for one FOV; ``dataset/fov`` wins over ``fov``, that over args."""
        special = dict(zip(self.named_fovs(), self.fov_args.values(), strict=True))
        return {**self.args, **special.get((None, fov), {}), **special.get((dataset, fov), {})}


def check_steps(steps: tuple[StepConfig, ...], info: ValidationInfo) -> tuple[StepConfig, ...]:
    """Raise ValueError unless names are distinct, and inputs and datasets exist."""
    datasets = info.data.get("datasets")
    owners: dict[str, str] = {}
    known = [*TABLES, *STACKS]
    for step in steps:
        for name in step.inputs:
            if name not in known:
                raise ValueError(
                    f"as inputs of {step.name}: {', '.join(known)} (not {name!r}; steps can use "
                    "those above them)"
                )
        for name in (f"the step {step.name}", *step.outputs):
            if name.casefold() in owners:
                raise ValueError(f"{name} once (in {owners[name.casefold()]} and {step.name})")
            owners[name.casefold()] = step.name
        unknown = {name for name, _ in step.named_fovs() if name} - set(datasets or ())
        if datasets and unknown:
            raise ValueError(f"in fov_args of {step.name} datasets only (not {unknown.pop()!r})")
        known += [step.name, *(f"{step.name}/{output}" for output in step.outputs)]
    return steps
