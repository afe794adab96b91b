"""The jobs of a dataset and the outputs of a run, over all runs of an output folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fovflow.atomic import Digest
from fovflow.events import FINAL
from fovflow.jobrecord import JobKey, JobRecord, read_records
from fovflow.runs.state import read_attempts
from fovflow.runs.store import RunFolder, list_runs


def newest_attempts(runs: Iterable[RunFolder]) -> dict[tuple[str, JobKey], JobRecord]:
    """Return the newest attempt of each (dataset, job) over `runs`, which are oldest first."""
    found: dict[tuple[str, JobKey], JobRecord] = {}
    for run in runs:
        found |= {(job.dataset, job.key): job for job in read_attempts(run)}
    return found


def last_attempts(outdir: str | os.PathLike[str], dataset: str) -> dict[JobKey, JobRecord]:
    """Return the newest attempt of each job of a dataset, over all runs of the output folder."""
    found = newest_attempts(list_runs(outdir))
    return {key: job for (name, key), job in found.items() if name == dataset}


def read_jobs(outdir: str | os.PathLike[str], dataset: str) -> list[JobRecord]:
    """Return every job of a dataset: what its folder records, and what the runs tell besides."""
    ended = frozenset(run.id for run in list_runs(outdir) if run.status() in FINAL)
    records = read_records(Path(outdir) / dataset)
    found = join_attempts(records, last_attempts(outdir, dataset), ended)
    return sorted(found, key=lambda job: job.key)


def join_attempts(
    records: Iterable[JobRecord],
    attempts: Mapping[JobKey, JobRecord],
    ended: frozenset[str] = frozenset(),
) -> list[JobRecord]:
    """Join the records of a dataset's folder with the newest attempts of its jobs, one per job.

    The status is that of the record, never the engine's. An attempt without an end in a run that
    has ended (`ended` holds their ids) was stopped: the job was terminated.
    """
    jobs = {record.key: record for record in records}
    for key, attempt in attempts.items():
        record = jobs.get(key, attempt)
        job = replace(
            record,
            run=attempt.run,
            attempt=attempt.attempt,
            started=attempt.started,
            ended=attempt.ended,
            host=attempt.host,
            usage=attempt.usage,
        )
        if attempt.status == "running" and attempt.run in ended:
            job.status, job.error, job.outputs = "terminated", "stopped before its end", {}
        jobs[key] = job
    return list(jobs.values())


@dataclass(frozen=True, slots=True)
class Output:
    """An output: its name relative to the output folder, its digest, and the job that made it."""

    path: str
    digest: Digest | None
    job: JobRecord


def outdir_of(run: RunFolder) -> Path:
    """Return the output folder that a run belongs to."""
    return run.path.parent.parent


def outputs_of(run: RunFolder) -> dict[str, Output]:
    """Return the outputs as of the end of a run, by name relative to the output folder.

    These are the outputs that the run made, and those of earlier runs of the folder that it found
    up to date: a run that was stopped and one that completed its work are told alike from one that
    did all at once.
    """
    runs = [other for other in list_runs(outdir_of(run)) if other.id <= run.id]
    found: dict[str, Output] = {}
    for (dataset, _), job in newest_attempts(runs).items():
        for name, digest in job.outputs.items():
            path = os.path.normpath(os.path.join(dataset, name))  # noqa: PTH118
            found[path] = Output(path, digest, job)
    return dict(sorted(found.items()))
