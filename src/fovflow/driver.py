"""Run the pipeline from Python: Snakemake as a process, with the workflow of this package."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fovflow.adapter.engine import snakemake_command, workflow_folder
from fovflow.adapter.interrupts import CALLER
from fovflow.errors import ConfigError, FovflowError
from fovflow.results import FovResult, Results, load_results
from fovflow.runs.session import raise_terminated

__all__ = ["RunOutcome", "run", "snakemake_command", "workflow_folder"]

_STOP = ((signal.SIGINT, 60.0), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0))
"""Signals that end Snakemake and its jobs, each with the seconds that it gets."""


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What came of `run`."""

    success: bool
    """Whether everything that was asked for was made."""
    results: dict[str, Results] = field(default_factory=dict)
    """Results by dataset, also of runs that failed in part."""
    failures: dict[str, list[FovResult]] = field(default_factory=dict)
    """FOVs that are not complete, by dataset; their ``step`` and ``error`` say where and why."""
    problems: dict[str, list[str]] = field(default_factory=dict)
    """Why datasets, or FOVs that were asked for, cannot be processed at all."""
    returncode: int = 0
    """Snakemake's exit status."""

    def __bool__(self) -> bool:
        return self.success

    def _repr_html_(self) -> str:
        from fovflow.notebook import card, results_card

        told = [
            (name, words)
            for name in {**self.problems, **self.failures}
            for words in [
                *self.problems.get(name, ()),
                *(
                    f"FOV {fov.index}: {fov.step} {fov.error}"
                    for fov in self.failures.get(name, ())
                ),
            ]
        ]
        title = "everything was made" if self.success else "not everything was made"
        first = card(title, ("dataset", "what went wrong") if told else (), told[:10])
        return first + "".join(map(results_card, self.results.values()))


def run(
    config: str | os.PathLike[str] | Mapping[str, Any],
    *,
    fovs: str | int | Iterable[int] | None = None,
    cores: int | str = "all",
    outdir: str | os.PathLike[str] | None = None,
    targets: Sequence[str] = (),
    dry_run: bool = False,
    quiet: bool = False,
    options: Sequence[str] = (),
) -> RunOutcome:
    """Run the whole pipeline.

    Parameters
    ----------
    config : path-like or mapping
        A configuration file, or its content. Paths in it are relative to the working directory.
    fovs : str, int or iterable of int, optional
        FOVs to process in every dataset, such as ``"0-5, 7"`` or ``[0, 7]``; the configuration's
        otherwise.
    cores : int or str
        Number of cores, at least 1, or ``"all"``.
    outdir : path-like, optional
        Output folder; the configuration's otherwise.
    targets : sequence of str
        Rules or files to make; everything otherwise.
    dry_run : bool
        Only tell what would be done.
    quiet : bool
        Keep Snakemake's own messages off the screen; errors stay in the result.
    options : sequence of str
        Further options for Snakemake, such as ``["--workflow-profile", "profiles/slurm"]``.

    Returns
    -------
    RunOutcome
        True in a condition if all went well.

    Raises
    ------
    ConfigError
        If the configuration is wrong.
    KeyboardInterrupt, SystemExit
        After Ctrl-C, or a signal to end, when Snakemake and its jobs have ended; what is complete
        stays.

    Examples
    --------
    >>> outcome = fovflow.run("config/config.yaml", fovs="0-3", cores=4)  # doctest: +SKIP
    >>> outcome.results["plate1"].traces().head()  # doctest: +SKIP
    """
    from fovflow.config import parse_config
    from fovflow.records import write_yaml

    if cores != "all" and not (str(cores).isdecimal() and int(cores) > 0):
        raise ConfigError(f"cores is {cores!r}", remedy='give a whole number from 1 on, or "all"')
    content = _content(config)
    if fovs is not None:
        listed = fovs if isinstance(fovs, str | int) else ", ".join(map(str, fovs))
        content["fovs"] = str(listed)
        content["datasets"] = _without_own_fovs(content.get("datasets"))
    if outdir is not None:
        content["outdir"] = os.fspath(outdir)
    parse_config(content)
    with tempfile.TemporaryDirectory(prefix="fovflow-") as folder:
        file = Path(folder) / "config.yaml"
        write_yaml(file, content)
        arguments = ["--configfile", str(file), "--cores", str(cores), *options]
        if dry_run:
            arguments.append("--dry-run")
        if targets:
            arguments += ["--", *targets]
        output = subprocess.DEVNULL if quiet else None
        returncode = _wait_for(snakemake_command(arguments), output)
    if dry_run:
        return RunOutcome(success=returncode == 0, returncode=returncode)
    return _outcome(content, returncode)


def _wait_for(command: list[str], output: int | None) -> int:
    """Run a command in a group of its own; an interruption ends the group, and is raised.

    So does a signal that tells this process to end, such as that of a cluster at its time limit.
    Where it is killed, the group learns so by a pipe whose end here is closed by the system.
    """
    undo = raise_terminated()
    theirs, ours = os.pipe()
    try:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, start_new_session=True, pass_fds=[theirs],
            env={**os.environ, CALLER: str(theirs)},
        )  # fmt: skip
    finally:
        os.close(theirs)
    try:
        return process.wait()
    except BaseException:
        for number, patience_s in _STOP:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
                process.wait(patience_s)
                break
        raise
    finally:
        os.close(ours)
        undo()


def _content(config: str | os.PathLike[str] | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(config, Mapping):
        return dict(config)
    from fovflow.config.load import read_config

    return dict(read_config(config))


def _without_own_fovs(datasets: Any) -> Any:
    """Return datasets without their own FOV selection, so that the run's holds for all."""
    from fovflow.config.load import read_datasets

    table = read_datasets(datasets) if isinstance(datasets, str) else datasets
    if not isinstance(table, Mapping):
        return table
    return {
        name: {k: v for k, v in value.items() if k != "fovs"}
        if isinstance(value, Mapping)
        else value
        for name, value in table.items()
    }


def _outcome(content: dict[str, Any], returncode: int) -> RunOutcome:
    from fovflow.planning.pipeline import Pipeline

    pipeline = Pipeline(content)
    results: dict[str, Results] = {}
    failures: dict[str, list[FovResult]] = {}
    for name in pipeline.datasets:
        folder = Path(pipeline.layout.dataset(name))
        with suppress(FovflowError):  # nothing was made of this dataset
            results[name] = load_results(folder)
        if returncode == 0:
            continue
        known = results[name].fovs if name in results else {}
        bad = [
            replace(
                known.get(fov) or FovResult(index=fov, status="", dataset=name),
                **{key: status.get(key, "") for key in ("status", "step", "error")},
            )
            for fov, status in pipeline.statuses(name).items()
            if status["status"] != "complete"
        ]
        if bad:
            failures[name] = bad
    problems = {name: list(p.problems) for name, p in pipeline.datasets.items() if p.problems}
    return RunOutcome(returncode == 0, results, failures, problems, returncode)
