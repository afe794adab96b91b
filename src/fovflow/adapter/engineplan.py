"""What a run of the pipeline records of itself, and how it is stopped."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import fovflow
from fovflow.adapter.pipeline import Pipeline
from fovflow.adapter.starting import workflow_folder
from fovflow.runs.jobview import JobView
from fovflow.runs.runplan import RunPlan, Watch
from fovflow.runs.store import RunFolder
from fovflow.runs.view import RunView


def run_plan(
    pipeline: Pipeline, workflow: Any, jobs: dict[str, int], *, is_module: bool = False
) -> RunPlan:
    """Return what the recorder needs to know of a run of the pipeline.

    Parameters
    ----------
    pipeline : Pipeline
    workflow : snakemake.workflow.Workflow
    jobs : dict of str to int
        Number of jobs by rule.
    is_module : bool
        Whether another workflow takes the pipeline as a module: the configuration files are that
        workflow's own.
    """
    config = pipeline.config.model_dump(mode="json", by_alias=True)
    text = json.dumps(config, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    settings = pipeline.config.run
    for alert in config["run"]["alerts"]:  # arguments of a command may be secrets
        alert["command"] = alert["command"] and alert["command"][:1]
    return RunPlan(
        outdir=pipeline.config.outdir,
        name=settings.name,
        content={
            "kind": "pipeline",
            "workflow_type": settings.workflow_type,
            "description": settings.description,
            "tags": list(settings.tags),
            "metadata": dict(settings.metadata),
            "command": shlex.join([*_program(), *sys.argv[1:]]),
            "working_directory": str(Path.cwd()),
            "module_of": os.path.relpath(workflow.main_snakefile) if is_module else None,
            "configfiles": [] if is_module else [str(name) for name in workflow.configfiles],
            "config": config,
            "config_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "versions": _versions(),
            "inputs": [_input(pipeline, name) for name in pipeline.datasets],
        },
        jobs=jobs,
        slow=lambda: _slow(workflow_folder()),
        watch=_watch(pipeline),
        silent_after_s=60 * settings.silent_after_min,
        stop_when_lost=settings.on_lost == "stop_run",
    )


def stop_run(view: RunView, *, remote: bool) -> None:
    """End this process's run cleanly: nothing new starts, and jobs at work are told to stop.

    Snakemake removes the outputs of jobs that were stopped.

    Parameters
    ----------
    view : RunView
    remote : bool
        Whether jobs run elsewhere; the engine cancels those itself when it is interrupted.
    """
    if remote:
        os.kill(os.getpid(), signal.SIGINT)
        return
    os.kill(os.getpid(), signal.SIGTERM)
    for job in view.running:
        stop_job(job)


def stop_job(job: JobView) -> None:
    """Tell a job on this machine to stop, as by Ctrl-C."""
    if job.pid and job.host == socket.gethostname():
        with suppress(OSError):
            os.kill(job.pid, signal.SIGINT)


def _program() -> list[str]:
    name = Path(sys.argv[0]).name
    return [sys.executable, "-m", "snakemake"] if name == "__main__.py" else [sys.argv[0]]


def _versions() -> dict[str, str]:
    import snakemake

    return {
        "fovflow": fovflow.__version__,
        "snakemake": str(snakemake.__version__),
        "python": platform.python_version(),
    }


def _input(pipeline: Pipeline, name: str) -> dict[str, Any]:
    raw, plan = pipeline.raw(name), pipeline.datasets[name]
    header = plan.header
    return {
        "dataset": name,
        "path": raw.path,
        "pattern": raw.pattern,
        "format": header and header.format,
        "bytes": header and header.n_bytes,
        "fingerprint": header and header.fingerprint,
        "fovs": list(plan.fovs),
        "frames": plan.n_frames,
        "problems": list(plan.problems),
    }


def _slow(folder: Path) -> dict[str, Any]:
    from fovflow.runs.provenance import capture_environment, capture_workflow

    return {"workflow": capture_workflow(folder), "environment": capture_environment()}


def _watch(pipeline: Pipeline) -> Watch | None:
    """Return what makes the watcher of the configuration's alerts, where there are any."""
    settings = pipeline.config.run
    if not settings.alerts:
        return None

    def make(run: RunFolder, on_action: Callable[[str, Any], object]) -> Any:
        from fovflow.runs.alerts import AlertWatcher

        return AlertWatcher(run, settings.alerts, on_action=on_action, smtp=settings.smtp)

    return make
