"""Checks of records against each other: jobs, results file, runs."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from fovflow.errors import FovflowError
from fovflow.results import FILE_NAME as RESULTS_NAME
from fovflow.runs.findings import Report, climbs_out, out_of_order, read_object
from fovflow.runs.form import FINAL, STATUSES
from fovflow.runs.jobrecords import LOGS, Attempt, JobRecord, read_attempts
from fovflow.runs.store import RunFolder
from fovflow.tables import read_yaml

JOB_STATUSES = ("complete", "failed")
FOV_STATUSES = ("complete", "failed", "incomplete", "outdated")


def check_records(place: Path, prefix: str, report: Report) -> None:
    """Check the form of the status records of a folder; note jobs that failed."""
    for path in sorted((place / LOGS).rglob("*.json")):
        name = f"{prefix}{path.relative_to(place).as_posix()}"
        content, problem, twice = read_object(path)
        if content is None:
            report.find(name, problem)
            continue
        for key in twice:
            report.find(name, f"the key {key!r} stands twice")
        status = content.get("status")
        if status not in JOB_STATUSES:
            report.find(name, f"wrong status {status!r}; a job is {' or '.join(JOB_STATUSES)}")
        elif status == "failed":
            report.note(name, f"the job failed: {content.get('error') or 'no error is recorded'}")
        elif "outputs" not in content:
            report.note(name, "no checksums were recorded for this job's outputs")


def check_results(
    place: Path, prefix: str, records: list[JobRecord], report: Report
) -> dict[str, Any]:
    """Check the results file; return its content."""
    file = place / RESULTS_NAME
    name = f"{prefix}{RESULTS_NAME}"
    if not file.exists():
        if (place / "dataset.json").exists():
            report.find(name, "missing; the run was stopped before it was written")
        return {}
    try:
        content = read_yaml(file)
    except FovflowError as error:
        report.find(name, f"cannot be read: {error.found or error}")
        return {}
    if not isinstance(content, dict):
        report.find(name, "is no results file")
        return {}
    for path in _paths(content.get("results_paths")):
        if climbs_out(path):
            report.find(name, f"names {path!r}, which lies outside the folder")
        elif not (place / path).exists():
            report.find(name, f"names {path}, which is not there")
    _check_fovs(content.get("fovs"), records, name, report)
    return content


def _check_fovs(statuses: Any, records: list[JobRecord], name: str, report: Report) -> None:
    """Check each FOV's status against the records of its jobs."""
    failures: dict[str, list[JobRecord]] = {}
    for record in records:
        if record.status == "failed":
            failures.setdefault(record.key.fov, []).append(record)
    for fov, entry in statuses.items() if isinstance(statuses, dict) else ():
        status = entry.get("status") if isinstance(entry, dict) else None
        if status not in FOV_STATUSES:
            report.find(name, f"wrong status {status!r} of FOV {fov}")
            continue
        failed = failures.get(f"{int(fov):03d}", [])
        if failed and status == "complete":
            report.find(name, f"says that FOV {fov} is complete, but {failed[0].file} failed")
        elif status == "failed" and not failed:
            report.find(name, f"says that FOV {fov} failed, but no job of it did")
        elif status != "complete":
            report.note(name, f"FOV {fov} is {status}")


def _paths(value: Any) -> list[str]:
    """Return all file names in the nested lists and mappings of ``results_paths``."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [path for item in value.values() for path in _paths(item)]
    if isinstance(value, list):
        return [path for item in value for path in _paths(item)]
    return []


def check_run(run: RunFolder, base: Path, report: Report) -> None:
    """Check a run's record and those of its jobs: statuses and times."""
    name = (run.path / "run.json").relative_to(base).as_posix()
    content, problem, twice = read_object(run.path / "run.json")
    if content is None:
        report.find(name, problem)
        return
    for key in twice:
        report.find(name, f"the key {key!r} stands twice")
    if content.get("id") != run.id:
        report.find(name, f"is the record of {content.get('id')!r}, in the folder of {run.id}")
    _check_history(content, name, report)
    if content.get("status") in STATUSES and content["status"] not in FINAL:
        report.note(name, f"the run is {run.status()}")
    failed = 0
    for attempt in read_attempts(run):
        file = run.job_file(attempt.job, attempt.number).relative_to(base).as_posix()
        _check_attempt(attempt, content, file, report)
        newest = not run.job_file(attempt.job, attempt.number + 1).exists()
        failed += newest and attempt.status == "failed"
    if failed and content.get("status") == "completed":
        report.find(name, f"wrong status completed: {failed} of its jobs failed")


def _check_history(content: dict[str, Any], name: str, report: Report) -> None:
    status = content.get("status")
    if status not in STATUSES:
        report.find(name, f"wrong status {status!r}")
    history = content.get("history")
    entries = [e for e in history if isinstance(e, dict)] if isinstance(history, list) else []
    if not entries or entries[-1].get("status") != status:
        report.find(name, f"its history does not end with its status {status!r}")
    times = [entry.get("time") for entry in entries]
    times = [content.get("created"), *times]
    pairs = [*pairwise(times), (content.get("started"), content.get("ended"))]
    for first, second in pairs:
        if out_of_order(first, second):
            report.find(name, f"times out of order: {second} stands after {first}")
    if status in FINAL and not content.get("ended"):
        report.find(name, f"the run is {status} without an end")


def _check_attempt(attempt: Attempt, run: dict[str, Any], file: str, report: Report) -> None:
    if out_of_order(attempt.started, attempt.ended):
        report.find(file, f"times out of order: it ended {attempt.ended}, before it started")
    if attempt.host and attempt.host != run.get("host"):
        return  # clocks of two machines
    if out_of_order(run.get("created"), attempt.started):
        report.find(file, f"times out of order: it started {attempt.started}, before its run")
    if run.get("status") == "completed" and out_of_order(attempt.ended, run.get("ended")):
        report.find(file, f"times out of order: it ended {attempt.ended}, after its run")
