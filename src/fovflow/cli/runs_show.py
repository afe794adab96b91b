"""``fovflow runs show``: everything that a person wants to know of one run."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from fovflow.cli.costs import format_costs
from fovflow.cli.outdir import add_outdir, chosen_outdir
from fovflow.runs.screen import clock
from fovflow.runs.store import RunFolder, find_run, read_run
from fovflow.runs.view import OVER, JobView, RunView, cluster_costs

EXAMPLE = "fovflow runs show brave-otter"
SLOWEST = 10
"""Number of slowest jobs that are shown."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments."""
    parser.add_argument(
        "run",
        nargs="?",
        metavar="RUN",
        help="id or name, or the first letters of one, a run's folder, or an output folder "
        "(default: the run at work, else the last one)",
    )
    add_outdir(parser, option=True)
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Print the run."""
    run = find_run(chosen_outdir(arguments.outdir), arguments.run)
    content = describe(run, read_run(run))
    if arguments.json:
        print(json.dumps(content, indent=2, ensure_ascii=False, default=str))
    else:
        print(format_run(content))
    return 0


def describe(run: RunFolder, view: RunView) -> dict[str, Any]:
    """Return the record of a run with what its events tell.

    Returns
    -------
    dict
        The content of ``run.json`` with the status as of now, and ``folder``, ``failures``,
        ``slowest`` (jobs), ``rules`` (jobs, seconds and peak memory by rule), ``attempts`` (of
        jobs that needed several), ``alerts``, ``messages`` and ``cluster_jobs`` (see
        `fovflow.runs.view.cluster_costs`).
    """
    jobs = view.last()
    ended = [job for job in jobs if job.status in OVER]
    slowest = sorted(ended, key=lambda job: (-job.seconds(0.0), job.job))[:SLOWEST]
    again = {job.job for job in jobs if job.attempt > 1}
    return {
        **view.record,
        "folder": str(run.path),
        "counts": {
            "total": view.total,
            **{status: view.count(status) for status in (*OVER, "running")},
        },
        "failures": [_job(job) for job in (*view.failed, *view.terminated)],
        "slowest": [_job(job) for job in slowest],
        "rules": _rules(ended, list(view.planned)),
        "attempts": [_job(job) for key, job in sorted(view.jobs.items()) if key[0] in again],
        "alerts": view.alerts,
        "messages": view.messages,
        "cluster_jobs": cluster_costs(view),
    }


def _job(job: JobView) -> dict[str, Any]:
    content = dataclasses.asdict(job)
    about = {key: content[key] for key in ("job", "attempt", "rule", "wildcards", "status")}
    used = {key: content["usage"].get(key) for key in ("cpu_s", "peak_mib")}
    told = {key: content[key] for key in ("host", "error", "frame", "log", "metrics")}
    return {**about, "seconds": round(job.seconds(0.0), 3), **used, **told}


def _rules(jobs: list[JobView], order: list[str]) -> dict[str, dict[str, Any]]:
    """Return what the jobs of each rule took, in the order of the plan."""
    found: dict[str, dict[str, Any]] = {}
    places = {rule: place for place, rule in enumerate(order)}
    for job in sorted(jobs, key=lambda job: places.get(job.rule, len(places))):
        entry = found.setdefault(job.rule, {"jobs": 0, "seconds": 0.0, "peak_mib": None})
        entry["jobs"] += 1
        entry["seconds"] = round(entry["seconds"] + job.seconds(0.0), 3)
        peak = job.usage.get("peak_mib")
        if peak is not None:
            entry["peak_mib"] = max(peak, entry["peak_mib"] or 0.0)
    return found


def format_run(content: dict[str, Any]) -> str:
    """Return a run as text for people."""
    lines = [f"{content.get('name')} ({content.get('id')}): {content.get('status')}"]
    for key in ("description", "workflow_type", "command", "working_directory", "folder"):
        if content.get(key):
            lines.append(f"  {key.replace('_', ' ')}: {content[key]}")
    if content.get("tags"):
        lines.append(f"  tags: {', '.join(content['tags'])}")
    lines += [f"  {key}: {value}" for key, value in (content.get("metadata") or {}).items()]
    versions = content.get("versions") or {}
    workflow = content.get("workflow") or {}
    known = [f"{name} {version}" for name, version in versions.items()]
    if workflow.get("commit"):
        known.append(f"commit {workflow['commit'][:12]}{' with changes' * bool(workflow['dirty'])}")
    lines += [f"  made with: {', '.join(known)}"] if known else []
    lines += ["", "status"]
    lines += [
        f"  {entry['time'][:19].replace('T', ' ')} UTC  {entry['status']}"
        f"{': ' + entry['message'] if entry.get('message') else ''}"
        for entry in content.get("history") or []
    ]
    lines += _inputs(content) + _jobs(content) + format_costs(content["cluster_jobs"])
    lines += _told(content)
    return "\n".join(lines)


def _inputs(content: dict[str, Any]) -> list[str]:
    entries = content.get("inputs") or []
    lines = ["", "inputs"] if entries else []
    for entry in entries:
        text = f"  {entry.get('dataset') or entry.get('name') or ''}: {entry.get('path')}"
        size = entry.get("bytes")
        text += f", {size / 1e6:.1f} MB" if isinstance(size, int) else ""
        digest = entry.get("fingerprint") or entry.get("sha256") or entry.get("digest")
        lines.append(f"{text}, {digest}" if digest else text)
        lines += [f"    {problem}" for problem in entry.get("problems") or []]
    return lines


def _jobs(content: dict[str, Any]) -> list[str]:
    counts = content["counts"]
    under_way = "under way when it was lost" if content["status"] == "lost" else "running"
    told = ", ".join(f"{counts[key]} {key}" for key in OVER)
    lines = ["", f"jobs: {counts['total']} planned, {told}, {counts['running']} {under_way}"]
    for rule, entry in content["rules"].items():
        peak = f", at most {entry['peak_mib']:.0f} MiB" if entry["peak_mib"] else ""
        lines.append(f"  {rule}: {entry['jobs']} in {_spent(entry['seconds'])} of work{peak}")
    if content["failures"]:
        lines += ["", "errors"]
        for job in content["failures"]:
            frame = f" at frame {job['frame']}" if job["frame"] is not None else ""
            lines.append(f"  {_name(job)}{frame}: {job['error']}")
            lines += [f"    log: {job['log']}"] if job["log"] else []
    if content["slowest"]:
        lines += ["", "slowest jobs"]
        lines += [f"  {job['seconds']:9.2f} s  {_name(job)}" for job in content["slowest"]]
    if content["attempts"]:
        lines += ["", "jobs with several attempts"]
        lines += [
            f"  {_name(job)}, attempt {job['attempt']}: {job['status']} {job['error']}".rstrip()
            for job in content["attempts"]
        ]
    return lines


def _spent(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else clock(seconds)


def _told(content: dict[str, Any]) -> list[str]:
    lines = ["", "alerts"] if content["alerts"] else []
    lines += [
        f"  {_time(event)}  {event['name']}: {event.get('message', '')} ({event.get('action')})"
        for event in content["alerts"]
    ]
    lines += ["", "messages"] if content["messages"] else []
    return lines + [f"  {_time(event)}  {event['message']}" for event in content["messages"]]


def _time(event: dict[str, Any]) -> str:
    return str(event["time"])[11:19]


def _name(job: dict[str, Any]) -> str:
    from fovflow.runs.view import in_words

    return f"{job['rule']} {in_words(job['wildcards'])}".strip()
