"""User steps: load a function from a Python file, call it with one FOV, keep what it wrote."""

from __future__ import annotations

import importlib.util
import inspect
import logging
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fovflow.atomic import atomic_files
from fovflow.errors import FovflowError
from fovflow.layout import parse
from fovflow.results import FovResult
from fovflow.stages import STACKS
from fovflow.verdicts import find_verdicts, traces_of

FROM = "from_"
"""Before the names of steps among a rule's inputs, so that they clash with nothing."""

_LOGGER = logging.getLogger("fovflow")


def step_fov(
    dataset: str,
    fov: int,
    inputs: Mapping[str, str | Sequence[str]],
    metadata: Mapping[str, Any],
) -> FovResult:
    """Return the FOV that a step's function is called with: it has the rule's inputs only.

    `inputs`: the rule's inputs by name: ``times``, other tables, lists of stacks, and lists of the
    outputs of steps, whose names begin with `FROM`. `metadata`: what is known of the dataset.
    """
    times = Path(str(inputs["times"]))
    prefix = times.name.removesuffix("times.csv")
    stacks: dict[str, dict[int, Path]] = {}
    outputs: dict[str, dict[str, Path]] = {}
    for key, value in inputs.items():
        files = [Path(value)] if isinstance(value, str) else [Path(each) for each in value]
        if key in STACKS and files:
            stacks[key] = {int(found.channel): f for f in files if (found := parse(str(f)))}
        elif key.startswith(FROM):
            names = {file.name.removeprefix(prefix): file for file in files}
            outputs[key.removeprefix(FROM)] = names
    traces, stale = inputs.get("inspected") or inputs.get("traces"), ""
    if "inspected" in inputs:
        stale = find_verdicts(traces_of(str(inputs["inspected"])))[1]
        if stale:
            traces = inputs["traces"]
            _LOGGER.warning("a person's verdicts are not used: %s", stale)
    return FovResult(
        index=fov,
        status="unknown",
        stacks=stacks,
        traces_path=Path(str(traces)) if traces else None,
        dataset=dataset,
        path=times.parent,
        outputs=outputs,
        metadata={"dataset": dataset, **metadata},
        stale_verdicts=stale,
    )


def run_step(
    script: str,
    function: str,
    fov: FovResult,
    outputs: Mapping[str, str],
    arguments: Mapping[str, Any],
) -> None:
    """Call ``function(fov, outputs, **arguments)`` of a script; its files appear if it returns.

    `script`: path of a Python file. `function`: name of a function in it. `outputs`: final path of
    each output. The function is given temporary paths of the same name. Raises FovflowError if the
    script does not load, has no such function, or one that does not take these arguments; if the
    function raises, or does not write an output.
    """
    call = _load(script, function)
    where = f"the function {function} of {script}"
    try:
        inspect.signature(call).bind(fov, {}, **arguments)
    except TypeError as error:
        raise FovflowError(
            f"{where} does not take the arguments",
            found=str(error),
            remedy="it is called as function(fov, outputs, **args); correct args, fov_args or it",
        ) from None
    label = f"step_{Path(next(iter(outputs.values()))).name}"
    try:
        with atomic_files(outputs, label) as work:
            _call(partial(call, fov, work.paths, **arguments), where, script)
            others = sorted(p.name for p in work.folder.iterdir() if p not in work.paths.values())
            if others:
                _LOGGER.warning("not kept, since no outputs: %s", ", ".join(others))
    except FileNotFoundError as error:
        if error.filename not in outputs:
            raise
        raise FovflowError(
            f"{where} did not write its output {error.filename}",
            found=f"other files: {', '.join(others)}" if others else "no other files",
            remedy=f"let it write to outputs[{error.filename!r}], or correct the step's outputs",
        ) from None


def _call(call: Callable[[], Any], where: str, script: str) -> None:
    try:
        call()
    except (FovflowError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise FovflowError(
            f"{where} raised {_described(error, script)}", remedy="the traceback is in the log"
        ) from error


def _described(error: BaseException, script: str) -> str:
    """Return an error on one line, with the line of the script that it came from."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename) == Path(script).absolute()
    ]
    text = " ".join(str(error).split())
    kind = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"{kind} (line {lines[-1]})" if lines else kind


def _load(script: str, function: str) -> Callable[..., Any]:
    path = Path(script).absolute()
    if not path.is_file():
        raise FovflowError(
            f"there is no script {script}",
            found=f"working directory {Path.cwd().name}",
            remedy="give its path relative to the folder in which the pipeline is started",
        )
    name = f"fovflow_step_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise FovflowError(f"the script {script} is no Python file", remedy="give a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))  # the script may import what lies beside it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise FovflowError(
            f"the script {script} does not load",
            found=_described(error, script),
            remedy="mend the script; the traceback is in the log",
        ) from error
    found: Callable[..., Any] | None = getattr(module, function, None)
    if not callable(found):
        known = [
            key
            for key, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == name
        ]
        raise FovflowError(
            f"the script {script} has no function {function}",
            found=", ".join(known) or "no functions",
            remedy="correct the step's function",
        )
    return found
