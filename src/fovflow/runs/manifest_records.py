"""From the records of a dataset's folder to its manifest, written into that folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fovflow
from fovflow.layout import STAMP_NAME
from fovflow.runs.crate import NO_LICENSE, Crate, CrateJob
from fovflow.runs.form import FINAL, now
from fovflow.runs.jobrecords import Attempt, JobKey, JobRecord, last_attempts, read_job_records
from fovflow.runs.manifest import make_manifest, to_text
from fovflow.runs.manifest_actions import JOB_LIMIT
from fovflow.runs.manifest_files import (
    DOCUMENTS,
    copy_workflow,
    documents,
    job_table,
    snapshots,
    write_if_changed,
)
from fovflow.runs.manifest_terms import FILE_NAME
from fovflow.runs.provenance import capture_environment
from fovflow.runs.store import RunFolder, list_runs
from fovflow.tables import read_json_object


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the records do not tell and the caller knows.

    Attributes
    ----------
    config : mapping
        The resolved configuration, plain values.
    workflow_folder : path-like
        Where Snakefile, rules and scripts lie.
    engine : tuple of str
        Name and version of the workflow engine.
    """

    config: Mapping[str, Any]
    workflow_folder: str | os.PathLike[str]
    engine: tuple[str, str]


def write_manifest(
    outdir: str | os.PathLike[str], dataset: str, circumstances: Circumstances
) -> Path:
    """Write a dataset's ``ro-crate-metadata.json`` from what is recorded now; safe to repeat.

    Beside it, in ``provenance/``, stand copies of the workflow's files, the resolved configuration
    and the environment. A file whose content would stay the same is not written again.

    Parameters
    ----------
    outdir : path-like
    dataset : str
    circumstances : Circumstances

    Returns
    -------
    pathlib.Path
        The manifest.
    """
    folder = Path(outdir) / dataset
    records, attempts = read_job_records(folder), last_attempts(outdir, dataset)
    jobs = crate_jobs(records, attempts, _ended_runs(outdir))
    runs = _runs_of(outdir, jobs)
    environment = (runs[-1].get("environment") if runs else None) or capture_environment()
    workflow, scripts = copy_workflow(folder, circumstances.workflow_folder)
    recorded = {path for job in jobs for path in job.outputs}
    crate = Crate(
        dataset=dataset,
        published=_published(runs, jobs),
        version=fovflow.__version__,
        raw=_raw(folder, runs),
        runs=tuple(runs),
        jobs=tuple(jobs),
        present=frozenset(path for path in recorded - set(DOCUMENTS) if (folder / path).exists()),
        documents={
            **documents(folder),
            **snapshots(
                folder, {"config": _public(circumstances.config), "environment": environment}
            ),
        },
        workflow=workflow,
        scripts=scripts,
        engine=circumstances.engine,
        environment=environment,
        table=job_table(folder, jobs) if len(jobs) > JOB_LIMIT else None,
        license=_license(circumstances.config),
    )
    target = folder / FILE_NAME
    write_if_changed(target, to_text(make_manifest(crate)))
    return target


def crate_jobs(
    records: Iterable[JobRecord],
    attempts: Mapping[JobKey, Attempt],
    ended: frozenset[str] = frozenset(),
) -> list[CrateJob]:
    """Join status records and attempts to one entry per job.

    The status is that of our own record, never the engine's. An attempt without an end in a run
    that has ended, or that a newer run has replaced, was stopped: the job failed.

    Parameters
    ----------
    records : iterable of JobRecord
    attempts : mapping of JobKey to Attempt
        The newest of each job.
    ended : frozenset of str
        Ids of runs that are over.
    """
    jobs = []
    left = dict(attempts)
    for record in records:
        attempt = left.pop(record.key, None)
        status = "completed" if record.status == "complete" else "failed"
        error = record.error
        stopped = attempt is not None and attempt.status == "running" and attempt.run in ended
        if stopped:
            status, error = "terminated", "stopped before its end"
        jobs.append(
            CrateJob(
                key=record.key,
                status=status,
                error=error if status != "completed" else "",
                options=record.options,
                inputs=record.inputs,
                outputs={} if stopped else record.outputs,
                **_when(attempt),
            )
        )
    for key, attempt in left.items():
        status = attempt.status
        if status == "running" and attempt.run in ended:
            status = "terminated"
        jobs.append(
            CrateJob(
                key=key,
                status=status,
                error=attempt.error,
                outputs=attempt.outputs,
                **_when(attempt),
            )
        )
    return sorted(jobs, key=lambda job: job.key)


def _when(attempt: Attempt | None) -> dict[str, Any]:
    if attempt is None:
        return {}
    return {
        "run": attempt.run,
        "started": attempt.started,
        "ended": attempt.ended,
        "host": attempt.host,
        "attempt": attempt.number,
        "usage": attempt.usage,
    }


def _ended_runs(outdir: str | os.PathLike[str]) -> frozenset[str]:
    return frozenset(run.id for run in list_runs(outdir) if run.status() in FINAL)


def _runs_of(outdir: str | os.PathLike[str], jobs: Iterable[CrateJob]) -> list[dict[str, Any]]:
    """Return the records of the runs that made what is there; else of the last run."""
    wanted = {job.run for job in jobs}
    folders = list_runs(outdir)
    chosen = [run for run in folders if run.id in wanted] or folders[-1:]
    return [_record_of(run) for run in chosen]


def _record_of(run: RunFolder) -> dict[str, Any]:
    content = run.read_record()
    return {**content, "id": run.id, "status": run.status()}


def _published(runs: list[dict[str, Any]], jobs: list[CrateJob]) -> str:
    times = [str(run.get("ended") or "") for run in runs]
    times += [job.ended or "" for job in jobs]
    return max(times, default="") or now()


def _raw(folder: Path, runs: list[dict[str, Any]]) -> dict[str, Any]:
    plan, stamp = read_json_object(folder / "dataset.json"), read_json_object(folder / STAMP_NAME)
    path = str(stamp.get("path") or "")
    found = {
        "name": Path(path).name,
        "format": plan.get("format"),
        "bytes": plan.get("n_bytes"),
        "digest": plan.get("fingerprint"),
    }
    for item in (runs[-1].get("inputs") if runs else None) or []:
        if isinstance(item, Mapping) and item.get("path") == path and item.get("sha256"):
            found["sha256"] = item["sha256"]
    return found


def _public(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration without the mail server: addresses are nobody else's business."""
    run = config.get("run")
    if not isinstance(run, Mapping):
        return dict(config)
    return {**config, "run": {key: value for key, value in run.items() if key != "smtp"}}


def _license(config: Mapping[str, Any]) -> str:
    run = config.get("run")
    metadata = run.get("metadata") if isinstance(run, Mapping) else None
    named = metadata.get("license") if isinstance(metadata, Mapping) else None
    return str(named) if named else NO_LICENSE
